"""The space in which costs are taken: unit vectors, centred on the reference, and whitened.

    u = v / |v| - mean of the reference,   again to unit length
    x = W u,                               again to unit length

Vectors of text share a large common part that says nothing about the domain; centring removes it. What is left still
varies most along a few directions, the divisions of the pool (science or not, prose or not), and a cost in which they
weigh most sees little else. With C the second moments of the centred reference and l its eigenvalues,

    W = C^(-w/2) on eigenvectors e_i:  e_i -> l_i^(-w/2) e_i

takes a share w of that off: w = 0 leaves it, w = 1 whitens (every direction varies alike). The leading directions can
also be left out altogether (Mu & Viswanath 2018). What each is worth: docs/log.md.

A vector of zeros, a text in which the encoder knows nothing, stays zero: under the cosine cost it is at right angles
to everything, neither near the target nor far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gotd.errors import InputError, SettingsError
from gotd.transport.blocks import blocks


@dataclass(frozen=True, slots=True)
class Space:
    """Raw vectors (n, d) to points (n, d) float32.

    Attributes:
        mean: (d,) float32 to subtract from unit vectors, or None to leave them uncentred.
        axes: (d, d) float32 symmetric W, or None to leave the directions as they are.
    """

    mean: Tensor | None = None
    axes: Tensor | None = None

    @classmethod
    def fit(cls, vectors: NDArray[np.float32], *, centre: bool, whiten: float = 0.0, remove_top: int = 0) -> Space:
        """Fit on a sample of the reference (n, d).

        Args:
            centre: subtract the mean direction.
            whiten: the share w, from 0 to 1.
            remove_top: leading directions to leave out.

        Raises:
            SettingsError: directions of uncentred vectors are asked for.
        """
        if not centre:
            if whiten or remove_top:
                raise SettingsError("whiten and remove_top need centred vectors; pass --centre, or --whiten 0")
            return cls()
        centred = cls(_unit(_in_range(_checked(vectors))).mean(0))
        if not whiten and not remove_top:
            return centred
        return cls(centred.mean, _axes(centred(vectors), whiten, remove_top))

    def __call__(self, vectors: NDArray[np.float32]) -> Tensor:
        return self.placed(_checked(vectors))

    def to(self, device: torch.device | str) -> Space:
        """The same space on another device."""
        return Space(*(None if part is None else part.to(device) for part in (self.mean, self.axes)))

    def placed(self, vectors: Tensor) -> Tensor:
        """Finite vectors (n, d) float32, on the space's device, as points."""
        unit = _unit(_in_range(vectors))
        if self.mean is None:
            return unit
        if unit.shape[1] != len(self.mean):
            raise InputError(
                f"vectors have {unit.shape[1]} dimensions, the potential was fitted on {len(self.mean)}; "
                "use the encoder it was fitted with"
            )
        known = unit.abs().sum(1, keepdim=True) > 0
        centred = _unit(torch.where(known, unit - self.mean, unit))
        return centred if self.axes is None else _unit(_product(centred, self.axes))


def _axes(points: Tensor, whiten: float, remove_top: int) -> Tensor | None:
    """W (d, d) from centred unit vectors (n, d); None where they have no direction to tell apart."""
    n, d = points.shape
    if not remove_top < d:
        raise SettingsError(f"remove_top is {remove_top}, and vectors have {d} directions; wanted fewer")
    moments = points.double()
    values, directions = torch.linalg.eigh(moments.T @ moments / n)
    if not float(values[-1]) > 0:
        return None
    # A sample of n knows d variances with a relative error of about d / n: toward their mean by that much.
    noise = d / (n + d)
    shrunk = (1 - noise) * values.clamp_min(0) + noise * values.clamp_min(0).mean()
    scales = (shrunk / shrunk[-1]) ** (-whiten / 2)
    scales[d - remove_top :] = 0
    axes: Tensor = ((directions * scales) @ directions.T).float()
    return axes


def _product(points: Tensor, axes: Tensor) -> Tensor:
    """points (n, d) times axes (d, d), in blocks of one shape; on a GPU at once."""
    if points.is_cuda:
        return points @ axes
    found = torch.empty_like(points)
    for start, stop, block in blocks(points):
        found[start:stop] = (block @ axes)[: stop - start]
    return found


def _checked(vectors: NDArray[np.float32]) -> Tensor:
    points = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
    if points.ndim != 2:
        raise InputError(f"vectors have shape {tuple(points.shape)}; wanted (n, d), a row for each document")
    finite = torch.isfinite(points).all(1)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0, 0])
        raise InputError(f"vector {row} of {len(points)} holds NaN or infinity; drop or mend that document")
    return points


def _in_range(vectors: Tensor) -> Tensor:
    """Vectors (n, d) with those so short or long that their squares leave float32 brought to a length near 1."""
    largest = vectors.abs().amax(1, keepdim=True)
    outside = (largest > 0) & ((largest < 1e-4) | (largest > 1e15))
    if not vectors.is_cuda and not bool(outside.any()):
        return vectors  # a GPU is not waited for
    return torch.where(outside, vectors / largest, vectors)


def _unit(points: Tensor) -> Tensor:
    lengths = points.norm(dim=1, keepdim=True)
    # Shorter than rounding leaves after centring: no direction, so none is made up.
    return torch.where(lengths > 1e-6, points / lengths.clamp_min(1e-6), torch.zeros_like(points))
