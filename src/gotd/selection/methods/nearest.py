"""`nearest`: the documents nearest to the target, whatever the reference holds.

    min     score(x) = min_j C(x, y_j)                                 C(x, y) = 1 - <x, y>
    mean    score(x) = sum_j b_j C(x, y_j) = 1 - <x, sum_j b_j y_j>

Distances are the cosine cost; on unit vectors `min` ranks as Euclidean distance does. `min` is the potential of
plain OT with all prices g at 0: what it leaves out is the price. Differs from a search index (faiss, vicinity): the
target is the index and the pool streams by, exactly, in O(m) a document; a target of weight 0 counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gotd.selection.methods.options import one_of, read_options
from gotd.selection.methods.protocol import Batch, Samples
from gotd.transport.blocks import blockwise

KINDS = ("min", "mean")
OPTIONS = {"kind": "min"}


@dataclass(frozen=True, slots=True)
class Nearest:
    """Distance to the target.

    Attributes:
        kind: `min` or `mean`.
        targets: (m, d) points of the target for `min`; (1, d), their weighted mean, for `mean`.
    """

    name: ClassVar[str] = "nearest"
    needs_points: ClassVar[bool] = True
    kind: str
    targets: Tensor

    def score(self, batch: Batch) -> NDArray[np.float32]:
        if self.kind == "mean":
            return blockwise(batch.points, lambda x: 1 - (x * self.targets).sum(1)).numpy()
        return blockwise(batch.points, lambda x: 1 - (x @ self.targets.T).amax(1)).numpy()

    def config(self) -> dict[str, Any]:
        return {"method": self.name, "kind": self.kind}

    def tensors(self) -> dict[str, Tensor]:
        return {"targets": self.targets}


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options: `kind`, min (default) or mean."""
    found = read_options(Nearest.name, options, OPTIONS)
    one_of(Nearest.name, "kind", found["kind"], KINDS)
    return found


def fit(samples: Samples, seed: int, options: Mapping[str, Any]) -> Nearest:
    """With options that `checked` has read."""
    kind, target = options["kind"], samples.target
    if kind == "mean":
        mean = target.weights.double() @ target.points.double()
        return Nearest(kind, mean.float()[None])
    return Nearest(kind, target.points[target.weights > 0].float())


def restore(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Nearest:
    return Nearest(config["kind"], tensors["targets"])
