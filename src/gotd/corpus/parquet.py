"""Parquet by row groups: a row is a document, its record the row as a JSON object.

A column that is absent, or a damaged file, is a fault of the whole file and stops the run; a null
or a wrong cell costs its row.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from gotd.corpus.batches import Batch, Item
from gotd.corpus.documents import Unusable, reject
from gotd.corpus.fields import Fields, document_maker
from gotd.corpus.files import File
from gotd.corpus.streams import open_raw
from gotd.errors import GotdError, InputError

BATCH_ROWS = 1024
# UTF-8, dates out of range, nanoseconds, unknown time zones.
_BAD_CELL = (ValueError, OverflowError, LookupError, pa.ArrowException)


def group_bytes(file: File) -> list[int]:
    """Uncompressed size in bytes of each row group."""
    with _opened(file) as parquet:
        meta = parquet.metadata
        return [meta.row_group(group).total_byte_size for group in range(meta.num_row_groups)]


def group_starts(file: File) -> list[int]:
    """The first row of each row group, and at the end the number of all rows."""
    with _opened(file) as parquet:
        return _starts(parquet)


def group_batches(
    file: File, fields: Fields, groups: Sequence[int] | None, numbered: bool = True
) -> Iterator[Batch | Item]:
    """The rows of these row groups, ascending, which need not follow each other; None is all.

    Each is read alone: what Arrow makes of a damaged one could depend on what it has read before.
    """
    with _opened(file) as parquet:
        check_columns(file, fields, parquet.schema_arrow.names)
        starts = _starts(parquet)
        origin = 0 if numbered or not groups else starts[groups[0]]
        for group in range(len(starts) - 1) if groups is None else groups:
            row = starts[group]
            for table in parquet.iter_batches(batch_size=BATCH_ROWS, row_groups=[group]):
                yield _batch(file, fields, table, row, origin)
                row += table.num_rows
            if row != starts[group + 1]:
                given, told = row - starts[group], starts[group + 1] - starts[group]
                raise pa.ArrowInvalid(f"row group {group} gives {given} rows of {told}")


def check_columns(file: File, fields: Fields, columns: list[str]) -> None:
    """Refuse a table that lacks a field altogether: each of its rows would be rejected."""
    missing = fields.missing_columns(columns)
    if missing:
        names = ", ".join(f'"{name}"' for name in missing)
        found = ", ".join(f'"{name}"' for name in columns[:20]) or "none"
        told = " ".join(f"no column {names}; found {found}.".split())  # a name may hold line breaks
        raise InputError(
            f"{file.path}: {told} Pass --text-field, --id-field or --source-field with a name that is there."
        )


@contextmanager
def _opened(file: File) -> Iterator[Any]:
    """The file for pyarrow; what it finds damaged is one line."""
    with open_raw(file.path) as raw:
        try:
            # Read ahead, Arrow holds the compressed bytes of every row group until the last.
            with pq.ParquetFile(raw, pre_buffer=False) as parquet:
                yield parquet
        except GotdError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: a column's name that is not UTF-8
            what = " ".join(str(error).split())
            raise InputError(
                f"{file.path}: damaged Parquet ({what}), wanted a whole file. Fetch or write it again."
            ) from error


def _starts(parquet: Any) -> list[int]:
    """The first row of each row group, and the number of all rows."""
    meta = parquet.metadata
    counts = [meta.row_group(group).num_rows for group in range(meta.num_row_groups)]
    return [0, *np.cumsum(counts, dtype=np.int64).tolist()]


def _batch(file: File, fields: Fields, table: Any, first: int, origin: int) -> Batch:
    """The rows of a table, the first of which is row `first` of the file; rejects count them from `origin` on."""
    make = document_maker(fields, file.source)

    def items(which: Iterable[int]) -> Iterator[Item]:
        numbers = list(which)
        for i, row in zip(numbers, _rows(table, numbers)):
            try:
                if isinstance(row, Unusable):
                    raise row
                yield make(row, _as_json(row), first + i)
            except Unusable as fault:
                yield reject(file.path, first - origin + i + 1, fault, str(row))

    return Batch(np.arange(first, first + table.num_rows), items)


def _rows(table: Any, numbers: list[int]) -> Iterator[dict[str, Any] | Unusable]:
    """The rows as dicts; Arrow checks values only here, and fails on all rows for one bad cell."""
    try:
        chosen = table if len(numbers) == table.num_rows else table.take(pa.array(numbers, pa.int64()))
        yield from _converted(chosen).to_pylist()
        return
    except _BAD_CELL:
        pass
    for i in numbers:
        try:
            yield _converted(table.slice(i, 1), alone=True).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield Unusable(
                "bad-utf8",
                f"found a cell that is not UTF-8 ({error.reason}), wanted text. Write the row again.",
            )
        except _BAD_CELL as error:
            yield _not_json(error)


def _converted(table: Any, *, alone: bool = False) -> Any:
    """The table with its times of nanoseconds in microseconds.

    Arrow makes of nanoseconds what pandas has for them where pandas is installed, and refuses most of them where it is
    not: a record would not be the same in every process.

    Args:
        alone: it is a single row, of which a time that microseconds cannot hold is printed.

    Raises:
        pa.ArrowInvalid: there is such a time, and several rows.
    """
    columns = []
    for column in table.columns:
        kind = _changed(column.type, _microseconds)
        if kind != column.type:
            if alone:
                column = column.take(pa.array([0]))  # a cast looks at what a slice leaves out of a list, too
            try:
                column = column.cast(kind)
            except pa.ArrowInvalid:
                if not alone:
                    raise
                column = column.cast(_changed(column.type, _printed))
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=table.schema.names)


def _changed(kind: Any, finest: Callable[[Any], Any]) -> Any:
    """A type with those of nanoseconds in it changed."""

    def field(one: Any) -> Any:
        return one.with_type(_changed(one.type, finest))

    types = pa.types
    if types.is_struct(kind):
        return pa.struct([field(kind.field(i)) for i in range(kind.num_fields)])
    if types.is_map(kind):
        return pa.map_(field(kind.key_field), field(kind.item_field))
    if types.is_fixed_size_list(kind):
        return pa.list_(field(kind.value_field), kind.list_size)
    if types.is_list(kind):
        return pa.list_(field(kind.value_field))
    if types.is_large_list(kind):
        return pa.large_list(field(kind.value_field))
    of_nanoseconds = types.is_temporal(kind) and getattr(kind, "unit", None) == "ns"
    return finest(kind) if of_nanoseconds else kind


def _microseconds(kind: Any) -> Any:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.time64("us") if pa.types.is_time(kind) else pa.duration("us")


def _printed(_: Any) -> Any:
    return pa.string()


def _as_json(row: dict[str, Any]) -> bytes:
    """A row as the record that it is written as."""
    try:
        return orjson.dumps(row, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError) as error:
        raise _not_json(error) from None


def _not_json(error: Exception) -> Unusable:
    """The fault of a row that cannot be a record."""
    return Unusable("record-not-json", f"found a row that JSON cannot hold ({error}). Drop or convert that column.")


def _plain(value: object) -> object:
    """Arrow's other types as JSON: bytes in base64, the rest as they print."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)
