"""Lines of a file in blocks, with their byte offsets.

Only b"\\n" ends a line: `str.splitlines` would also cut at U+2028 and others that JSON allows in
strings. Blocks of some megabytes are split in one call, since a call a line would cost more than
parsing it. Bytes are decoded line by line, so a bad one costs its own line only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gotd.corpus.files import File
from gotd.corpus.streams import BLOCK, BrokenStream, chunks

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive whole lines.

    Attributes:
        start: offset in bytes of the first line in the decompressed file.
        data: the lines with their newlines; the file's last may lack it.
    """

    start: int
    data: bytes

    def lines(self) -> list[bytes]:
        """The lines without newlines; the nothing after the last newline is no line."""
        lines = self.data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return lines


def positions(start: int, lines: list[bytes]) -> NDArray[np.int64]:
    """Offset of each line, (lines,), where the first stands at `start`."""
    ends = np.cumsum(np.fromiter((len(line) + 1 for line in lines), dtype=np.int64, count=len(lines)))
    return start + np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])


def blocks(file: File, start: int = 0, stop: int = -1) -> Iterator[Block]:
    """The lines whose first byte lies in [start, stop); stop -1 is the end of the file.

    Raises:
        BrokenStream: after the last whole line before the break.
    """
    # From one byte before: a line begins at `start` only if a newline stands there.
    origin = max(start - 1, 0)
    found = _whole_lines(chunks(file.path, file.compression, origin, stop), origin, stop)
    if start > 0:
        found = _without_first_line(found)
    for block in found:
        if stop < 0 or block.start + len(block.data) <= stop:
            yield block
            continue
        if block.start < stop:
            last = block.data.find(b"\n", stop - 1 - block.start)
            yield Block(block.start, block.data[: last + 1] if last >= 0 else block.data)
        return


def count_lines(file: File, stop: int) -> int:
    """How many lines of a file begin before the offset `stop`; of a damaged one, before the damage."""
    if stop <= 0:
        return 0
    # Each newline but one at stop - 1 begins a line there; the first line needs none.
    count, left = 1, stop - 1
    with suppress(BrokenStream):  # which the reader names
        for chunk in chunks(file.path, file.compression, 0, left):
            count += chunk[:left].count(b"\n")
            left -= len(chunk)
            if left <= 0:
                break
    return count


def _whole_lines(pieces: Iterator[bytes], offset: int, stop: int) -> Iterator[Block]:
    """Regroup pieces of any size into blocks that end at a newline, of BLOCK bytes or up to `stop`."""
    held: list[bytes] = []  # joined once a block is full, so a line of many pieces costs no square
    size = 0
    newline = False
    try:
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            newline = newline or b"\n" in piece
            if not newline or (size < BLOCK and not 0 <= stop <= offset + size):
                continue
            data = b"".join(held)
            cut = data.rfind(b"\n") + 1
            yield Block(offset, data[:cut])
            offset += cut
            held, size, newline = [data[cut:]], len(data) - cut, False
    except BrokenStream as fault:
        data = b"".join(held)
        cut = data.rfind(b"\n") + 1
        if cut:
            yield Block(offset, data[:cut])
        raise BrokenStream(fault.reason, fault.detail, data[cut:]) from None
    if size:
        yield Block(offset, b"".join(held))


def _without_first_line(found: Iterator[Block]) -> Iterator[Block]:
    """The blocks but for their first line, which belongs to the shard before."""
    for block in found:
        cut = block.data.find(b"\n") + 1
        if cut and cut < len(block.data):
            yield Block(block.start + cut, block.data[cut:])
        break
    yield from found
