"""Outliers of the target: the few documents that buy far more of the choice than their share.

The plan sends a document x to target j with probability

    p_j(x) = softmax_j ((g_j - C(x, y_j)) / reg + log b_j)

so of a choice U the part pull_j = mean_U p_j is taken for the sake of j. It is also the influence of that document:
with prices as they are, d (mean_U f) / d log b_j = -reg pull_j. Where every document buys its share, pull_j / b_j = 1.
Three stray documents of three hundred, of which the pool holds some dozens of twins, were seen to pull 22 times their
share and to take every one of those twins, a fifth of the choice.

Trimming takes out the documents of highest pull_j / b_j, from AT_LEAST on, up to a share of the target's mass, and the
gradient is fitted again without them. So a target without strays loses little or nothing, and a wish that more than
that share of the target has stays. U is the best hundredth of the reference, and its best twentieth, whichever a
document pulls more of: a fit knows neither pool nor budget. Where a pool holds twins of a stray and the reference
none, it is not seen. To take out a quarter of the share at a time, with the potential solved in between, changed at
most one per cent of the choice, and is not done.

This is not partial transport, which bounds g, or unbalanced transport, which bends it. Both give up the targets that
are dearest to reach. But an outlier does harm only where the pool holds its twins, and then it is cheap; without
twins (a text of unknown words, a vector in a random direction) it moves nothing. Tried on real targets, both left the
stray documents all of their weight (docs/trim.md). So the fit after trimming is an ordinary problem, with the ordinary
criterion of convergence.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gotd.selection.gradient import Gradient
from gotd.transport import Measure, SoftMin

AT_LEAST = 5.0  # times their share; without strays the most was 3 to 6 on three tasks, with them 8 to 23 (docs/trim.md)
_BEST = (0.01, 0.05)


def trimmed(gradient: Gradient, reference: Measure, share: float) -> Measure:
    """The target (m, d), (m,) with weight 0 for the documents that pull far too much, up to `share` of its mass.

    Args:
        gradient: fitted at the reference, to the whole target.
        reference: (n, d) points and weights.
        share: of the target's mass, above 0 and below one half; of less than one document, none goes.
    """
    target = gradient.objective.target
    weights = target.weights.double().clone()
    ranked = reference.points[torch.argsort(gradient(reference.points), stable=True)]
    pulls = [pull(gradient.attract, ranked[: max(1, round(best * len(ranked)))]) for best in _BEST]
    over = torch.stack(pulls).amax(0) / weights.clamp_min(1e-38)
    order = torch.argsort(over, descending=True, stable=True)
    out = order[(weights[order].cumsum(0) <= share + 1e-6) & (over[order] >= AT_LEAST)]
    weights[out] = 0
    return Measure.of(target.points, weights)


def pull(attract: SoftMin, points: Tensor) -> Tensor:
    """(m,) float64, sums to 1: the part of the points (k, d) that each target document buys."""
    return attract.plan_pass(points, points.new_full((len(points),), 1 / len(points))).col


def pull_of_few(attract: SoftMin, points: Tensor, share: float) -> float:
    """How much of the points the target documents buy that pull most for their weight, `share` of its mass in all."""
    bought, weights = pull(attract, points), attract.log_b.double().exp()
    order = torch.argsort(bought / weights.clamp_min(1e-38), descending=True, stable=True)
    few = order[weights[order].cumsum(0) <= share + 1e-6]
    return float(bought[few].sum())
