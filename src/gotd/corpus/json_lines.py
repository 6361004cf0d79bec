"""JSONL and plain text: one line, one record.

Parsing is orjson's; only a line that it refuses is looked at again, to say what is wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

import orjson

from gotd.corpus.batches import Batch, Item
from gotd.corpus.documents import BLANK_LINE, Document, Unusable, nul_bytes, reject
from gotd.corpus.fields import Fields, document_maker, vector_of
from gotd.corpus.files import File
from gotd.corpus.lines import BOM, Block, blocks, count_lines, positions
from gotd.corpus.streams import BrokenStream

_JSON_SPACE = b" \t\r\n"
LineParser = Callable[[bytes, int], Document]


def line_batches(file: File, fields: Fields, start: int, stop: int, numbered: bool) -> Iterator[Batch | Item]:
    """The lines of a byte range, in batches; at a broken stream one last reject."""
    parse = line_parser(file, fields)
    before = _LinesBefore(file, start if numbered else 0)
    try:
        for block in blocks(file, start, stop):
            lines = block.lines()
            yield _batch(file, block, lines, parse, before)
            before = before.with_more(len(lines))
    except BrokenStream as fault:
        yield broken(file, before(), fault)


def line_parser(file: File, fields: Fields) -> LineParser:
    """The function (line, offset) -> Document for this file; it raises `Unusable`."""
    make = document_maker(fields, file.source, plain=file.format == "txt")
    if file.format == "txt":

        def parse_text(line: bytes, position: int) -> Document:
            text = decode(without_bom(line, position).rstrip(b"\r"))
            return make({"text": text}, orjson.dumps({"text": text}), position)

        return parse_text

    def parse_json(line: bytes, position: int) -> Document:
        record = line.strip(_JSON_SPACE)
        if position == 0:
            record = without_bom(record, 0).strip(_JSON_SPACE)
        try:
            row = orjson.loads(record)
        except orjson.JSONDecodeError as error:
            raise _why_refused(record, error, fields) from None
        if type(row) is not dict:
            raise Unusable(
                "not-an-object",
                f'found JSON of type {type(row).__name__}, wanted an object such as {{"text": "..."}}. '
                "Write one object a line.",
            )
        return make(row, record, position)

    return parse_json


def without_bom(line: bytes, position: int) -> bytes:
    """A file's first line without the mark that some editors put before it."""
    return line.removeprefix(BOM) if position == 0 else line


def decode(line: bytes) -> str:
    """Plain text of a line."""
    if b"\0" in line:
        raise nul_bytes()
    if not line.strip():
        raise Unusable(BLANK_LINE, "found a blank line, wanted a text. Remove the line.")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise bad_utf8(line, error) from None


def bad_utf8(line: bytes, error: UnicodeDecodeError) -> Unusable:
    """Name the byte that is not UTF-8 and its place in the line."""
    return Unusable(
        "bad-utf8",
        f"found byte 0x{line[error.start]:02x} at byte {error.start + 1} of the line, wanted UTF-8. "
        "Mend the line, or convert the file with iconv.",
    )


def broken(file: File, rows: int, fault: BrokenStream) -> Item:
    """The reject for everything after the break of a compressed stream."""
    detail = f"{fault.detail}, wanted a whole file. Fetch it again; rows before this one are kept."
    return reject(file.path, rows + 1, Unusable(fault.reason, detail), fault.fragment)


class _LinesBefore:
    """How many lines of the file stand before a batch, counted only when a reject asks."""

    def __init__(self, file: File, start: int, more: int = 0, counted: list[int] | None = None) -> None:
        self._file = file
        self._start = start
        self._more = more
        self._counted: list[int] = [] if counted is None else counted

    def with_more(self, lines: int) -> _LinesBefore:
        return _LinesBefore(self._file, self._start, self._more + lines, self._counted)

    def __call__(self) -> int:
        if not self._counted:
            self._counted.append(count_lines(self._file, self._start))
        return self._counted[0] + self._more


def _batch(file: File, block: Block, lines: list[bytes], parse: LineParser, before: _LinesBefore) -> Batch:
    where = positions(block.start, lines)

    def items(which: Iterable[int]) -> Iterator[Item]:
        offsets = where.tolist()
        for i in which:
            try:
                yield parse(lines[i], offsets[i])
            except Unusable as fault:
                yield reject(file.path, before() + i + 1, fault, lines[i])

    return Batch(where, items)


def _why_refused(record: bytes, error: orjson.JSONDecodeError, fields: Fields) -> Unusable:
    """Tell the faults apart that all look like bad JSON to the parser."""
    if not record:
        return Unusable(BLANK_LINE, "found a blank line, wanted a JSON object. Remove the line.")
    if b"\0" in record:
        return nul_bytes()
    try:
        text = record.decode()
    except UnicodeDecodeError as bad:
        return bad_utf8(record, bad)
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return Unusable(
            "malformed-json",
            f"found malformed JSON ({error.msg} at character {error.pos + 1}), wanted one object a line. "
            "Mend or remove the line.",
        )
    return _why_python_takes_it(row, fields)


def _why_python_takes_it(row: object, fields: Fields) -> Unusable:
    """Python's parser allows NaN, and halves of surrogate pairs, which no UTF-8 file can hold."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return Unusable(
            "lone-surrogate",
            f"found half of a surrogate pair (\\u{ord(error.object[error.start]):04x}), wanted whole "
            "characters. Write the line again with both halves, or remove the character.",
        )
    if isinstance(row, dict) and fields.embedding is not None:
        try:
            vector_of(row, fields.embedding, fields.vector_length)
        except Unusable as fault:
            return fault
    return Unusable(
        "malformed-json",
        "found NaN or Infinity, which JSON does not have, wanted numbers. Write null instead.",
    )
