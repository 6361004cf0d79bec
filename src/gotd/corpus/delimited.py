"""CSV and TSV with a header row.

The csv module runs in strict mode: a stray quote then fails at the next quote instead of silently
swallowing the rows between. The reader rejects the line where the quote stands and goes on with
the next, so one bad line costs one line.
"""

from __future__ import annotations

import csv
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
import orjson

from gotd.corpus.batches import Batch, Item
from gotd.corpus.documents import BLANK_LINE, Document, Unusable, nul_bytes, reject
from gotd.corpus.fields import Fields, document_maker
from gotd.corpus.files import File
from gotd.corpus.json_lines import broken, without_bom
from gotd.corpus.lines import blocks
from gotd.corpus.parquet import check_columns
from gotd.corpus.streams import BrokenStream
from gotd.errors import InputError

BATCH_ROWS = 1024
LONGEST_CELL = 1 << 30  # characters; the module's own limit of 131,072 is shorter than a book


@dataclass(frozen=True, slots=True)
class _Row:
    line: int  # 1-based, where it starts
    cells: list[str]
    fault: Unusable | None = None


class _Lines:
    """Lines for the csv module, which can be given back after a row that failed."""

    def __init__(self, file: File) -> None:
        self._source = (
            # A byte that is not UTF-8 becomes a surrogate here and costs its row later.
            (without_bom(line, block.start + i).decode("utf-8", "surrogateescape") + "\n")
            for block in blocks(file)
            for i, line in enumerate(block.lines())
        )
        self._returned: deque[str] = deque()
        self.row: list[str] = []  # of the row being read
        self.number = 0  # lines handed out so far

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else next(self._source)
        self.row.append(line)
        self.number += 1
        return line

    def give_back_all_but_first(self) -> None:
        self._returned.extendleft(reversed(self.row[1:]))
        self.number -= len(self.row) - 1
        del self.row[1:]


def delimited_batches(file: File, fields: Fields) -> Iterator[Batch | Item]:
    """All rows, in batches; position is the 0-based row after the header."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    rows = _rows(file, _Lines(file))
    try:
        header = next(rows, None)
    except _BrokenRow as fault:
        yield broken(file, fault.line - 1, fault.stream)
        return
    if header is None:
        return
    _check_header(file, fields, header)
    done = 0
    while True:
        batch, broken_row = _take(rows, BATCH_ROWS)
        if batch:
            yield _batch(file, fields, header.cells, batch, done)
            done += len(batch)
        if broken_row is not None:
            yield broken(file, broken_row.line - 1, broken_row.stream)
        if len(batch) < BATCH_ROWS:
            return


@lru_cache(maxsize=1)
def row_lines(file: File) -> Sequence[int]:
    """The 1-based line at which each row after the header begins; of a broken file, up to the break."""
    found = array("q")
    with suppress(_BrokenRow):
        for row in _rows(file, _Lines(file)):
            found.append(row.line)
    return found[1:]


class _BrokenRow(Exception):
    """The stream broke in the row that starts at this line."""

    def __init__(self, line: int, stream: BrokenStream) -> None:
        super().__init__(stream.detail)
        self.line = line
        self.stream = stream


def _rows(file: File, lines: _Lines) -> Iterator[_Row]:
    delimiter = _delimiter(file)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.row.clear()
        first = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except BrokenStream as fault:
            begun = "".join(lines.row).encode("utf-8", "surrogateescape")
            raise _BrokenRow(first, BrokenStream(fault.reason, fault.detail, begun + fault.fragment)) from None
        except csv.Error as error:
            lines.give_back_all_but_first()
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            line = [lines.row[0].rstrip("\r\n")]
            yield _Row(first, line, _fault(line, line) or _malformed(error))
        else:
            yield _Row(first, cells, _fault(cells, lines.row))


def _fault(cells: list[str], lines: list[str]) -> Unusable | None:
    """What is wrong with a row that the csv module took."""
    if not cells:
        return Unusable(BLANK_LINE, "found a blank line, wanted a row of cells. Remove the line.")
    try:
        "".join(cells).encode()
    except UnicodeEncodeError as error:
        byte = ord(error.object[error.start]) & 0xFF
        return Unusable(
            "bad-utf8",
            f"found byte 0x{byte:02x}, wanted UTF-8. Mend the row, or convert the file with iconv.",
        )
    return nul_bytes() if any("\0" in line for line in lines) else None


def _malformed(error: csv.Error) -> Unusable:
    return Unusable(
        "malformed-csv",
        f"found malformed quoting ({error}), wanted quotes in pairs. Double quotes inside a cell.",
    )


def _check_header(file: File, fields: Fields, header: _Row) -> None:
    if header.fault is not None:
        raise InputError(f"{file.path}:{header.line}: in the header {header.fault.detail}")
    twice = next((cell for cell in header.cells if header.cells.count(cell) > 1), None)
    if twice is not None:
        name = " ".join(twice.split())
        raise InputError(f'{file.path}:{header.line}: found column "{name}" twice, wanted one. Rename one.')
    check_columns(file, fields, header.cells)


def _take(rows: Iterator[_Row], count: int) -> tuple[list[_Row], _BrokenRow | None]:
    taken: list[_Row] = []
    try:
        for row in islice(rows, count):
            taken.append(row)
    except _BrokenRow as fault:
        return taken, fault
    return taken, None


def _batch(file: File, fields: Fields, header: list[str], rows: list[_Row], first: int) -> Batch:
    make = document_maker(fields, file.source)

    def document(row: _Row, position: int) -> Document:
        if row.fault is not None:
            raise row.fault
        if len(row.cells) != len(header):
            raise Unusable(
                "wrong-cell-count",
                f"found {len(row.cells)} cells, wanted {len(header)} as in the header. Quote cells that hold "
                f"{'a tab' if file.format == 'tsv' else 'a comma'}.",
            )
        record = dict(zip(header, row.cells))
        return make(record, orjson.dumps(record), position)

    def items(which: Iterable[int]) -> Iterator[Item]:
        for i in which:
            try:
                yield document(rows[i], first + i)
            except Unusable as fault:
                yield reject(file.path, rows[i].line, fault, _delimiter(file).join(rows[i].cells))

    return Batch(np.arange(first, first + len(rows)), items)


def _delimiter(file: File) -> str:
    return "\t" if file.format == "tsv" else ","
