"""A uniform sample of all rows in one pass, without parsing what is not drawn.

    Give each row the hash h = mix(mix(position ^ key) + piece), where the key is made from the
    file's digest and the seed, and keep the rows with the `size` smallest hashes.

This bottom-k sample is uniform without replacement and depends on the data and the seed alone:
not on the order of the files, nor on how they are cut, as a reservoir's would. A row whose hash
is above the size-th smallest so far is out for good, so its line is never parsed: of n rows only
about size * (1 + ln(n / size)) are. Rejects do not enter; the next hash takes their place.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from gotd.corpus.batches import Batch, Item
from gotd.corpus.documents import Document, Reject
from gotd.corpus.fields import Fields
from gotd.corpus.files import File
from gotd.corpus.readers import OnError, batches, check_on_error, read, stop_at
from gotd.corpus.shards import Shard
from gotd.corpus.streams import BROKEN
from gotd.errors import SettingsError

_BATCH = 1024
_U64 = np.uint64


@dataclass(frozen=True, slots=True)
class Sampled:
    """A sample and what was passed on the way.

    Attributes:
        documents: the drawn documents, sorted by file and position.
        files: the file of each document.
        rows: rows of all files, drawn or not, good or not (pieces and rejects, where texts are cut).
        rejects: the bad rows whose hash would have entered the sample, and broken files.
    """

    documents: list[Document]
    files: list[File]
    rows: int
    rejects: list[Reject]


def sample(files: Sequence[File], fields: Fields, size: int | None, seed: int, on_error: OnError = "skip") -> Sampled:
    """Draw `size` documents from all rows of all files; None takes every one.

    Args:
        on_error: `fail` raises InputError at the first bad row that is drawn.
    """
    check_on_error(on_error)
    if size is not None and not size >= 1:
        raise SettingsError(f"sample size is {size}; wanted 1 or more documents.")
    draw = _Draw(size)
    for file, key in _keys(files, seed):
        for hashes, batch in _hashed(file, fields, key):
            draw.rows += len(hashes)
            for h, item in _contenders(draw, hashes, batch):
                if isinstance(item, Reject):
                    stop_at(item, on_error)
                draw.offer(h, item, file)
    return draw.result()


def sample_sources(
    files: Sequence[File],
    fields: Fields,
    size: int,
    seed: int,
    on_error: OnError = "skip",
    begun: Callable[[File], None] = lambda file: None,
) -> dict[str, list[Document]]:
    """Of each source as many documents, drawn and sorted alike; no more are held. Bad rows are passed over.

    Args:
        begun: called with each file before it is read.
    """
    draws: dict[str, _Draw] = {}
    for file, key in _keys(files, seed):
        begun(file)
        for hashes, batch in _hashed(file, fields, key):
            if fields.source is None:
                contenders = _contenders(draws.setdefault(file.source, _Draw(size)), hashes, batch)
            else:  # only the records tell
                contenders = zip(hashes.tolist(), batch.items(range(len(hashes))))
            for h, item in contenders:
                if isinstance(item, Reject):
                    stop_at(item, on_error)
                else:
                    draws.setdefault(item.source, _Draw(size)).offer(h, item, file)
    return {source: found for source, draw in draws.items() if (found := draw.result().documents)}


def share_of_rows(
    files: Sequence[File], fields: Fields, share: float, seed: int, on_error: OnError = "skip"
) -> Iterator[Document]:
    """Each document with probability `share`, one by one: the rows of `sample` are the first to be among them.

    Bad rows are passed over: whoever scores the files names them.
    """
    bar = int(min(1.0, share) * (1 << 64))
    for file, key in _keys(files, seed):
        for hashes, batch in _hashed(file, fields, key):
            which = np.arange(len(hashes)) if bar == 1 << 64 else np.flatnonzero(hashes < _U64(bar))
            for item in batch.items(which.tolist()):
                if isinstance(item, Document):
                    yield item
                else:
                    stop_at(item, on_error)


@dataclass(slots=True)
class _Draw:
    """The rows with the smallest hashes so far."""

    size: int | None
    rows: int = 0
    heap: list[tuple[int, int, Document, File]] = field(default_factory=list)  # by -hash, then arrival
    rejects: list[tuple[int, Reject]] = field(default_factory=list)
    arrivals: int = 0

    @property
    def bar(self) -> int:
        """The hash from which on a row is out."""
        full = self.size is not None and len(self.heap) == self.size
        return -self.heap[0][0] if full else 1 << 64

    def offer(self, h: int, item: Item, file: File) -> None:
        if isinstance(item, Reject):
            self.rejects.append((h, item))
            return
        self.arrivals += 1  # no two entries tie, so documents are never compared
        entry = (-h, self.arrivals, item, file)
        if self.size is None or len(self.heap) < self.size:
            heapq.heappush(self.heap, entry)
        else:
            heapq.heappushpop(self.heap, entry)

    def result(self) -> Sampled:
        drawn = sorted(self.heap, key=lambda entry: (entry[3].path, entry[2].position, entry[2].piece))
        bar = self.bar  # early rejects above it were met only because of the order of the files
        rejects = sorted((item for h, item in self.rejects if h < bar), key=lambda item: (item.file, item.row))
        return Sampled([entry[2] for entry in drawn], [entry[3] for entry in drawn], self.rows, rejects)


def _keys(files: Sequence[File], seed: int) -> Iterator[tuple[File, int]]:
    """A 64-bit key for each file, from content and seed; copies of a file get their own."""
    seen: Counter[str] = Counter()
    for file in sorted(files, key=lambda file: file.path):
        name = file.digest or file.path
        text = f"{seed}:{name}:{seen[name]}"
        seen[name] += 1
        yield file, int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _hashed(file: File, fields: Fields, key: int) -> Iterator[tuple[NDArray[_U64], Batch]]:
    """The rows of a file with their hashes, in batches."""
    shard = Shard(file, 0, 0, -1)
    if fields.chunk_chars is not None:
        items = read(shard, fields)
        while taken := list(islice(items, _BATCH)):
            yield _hash_items(taken, key), _parsed(taken)
        return
    for batch in batches(shard, fields):
        if isinstance(batch, Batch):
            none = np.zeros(len(batch.positions), dtype=np.int64)
            yield _hashes(batch.positions, none, key), batch
        else:
            # The rest of a broken file is no row that could be drawn or not: always reported.
            yield np.zeros(1, dtype=_U64), _parsed([batch])


def _contenders(draw: _Draw, hashes: NDArray[_U64], batch: Batch) -> Iterator[tuple[int, Item]]:
    """Parse the rows of a batch that can still enter, in order."""
    bar = draw.bar
    which = np.arange(len(hashes)) if bar == 1 << 64 else np.flatnonzero(hashes < _U64(bar))
    numbers = which.tolist()
    values = hashes[which].tolist()
    yield from zip(values, batch.items(numbers))


def _hash_items(items: Sequence[Item], key: int) -> NDArray[_U64]:
    positions = [item.position if isinstance(item, Document) else item.row for item in items]
    pieces = [item.piece if isinstance(item, Document) else -1 for item in items]
    hashes = _hashes(np.array(positions, dtype=np.int64), np.array(pieces, dtype=np.int64), key)
    hashes[[isinstance(item, Reject) and item.reason in BROKEN for item in items]] = 0  # always reported
    return hashes


def _parsed(items: Sequence[Item]) -> Batch:
    def chosen(which: Iterable[int]) -> Iterator[Item]:
        return (items[i] for i in which)

    return Batch(np.zeros(len(items), dtype=np.int64), chosen)


def _hashes(positions: NDArray[np.int64], pieces: NDArray[np.int64], key: int) -> NDArray[_U64]:
    return _mix(_mix(positions.astype(_U64) ^ _U64(key)) + pieces.astype(_U64))


def _mix(x: NDArray[_U64]) -> NDArray[_U64]:
    """splitmix64 (Steele, Lea, Flood 2014): every output bit depends on every input bit."""
    x = x + _U64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> _U64(27))) * _U64(0x94D049BB133111EB)
    mixed: NDArray[_U64] = x ^ (x >> _U64(31))
    return mixed
