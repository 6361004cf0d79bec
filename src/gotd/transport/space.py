"""The space in which costs are taken: unit vectors, centred on the reference.

    v -> v / |v|,  minus the mean of the reference,  again to unit length

Vectors of text share a large common part that says nothing about the domain; centring removes it, and raised the
share of the right documents in every trial (docs/log.md). A vector of zeros, a text in which the encoder knows
nothing, stays zero: under the cosine cost it is at right angles to everything, neither near the target nor far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gotd.errors import InputError


@dataclass(frozen=True, slots=True)
class Space:
    """Raw vectors (n, d) to points (n, d) float32.

    Attributes:
        mean: (d,) float32 to subtract from unit vectors, or None to leave them uncentred.
    """

    mean: Tensor | None = None

    @classmethod
    def fit(cls, vectors: NDArray[np.float32], *, centre: bool) -> Space:
        """Centre on the mean direction of these vectors (n, d), or not at all."""
        return cls(_unit(_checked(vectors)).mean(0) if centre else None)

    def __call__(self, vectors: NDArray[np.float32]) -> Tensor:
        unit = _unit(_checked(vectors))
        if self.mean is None:
            return unit
        if unit.shape[1] != len(self.mean):
            raise InputError(
                f"vectors have {unit.shape[1]} dimensions, the potential was fitted on {len(self.mean)}; "
                "use the encoder it was fitted with"
            )
        known = unit.abs().sum(1, keepdim=True) > 0
        return _unit(torch.where(known, unit - self.mean, unit))


def _checked(vectors: NDArray[np.float32]) -> Tensor:
    points = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
    if points.ndim != 2:
        raise InputError(f"vectors have shape {tuple(points.shape)}; wanted (n, d), a row for each document")
    finite = torch.isfinite(points).all(1)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0, 0])
        raise InputError(f"vector {row} of {len(points)} holds NaN or infinity; drop or mend that document")
    return points


def _unit(points: Tensor) -> Tensor:
    lengths = points.norm(dim=1, keepdim=True)
    # Shorter than rounding leaves after centring: no direction, so none is made up.
    return torch.where(lengths > 1e-6, points / lengths.clamp_min(1e-6), torch.zeros_like(points))
