"""Where rows of an export go: JSONL, or one Parquet file with a schema of its own; whole on close, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from gotd.corpus.temporary import Replacement
from gotd.export.trainer import Shape

Row = dict[str, Any]
_ROWS = 1024
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_ABOUT = [("id", pa.string()), ("source", pa.string()), ("license", pa.string())]
_PLACE = [("score", pa.float32()), ("rank", pa.int32())]


class Sink(Protocol):
    def write(self, row: Row) -> None: ...


@contextmanager
def open_sink(path: Path, shape: Shape) -> Iterator[Sink]:
    """Rows to `path`, by its suffix."""
    with Replacement(path) as out:
        sink = _Parquet(out, shape) if path.suffix == ".parquet" else _Lines(out)
        yield sink
        sink.close()


class _Lines:
    def __init__(self, out: Replacement) -> None:
        self._file = out.file

    def write(self, row: Row) -> None:
        # Without keys that are null: where no licence is stated, a trainer sees no such column.
        kept = {name: value for name, value in row.items() if value is not None}
        self._file.write(orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None: ...


class _Parquet:
    def __init__(self, out: Replacement, shape: Shape) -> None:
        body = [("messages", _MESSAGES)] if shape == "chat" else [("text", pa.string())]
        self._schema = pa.schema([*body, *_ABOUT, *_PLACE])
        self._writer = pq.ParquetWriter(out.file, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def write(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) == _ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []
