"""GOT-D: choose what lowers the transport from the reference to the target (Kang et al., ICLR 2024).

Training lightly on a selection U moves the model from D_P toward (1 - lambda) D_P + lambda D_U (Lemma 1), and to
first order in lambda

    OT((1 - lambda) D_P + lambda D_U, D_T) = OT(D_P, D_T) + lambda (mean_U phi - mean_P phi)

so the best U holds the candidates of lowest phi, the gradient of OT by the mass of D_P (Theorem 1). As published,
phi is f_PT, the dual potential of entropic OT with a small reg. By default it is f_PT - f_PP, the gradient of the
Sinkhorn divergence, on centred vectors and with a larger reg: the evidence is in docs/log.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gotd.transport import CENTROIDS, Cost, Measure, Problem, SoftMin, Solution, solve, solve_symmetric, summarised

_SHARES = (0.01, 0.05, 0.1)
_HALVES_OF = 4_000
# A tenth of the solver's own: cheap on a sample, and worth a polishing step at small reg (docs/log.md).
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Objective:
    """What is to be lowered: OT_reg(., target), or the Sinkhorn divergence to the target.

    Attributes:
        target: (m, d) points and weights.
        reg: entropy strength in units of the cost.
        cost: the ground cost.
        debias: whether OT(P, P) / 2 and OT(T, T) / 2 are taken off.
        centroids: how many centroids stand for a measure against itself, at most.
        seed: of the centroids.
        own: OT(T, T), and what centroids hide of OT(P, P), in units of the cost; 0 where debias is off.
    """

    target: Measure
    reg: float
    cost: Cost
    debias: bool
    centroids: int
    seed: int
    own: float

    def at(self, reference: Measure, *, summary: Measure | None = None, init: Tensor | None = None) -> Gradient:
        """The gradient at a reference.

        Args:
            reference: (n, d) points and weights.
            summary: the reference as centroids, where the caller has it; left out, made anew.
            init: (m,) potential of the target to start from, such as that of a nearby reference.
        """
        solution = solve(Problem(reference, self.target, self.reg, self.cost), tolerance=TOLERANCE, init=init)
        attract = SoftMin(self.target.points, solution.g, self.target.log_weights, self.reg, self.cost)
        if not self.debias:
            level = float(reference.weights.double() @ solution.f.double())
            return Gradient(attract, None, self, solution.value, level, solution, 0.0, {})
        centroids = summary or summarised(reference, centroids=self.centroids, seed=self.seed)
        itself = solve_symmetric(centroids, self.reg, self.cost)
        repel = SoftMin(centroids.points, itself.f, centroids.log_weights, self.reg, self.cost)
        phi = (solution.f - repel(reference.points)).double()
        value = solution.value - (itself.value + self.own) / 2
        level = float(reference.weights.double() @ phi)
        return Gradient(attract, repel, self, value, level, solution, itself.error, {})


@dataclass(frozen=True, slots=True)
class Gradient:
    """The fitted gradient phi and how far it can be trusted.

    Attributes:
        attract: f_PT.
        repel: f_PP, or None where debias is off; phi = attract - repel.
        objective: what phi is the gradient of.
        value: the objective at the reference, in units of the cost.
        level: mean of phi over the reference, in units of the cost.
        solution: the solver's own account.
        repel_error: error of f_PP, between 0 and 2; 0 where debias is off.
        stability: share of the reference's best 1, 5 and 10 % on which two halves of the target agree; empty for a
            target of fewer than 4 documents with mass.
        halves: f_PT (n,) over the reference as each half of the target alone would have it; as empty.
    """

    attract: SoftMin
    repel: SoftMin | None
    objective: Objective
    value: float
    level: float
    solution: Solution
    repel_error: float
    stability: dict[str, float]
    halves: tuple[Tensor, ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        """phi (n,) at points x (n, d), in units of the cost: lower is better."""
        found = self.attract(x)
        return found if self.repel is None else found - self.repel(x)

    def at(self, reference: Measure, summary: Measure | None) -> Gradient:
        """The gradient at another reference (and its centroids), solved from the potential of this one."""
        return self.objective.at(reference, summary=summary, init=self.attract.g)

    def toward(self, mixture: Mixture, near: Gradient | None = None) -> Gradient:
        """The gradient at a mixture with the reference of this one, solved from the potential of one that is nearer.

        A centroid stands for its documents, and f_PP is higher there than at them: the more so, the fewer there are
        to cut into regions. By that alone a small selection, a random one too, would lower the objective. So what the
        centroids hide of the reference (which `own` makes up for) gives way to what they hide of what is added.
        """
        found = (near or self).at(mixture.whole, mixture.centroids)
        if self.repel is None or found.repel is None or mixture.summary is None or mixture.few is None:
            return found
        before = _hidden(self.repel, mixture.reference, mixture.summary)
        after = _hidden(found.repel, mixture.added, mixture.few)
        return replace(found, value=found.value + mixture.share * (after - before))


@dataclass(frozen=True, slots=True)
class Mixture:
    """(1 - share) of a reference and `share` of what is added to it.

    Attributes:
        reference, added: points and weights of both.
        share: of what is added, from 0 to 1.
        summary, few: the two as centroids, or None where the objective is not debiased.
    """

    reference: Measure
    added: Measure
    share: float
    summary: Measure | None
    few: Measure | None

    @classmethod
    def of(cls, reference: Measure, summary: Measure | None, added: Measure, share: float) -> Mixture:
        """From both, and the centroids of the reference."""
        return cls(reference, added, share, summary, None if summary is None else summarised(added))

    @property
    def whole(self) -> Measure:
        """The points of both."""
        return self.reference.mixed_with(self.added, self.share)

    @property
    def centroids(self) -> Measure | None:
        """The centroids of both."""
        return None if self.summary is None or self.few is None else self.summary.mixed_with(self.few, self.share)


def _hidden(repel: SoftMin, documents: Measure, centroids: Measure) -> float:
    """How much higher f_PP is at centroids than at their documents: half of what they add to OT(P, P)."""
    means = [float(each.weights.double() @ repel(each.points).double()) for each in (centroids, documents)]
    return means[0] - means[1]


def fit_gradient(
    reference: Measure,
    target: Measure,
    *,
    reg: float = 0.1,
    debias: bool = True,
    cost: Cost = Cost.COSINE,
    centroids: int = CENTROIDS,
    seed: int = 0,
    shared_reg: float | None = None,
    summary: Measure | None = None,
) -> Gradient:
    """Fit phi on a sample of the reference (n, d) and the target (m, d).

    Args:
        reg: fraction of the mean cost between the two.
        debias: take the gradient of the Sinkhorn divergence instead of entropic OT's.
        centroids: of the reference against itself.
        shared_reg: reg in units of the cost, where other targets share it; it goes before the fraction.
        summary: the reference as centroids, where the caller has it.
    """
    problem = (
        Problem.scaled(reference, target, reg, cost)
        if shared_reg is None
        else Problem(reference, target, shared_reg, cost)
    )
    objective = Objective(target, problem.reg, cost, debias, centroids, seed, own=0.0)
    found = objective.at(reference, summary=summary)
    if debias:
        # The value alone is shifted, to what it is without a document meeting itself; the gradient stays.
        hidden = 2 * (found.solution.value - found.value)
        own = between_halves(target, problem.reg, cost) + between_halves(reference, problem.reg, cost) - hidden
        found = replace(found, objective=replace(objective, own=own), value=found.value - own / 2)
    repel = torch.zeros_like(found.solution.f) if found.repel is None else found.repel(reference.points)
    halves = _halves(problem, found.solution)
    return replace(found, halves=halves, stability=overlaps([half - repel for half in halves]))


def between_halves(measure: Measure, reg: float, cost: Cost) -> float:
    """OT between two halves of a sample: it stands for OT(P, P) without any document meeting itself."""
    held = _held(measure)
    few = held[:: -(-len(held) // _HALVES_OF)]
    if len(few) < 2:
        return 0.0
    first, second = (Measure.of(measure.points[half], measure.weights[half]) for half in (few[::2], few[1::2]))
    return solve(Problem(first, second, reg, cost)).value


def _halves(problem: Problem, whole: Solution) -> tuple[Tensor, ...]:
    """f_PT (n,) over the reference, fitted on each of two halves of the target."""
    target, held = problem.target, _held(problem.target)
    if len(held) < 4:
        return ()
    fits = []
    for part in (held[::2], held[1::2]):
        half = Measure.of(target.points[part], target.weights[part])
        fits.append(solve(Problem(problem.reference, half, problem.reg, problem.cost), init=whole.g[part]).f)
    return tuple(fits)


def _held(measure: Measure) -> Tensor:
    """The rows with mass, which a half must have some of: of a trimmed target not all have."""
    return torch.nonzero(measure.weights > 0).flatten()


def overlaps(scores: Sequence[Tensor]) -> dict[str, float]:
    """Share of the best 1, 5 and 10 % that two scores (n,) of the reference have in common; empty for none."""
    if not scores:
        return {}
    orders = [torch.argsort(score, stable=True) for score in scores]
    n, found = len(orders[0]), {}
    for share in _SHARES:
        best = [set(order[: max(1, round(share * n))].tolist()) for order in orders]
        found[f"{share:.0%}"] = len(best[0] & best[1]) / len(best[0])
    return found


def marginal_error(col: Tensor, target: Measure) -> float:
    """L1 distance of the mass that each target receives from its weight: the certificate of a scoring pass."""
    share = col.double() / col.double().sum()
    return float((share - target.weights.double()).abs().sum())


def polished(attract: SoftMin, col: Tensor) -> SoftMin:
    """One Sinkhorn step of the potential, from the mass (m,) each target received over a whole corpus."""
    share = col.double() / col.double().sum()
    step = attract.reg * (attract.log_b.double() - share.clamp_min(1e-38).log())
    g = attract.g + torch.where(attract.log_b > -torch.inf, step, 0.0).to(attract.g)
    return SoftMin(attract.points, g, attract.log_b, attract.reg, attract.cost)
