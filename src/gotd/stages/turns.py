"""`round-robin` over shards: the lists of each in a file of its part, and the turns taken once all are there.

shard -> parts/00012.lists.safetensors      all of them -> the order in which documents are taken -> their scores
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from gotd.engine import Done
from gotd.potential import Potential
from gotd.selection.methods.round_robin import NearestLists, RoundRobin, Taken

_SUFFIX = ".lists.safetensors"


def new_lists(potential: Potential) -> NearestLists | None:
    """Empty lists to fill from a shard, where the method takes turns."""
    return potential.method.lists() if isinstance(potential.method, RoundRobin) else None


def save_lists(lists: NearestLists, stem: Path) -> None:
    """Keep the lists of one shard beside its other files."""
    stem.with_name(f"{stem.name}{_SUFFIX}").write_bytes(save(lists.arrays()))


def take_turns(potential: Potential, done: Sequence[Done], gone: NDArray[np.int64]) -> Taken | None:
    """The turns over all shards, by row of the pool; None where the method takes none.

    Args:
        gone: rows that are no candidates, since their id was there before.
    """
    lists = new_lists(potential)
    if lists is None:
        return None
    first = 0
    for part in done:
        arrays = load_file(part.stem.with_name(f"{part.stem.name}{_SUFFIX}"))
        lists.merge(lists.restored(arrays), first)
        first += part.counts["scored"]
    return lists.take(gone=frozenset(gone.tolist()))


def told(taken: Taken) -> dict[str, Any]:
    """What a manifest says of the turns."""
    return {"taken": len(taken.rows), "exact": taken.exact, "length": taken.length, "advice": taken.advice}


class TurnScores:
    """The score of what was taken put over the others, part by part in the order of the pool."""

    def __init__(self, taken: Taken) -> None:
        by_row = np.argsort(taken.rows)
        self._rows = taken.rows[by_row]
        self._scores = (by_row - len(by_row)).astype(np.float32)

    def __call__(self, table: pa.Table, first: int) -> pa.Table:
        """The table, whose rows are those of the pool from `first` on, with the scores of those that were taken."""
        start, stop = np.searchsorted(self._rows, [first, first + len(table)])
        scores = table["score"].to_numpy().copy()
        scores[self._rows[start:stop] - first] = self._scores[start:stop]
        return table.set_column(table.schema.get_field_index("score"), "score", pa.array(scores))
