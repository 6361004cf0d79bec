"""Several rounds instead of one linearisation: a descent on the objective.

One gradient step prices every document as if it were the first. A large budget then goes to the rarest mode alone,
long after that mode has been filled. In R rounds, with the budget K and the share lambda that it will have,

    U_0 = {},   U_r = U_{r-1} + the K/R candidates of lowest phi_{r-1}
    M_r = (1 - lambda r/R) P + lambda r/R U_r        phi_r = gradient of the objective at M_r

each solved from the potential of the last. R = 1 is GOT-D (Kang et al. 2024); lambda = 1 matches the distribution of
the target, as herding does for a kernel mean. Along the way each round's value is predicted to first order,

    value(M_r) ~ value(M_{r-1}) + <M_r - M_{r-1}, phi_{r-1}>

and solved again: where the two part, more rounds are needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gotd.selection.gradient import Gradient, Mixture
from gotd.selection.several import Blend
from gotd.transport import Measure

Take = Callable[[Tensor, int, int], list[int]]
"""From candidates in order of phi (their rows), the round and the rounds: the rows to take now."""

WARN_AT = 0.25
_MOST_ADVISED = 16


@dataclass(frozen=True, slots=True)
class Round:
    """One round.

    Attributes:
        taken: documents taken in it.
        share: of all documents taken so far in the mixture, lambda r / R.
        predicted: the objective after it, to first order from the round before, in units of the cost.
        solved: the same, solved again.
    """

    taken: int
    share: float
    predicted: float
    solved: float


@dataclass(frozen=True, slots=True)
class Descent:
    """What the rounds chose.

    Attributes:
        rows: of the candidates, in the order they were taken.
        rounds: one entry each.
    """

    rows: list[int]
    rounds: list[Round]


def descend(
    start: Gradient | Blend,
    reference: Measure,
    summary: Measure | None,
    candidates: Tensor,
    take: Take,
    rounds: int,
    mix: float,
    weights: Tensor | None = None,
) -> Descent:
    """Choose from candidates (n, d) in `rounds` rounds, up to a share `mix` of what the model has seen.

    Args:
        start: the gradient at the reference, of one objective or of several together.
        reference: (p, d) points and weights.
        summary: the reference as centroids, or None where the objective is not debiased.
        candidates: (n, d) points.
        take: decides how many of the ordered candidates one round takes, and which it passes over.
        rounds: R.
        mix: lambda.
        weights: (n,) what each candidate weighs once it is taken; None where all weigh the same.
    """
    base = start if isinstance(start, Blend) else Blend((start,), (1.0,))
    here, mixture = base, reference
    left = torch.ones(len(candidates), dtype=torch.bool)
    rows: list[int] = []
    done: list[Round] = []
    for number in range(1, rounds + 1):
        phi = here(candidates)
        order = torch.argsort(phi, stable=True)
        taken = take(order[left[order]], number, rounds)
        if not taken:
            # A part of a token budget may be smaller than the best document; the next is larger.
            continue
        left[taken] = False
        rows += taken
        share = mix * number / rounds
        picks = Measure.of(candidates[rows], None if weights is None else weights[rows])
        after = Mixture.of(reference, summary, picks, share)
        predicted = here.value + _mean(here, after.whole) - _mean(here, mixture)
        here = base.toward(after, here)
        mixture = after.whole
        done.append(Round(len(taken), share, predicted, here.value))
    return Descent(rows, done)


def rounds_needed(before: float, predicted: float, solved: float) -> int:
    """How many rounds mend one step that is off by more than a quarter of what it predicts; 1 if it is not.

    Twice as many for each further quarter, 16 at most: a rule of thumb from docs/rounds.md, not a bound. As many as
    bring the error just under a quarter, if it fell as one over their number, left a third of the way on the toy.
    """
    if not predicted < before:
        return 1
    error = abs(solved - predicted) / (before - predicted)
    return 1 if error <= WARN_AT else min(_MOST_ADVISED, 2 ** math.ceil(error / WARN_AT))


def _mean(phi: Blend, measure: Measure) -> float:
    return float(measure.weights.double() @ phi(measure.points).double())
