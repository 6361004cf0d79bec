"""What the page shows of scores.parquet: the shape of all scores, where the cut is, and the rows to draw.

Two passes: the first holds seven bytes a candidate, the second keeps the rows that are drawn. All selected documents
are drawn, with those that a table names; a seeded uniform sample stands for the other candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gotd.stages.scores import batches_of
from gotd.stages.selected import Selection

BINS = 60
SHOWN = 5
MOST = 100_000  # points that a map draws smoothly: of a larger selection a sample is drawn

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of a selection's pool.

    Attributes:
        edges: (b + 1,) of the histogram's bins.
        pool: (b,) candidates in each bin.
        chosen: (b,) selected documents in each bin.
        low, high: the lowest and the highest score.
        cut: the score of the last document chosen, where the choice went straight down the list; else None.
        rows: the drawn rows of scores.parquet with `rank`, null unless selected: the selection by rank, then the
            other candidates by score.
        outside: ids of the best documents that were not chosen and repeat none that was, best first.
        total: candidates scored.
    """

    edges: NDArray[np.float64]
    pool: NDArray[np.int64]
    chosen: NDArray[np.int64]
    low: float
    high: float
    cut: float | None
    rows: pa.Table
    outside: list[str]
    total: int


def look(selection: Selection, named: Sequence[str], repeats: Sequence[str], points: int, seed: int) -> Scored:
    """Read the scores.

    Args:
        selection: a finished one.
        named: ids of documents that must be drawn, beside the selected ones.
        repeats: ids of duplicates that were passed over: they are not the best of what was left.
        points: candidates to draw, the selection among them.
        seed: of the sample.
    """
    # The documents of `all-target` are the target's: none of the pool is chosen, whatever its id.
    chosen = selection.to_arrow()["id"].combine_chunks()
    ids = chosen[:0] if selection.manifest["from_target"] else chosen
    score, (taken, wanted, repeated) = _columns(selection, (ids, _strings(named), _strings(repeats)))
    free = np.flatnonzero(~taken & ~repeated)
    outside = free[np.argsort(score[free], kind="stable")[:SHOWN]]
    wanted[outside] = True
    numbers = _drawn(taken, wanted, points, seed)
    rows = _rows(selection, numbers)
    best_left = rows["id"].take(pa.array(np.searchsorted(numbers, outside))).to_pylist()
    rows = rows.append_column("rank", pc.add(pc.index_in(rows["id"], value_set=ids), 1))
    settings = selection.manifest["settings"]
    straight = settings["rounds"] == 1 and not settings["max_per_source"] and not settings["target_shares"]
    cut = float(score[taken].max()) if straight and taken.any() else None
    edges = _edges(score, cut)
    return Scored(
        edges=edges,
        pool=np.histogram(score, edges)[0],
        chosen=np.histogram(score[taken], edges)[0],
        low=float(score.min()),
        high=float(score.max()),
        cut=cut,
        rows=rows.sort_by([("rank", "ascending"), ("score", "ascending")]),
        outside=best_left,
        total=len(score),
    )


def _edges(score: NDArray[np.float32], cut: float | None) -> NDArray[np.float64]:
    """(b + 1,) bins of one width; a cut falls between two of them, and its own score in the lower one."""
    low, high = float(score.min()), float(score.max())
    width = (high - low) / BINS or 1.0 / BINS
    after = low if cut is None else float(np.nextafter(np.float32(cut), np.float32(np.inf)))
    below = int(np.ceil((after - low) / width))
    above = max(1 - below, int(np.floor((high - after) / width)) + 1)
    steps: NDArray[np.float64] = np.arange(-below, above + 1, dtype=np.float64)
    return after + width * steps


def _strings(ids: Sequence[str]) -> pa.Array:
    return pa.array(list(ids), pa.string())


def _columns(selection: Selection, sets: Sequence[pa.Array]) -> tuple[NDArray[np.float32], list[Mask]]:
    """The score (n,) of every candidate, and for each set of ids which candidates (n,) are in it."""
    scores: list[NDArray[np.float32]] = []
    masks: list[list[Mask]] = [[] for _ in sets]
    for batch in batches_of(selection.scores, ["id", "score"]):
        scores.append(batch["score"].to_numpy())
        for found, ids in zip(masks, sets):
            found.append(pc.is_in(batch["id"], value_set=ids).to_numpy(zero_copy_only=False))
    return np.concatenate(scores), [np.concatenate(found) for found in masks]


def _drawn(taken: Mask, wanted: Mask, points: int, seed: int) -> NDArray[np.int64]:
    """The rows to draw, ascending: the selection, what is wanted, and of the rest so many that there are `points`."""
    rng = np.random.default_rng(seed)
    chosen = np.flatnonzero(taken)
    limit = max(points, MOST)
    if len(chosen) > limit:
        chosen = rng.choice(chosen, limit, replace=False)
    must = np.union1d(chosen, np.flatnonzero(wanted))
    rest = np.flatnonzero(~taken & ~wanted)
    sampled = rng.choice(rest, min(len(rest), max(0, points - len(must))), replace=False)
    return np.union1d(must, sampled).astype(np.int64)


def _rows(selection: Selection, numbers: NDArray[np.int64]) -> pa.Table:
    """The rows of scores.parquet with these ascending numbers."""
    start, found = 0, []
    for batch in batches_of(selection.scores, ["id", "source", "score", "file", "position", "piece", "checksum"]):
        first, last = np.searchsorted(numbers, (start, start + len(batch)))
        found.append(batch.take(pa.array(numbers[first:last] - start)))
        start += len(batch)
    return pa.Table.from_batches(found)
