"""Several targets with weights, and targets to leave, as one objective and one score.

With a weight w_t for each target, below 0 for what is to be left, W = sum_t |w_t|, and over the reference the mean
l_t and the standard deviation s_t of the gradient phi_t,

    F(P)     = sum_t w_t / (W s_t) S(P, T_t)             the objective
    score(x) = sum_t w_t / W z_t(x),    z_t = (phi_t - l_t) / s_t

and the score is the gradient of F less its mean: to first order the best selection holds its lowest. Divided by s_t,
a weight means the same for a narrow target, whose phi hardly moves from document to document, as for a broad one.
One target with nothing to leave is taken as it is, whatever its weight: score = phi, F = S, in units of the cost.

All share one reg, the mean of what each would have alone. So one f_PP serves them all; their biases are alike; what a
target and one to leave have in common cancels; and weights mix the potentials without changing any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from gotd.errors import InputError
from gotd.selection.gradient import Gradient, Mixture, Objective, fit_gradient, overlaps
from gotd.selection.trimming import trimmed
from gotd.transport import Cost, Measure, Problem, SoftMin, summarised

_NO_SPREAD = 1e-6  # of reg: rounding alone moves phi by as much


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a fit is. Of several targets together: the worst of each figure, the sum of passes.

    Attributes:
        reg: entropy strength in units of the cost.
        value: the objective at the reference before any selection, in units of the cost; of several together, F.
        marginal_error: L1 error of the plan between sample and target, between 0 and 2.
        passes: passes of the solver over all rows of the sample.
        converged: whether the marginal error reached its tolerance.
        debias_error: error of the reference's own potential, between 0 and 2.
        stability: overlap of the best 1, 5 and 10 % under two halves of the target, or of each.
        advice: what to change if it did not converge; else empty.
    """

    reg: float
    value: float
    marginal_error: float
    passes: int
    converged: bool
    debias_error: float
    stability: dict[str, float]
    advice: str

    @classmethod
    def of(cls, gradient: Gradient) -> Quality:
        found = gradient.solution
        return cls(
            reg=found.reg,
            value=gradient.value,
            marginal_error=found.error,
            passes=found.passes,
            converged=found.converged,
            debias_error=gradient.repel_error,
            stability=gradient.stability,
            advice=found.advice,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """One target to fit.

    Attributes:
        name: to call it by.
        weight: not 0; below 0 for what is to be left.
        measure: (m, d) points and weights.
    """

    name: str
    weight: float
    measure: Measure

    def to(self, device: torch.device | str) -> Wanted:
        """The same on another device."""
        return replace(self, measure=self.measure.to(device))


@dataclass(frozen=True, slots=True)
class Term:
    """One fitted target, or one to leave.

    Attributes:
        name: to call it by.
        weight: not 0; below 0 for what is to be left.
        attract: f_PT.
        objective: what its phi = f_PT - f_PP is the gradient of.
        level: mean of phi over the reference, in units of the cost.
        spread: standard deviation of phi over the reference, in units of the cost; 1 where it is the only one.
        quality: how good its fit is.
    """

    name: str
    weight: float
    attract: SoftMin
    objective: Objective
    level: float
    spread: float
    quality: Quality

    def to(self, device: torch.device | str) -> Term:
        """The same on another device."""
        objective = replace(self.objective, target=self.objective.target.to(device))
        return replace(self, attract=self.attract.to(device), objective=objective)


@dataclass(frozen=True, slots=True)
class Blend:
    """Gradients as one: sum_t factors_t phi_t, of the objective sum_t factors_t F_t."""

    parts: tuple[Gradient, ...]
    factors: tuple[float, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """The blend (n,) at points x (n, d), not centred: lower is better."""
        return torch.stack([factor * part(x) for factor, part in zip(self.factors, self.parts)]).sum(0)

    @property
    def value(self) -> float:
        """The objective at the reference."""
        return sum(factor * part.value for factor, part in zip(self.factors, self.parts))

    def at(self, reference: Measure, summary: Measure | None) -> Blend:
        """The blend at another reference (and its centroids), solved from the potentials of this one."""
        return replace(self, parts=tuple(part.at(reference, summary) for part in self.parts))

    def toward(self, mixture: Mixture, near: Blend | None = None) -> Blend:
        """The blend at a mixture with the reference of this one, see `Gradient.toward`."""
        pairs = zip(self.parts, self.parts if near is None else near.parts)
        return replace(self, parts=tuple(part.toward(mixture, beside) for part, beside in pairs))


def fit_terms(
    reference: Measure,
    wanted: Sequence[Wanted],
    *,
    reg: float,
    debias: bool,
    cost: Cost,
    seed: int,
    trim: float = 0.0,
    summary: Measure | None = None,
) -> tuple[tuple[Term, ...], SoftMin | None, Quality]:
    """The terms, in the order of `wanted`, the f_PP that they share, and how good they are together.

    Args:
        reference: (n, d) points and weights.
        wanted: what to move toward, and what to leave.
        reg: fraction of the mean cost between reference and target, averaged over `wanted`.
        debias, cost, seed: see `fit_gradient`.
        trim: the share of each target's mass that may be left out, see `trimmed`.
        summary: the reference as centroids, where the caller has it.

    Raises:
        InputError: a target that all documents of the reference are equally far from, beside others.
    """
    if debias and summary is None:
        summary = summarised(reference, seed=seed)
    if is_plain([each.weight for each in wanted]):
        (only,) = wanted
        found = _fit(reference, only.measure, trim, reg=reg, debias=debias, cost=cost, seed=seed, summary=summary)
        quality = Quality.of(found)
        return (_term(only, found, found.level, 1.0),), found.repel, quality
    shared = fmean(Problem.scaled(reference, each.measure, reg, cost).reg for each in wanted)
    gradients, terms = [], []
    for each in wanted:
        found = _fit(
            reference, each.measure, trim, debias=debias, cost=cost, seed=seed, shared_reg=shared, summary=summary
        )
        phi, weights = found(reference.points).double(), reference.weights.double()
        level = float(weights @ phi)
        spread = float(weights @ (phi - level) ** 2) ** 0.5
        if not spread > _NO_SPREAD * shared:
            raise InputError(
                f"all documents of the reference score alike for {each.name}, so that beside other targets its weight "
                "has no unit; wanted a reference of documents that differ. Give more of it, or leave this target out"
            )
        gradients.append(found)
        terms.append(_term(each, found, level, spread))
    return tuple(terms), gradients[0].repel, _together(terms, gradients, reference)


def _fit(reference: Measure, target: Measure, trim: float, **how: Any) -> Gradient:
    """The gradient, fitted again on what is left of the target where some is to be left out."""
    found = fit_gradient(reference, target, **how)
    left = trimmed(found, reference, trim) if trim else target
    return found if bool((left.weights > 0).eq(target.weights > 0).all()) else fit_gradient(reference, left, **how)


def is_plain(weights: Sequence[float]) -> bool:
    """Whether there is one target and nothing to leave: nothing is scaled then."""
    return len(weights) == 1 and weights[0] > 0


def accounts(terms: Sequence[Term]) -> dict[str, Any]:
    """What a manifest says of each of several; nothing of a single target."""
    if is_plain([term.weight for term in terms]):
        return {}
    told = ("stability", "marginal_error", "converged")
    return {
        "targets": [
            {
                "name": term.name,
                "weight": abs(term.weight),
                "avoid": term.weight < 0,
                **{name: getattr(term.quality, name) for name in told},
            }
            for term in terms
        ]
    }


def factors(terms: Sequence[Term]) -> tuple[float, ...]:
    """What each phi counts in the score: w_t / (W s_t)."""
    if is_plain([term.weight for term in terms]):
        return (1.0,)
    whole = sum(abs(term.weight) for term in terms)
    return tuple(term.weight / (whole * term.spread) for term in terms)


def scores(terms: Sequence[Term], phi: Tensor) -> Tensor:
    """From phi (t, n) of each term the score (n,) float32."""
    if is_plain([term.weight for term in terms]):
        return phi[0]
    return _weighed(terms, _standardised(terms, phi)).float()


def own_scores(terms: Sequence[Term], phi: Tensor) -> Tensor:
    """From phi (t, n) of each term the score (k, n) float32 that it would be for each of k targets alone.

    What is to be left is left all the same.
    """
    z = _standardised(terms, phi)
    left = [row for row, term in enumerate(terms) if term.weight < 0]
    found = []
    for row, term in enumerate(terms):
        if term.weight > 0:
            rows = [row, *left]
            found.append(_weighed([terms[i] for i in rows], z[rows]))
    return torch.stack(found).float()


def _standardised(terms: Sequence[Term], phi: Tensor) -> Tensor:
    level = torch.tensor([[term.level] for term in terms], dtype=torch.float64)
    spread = torch.tensor([[term.spread] for term in terms], dtype=torch.float64)
    return (phi.double() - level) / spread


def _weighed(terms: Sequence[Term], z: Tensor) -> Tensor:
    """(n,) float64 sum_t w_t / W z_t, row by row of z: the bits of a document depend on no other."""
    total = torch.zeros_like(z[0])
    for term, row in zip(terms, z):
        total += term.weight * row
    return total / sum(abs(term.weight) for term in terms)


def _term(wanted: Wanted, found: Gradient, level: float, spread: float) -> Term:
    return Term(wanted.name, wanted.weight, found.attract, found.objective, level, spread, Quality.of(found))


def _together(terms: Sequence[Term], gradients: Sequence[Gradient], reference: Measure) -> Quality:
    """One account of several fits; its stability is that of the ranking by all of them, every target halved."""
    blend = Blend(tuple(gradients), factors(terms))
    halves: list[Tensor] = []
    if all(found.halves for found in gradients):
        repel = gradients[0].repel
        own = 0.0 if repel is None else repel(reference.points)
        for half in (0, 1):
            each = [factor * (found.halves[half] - own) for factor, found in zip(blend.factors, gradients)]
            halves.append(torch.stack(each).sum(0))
    parts = [term.quality for term in terms]
    return Quality(
        reg=parts[0].reg,
        value=blend.value,
        marginal_error=max(part.marginal_error for part in parts),
        passes=sum(part.passes for part in parts),
        converged=all(part.converged for part in parts),
        debias_error=max(part.debias_error for part in parts),
        stability=overlaps(halves),
        advice="; ".join(f"{term.name}: {term.quality.advice}" for term in terms if term.quality.advice),
    )
