"""Where the members of a compressed file begin, so that it can be read from its midst.

    zstd   frames that state the size of their content, as of the seekable format or joined by `cat`
    gzip   the blocks of BGZF (`bgzip`), each of which states its own size

Both are read off headers, without decompressing. Of other gzip files only decompressing would tell, and one member,
which is what `gzip` and `zstd` write by themselves, has no midst to begin at. A look at each header of a
remote file would fetch the whole; the table at the end of zstd's seekable format tells all at once.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from typing import BinaryIO

import zstandard

from gotd.corpus.remote import fingerprint, ranges, reaching, system_of
from gotd.errors import InputError

_ZSTD, _SKIPPABLE, _BLOCK_HEADER = b"\x28\xb5\x2f\xfd", range(0x184D2A50, 0x184D2A60), 3
_TABLE, _FOOTER = 0x184D2A5E, b"\xb1\xea\x92\x8f"  # zstd's contrib/seekable_format
_LONGEST_HEADER = 18  # bytes of a frame, by the format
_GZIP_WITH_EXTRA = b"\x1f\x8b\x08\x04"
Starts = list[tuple[int, int]]
"""Of each member, where it begins in the file and in the content; at the end, the sizes of both. In bytes."""


def members(path: str, compression: str) -> Starts:
    """The members of a file; empty where there is only one, or the headers, of a remote file the table, do not tell."""
    if "://" in path:
        return _tabled(path) if compression == "zst" else []
    found = os.stat(path)
    return _members(path, compression, found.st_size, found.st_mtime_ns)


def nearest(path: str, compression: str, start: int) -> tuple[int, int]:
    """The last member that begins at or before byte `start` of the content: where, in the file and in the content."""
    starts = members(path, compression) if start > 0 else []
    return starts[bisect_right(starts, start, key=lambda member: member[1]) - 1] if starts else (0, 0)


@lru_cache(maxsize=64)
def _members(path: str, compression: str, size: int, changed: int) -> Starts:
    step = _frame if compression == "zst" else _bgzf_block
    starts: Starts = [(0, 0)]
    with open(path, "rb") as file:
        while starts[-1][0] < size:
            found = step(file, starts[-1][0])
            if found is None:
                return []
            starts.append((starts[-1][0] + found[0], starts[-1][1] + found[1]))
    return starts if len(starts) > 2 and starts[-1][0] == size else []


def _tabled(url: str) -> Starts:
    system, path = system_of(url)
    with reaching(url):
        size = system.info(path).get("size")
    return _table(url, size, fingerprint(system, path)) if size else []


@lru_cache(maxsize=64)
def _table(url: str, size: int, changed: str) -> Starts:
    """The frames that the table at the end of a remote file lists, if it lists the whole file."""
    try:
        (footer,) = ranges(url, [max(0, size - 9)], 9)
        if footer[5:] != _FOOTER:
            return []
        count, width = int.from_bytes(footer[:4], "little"), 12 if footer[4] & 0x80 else 8
        length = 8 + count * width + 9
        (table,) = ranges(url, [max(0, size - length)], length)
    except InputError:
        return []  # a server that gives no parts of a file
    told = [int.from_bytes(table[at : at + 4], "little") for at in range(0, len(table) - 9, 4)]
    stored = list(accumulate(told[2 :: width // 4], initial=0))
    content = list(accumulate(told[3 :: width // 4], initial=0))
    if told[:2] != [_TABLE, length - 8] or len(stored) != count + 1 or stored[-1] + length != size:
        return []
    return [*zip(stored, content), (size, content[-1])] if count > 1 else []


def _frame(file: BinaryIO, at: int) -> tuple[int, int] | None:
    """The sizes of the frame that begins at byte `at`, stored and decompressed."""
    file.seek(at)
    header = file.read(_LONGEST_HEADER)
    if int.from_bytes(header[:4], "little") in _SKIPPABLE:
        return 8 + int.from_bytes(header[4:8], "little"), 0
    try:
        frame = zstandard.get_frame_parameters(header)
        size = zstandard.frame_header_size(header)
    except zstandard.ZstdError:
        return None
    if frame.content_size == zstandard.CONTENTSIZE_UNKNOWN:
        return None
    last = False
    while not last:
        file.seek(at + size)
        block = file.read(_BLOCK_HEADER)
        if len(block) < _BLOCK_HEADER:
            return None
        told = int.from_bytes(block, "little")
        last, repeats = bool(told & 1), (told >> 1) & 3 == 1
        size += _BLOCK_HEADER + (1 if repeats else told >> 3)
    return size + (4 if frame.has_checksum else 0), frame.content_size


def _bgzf_block(file: BinaryIO, at: int) -> tuple[int, int] | None:
    """The same of a BGZF block: a gzip member whose extra field BC holds its size less one."""
    file.seek(at)
    header = file.read(18)
    if header[:4] != _GZIP_WITH_EXTRA or header[12:16] != b"BC\x02\x00":
        return None
    size = int.from_bytes(header[16:18], "little") + 1
    file.seek(at + size - 4)
    return size, int.from_bytes(file.read(4), "little")
