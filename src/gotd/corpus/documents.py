"""What the corpus layer hands on: a `Document`, or a `Reject` that says why there is none.

Every row of every file becomes exactly one of the two, so that read = documents + rejects holds
by construction and a user can find each lost row again by file and line.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

EXCERPT_CHARS = 200
BLANK_LINE = "blank-line"


@dataclass(frozen=True, slots=True)
class Document:
    """One text with the record that it came from.

    Attributes:
        id: the record's own id, or one made from source, position and content.
        text: what is embedded and scored.
        source: the domain that the document is counted under.
        position: byte offset of the line in the decompressed file (JSONL, text), or 0-based row
            (CSV, Parquet). With `piece` it is the address that `fetch` takes.
        piece: number of the piece within its position; 0 unless texts are cut to a length.
        record: the record as JSON; for JSONL the line's own bytes.
        vector: (d,) float32, where the record carries its embedding.
    """

    id: str
    text: str
    source: str
    position: int
    piece: int
    record: bytes
    vector: NDArray[np.float32] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that gave no document.

    Attributes:
        file: path or URL.
        row: 1-based line (JSONL, text, CSV) or row (Parquet).
        reason: short code to count by, such as `malformed-json`.
        message: one line, `file:row: found, wanted, remedy`.
        excerpt: the first 200 characters of what was there.
    """

    file: str
    row: int
    reason: str
    message: str
    excerpt: str

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong with the data: a blank line is named and counted, and stops nothing."""
        return self.reason != BLANK_LINE


class Unusable(Exception):
    """Raised by a parser for one row; the reader adds file and row and makes the `Reject`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def nul_bytes() -> Unusable:
    """NUL bytes in text are the mark of UTF-16, or of a hole that a crash left in the file."""
    return Unusable("nul-bytes", "found NUL bytes, wanted UTF-8. Write the file again; run iconv on UTF-16.")


def reject(path: str, row: int, fault: Unusable, found: bytes | str) -> Reject:
    """Place a fault: the row it was found in, and what stood there."""
    message = " ".join(f"{path}:{row}: {fault.detail}".split())
    return Reject(path, row, fault.reason, message, excerpt(found))


def moved(found: Reject, rows: int) -> Reject:
    """The same, so many rows further down."""
    then, now = (" ".join(f"{found.file}:{row}:".split()) for row in (found.row, found.row + rows))
    return replace(found, row=found.row + rows, message=now + found.message.removeprefix(then))


def excerpt(found: bytes | str) -> str:
    """The first characters of anything, as text that can be printed and written as JSON."""
    if isinstance(found, str):
        found = found[:EXCERPT_CHARS].encode("utf-8", "replace")
    return found[: 4 * EXCERPT_CHARS].decode("utf-8", "replace")[:EXCERPT_CHARS]
