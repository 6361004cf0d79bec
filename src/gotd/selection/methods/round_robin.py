"""`round-robin`: each target document in turn takes its nearest candidate that is not yet taken.

    for j = 1, 2, ..., m, 1, 2, ...:    take argmin over the candidates x not yet taken of C(x, y_j) = 1 - <x, y_j>

The "TAPT/c" row of Kang et al. (ICLR 2024), without its repeats. This is no score of single documents, for what a
target takes depends on what the others took. But it looks no further than the head of each target's list of nearest
candidates: those are kept while the pool streams by, L for each target, O(m L) memory, never n x m.

The choice is that of the full lists as long as no target has to look beyond its L: L = budget always suffices, and
far less does where targets differ. A list that ran dry is said in the result. Between candidates at the same cost the
lower row number comes first, so neither batches, nor shards, nor their order change the choice. Differs from a search
index (faiss, vicinity): exact, and the pool is never held. Three times as slow as gotd's own score at L = 500.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gotd.errors import InputError, SettingsError
from gotd.selection.methods.blocks import blocks


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken.

    Attributes:
        rows: (k,) int64 row numbers, in the order taken.
        targets: (k,) int64 number of the target that took each.
        dry: targets that had used up their list when there might have been more for them beyond it.
        exact: how many of the first rows are as with lists of any length; k where none ran dry.
        length: L, the length of a list.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    dry: int
    exact: int
    length: int

    @property
    def advice(self) -> str:
        """What to change where lists ran dry; empty where none did."""
        if not self.dry:
            return ""
        return (
            f"{self.dry} target documents used up their {self.length} nearest candidates after {self.exact} were "
            f"taken; raise the length of the lists (the budget always suffices)"
        )


class NearestLists:
    """For each target its `length` nearest candidates so far.

    Args:
        targets: (m, d) float32 points of the target, in the order of their turns.
        length: L, how many candidates to keep for each.
    """

    def __init__(self, targets: Tensor, length: int) -> None:
        if not length >= 1:
            raise SettingsError(f"the length of a list is {length}; wanted 1 or more")
        if targets.ndim != 2 or not len(targets):
            raise InputError(f"targets have shape {tuple(targets.shape)}; wanted (m, d) with m >= 1")
        self._targets, self._length = targets, length
        self.seen = 0
        m = len(targets)
        # Sorted by cost, then row; inf and -1 where there is nothing yet.
        self._costs: NDArray[np.float32] = np.full((m, length), np.inf, np.float32)
        self._rows: NDArray[np.int64] = np.full((m, length), -1)
        self._limit = torch.full((m,), torch.inf)
        self._pending: list[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]] = []
        self._waiting = 0

    def add(self, points: Tensor, row_numbers: NDArray[np.int64]) -> None:
        """Candidates (n, d), each with a number (n,) >= 0 that no other candidate has."""
        if len(points) != len(row_numbers):
            raise InputError(f"{len(points)} points and {len(row_numbers)} row numbers; wanted one each")
        if not (row_numbers >= 0).all():
            raise InputError("a row number is below 0; wanted 0 or more")
        for start, stop, block in blocks(points):
            costs = (1 - block @ self._targets.T).clamp_min_(0)[: stop - start]
            row, target = (costs <= self._limit).nonzero(as_tuple=True)
            held = costs[row, target].numpy()
            self._put(target.numpy(), held, row_numbers[start:stop].astype(np.int64)[row.numpy()])
        self.seen += len(points)

    def merge(self, other: NearestLists) -> None:
        """Take in the lists of another part of the pool, for the same targets."""
        if self._length != other._length or not torch.equal(self._targets, other._targets):
            raise InputError("two lists of other targets or lengths do not merge; make both alike")
        other._settle()
        target, place = np.nonzero(other._rows >= 0)
        self._put(target, other._costs[target, place], other._rows[target, place])
        self.seen += other.seen

    def take(self, count: int) -> Taken:
        """`count` row numbers in the order taken; fewer where the lists hold no more."""
        self._settle()
        rows, used = self._rows.tolist(), set[int]()
        ends = (self._rows >= 0).sum(1).tolist()
        # A list with room left, or with the whole pool, has nothing beyond it.
        whole = self.seen <= self._length
        at = [0] * len(rows)
        order: list[tuple[int, int]] = []
        dry, exact = 0, -1
        turns = list(range(len(rows)))
        while turns and len(order) < count:
            still = []
            for j in turns:
                if len(order) == count:
                    break
                while at[j] < ends[j] and rows[j][at[j]] in used:
                    at[j] += 1
                if at[j] < ends[j]:
                    used.add(rows[j][at[j]])
                    order.append((rows[j][at[j]], j))
                    still.append(j)
                elif not whole:
                    exact = len(order) if exact < 0 else exact
                    dry += 1
            turns = still
        found = np.array(order, dtype=np.int64).reshape(-1, 2)
        return Taken(found[:, 0], found[:, 1], dry, len(order) if exact < 0 else exact, self._length)

    def tensors(self) -> dict[str, Tensor]:
        """The lists of a shard, to be merged elsewhere."""
        self._settle()
        return {
            "costs": torch.from_numpy(self._costs),
            "rows": torch.from_numpy(self._rows),
            "seen": torch.tensor(self.seen),
        }

    @classmethod
    def restore(cls, targets: Tensor, tensors: Mapping[str, Tensor]) -> NearestLists:
        """The lists whose `tensors()` were kept."""
        lists = cls(targets, tensors["costs"].shape[1])
        lists._costs, lists._rows = tensors["costs"].numpy().copy(), tensors["rows"].numpy().copy()
        lists.seen = int(tensors["seen"])
        return lists

    def _put(self, target: NDArray[np.int64], cost: NDArray[np.float32], row: NDArray[np.int64]) -> None:
        self._pending.append((target, cost, row))
        self._waiting += len(target)
        if self._waiting > self._rows.size:
            self._settle()

    def _settle(self) -> None:
        """Sort what came in into the lists, and cut them to their length."""
        if not self._waiting:
            return
        targets, places = np.nonzero(self._rows >= 0)
        parts = [*self._pending, (targets, self._costs[targets, places], self._rows[targets, places])]
        target, cost, row = (np.concatenate(column) for column in zip(*parts))
        order = _sorted(target, cost, row)
        target = target[order]
        place = np.arange(len(order)) - np.searchsorted(target, np.arange(len(self._rows)))[target]
        near = place < self._length
        self._costs[target[near], place[near]] = cost[order[near]]
        self._rows[target[near], place[near]] = row[order[near]]
        self._limit = torch.from_numpy(self._costs[:, -1].copy())
        self._pending, self._waiting = [], 0


def _sorted(target: NDArray[np.int64], cost: NDArray[np.float32], row: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order by target, then cost, then row."""
    # A non-negative float32 sorts as its bits do, so target and cost make one key: five times faster than lexsort.
    key = target << 32 | cost.view(np.int32)
    order = np.argsort(key)
    key = key[order]
    equal = key[1:] == key[:-1]
    tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
    order[tied] = order[tied][np.lexsort((row[order[tied]], key[tied]))]
    return order
