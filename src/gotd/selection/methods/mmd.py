"""`mmd`: the witness of the kernel mean discrepancy between reference and target (Gretton et al., JMLR 2012).

    score(x) = sum_i a_i k(x, x_i) - sum_j b_j k(x, y_j)
    linear      k(x, y) = <x, y>: score(x) = <x, mean of the reference - mean of the target>
    gaussian    k(x, y) = exp(-|x - y|^2 / (2 h^2)), h the median distance in both samples together

It is half the gradient of MMD^2 by the mass of the reference, and so what the Sinkhorn divergence's gradient goes to
as reg goes to infinity (Feydy et al. 2019). Differs from the usual code (two-sample tests, geomloss): the witness is
kept as a function, so that any pool can be scored. `linear` is exact in O(d) a document. `gaussian` takes at most
`sample` documents of the reference, drawn with the seed; a document drawn meets itself there, which moves its score
by less than its weight, 1 / `sample`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gotd.selection.methods.options import one_of, positive, read_options
from gotd.selection.methods.protocol import Batch, Samples
from gotd.transport import Measure
from gotd.transport.blocks import blockwise

KERNELS = ("linear", "gaussian")
OPTIONS = {"kernel": "linear", "sample": 2000}
_MEDIAN_OF = 1000


@dataclass(frozen=True, slots=True)
class LinearMMD:
    """The witness for the linear kernel; difference (d,) float32 is mean of the reference - mean of the target."""

    name: ClassVar[str] = "mmd"
    needs_points: ClassVar[bool] = True
    difference: Tensor

    def score(self, batch: Batch) -> NDArray[np.float32]:
        return blockwise(batch.points, lambda x: (x * self.difference).sum(1)).numpy()

    def config(self) -> dict[str, Any]:
        return {"method": self.name, "kernel": "linear"}

    def tensors(self) -> dict[str, Tensor]:
        return {"difference": self.difference}


@dataclass(frozen=True, slots=True)
class GaussianMMD:
    """The witness for the Gaussian kernel.

    Attributes:
        points: (s, d) float32, of the reference and of the target.
        signed: (s,) float32 weights: above 0 for the reference, below for the target; their sum is 0.
        width: h, a Euclidean distance > 0.
    """

    name: ClassVar[str] = "mmd"
    needs_points: ClassVar[bool] = True
    points: Tensor
    signed: Tensor
    width: float

    def score(self, batch: Batch) -> NDArray[np.float32]:
        own = (self.points * self.points).sum(1)

        def witness(x: Tensor) -> Tensor:
            squares = torch.addmm(own, x, self.points.T, alpha=-2).add_((x * x).sum(1, keepdim=True))
            return squares.mul_(-0.5 / self.width**2).exp_().mul_(self.signed).sum(1)

        return blockwise(batch.points, witness).numpy()

    def config(self) -> dict[str, Any]:
        return {"method": self.name, "kernel": "gaussian", "width": self.width}

    def tensors(self) -> dict[str, Tensor]:
        return {"points": self.points, "signed": self.signed}


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options: `kernel`, linear (default) or gaussian; `sample`, documents of the reference for gaussian (2000)."""
    found = read_options("mmd", options, OPTIONS)
    one_of("mmd", "kernel", found["kernel"], KERNELS)
    positive("mmd", "sample", found["sample"])
    return found


def fit(samples: Samples, seed: int, options: Mapping[str, Any]) -> LinearMMD | GaussianMMD:
    """With options that `checked` has read."""
    reference, target = samples.reference, samples.target
    if options["kernel"] == "linear":
        means = [side.weights.double() @ side.points.double() for side in (reference, target)]
        return LinearMMD((means[0] - means[1]).float())
    reference = _drawn(reference, options["sample"], seed)
    points = torch.cat([reference.points, target.points]).float()
    signed = torch.cat([reference.weights, -target.weights]).float()
    return GaussianMMD(points, signed, _median_distance(points, seed))


def _drawn(measure: Measure, count: int, seed: int) -> Measure:
    """At most `count` points with their weights, normalised again; points of weight 0 are left out."""
    rows = torch.from_numpy(_rows(int((measure.weights > 0).sum()), count, seed))
    held = (measure.weights > 0).nonzero()[:, 0][rows]
    return Measure.of(measure.points[held], measure.weights[held])


def _rows(size: int, count: int, seed: int) -> NDArray[np.int64]:
    drawn = np.random.default_rng(seed).permutation(size)[:count]
    return np.sort(drawn)


def _median_distance(points: Tensor, seed: int) -> float:
    """Median Euclidean distance between different points of a sample of (s, d); 1 where all are the same."""
    few = points[torch.from_numpy(_rows(len(points), _MEDIAN_OF, seed))].double()
    distances = torch.nn.functional.pdist(few)
    apart = distances[distances > 0]
    return float(apart.median()) if len(apart) else 1.0


def restore(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LinearMMD | GaussianMMD:
    if config["kernel"] == "linear":
        return LinearMMD(tensors["difference"])
    return GaussianMMD(tensors["points"], tensors["signed"], config["width"])
