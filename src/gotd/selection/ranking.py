"""The lowest scores of any number, in memory that grows with the choice alone.

One pass reads scores and tokens, and ends in the numbers of the rows that are wanted (see `lowest.py`); another reads
whole rows and takes those. Ties go to the row that came first, so the choice is the same however rows are batched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gotd.errors import SettingsError
from gotd.selection.budget import Budget
from gotd.selection.caps import Cap
from gotd.selection.lowest import Lowest

PICKED = ("id", "score", "tokens", "file", "position", "piece", "checksum")
_RANDOM_AT_MOST = 5_000
Batches = Callable[[list[str]], Iterator[pa.RecordBatch]]


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
    def of(cls, rows: pa.Table) -> Picked:
        """Rows of a table that has these columns."""
        return cls(rows["id"].to_pylist(), *(rows[name].to_numpy() for name in PICKED[1:]))

    @classmethod
    def joined(cls, parts: Sequence[Picked]) -> Picked:
        """All rows of several, one after the other."""
        columns = ([getattr(part, name) for part in parts] for name in PICKED[1:])
        return cls([id for part in parts for id in part.id], *(np.concatenate(column) for column in columns))

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Picked:
        """Some of the rows, in the order given."""
        at = np.asarray(rows, dtype=np.int64)
        return Picked([self.id[row] for row in at.tolist()], *(getattr(self, name)[at] for name in PICKED[1:]))


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the scores give.

    Attributes:
        best: the choice, lowest score first; with a stretch, and what comes next.
        size: how many of the best the budget holds.
        worst: the highest scores, highest first.
        random: as many rows as the budget holds, 5000 at most, drawn uniformly, in the order of the pool.
        mean: mean score of the pool.
        pool: rows of the pool.
        ended: whether the pool has rows that come after all of the best.
        beyond: sources with rows that the cap left out of the best.
    """

    best: Picked
    worst: Picked
    random: Picked
    mean: float
    pool: int
    size: int
    ended: bool = True
    beyond: tuple[str, ...] = ()


def rank(
    batches: Batches,
    budget: Budget,
    pool: int,
    *,
    seed: int,
    worst: int,
    stretch: float = 1.0,
    estimated: bool = True,
    more: str = "add candidates",
    cap: Cap | None = None,
) -> Ranking:
    """The best and the worst of the pool, and a random choice as large as the budget.

    Args:
        batches: gives the rows of scores.parquet, these columns, from the start at each call.
        budget: how much to choose; a token budget takes documents in order of score until the next would not fit.
        pool: how many rows there are.
        seed: of the random choice.
        worst: how many of the worst to return.
        stretch: how many budgets the best are to fill, so that some can be passed over.
        estimated: whether tokens are, to say so.
        more: what makes the pool larger, to say so.
        cap: leave out of the best what is beyond the cap of its source, times the stretch.

    Raises:
        SettingsError: the budget is above the pool, or below the first document.
    """
    count = budget.documents(pool)
    if count is not None and count > pool:
        raise SettingsError(
            f"the budget is {count} documents and the pool holds {pool} that can be scored; lower --budget or {more}"
        )
    lowest = _lowest(budget, pool, stretch if cap is None else 1.0)
    highest = Lowest(min(worst, pool))
    total, tokens, first = 0.0, 0, 0
    for batch in batches(["score", "tokens"]):
        keys, weights = _numbers(batch, "score"), _numbers(batch, "tokens")
        total += float(keys.astype(np.float64).sum())
        tokens += int(weights.sum(dtype=np.int64))
        lowest.add(keys, first, weights)
        highest.add(-keys, first, weights)
        first += len(batch)
    if count is None and tokens < budget.amount:
        raise SettingsError(
            f"the budget is {budget} and the pool holds {tokens}{' (estimated)' if estimated else ''}; "
            f"lower --budget or {more}"
        )
    filled = np.cumsum(lowest.tokens(), dtype=np.int64)
    size = count if count is not None else int((filled <= budget.amount).sum())
    if not size:
        raise SettingsError(f"the budget is {budget}, less than the best document; raise --budget")
    names: list[str] = []
    if cap is not None:
        most = max(1, math.ceil(cap.limit(size) * stretch))
        lowest, names = _capped(batches, _lowest(budget, pool, stretch, most))
    drawn = np.sort(np.random.default_rng(seed).choice(pool, min(size, _RANDOM_AT_MOST), replace=False))
    best, last, random = _gathered(batches, [lowest.rows(), highest.rows(), drawn])
    beyond = tuple(names[code] for code in lowest.beyond())
    return Ranking(best, last, random, total / pool, pool, size, lowest.ended, beyond)


def lowest_by(
    batches: Batches, wanted: Mapping[str, Budget], pool: int, stretch: float
) -> list[tuple[Picked, NDArray[np.float64]]]:
    """What is lowest in each of several columns, best first, and the column there; as much as `stretch` budgets hold.

    Args:
        batches: gives the rows of scores.parquet, these columns.
        wanted: the budget of each column.
        pool: how many rows there are.
    """
    found = {column: _lowest(budget, pool, stretch) for column, budget in wanted.items()}
    first = 0
    for batch in batches(["tokens", *wanted]):
        for column, lowest in found.items():
            lowest.add(_numbers(batch, column), first, _numbers(batch, "tokens"))
        first += len(batch)
    picked = _gathered(batches, [lowest.rows() for lowest in found.values()])
    return [(rows, lowest.keys().astype(np.float64)) for rows, lowest in zip(picked, found.values())]


def _lowest(budget: Budget, pool: int, stretch: float, per_source: int | None = None) -> Lowest:
    count = budget.documents(pool)
    if count is None:
        return Lowest(None, budget.amount * stretch, per_source)
    return Lowest(min(pool, math.ceil(count * stretch)), None, per_source)


def _capped(batches: Batches, lowest: Lowest) -> tuple[Lowest, list[str]]:
    """The pool by source, and the names of the sources by number."""
    numbers: dict[str, int] = {}
    first = 0
    for batch in batches(["score", "tokens", "source"]):
        source = batch.column(batch.schema.get_field_index("source")).dictionary_encode()
        codes = [numbers.setdefault(name, len(numbers)) for name in source.dictionary.to_pylist()]
        each = np.array(codes, np.int32)[source.indices.to_numpy()]
        lowest.add(_numbers(batch, "score"), first, _numbers(batch, "tokens"), each)
        first += len(batch)
    return lowest, list(numbers)


def _numbers(batch: pa.RecordBatch, column: str) -> NDArray[Any]:
    found: NDArray[Any] = batch.column(batch.schema.get_field_index(column)).to_numpy()
    return found


def _gathered(batches: Batches, wanted: Sequence[NDArray[np.int64]]) -> list[Picked]:
    """The rows with these numbers, for each of several lists."""
    rows = np.unique(np.concatenate(wanted))
    parts: list[pa.Table] = []
    first = 0
    for batch in batches(list(PICKED)):
        start, stop = np.searchsorted(rows, [first, first + len(batch)])
        if start < stop or not parts:  # of no rows, a table of none
            parts.append(pa.Table.from_batches([batch]).take(pa.array(rows[start:stop] - first)))
        first += len(batch)
    picked = Picked.of(pa.concat_tables(parts))
    return [picked.take(np.searchsorted(rows, some)) for some in wanted]
