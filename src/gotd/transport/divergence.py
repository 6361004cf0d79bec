"""The debiasing half of the Sinkhorn divergence: the reference against itself.

Entropic OT is not zero between equal measures, and its gradient carries that bias. The Sinkhorn divergence
(Feydy et al. 2019)

    S(P, T) = OT_reg(P, T) - 1/2 OT_reg(P, P) - 1/2 OT_reg(T, T)

is zero there, and its gradient by the mass of P is `f_PT(x) - f_PP(x)`, where f_PP is the fixed point of

    f(x) = -reg log sum_i a_i exp((f_i - C(x, x_i)) / reg)

found by averaged steps f <- (f + T f) / 2. It goes to exact OT as reg -> 0 and to the MMD witness as reg -> infinity.

Unlike the libraries (geomloss, OTT-JAX), f_PP is meant for a `summarised` reference: centroids of about twenty
documents each. On the documents themselves the pair (x, x) outweighs thousands of others in high dimension, so a
document that happens to be in the sample looks far better covered than its twin outside, and is never chosen;
measured in docs/log.md. Under the cosine cost C(x, centroid) is the exact mean cost to its documents, for it is
linear in y. Under squared Euclidean it is less by their spread about the centroid: that moves OT(P, P), but not
f_PP as a function, so on unit vectors the ranking stays that of the cosine cost.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gotd.errors import SettingsError
from gotd.transport.cost import Cost
from gotd.transport.kernel import Kernel
from gotd.transport.problem import Measure

TOLERANCE = 1e-3
MAX_PASSES = 100
CENTROIDS = 1000
_DOCUMENTS_PER_CENTROID = 20
_BLOCK = 2048


@dataclass(frozen=True, slots=True)
class SymmetricSolution:
    """The potential of a measure with itself.

    Attributes:
        f: (n,) potential in units of the cost.
        value: OT_reg(P, P) in units of the cost.
        error: sum_i |row mass - a_i|; 0 when solved, and above 2 at times before that.
        passes: passes over all rows.
        converged: whether error <= tolerance.
    """

    f: Tensor
    value: float
    error: float
    passes: int
    converged: bool


def solve_symmetric(
    measure: Measure,
    reg: float,
    cost: Cost = Cost.COSINE,
    *,
    tolerance: float = TOLERANCE,
    max_passes: int = MAX_PASSES,
) -> SymmetricSolution:
    """Fit f_PP on the points of one measure.

    Args:
        measure: (n, d) points and weights.
        reg: entropy strength in units of the cost: the same as in the problem it debiases.
        cost: the ground cost.
        tolerance: error to stop at.
        max_passes: passes to stop at, converged or not.
    """
    kernel = Kernel(measure.points, measure.points, cost, passes=max_passes)
    f = torch.zeros_like(measure.weights)
    held = measure.weights > 0
    error, passes = 2.0, 0
    while not error <= tolerance and passes < max_passes:
        image = kernel.softmin(f, measure.log_weights, reg)
        # Row i of the plan of (f, f) sums to a_i exp((f_i - image_i) / reg): its error comes with the step.
        # A point without mass has none, whatever its overflowing exponential says.
        drift = torch.where(held, (f - image) / reg, 0.0)
        error = float((measure.weights * torch.expm1(drift).abs()).double().sum())
        f, passes = (f + image) / 2, passes + 1
    value = 2 * float(measure.weights.double() @ f.double())
    return SymmetricSolution(f, value, error, passes, error <= tolerance)


def summarised(measure: Measure, *, centroids: int = CENTROIDS, seed: int = 0) -> Measure:
    """The measure as weighted k-means centroids, one for about twenty documents and `centroids` at most.

    Centroids are plain means, not brought back to unit length: (n, d) -> (c, d), c <= centroids.
    """
    if not centroids >= 1:
        raise SettingsError(f"centroids is {centroids}; wanted 1 or more")
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    held = measure.weights > 0
    points = measure.points[held].cpu().numpy()
    weights = measure.weights[held].double().cpu().numpy()
    count = max(1, min(centroids, len(points) // _DOCUMENTS_PER_CENTROID))
    fit = KMeans(count, init="random", n_init=1, max_iter=10, random_state=seed)
    with warnings.catch_warnings():
        # Fewer distinct points than centroids: duplicates share one, and the empty ones are dropped below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = fit.fit(points, sample_weight=weights * len(points)).labels_
    mass = np.bincount(labels, weights, minlength=count)
    means = np.zeros((count, points.shape[1]))
    np.add.at(means, labels, points * weights[:, None])
    filled = mass > 0
    means = means[filled] / mass[filled, None]
    return Measure.of(torch.from_numpy(means).to(measure.points), torch.from_numpy(mass[filled]))


def recentred(centroids: Measure, whole: Measure, *, steps: int = 2) -> Measure:
    """Centroids found on a sample, moved to the means of a larger one: Lloyd's steps, one product of (n, c) each.

    Which thousand regions the centroids cut hardly matters; how many documents stand behind each mean and mass does
    (docs/log.md). So they are found on few documents and then measured on many.

    Args:
        centroids: (c, d) points, where to start.
        whole: (n, d) points, in half precision if need be, and weights to measure on. Summed on the CPU: in one order,
            so that a GPU gives the same centroids each time.
        steps: how often; centroids nearest to nothing are dropped.
    """
    for _ in range(steps):
        count, dim = centroids.points.shape
        mass = torch.zeros(count, dtype=torch.float64)
        sums = torch.zeros(count, dim, dtype=torch.float64)
        lengths = (centroids.points * centroids.points).sum(1)
        for start in range(0, len(whole), _BLOCK):
            points = whole.points[start : start + _BLOCK].to("cpu", centroids.points.dtype)
            weights = whole.weights[start : start + _BLOCK].cpu()
            nearest = torch.addmm(lengths, points.to(lengths.device), centroids.points.T, alpha=-2).argmin(1).cpu()
            mass.index_add_(0, nearest, weights.double())
            sums.index_add_(0, nearest, (points * weights[:, None]).double())
        filled = mass > 0
        means = sums[filled] / mass[filled, None]
        centroids = Measure.of(means.to(centroids.points), mass[filled])
    return centroids
