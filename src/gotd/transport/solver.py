"""Entropic optimal transport, solved for the potential g of the target.

The semi-dual of OT_reg(a, b) is concave in the m numbers g alone (Cuturi & Peyré 2018):

    H(g) = <b, g> + sum_i a_i f(x_i; g)          dH/dg_j = b_j - col_j
    f(x; g) = -reg log sum_j b_j exp((g_j - C(x, y_j)) / reg)

One pass over the rows (kernel.py) gives f, col, H and the exact L1 marginal error |col - b|_1, with one matrix
product where alternating Sinkhorn (POT, OTT-JAX, geomloss) spends two. The Sinkhorn step is g += reg log(b / col).

    1. anneal: reg from 0.2 of the mean cost down by halves, a few Sinkhorn steps each, on one row in eight;
    2. Anderson acceleration of the Sinkhorn step at the final reg, first on those rows, then on all of them;
       a step that lowers H is undone and replaced by a plain Sinkhorn step from the best point so far;
    3. stop when the L1 marginal error is at most `tolerance`: the ranking is final there (docs/log.md).

Conventions: f and g as in geomloss, with the weights outside: P = a b^T exp((f + g - C) / reg). OTT-JAX's f is
f + reg log a, and POT's log u is f / reg + log a. See docs/conventions.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gotd.transport.kernel import Kernel
from gotd.transport.problem import Measure, Problem

TOLERANCE = 1e-2
MAX_PASSES = 500
_ANNEAL_FROM = 0.2
_ANNEAL_STEPS = 3
_COARSE = 8
_MEMORY = 8


@dataclass(frozen=True, slots=True)
class Solution:
    """Where the solver stopped, and how good that is.

    Attributes:
        f: (n,) potential of the reference, in units of the cost; the gradient of OT by its weights.
        g: (m,) potential of the target, in units of the cost.
        value: H(g), the dual value of OT_reg in units of the cost; a lower bound, tight at convergence.
        error: |col - b|_1, mass that the plan of (f, g) puts on the wrong target, between 0 and 2.
        passes: passes over all rows.
        converged: whether error <= tolerance.
        reg: entropy strength in units of the cost.
    """

    f: Tensor
    g: Tensor
    value: float
    error: float
    passes: int
    converged: bool
    reg: float

    @property
    def advice(self) -> str:
        """What to change if it did not converge; empty if it did."""
        if self.converged:
            return ""
        return f"marginal error {self.error:.3g} after {self.passes} passes: raise reg, or raise max_passes"


def solve(
    problem: Problem, *, tolerance: float = TOLERANCE, max_passes: int = MAX_PASSES, init: Tensor | None = None
) -> Solution:
    """The potentials of entropic transport between the two measures of `problem`.

    Args:
        problem: reference (n points), target (m points), cost and reg.
        tolerance: L1 marginal error to stop at.
        max_passes: passes over all rows to stop at, converged or not.
        init: (m,) potential to start from, such as that of a nearby problem; None anneals from zero.
    """
    reference, target, reg = problem.reference, problem.target, problem.reg
    kept = reference.weights > 0
    rows = reference if bool(kept.all()) else Measure(reference.points[kept], reference.weights[kept])
    kernel = Kernel(rows.points, target.points, problem.cost, passes=max_passes)
    g = init.to(target.points) if init is not None else torch.zeros_like(target.weights)
    step = _COARSE if len(rows) >= _COARSE * max(256, len(target)) // 2 else 1
    if init is None:
        coarse = rows.rows(step)
        part = kernel.every(step)
        g = _annealed(
            part,
            coarse.weights,
            target,
            reg,
            problem.cost.mean(rows.points, rows.weights, target.points, target.weights),
            g,
        )
        if step > 1:
            g = _accelerated(part, coarse.weights, target, reg, g, 4 * tolerance, max_passes).g
    best = _accelerated(kernel, rows.weights, target, reg, g, tolerance, max_passes)
    f = best.f
    if rows is not reference:
        f = Kernel(reference.points, target.points, problem.cost).softmin(best.g, target.log_weights, reg)
    return Solution(f, best.g, best.value, best.error, best.passes, best.error <= tolerance, reg)


@dataclass(frozen=True, slots=True)
class _State:
    """One evaluated point of the iteration: g, its f, H(g), error, Sinkhorn step (m,), and passes so far."""

    g: Tensor
    f: Tensor
    value: float
    error: float
    step: Tensor
    passes: int


def _evaluate(kernel: Kernel, a: Tensor, target: Measure, reg: float, g: Tensor, passes: int) -> _State:
    found = kernel.plan_pass(g, target.log_weights, reg, a)
    b = target.weights.double()
    value = float(b @ g.double() + a.double() @ found.f.double())
    error = float((found.col - b).abs().sum())
    step = torch.where(b > 0, reg * (b / found.col.clamp_min(1e-38)).log(), 0.0)
    return _State(g, found.f, value, error, step.to(g), passes + 1)


def _annealed(kernel: Kernel, a: Tensor, target: Measure, reg: float, mean_cost: float, g: Tensor) -> Tensor:
    """A few Sinkhorn steps at each of 0.2, 0.1, ... of the mean cost, above reg."""
    level = _ANNEAL_FROM * mean_cost
    while level > reg:
        for _ in range(_ANNEAL_STEPS):
            g = g + _evaluate(kernel, a, target, level, g, 0).step
        level /= 2
    return g


def _accelerated(
    kernel: Kernel, a: Tensor, target: Measure, reg: float, g: Tensor, tolerance: float, max_passes: int
) -> _State:
    """Anderson acceleration (type II) of the Sinkhorn step, safeguarded by H."""
    best = state = _evaluate(kernel, a, target, reg, g, 0)
    points: list[Tensor] = []
    steps: list[Tensor] = []
    while best.error > tolerance and state.passes < max_passes:
        points.append(state.g)
        steps.append(state.step)
        del points[:-_MEMORY], steps[:-_MEMORY]
        state = _evaluate(kernel, a, target, reg, _mixed(points, steps, target.weights), state.passes)
        slack = 1e-6 * reg
        if not state.value >= best.value - slack and len(points) > 1:
            points, steps = [], []
            if state.passes >= max_passes:
                break
            state = _evaluate(kernel, a, target, reg, best.g + best.step, state.passes)
        if state.value >= best.value or state.error < best.error:
            best = state
    return replace(best, passes=state.passes)


def _mixed(points: list[Tensor], steps: list[Tensor], b: Tensor) -> Tensor:
    """argmin over affine combinations of past points of the combined step's length, plus that step."""
    if len(points) == 1:
        return points[0] + steps[0]
    g = torch.stack(points).double()
    r = torch.stack(steps).double()
    dg, dr = g[1:] - g[:-1], r[1:] - r[:-1]
    root = b.double().sqrt()
    weighted = dr * root
    gram = weighted @ weighted.T
    ridge = 1e-10 * gram.diagonal().sum() + 1e-300
    gram = gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    coefficients = torch.linalg.solve(gram, weighted @ (r[-1] * root))
    mixed: Tensor = g[-1] + r[-1] - coefficients @ (dg + dr)
    return mixed.to(points[-1])
