"""The lowest scores of any number, in memory that grows with the choice alone.

Rows stream by in batches. Those that can still be among the best are kept, and thrown out again as better ones
come: at most twice the choice is held. Ties go to the row that came first, so the choice is the same however the
rows are batched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gotd.errors import SettingsError
from gotd.selection.budget import Budget

_COLUMNS = ("id", "score", "tokens", "file", "position", "piece", "checksum")
_RANDOM_AT_MOST = 5_000
_SLACK = 1 << 16


@dataclass(frozen=True, slots=True)
class Picked:
    """Rows of scores.parquet (k of them)."""

    id: list[str]
    score: NDArray[np.float32]
    tokens: NDArray[np.int32]
    file: NDArray[np.int32]
    position: NDArray[np.int64]
    piece: NDArray[np.int32]
    checksum: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.id)

    @classmethod
    def joined(cls, parts: Sequence[Picked]) -> Picked:
        """All rows of several, one after the other."""
        columns = ([getattr(part, name) for part in parts] for name in _COLUMNS[1:])
        return cls([id for part in parts for id in part.id], *(np.concatenate(column) for column in columns))

    def take(self, rows: Sequence[int]) -> Picked:
        """Some of the rows, in the order given."""
        at = np.array(rows, dtype=np.int64)
        return Picked(
            [self.id[row] for row in rows],
            self.score[at],
            self.tokens[at],
            self.file[at],
            self.position[at],
            self.piece[at],
            self.checksum[at],
        )


@dataclass(frozen=True, slots=True)
class Ranking:
    """What one pass over the scores gives.

    Attributes:
        best: the choice, lowest score first; with a stretch, and what comes next.
        size: how many of the best the budget holds.
        worst: the highest scores, highest first.
        random: as many rows as the budget holds, 5000 at most, drawn uniformly, in the order of the pool.
        mean: mean score of the pool.
        pool: rows of the pool.
    """

    best: Picked
    worst: Picked
    random: Picked
    mean: float
    pool: int
    size: int


class _Lowest:
    """The rows with the lowest keys so far: `count` of them, or as many as `tokens` tokens hold."""

    def __init__(self, count: int | None, tokens: float) -> None:
        self._count, self._tokens = count, tokens
        self._parts: list[tuple[NDArray[np.float64], pa.Table]] = []
        self._kept = 0  # rows after the last cut
        self._held = 0
        self._limit = np.inf  # no row at or above this key can be among the lowest any more

    def add(self, keys: NDArray[np.float64], rows: pa.Table) -> None:
        near = keys < self._limit
        self._parts.append((keys[near], rows.filter(pa.array(near))))
        self._held += int(near.sum())
        if self._held > 2 * self._kept + _SLACK:
            self._cut()

    def _cut(self) -> pa.Table:
        keys = np.concatenate([keys for keys, _ in self._parts])
        rows = pa.concat_tables([rows for _, rows in self._parts])
        order = np.argsort(keys, kind="stable")
        end = self._count
        if end is None:
            filled = np.cumsum(rows["tokens"].to_numpy()[order], dtype=np.int64)
            end = int(np.searchsorted(filled, self._tokens, side="right"))
        if end < len(order):
            self._limit = float(keys[order[end]])
        order = order[:end]
        kept = rows.take(pa.array(order)).combine_chunks()
        self._parts = [(keys[order], kept)]
        self._kept = self._held = len(order)
        return kept

    def taken(self) -> Picked:
        return _picked(self._cut())

    def taken_keys(self) -> NDArray[np.float64]:
        """The keys of what is taken, in its order."""
        self._cut()
        return self._parts[0][0]


def rank(
    batches: Callable[[list[str]], Iterator[pa.RecordBatch]],
    budget: Budget,
    pool: int,
    *,
    seed: int,
    worst: int,
    stretch: float = 1.0,
    estimated: bool = True,
) -> Ranking:
    """Stream the scores twice, once for the best and worst and once for a random choice as large.

    Args:
        batches: gives the rows of scores.parquet, these columns, from the start at each call.
        budget: how much to choose; a token budget takes documents in order of score until the next would not fit.
        pool: how many rows there are.
        seed: of the random choice.
        worst: how many of the worst to return.
        stretch: how many budgets the best are to fill, so that some can be passed over.
        estimated: whether tokens are, to say so.

    Raises:
        SettingsError: the budget is above the pool, or below the first document.
    """
    count = budget.documents(pool)
    if count is not None and count > pool:
        raise SettingsError(
            f"the budget is {count} documents and the pool holds {pool} that can be scored; "
            "lower --budget or add candidates"
        )
    lowest = _Lowest(None if count is None else min(pool, math.ceil(count * stretch)), budget.amount * stretch)
    highest = _Lowest(min(worst, pool), 0)
    total, tokens = 0.0, 0
    for batch in batches(list(_COLUMNS)):
        rows = pa.Table.from_batches([batch])
        keys = rows["score"].to_numpy().astype(np.float64)
        total += float(keys.sum())
        tokens += int(rows["tokens"].to_numpy().sum(dtype=np.int64))
        lowest.add(keys, rows)
        highest.add(-keys, rows)
    best = lowest.taken()
    if count is None and tokens < budget.amount:
        raise SettingsError(
            f"the budget is {budget} and the pool holds {tokens}{' (estimated)' if estimated else ''}; "
            "lower --budget or add candidates"
        )
    size = count if count is not None else int((np.cumsum(best.tokens, dtype=np.int64) <= budget.amount).sum())
    if not size:
        raise SettingsError(f"the budget is {budget}, less than the best document; raise --budget")
    random = _random(batches, min(size, _RANDOM_AT_MOST), pool, seed)
    return Ranking(best, highest.taken(), random, total / pool, pool, size)


def lowest_by(
    batches: Callable[[list[str]], Iterator[pa.RecordBatch]], column: str, budget: Budget, pool: int, stretch: float
) -> tuple[Picked, NDArray[np.float64]]:
    """What is lowest in one column, best first, and the column there; as much as `stretch` budgets hold.

    Args:
        batches: gives the rows of scores.parquet, these columns.
        budget: in documents or tokens.
        pool: how many rows there are.
    """
    count = budget.documents(pool)
    lowest = _Lowest(None if count is None else min(pool, math.ceil(count * stretch)), budget.amount * stretch)
    for batch in batches([*_COLUMNS, column]):
        rows = pa.Table.from_batches([batch])
        lowest.add(rows[column].to_numpy().astype(np.float64), rows.select(_COLUMNS))
    return lowest.taken(), lowest.taken_keys()


def _random(batches: Callable[[list[str]], Iterator[pa.RecordBatch]], count: int, pool: int, seed: int) -> Picked:
    drawn = np.sort(np.random.default_rng(seed).choice(pool, count, replace=False))
    start, parts = 0, []
    for batch in batches(list(_COLUMNS)):
        inside = drawn[(drawn >= start) & (drawn < start + len(batch))] - start
        parts.append(pa.Table.from_batches([batch]).take(pa.array(inside)))
        start += len(batch)
    return _picked(pa.concat_tables(parts))


def _picked(rows: pa.Table) -> Picked:
    return Picked(
        rows["id"].to_pylist(),
        rows["score"].to_numpy().astype(np.float32),
        rows["tokens"].to_numpy().astype(np.int32),
        rows["file"].to_numpy().astype(np.int32),
        rows["position"].to_numpy().astype(np.int64),
        rows["piece"].to_numpy().astype(np.int32),
        rows["checksum"].to_numpy().astype(np.uint32),
    )
