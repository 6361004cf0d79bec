"""`round-robin`: each target document in turn takes its nearest candidate that is not yet taken.

    for j = 1, 2, ..., m, 1, 2, ...:    take argmin over the candidates x not yet taken of C(x, y_j) = 1 - <x, y_j>

The "TAPT/c" row of Kang et al. (ICLR 2024), without its repeats. What a document is worth depends on what the others
took, so no score of single documents gives it. But a target looks no further than the head of its list of nearest
candidates: those are kept while the pool streams by, `length` for each target, O(m length) memory, never n x m. Once
all have been seen the turns are taken, and the place of a document among them becomes its score:

    score(x) = place - documents taken      below 0, of the documents that the lists hold, first taken lowest
    score(x) = min_j C(x, y_j)              0 or more, of all others: by distance, after those

The choice is that of the full lists as long as no target has to look beyond its own; how many documents that holds
for is said in the result (`Taken.exact`). A list holds what lies within the target's reach, which is taken from the
sample of the reference so that about half as many again as `length` of a pool like the reference lie within it: what
a shard keeps is then its share of the lists, not whole lists. Between candidates at the same cost the lower row comes
first, so neither batches, nor shards, nor their order change the choice. Differs from a search index (faiss,
vicinity): exact, and the pool is never held.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gotd.errors import InputError, SettingsError
from gotd.selection.methods.options import read_options
from gotd.selection.methods.protocol import Batch, Samples
from gotd.transport.blocks import blocks, blockwise

OPTIONS = {"length": 0}
_ENTRIES = 1 << 21  # of all lists together, where no length is given: 24 MB
_SHORTEST = 32
_SLACK = 1.5


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """Where the lists of the targets begin and how far they go.

    Attributes:
        targets: (m, d) float32 points of the target, in the order of their turns.
        reach: (m,) float32 cost up to which candidates are listed.
        length: how many candidates a list holds at most.
    """

    name: ClassVar[str] = "round-robin"
    needs_points: ClassVar[bool] = True
    targets: Tensor
    reach: Tensor
    length: int

    def lists(self) -> NearestLists:
        """The lists before any candidate was seen."""
        return NearestLists(self.targets, self.length, self.reach)

    def score(self, batch: Batch) -> NDArray[np.float32]:
        """The cost to the nearest target: the score of what is not taken in turn."""
        return blockwise(batch.points, lambda x: (1 - x @ self.targets.T).clamp_min_(0).amin(1)).numpy()

    def config(self) -> dict[str, Any]:
        return {"method": self.name, "length": self.length}

    def tensors(self) -> dict[str, Tensor]:
        return {"targets": self.targets, "reach": self.reach}


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options: `length`, how many candidates are listed for each target; 0, the default, lists two million in all."""
    found = read_options(RoundRobin.name, options, OPTIONS)
    if not found["length"] >= 0:
        given = found["length"]
        raise SettingsError(f"round-robin: length is {given}; wanted a number of documents, or 0 for the default")
    return found


