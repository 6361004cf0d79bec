"""geomloss and flash-sinkhorn on the problems of gpu.py: what they need to be asked, and what they answered.

All solve entropic transport with the cost |x - y|^2 between the same tensors on the same device, to the same L1
marginal error, 1e-2, by one yardstick: `error`, in float32 and by gotd's kernel, which keeps no products there. Neither
library stops by that error, so the number of iterations is doubled until it is met, outside of the clock; gotd stops by
itself inside of it. gotd keeps its products in bfloat16 and stops by an error measured on them: it is asked for less
where the yardstick is not met.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor

from gotd.transport import Kernel, Problem, SoftMin, solve

TOLERANCE = 1e-2
_LIMIT = 512  # iterations
_ASKED = (1.0, 0.8, 0.6, 0.4)


@dataclass(frozen=True, slots=True)
class Way:
    """How to solve a problem.

    Attributes:
        name: of the library.
        solve: to the potential g (m,) of the target, in units of the cost.
        error: that it reaches.
        told: iterations, or what it was asked for.
    """

    name: str
    solve: Callable[[], Tensor]
    error: float
    told: str


def error(problem: Problem, g: Tensor) -> float:
    """sum_j |col_j - b_j| of the plan after the f-update from g."""
    target = problem.target
    kernel = Kernel(problem.reference.points, target.points, problem.cost)
    col = kernel.plan_pass(g.to(target.points), target.log_weights, problem.reg, problem.reference.weights).col
    return float((col - target.weights.double()).abs().sum())


def ways(problem: Problem) -> tuple[list[Way], list[str]]:
    """gotd and the peers that are there; and a line about each that is not, or that cannot."""
    found, absent = [_gotd(problem)], []
    for package, make in (("geomloss", _geomloss), ("flash-sinkhorn", _flash)):
        try:
            named = f"{package} {version(package)}"
            if package == "flash-sinkhorn" and problem.reference.points.device.type != "cuda":
                absent.append(f"{named}: runs on CUDA alone")
                continue
            found.append(_searched(named, problem, make))
        except PackageNotFoundError:
            absent.append(f"{package}: not installed")
        except Exception as failure:
            # A peer may fail in ways of its own, out of memory or without a compiler; the others are still measured.
            absent.append(f"{package}: {type(failure).__name__}: {' '.join(str(failure).split())[:120]}")
    return found, absent


def flash_score(attract: SoftMin) -> Callable[[Tensor], Tensor]:
    """flash-sinkhorn's kernel as a function of points (n, d) that gives f (n,), for a cosine cost and unit vectors."""
    from flash_sinkhorn.kernels.sinkhorn_flashstyle_sqeuclid import flashsinkhorn_lse

    # Its logits are 2 cost_scale <x, y> / eps + bias: with one half those of 1 - <x, y>, less what each point owns.
    bias = (attract.g - 0.5) / attract.reg + attract.log_b
    return lambda x: 0.5 + flashsinkhorn_lse(x, attract.points, bias, attract.reg, cost_scale=0.5)


def _gotd(problem: Problem) -> Way:
    for share in _ASKED:
        asked = share * TOLERANCE
        found = solve(problem, tolerance=asked)
        reached = error(problem, found.g)
        if reached <= TOLERANCE:
            break
    return Way("gotd", lambda: solve(problem, tolerance=asked).g, reached, f"{found.passes} passes")


def _searched(name: str, problem: Problem, make: Callable[[Problem, int], Callable[[], Tensor]]) -> Way:
    iterations = 4
    while True:
        run = make(problem, iterations)
        reached = error(problem, run())
        if reached <= TOLERANCE or iterations >= _LIMIT:
            return Way(name, run, reached, f"{iterations} iterations")
        iterations *= 2


def _inputs(problem: Problem) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    reference, target = problem.reference, problem.target
    return reference.points, target.points, reference.weights, target.weights


def _geomloss(problem: Problem, iterations: int) -> Callable[[], Tensor]:
    from geomloss import ot

    x, y, a, b = _inputs(problem)

    def run() -> Tensor:
        with torch.no_grad():
            return torch.as_tensor(ot.solve_sample(x, y, a, b, reg=problem.reg, max_iter=iterations).potential_b)

    return run


def _flash(problem: Problem, iterations: int) -> Callable[[], Tensor]:
    from flash_sinkhorn import SamplesLoss

    x, y, a, b = _inputs(problem)
    loss = SamplesLoss(
        backend="alternating", use_epsilon_scaling=False, eps=problem.reg, n_iters=iterations, potentials=True
    )
    return lambda: loss(a, x, b, y)[1]
