"""Selected records, each as it was, plus one key `gotd`.

JSONL keeps a record's own bytes: the new key goes in before the last brace, so numbers, escapes
and the order of keys stay as the user wrote them. Parquet needs one schema for all rows, which is
known only after the last, so rows wait in a temporary JSONL file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Protocol, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from gotd.corpus.temporary import Replacement
from gotd.errors import SettingsError

OutputFormat = Literal["jsonl", "jsonl.zst", "parquet"]
KEY = "gotd"
_CHUNK_ROWS = 1024
_ZSTD_LEVEL = 3


class _Sink(Protocol):
    def write(self, line: bytes) -> None: ...
    def commit(self) -> None: ...
    def discard(self) -> None: ...


class Writer:
    """Writes records; the file appears whole, on `close`, or not at all after an error.

    Attributes:
        path: the file that will be there.
        written: records so far.
        replaced: records whose own `gotd` key, as of an earlier run, gave way to the new one.
    """

    def __init__(self, path: Path, sink: _Sink) -> None:
        self.path = path
        self.written = 0
        self.replaced = 0
        self._sink = sink

    def write(self, record: bytes, gotd: dict[str, Any]) -> None:
        body, replaced = without_key(record)
        self._sink.write(with_key(body, gotd) + b"\n")
        self.written += 1
        self.replaced += replaced

    def close(self) -> None:
        try:
            self._sink.commit()
        except BaseException:
            self._sink.discard()
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._sink.discard()


def open_writer(folder: Path | str, format: OutputFormat = "jsonl", name: str = "selected") -> Writer:
    """A writer of `folder/name.format`."""
    path = Path(folder) / f"{name}.{format}"
    if format == "jsonl":
        return Writer(path, Replacement(path))
    if format == "jsonl.zst":
        return Writer(path, _ZstdLines(path))
    if format == "parquet":
        return Writer(path, _Parquet(path))
    raise SettingsError(f'format is "{format}"; wanted "jsonl", "jsonl.zst" or "parquet".')


def without_key(record: bytes) -> tuple[bytes, bool]:
    """A record without the key of an earlier run, and whether it had one."""
    if b'"gotd"' not in record:
        return record, False
    row = orjson.loads(record)
    if KEY not in row:
        return record, False
    del row[KEY]
    return orjson.dumps(row), True


def with_key(record: bytes, gotd: dict[str, Any]) -> bytes:
    """Put the key in before the last brace."""
    if not (record.startswith(b"{") and record.endswith(b"}")):
        raise ValueError(f"record is {record[:40]!r}; wanted the bytes of one JSON object.")
    comma = b"," if record[1:-1].strip() else b""
    value = orjson.dumps(gotd, option=orjson.OPT_SERIALIZE_NUMPY)
    return b'%b%b"gotd":%b}' % (record[:-1], comma, value)


class _ZstdLines:
    def __init__(self, path: Path) -> None:
        self._out = Replacement(path)
        stream = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).stream_writer(self._out.file, closefd=False)
        self._stream = cast(BinaryIO, stream)

    def write(self, line: bytes) -> None:
        self._stream.write(line)

    def commit(self) -> None:
        self._stream.close()
        self._out.commit()

    def discard(self) -> None:
        with suppress(OSError):
            self._stream.close()
        self._out.discard()


class _Parquet:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = Replacement(path.with_name(f"{path.name}.rows"))
        self._open = True

    def write(self, line: bytes) -> None:
        self._rows.write(line)

    def commit(self) -> None:
        if not self._open:
            return
        self._rows.file.flush()
        with Replacement(self._path) as out:
            try:
                _rows_to_parquet(self._rows.temporary, out.file)
            except (pa.ArrowException, OverflowError) as error:
                raise SettingsError(
                    f"{self._path}: Parquet cannot hold these records ({' '.join(str(error).split())}). "
                    "Pass --format jsonl."
                ) from error
        self.discard()

    def discard(self) -> None:
        self._open = False
        self._rows.discard()


def _rows_to_parquet(rows: Path, out: BinaryIO) -> None:
    """Two passes: one for the schema that fits all rows, one to write them under it."""
    schema = pa.schema([])
    for chunk in _row_chunks(rows):
        found = pa.schema([(name, array.type) for name, array in _columns(chunk).items()])
        schema = pa.unify_schemas([schema, found], promote_options="permissive")
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for chunk in _row_chunks(rows):
            arrays = [pa.array([row.get(field.name) for row in chunk], field.type) for field in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _columns(chunk: list[dict[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for row in chunk for name in row)
    return {name: pa.array([row.get(name) for row in chunk]) for name in names}


def _row_chunks(path: Path) -> Iterator[list[dict[str, Any]]]:
    with path.open("rb") as lines:
        while chunk := [orjson.loads(line) for line in islice(lines, _CHUNK_ROWS)]:
            yield chunk