def fit(samples: Samples, seed: int, options: Mapping[str, Any]) -> RoundRobin:
    """With options that `checked` has read."""
    targets = samples.target.points[samples.target.weights > 0].float()
    length = options["length"] or max(_SHORTEST, _ENTRIES // len(targets))
    reference = samples.reference.points
    # Of the sample, what stands for `length` documents of the pool, and some more: few are a poor measure.
    within = int(_SLACK * length * len(reference) / max(samples.pool, len(reference))) + 8
    return RoundRobin(targets, _reach(targets, reference, within), length)


def restore(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> RoundRobin:
    return RoundRobin(tensors["targets"], tensors["reach"], config["length"])


def _reach(targets: Tensor, points: Tensor, within: int) -> Tensor:
    """(m,) the cost of the candidate number `within` of each target among points (n, d); inf where there are fewer."""
    if within > len(points):
        return torch.full((len(targets),), torch.inf)
    return blockwise(targets, lambda y: (1 - y @ points.float().T).kthvalue(within, 1).values)


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken.

    Attributes:
        rows: (k,) int64 row numbers, in the order taken.
        targets: (k,) int64 number of the target that took each.
        dry: targets that had used up their list when there might have been more for them beyond it.
        exact: how many of the first rows are as with lists of any length; k where none ran dry.
        length: how many candidates a list could hold.
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
            f"lists of {self.length} candidates gave out after {self.exact} documents were taken; "
            "fit again with a larger --method-option length=N"
        )


class NearestLists:
    """For each target its nearest candidates so far.

    Args:
        targets: (m, d) float32 points of the target, in the order of their turns.
        length: how many candidates to keep for each.
        reach: (m,) float32 cost up to which to keep them; left out, any.
    """

    def __init__(self, targets: Tensor, length: int, reach: Tensor | None = None) -> None:
        if not length >= 1:
            raise SettingsError(f"the length of a list is {length}; wanted 1 or more")
        if targets.ndim != 2 or not len(targets):
            raise InputError(f"targets have shape {tuple(targets.shape)}; wanted (m, d) with m >= 1")
        self._targets, self._length = targets, length
        self._reach = torch.full((len(targets),), torch.inf) if reach is None else reach
        self.seen = 0
        # By target, then cost, then row: the lists one after the other, and where each ends.
        self._costs: NDArray[np.float32] = np.zeros(0, np.float32)
        self._rows: NDArray[np.int64] = np.zeros(0, np.int64)
        self._ends: NDArray[np.int64] = np.zeros(len(targets), np.int64)
        self._limit = self._reach
        self._pending: list[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]] = []
        self._waiting = 0

    def add(self, points: Tensor, row_numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """List candidates (n, d), each with a number (n,) >= 0 that no other has; (n,) the cost to their nearest."""
        if len(points) != len(row_numbers):
            raise InputError(f"{len(points)} points and {len(row_numbers)} row numbers; wanted one each")
        if not (row_numbers >= 0).all():
            raise InputError("a row number is below 0; wanted 0 or more")
        nearest = np.empty(len(points), np.float32)
        for start, stop, block in blocks(points):
            costs = (1 - block @ self._targets.T).clamp_min_(0)[: stop - start]
            nearest[start:stop] = costs.amin(1).numpy()
            row, target = (costs <= self._limit).nonzero(as_tuple=True)
            held = costs[row, target].numpy()
            self._put(target.numpy(), held, row_numbers[start:stop].astype(np.int64)[row.numpy()])
        self.seen += len(points)
        return nearest

    def merge(self, other: NearestLists, first: int = 0) -> None:
        """Take in the lists of another part of the pool, for the same targets; its rows are counted from `first`."""
        alike = self._length == other._length and torch.equal(self._reach, other._reach)
        if not alike or not torch.equal(self._targets, other._targets):
            raise InputError("two lists of other targets or lengths do not merge; make both alike")
        other._settle()
        self._put(other._owners(), other._costs, other._rows + first)
        self.seen += other.seen

    def take(self, count: int | None = None, gone: Set[int] = frozenset()) -> Taken:
        """`count` row numbers in the order taken, or all; fewer where the lists hold no more.

        Args:
            gone: rows that nobody may take.
        """
        self._settle()
        used = set(gone)
        limit = len(self._rows) if count is None else count
        at, ends = np.concatenate([[0], self._ends[:-1]]).tolist(), self._ends.tolist()
        # A list that holds all that was seen has nothing beyond it.
        whole = (np.diff(self._ends, prepend=0) == self.seen).tolist()
        order: list[tuple[int, int]] = []
        dry, exact = 0, -1
        rows = self._rows.tolist()
        turns = list(range(len(at)))
        while turns and len(order) < limit:
            still = []
            for j in turns:
                if len(order) == limit:
                    break
                while at[j] < ends[j] and rows[at[j]] in used:
                    at[j] += 1
                if at[j] < ends[j]:
                    used.add(rows[at[j]])
                    order.append((rows[at[j]], j))
                    still.append(j)
                elif not whole[j]:
                    exact = len(order) if exact < 0 else exact
                    dry += 1
            turns = still
        found = np.array(order, dtype=np.int64).reshape(-1, 2)
        return Taken(found[:, 0], found[:, 1], dry, len(order) if exact < 0 else exact, self._length)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The lists of a shard, to be merged elsewhere."""
        self._settle()
        return {"costs": self._costs, "rows": self._rows, "ends": self._ends, "seen": np.array([self.seen])}

    def restored(self, arrays: Mapping[str, NDArray[Any]]) -> NearestLists:
        """Lists like these, holding what `arrays()` kept."""
        lists = NearestLists(self._targets, self._length, self._reach)
        lists._costs, lists._rows, lists._ends = arrays["costs"], arrays["rows"].astype(np.int64), arrays["ends"]
        lists.seen = int(arrays["seen"][0])
        return lists

    def _owners(self) -> NDArray[np.int64]:
        """(e,) the target of each entry."""
        return np.repeat(np.arange(len(self._ends)), np.diff(self._ends, prepend=0))

    def _put(self, target: NDArray[np.int64], cost: NDArray[np.float32], row: NDArray[np.int64]) -> None:
        self._pending.append((target, cost, row))
        self._waiting += len(target)
        if self._waiting > len(self._ends) * self._length:
            self._settle()

    def _settle(self) -> None:
        """Sort what came in into the lists, and cut them to their length."""
        if not self._waiting:
            return
        parts = [*self._pending, (self._owners(), self._costs, self._rows)]
        target, cost, row = (np.concatenate(column) for column in zip(*parts))
        order = _sorted(target, cost, row)
        target = target[order]
        numbers = np.arange(len(self._ends))
        place = np.arange(len(order)) - np.searchsorted(target, numbers)[target]
        near = place < self._length
        self._costs, self._rows, owners = cost[order[near]], row[order[near]], target[near]
        self._ends = np.searchsorted(owners, numbers, side="right")
        full = np.diff(self._ends, prepend=0) == self._length
        limit = self._reach.numpy().copy()
        limit[full] = self._costs[self._ends[full] - 1]
        self._limit = torch.from_numpy(limit)
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
