"""The two sides of a transport problem, checked where they are made.

A `Measure` is n points with weights that sum to 1. All checks of vectors and weights live here, each with its
remedy, so that the solver can be read without them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gotd.errors import InputError, SettingsError
from gotd.transport.cost import Cost


@dataclass(frozen=True, slots=True)
class Measure:
    """Weighted points.

    Attributes:
        points: (n, d) float32 or float64, finite.
        weights: (n,) of the same type, non-negative, summing to 1. A weight of 0 takes a point out.
    """

    points: Tensor
    weights: Tensor

    @classmethod
    def of(cls, points: Tensor, weights: Tensor | None = None) -> Measure:
        """A measure from points and any non-negative weights (uniform if left out); weights are normalised.

        Raises:
            InputError: no points, a shape that does not fit, or a value that is not finite.
        """
        if points.ndim != 2 or not len(points):
            raise InputError(f"vectors have shape {tuple(points.shape)}; wanted (n, d) with n >= 1 documents")
        if not points.is_floating_point() or points.dtype not in (torch.float32, torch.float64):
            points = points.float()
        finite = torch.isfinite(points).all(1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0, 0])
            raise InputError(f"vector {row} of {len(points)} holds NaN or infinity; drop or mend that document")
        return cls(points, _normalised(weights, points))

    def __len__(self) -> int:
        return len(self.points)

    @property
    def log_weights(self) -> Tensor:
        return self.weights.log()

    def to(self, device: torch.device | str) -> Measure:
        """The same measure on another device."""
        return Measure(self.points.to(device), self.weights.to(device))

    def rows(self, step: int) -> Measure:
        """Every `step`-th point, weights normalised again: a coarser view of the same measure."""
        weights = self.weights[::step]
        if step == 1 or not float(weights.sum()) > 0:
            return self
        return Measure(self.points[::step], weights / weights.sum())

    def mixed_with(self, other: Measure, share: float) -> Measure:
        """(1 - share) of this and `share` of the other, as in Lemma 1 of Kang et al. 2024."""
        if not 0 <= share <= 1:
            raise SettingsError(f"mix is {share}; wanted a share between 0 and 1")
        points = torch.cat([self.points, other.points])
        return Measure(points, torch.cat([self.weights * (1 - share), other.weights * share]))


def _normalised(weights: Tensor | None, points: Tensor) -> Tensor:
    if weights is None:
        return points.new_full((len(points),), 1 / len(points))
    if weights.shape != (len(points),):
        raise InputError(f"{tuple(weights.shape)} weights for {len(points)} documents; wanted one each")
    weights = weights.to(points)
    if not bool((weights >= 0).all()) or not 0 < float(weights.sum()) < float("inf"):
        raise InputError("weights must be finite, non-negative and not all zero; mend or leave them out")
    return (weights.double() / weights.double().sum()).to(points)


@dataclass(frozen=True, slots=True)
class Problem:
    """Entropic transport from a reference to a target.

        OT_reg(a, b) = min_P <P, C> + reg KL(P | a b^T),    P 1 = a,  P^T 1 = b

    Attributes:
        reference: where mass is (n points).
        target: where it should go (m points).
        reg: entropy strength in units of the cost, > 0.
        cost: the ground cost.
    """

    reference: Measure
    target: Measure
    reg: float
    cost: Cost = Cost.COSINE

    def __post_init__(self) -> None:
        _check_alike(self.reference, self.target)
        if not 0 < self.reg < float("inf"):
            raise SettingsError(f"reg is {self.reg}; wanted a positive number, in units of the cost")

    @classmethod
    def scaled(cls, reference: Measure, target: Measure, fraction: float, cost: Cost = Cost.COSINE) -> Problem:
        """A problem whose reg is a fraction of the mean cost between the two measures."""
        if not 0 < fraction < float("inf"):
            raise SettingsError(f"reg is {fraction}; wanted a positive fraction of the mean cost, such as 0.1")
        _check_alike(reference, target)
        mean = cost.mean(reference.points, reference.weights, target.points, target.weights)
        own = reference.weights @ cost.offset(reference.points) + target.weights @ cost.offset(target.points)
        # Equal documents cost nothing but rounding, and no reg is a fraction of that.
        if not mean > 16 * torch.finfo(reference.points.dtype).eps * float(own):
            raise InputError("every document of the reference equals every document of the target; nothing to choose")
        return cls(reference, target, fraction * mean, cost)


def _check_alike(reference: Measure, target: Measure) -> None:
    found, wanted = target.points.shape[1], reference.points.shape[1]
    if found != wanted:
        raise InputError(f"target vectors have {found} dimensions, reference vectors {wanted}; embed both alike")
