"""Does a fit on a sample choose what a full solve would? Part of `transport.py`.

The yardstick is the semi-dual solved over all n candidates in float64, streamed, to an L1 marginal error of 1e-4.
Against it stands what gotd does: the potential fitted on 20,000 of them in float32, extended to the others, and
polished by Sinkhorn steps from the mass of a pass over all. Compared is the choice itself: the share of the best
1, 5 and 10 % that both have.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from tables import load, show
from texts import Embedded
from torch import Tensor

from gotd.encoders.precomputed import Precomputed
from gotd.selection.gradient import marginal_error, polished
from gotd.stages.fit import fitted
from gotd.stages.fit_settings import FitSettings
from gotd.stages.more import TIMES
from gotd.transport import Measure, Problem, SoftMin, Solution, Space, recentred, solve, solve_symmetric, summarised

SHARES = (0.01, 0.05, 0.1)
EXACT = 1e-4
EXACT_STEPS = 10  # of Lloyd
POLISHING = 3
REGS = (0.1, 0.01)


@dataclass(frozen=True, slots=True)
class Full:
    """The yardstick at one reg.

    Attributes:
        fraction: reg as a fraction of the mean cost.
        solution: float64, over all candidates.
        seconds: what it took.
    """

    fraction: float
    solution: Solution
    seconds: float


def compare_rankings(vectors: Embedded, sample: int) -> None:
    """Print the overlap of rankings with the full solve, potential by potential and for the complete score."""
    space = Space.fit(vectors.candidates, centre=True)
    x, y = space(vectors.candidates), space(vectors.target)
    full = {fraction: _solved_in_full(x, y, fraction) for fraction in REGS}
    rows = [row for fraction in REGS for row in _potential_rows(x, y, full[fraction], sample)]
    rows += _score_rows(vectors, x, y, full[REGS[0]], sample)
    title = (
        f"Choice of a fit on {sample} against a float64 solve over all n = {len(x)}, m = {len(y)} ({load()}): "
        "overlap of the best"
    )
    show(title, ["", *(f"{share:.0%}" for share in SHARES), "L1 over all n", "seconds"], rows)


def overlaps(first: Tensor, second: Tensor) -> list[str]:
    """Share of the lowest 1, 5 and 10 % of two scores (n,) that both have."""
    orders = [torch.argsort(scores, stable=True) for scores in (first, second)]
    counts = [max(1, round(share * len(first))) for share in SHARES]
    return [
        f"{len(np.intersect1d(orders[0][:count].numpy(), orders[1][:count].numpy())) / count:.2%}" for count in counts
    ]


def _solved_in_full(x: Tensor, y: Tensor, fraction: float) -> Full:
    start = time.perf_counter()
    problem = Problem.scaled(Measure.of(x.double()), Measure.of(y.double()), fraction)
    found = solve(problem, tolerance=EXACT)
    seconds = time.perf_counter() - start
    print(
        f"reg {fraction}: full float64 solve, {found.passes} passes, L1 {found.error:.1e}, {seconds:.0f} s",
        flush=True,
    )
    return Full(fraction, found, seconds)


def _potential_rows(x: Tensor, y: Tensor, full: Full, sample: int) -> list[list[str]]:
    """f_PT of the sample, and after each step of polishing, on the same points as the full solve."""
    start = time.perf_counter()
    target = Measure.of(y)
    problem = Problem.scaled(Measure.of(x[:sample]), target, full.fraction)
    found = solve(problem)
    attract = SoftMin(y, found.g, target.log_weights, problem.reg, problem.cost)
    rows = []
    for step in range(POLISHING + 1):
        seen = attract.plan_pass(x, torch.ones(len(x)))
        name = f"reg {full.fraction}: f_PT" + (f", polished {step}x" if step else "")
        error = marginal_error(seen.col, target)
        seconds = time.perf_counter() - start
        rows.append([name, *overlaps(seen.f, full.solution.f), f"{error:.4f}", f"{seconds:.1f}"])
        attract = polished(attract, seen.col)
    exact = full.solution
    return [
        *rows,
        [f"reg {full.fraction}: the full solve", *["100%"] * 3, f"{exact.error:.4f}", f"{full.seconds:.1f}"],
    ]


def _score_rows(vectors: Embedded, x: Tensor, y: Tensor, full: Full, sample: int) -> list[list[str]]:
    """The default score, debiased: centre, f_PT and f_PP of the sample, as `gotd fit` takes them, or of everything.

    The number of centroids is part of the method, and where k-means begins is its seed. The yardstick's begins where
    the sample's does and goes on, on everything, until it hardly moves; what another beginning would change is in rows
    of their own.
    """
    start = time.perf_counter()
    encoder = Precomputed(vectors.target.shape[1])
    settings = FitSettings(reg=full.fraction)
    few, more = vectors.candidates[:sample], vectors.candidates[: TIMES * sample]
    fits = {
        "the default score": fitted(encoder, few, vectors.target, settings, more=more),
        "the same, by the sample alone": fitted(encoder, few, vectors.target, settings),
    }
    seconds = time.perf_counter() - start

    def over_all(centroids: Measure) -> Tensor:
        repel = solve_symmetric(centroids, full.solution.reg)
        return (
            full.solution.f - SoftMin(centroids.points, repel.f, centroids.log_weights, full.solution.reg)(x).double()
        )

    everything = Measure.of(x)
    exact = over_all(recentred(summarised(Measure.of(x[:sample])), everything, steps=EXACT_STEPS))
    others = [over_all(recentred(summarised(everything, seed=seed), everything, steps=EXACT_STEPS)) for seed in (1, 2)]
    scores = {name: torch.from_numpy(found.score(vectors.candidates)) for name, found in fits.items()}
    rows = [
        [f"reg {full.fraction}: {name}", *overlaps(score, exact), "", f"{seconds / 2:.1f}"]
        for name, score in scores.items()
    ]
    halves = [f"{share:.2%}" for share in fits["the default score"].quality.stability.values()]
    return [
        *rows,
        [
            "the default score, against k-means begun elsewhere",
            *overlaps(scores["the default score"], others[0]),
            "",
            "",
        ],
        ["two full solves, k-means begun elsewhere", *overlaps(*others), "", ""],
        ["noise floor: two halves of the target", *halves, "", ""],
    ]
