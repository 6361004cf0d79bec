"""The unit of work: a stretch of one file that can be read alone.

JSONL and text split by bytes of their content (a line belongs to the shard in which its first byte
lies), where they are compressed between members whose headers tell their sizes; Parquet by row
groups. What can only be read from its start, other compressed streams, CSV with its quoted newlines,
and texts that are joined across rows, stays whole.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from gotd.corpus.fields import Fields
from gotd.corpus.files import File
from gotd.corpus.lines import count_lines
from gotd.corpus.members import members
from gotd.corpus.parquet import group_bytes, group_starts
from gotd.corpus.remote import gives_parts
from gotd.errors import SettingsError

SHARD_BYTES = 8 << 20
TAPER = 4  # toward the end a shard is one fourth of what is left of the pool, and at least one fourth of a full one


@dataclass(frozen=True, slots=True)
class Shard:
    """A stretch [start, stop) of a file: bytes of its content, or row groups of Parquet; (0, -1) is the whole.

    Attributes:
        index: running number over all files of the plan.
    """

    file: File
    index: int
    start: int
    stop: int

    def __str__(self) -> str:
        unit = "row groups" if self.file.format == "parquet" else "bytes"
        return self.file.path if self.stop < 0 else f"{self.file.path}, {unit} {self.start:,} to {self.stop:,}"


def plan(files: Sequence[File], fields: Fields, shard_bytes: int = SHARD_BYTES) -> list[Shard]:
    """Cut files into shards of about `shard_bytes` bytes, in order; an empty file has one too.

    The end of a pool of more than TAPER * `shard_bytes` is cut ever smaller: the small ones are done last, and so all
    workers end at about the same time.
    """
    if not shard_bytes >= 1:
        raise SettingsError(f"shard_bytes is {shard_bytes}; wanted 1 or more bytes.")
    places = [_places(file, fields) for file in files]
    left = sum(some[-1] for some in places)
    least = shard_bytes // TAPER if left > TAPER * shard_bytes else shard_bytes
    stretches: list[tuple[File, int, int]] = []
    for file, some in zip(files, places):
        at = 0
        while at < len(some) - 1:
            size = max(least, min(shard_bytes, left // TAPER))
            stop = max(at + 1, bisect_right(some, some[at] + size) - 1)
            stretches.append((file, at, stop) if file.format == "parquet" else (file, some[at], some[stop]))
            left -= some[stop] - some[at]
            at = stop
        if len(some) == 1:
            stretches.append((file, 0, -1))
    return [Shard(file, index, start, stop) for index, (file, start, stop) in enumerate(stretches)]


def _places(file: File, fields: Fields) -> Sequence[int]:
    """Where a file may be cut, and its ends, in bytes of its content; only 0 where it stays whole."""
    if fields.chunk_chars is not None:
        return [0]
    if file.format == "parquet":
        return list(accumulate(group_bytes(file), initial=0))
    if splits_by_bytes(file, fields):
        return range((file.bytes or 0) + 1)
    if file.compression is not None and by_line(file, fields):
        return array("q", [start for _, start in members(file.path, file.compression)] or [0])
    return [0]


def rows_of(shard: Shard) -> int | None:
    """How many rows begin in a shard, without parsing them; None where it is a whole file."""
    return None if shard.stop < 0 else rows_before(replace(shard, start=shard.stop)) - rows_before(shard)


def rows_before(shard: Shard) -> int:
    """How many rows of its file begin before a shard."""
    if shard.start and shard.file.format == "parquet":
        return group_starts(shard.file)[shard.start]
    return count_lines(shard.file, shard.start)


def splits_by_bytes(file: File, fields: Fields) -> bool:
    """Whether any line of the file can be found without those before it: not where a server gives no parts."""
    plain = by_line(file, fields) and file.compression is None
    return plain and file.bytes is not None and gives_parts(file.path)


def by_line(file: File, fields: Fields) -> bool:
    """Whether each row is a line of its own."""
    return file.format == "jsonl" or (file.format == "txt" and fields.text_per == "line")
