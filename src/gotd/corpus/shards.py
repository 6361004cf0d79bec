"""The unit of work: a stretch of one file that can be read alone.

JSONL and text split by bytes of their content (a line belongs to the shard in which its first byte
lies), where they are compressed between members whose headers tell their sizes; Parquet by row
groups. What can only be read from its start, other compressed streams, CSV with its quoted newlines,
and texts that are joined across rows, stays whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gotd.corpus.fields import Fields
from gotd.corpus.files import File
from gotd.corpus.lines import count_lines
from gotd.corpus.members import Starts, members
from gotd.corpus.parquet import group_bytes, group_starts
from gotd.errors import SettingsError

SHARD_BYTES = 8 << 20


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
    """Cut files into shards of about `shard_bytes` bytes, in order; an empty file has one too."""
    if not shard_bytes >= 1:
        raise SettingsError(f"shard_bytes is {shard_bytes}; wanted 1 or more bytes.")
    stretches = [(file, *stretch) for file in files for stretch in _stretches(file, fields, shard_bytes)]
    return [Shard(file, index, start, stop) for index, (file, start, stop) in enumerate(stretches)]


def _stretches(file: File, fields: Fields, shard_bytes: int) -> Iterator[tuple[int, int]]:
    if fields.chunk_chars is not None:
        yield 0, -1
    elif file.format == "parquet":
        yield from _row_groups(group_bytes(file), shard_bytes)
    elif splits_by_bytes(file, fields) and file.bytes:
        for start in range(0, file.bytes, shard_bytes):
            yield start, min(start + shard_bytes, file.bytes)
    elif file.compression is not None and by_line(file, fields):
        yield from _between(members(file.path, file.compression), shard_bytes)
    else:
        yield 0, -1


def rows_of(shard: Shard) -> int | None:
    """How many rows begin in a shard, without parsing them; None where it is a whole file."""
    if shard.stop < 0:
        return None
    if shard.file.format == "parquet":
        starts = group_starts(shard.file)
        return starts[shard.stop] - starts[shard.start]
    return count_lines(shard.file, shard.stop) - count_lines(shard.file, shard.start)


def splits_by_bytes(file: File, fields: Fields) -> bool:
    """Whether any line of the file can be found without reading those before it."""
    return by_line(file, fields) and file.compression is None


def by_line(file: File, fields: Fields) -> bool:
    """Whether each row is a line of its own."""
    return file.format == "jsonl" or (file.format == "txt" and fields.text_per == "line")


def _between(starts: Starts, shard_bytes: int) -> Iterator[tuple[int, int]]:
    """Members in groups of about `shard_bytes` of content; the last shard goes on to the end of the file."""
    cuts = [0]
    for _, start in starts[1:-1]:
        if start >= cuts[-1] + shard_bytes:
            cuts.append(start)
    if cuts == [0]:
        yield 0, -1
    else:
        yield from zip(cuts, [*cuts[1:], starts[-1][1]])


def _row_groups(sizes: Sequence[int], shard_bytes: int) -> Iterator[tuple[int, int]]:
    if not sizes:
        yield 0, -1
        return
    start = total = 0
    for group, size in enumerate(sizes):
        if group > start and total + size > shard_bytes:
            yield start, group
            start, total = group, 0
        total += size
    yield start, len(sizes)
