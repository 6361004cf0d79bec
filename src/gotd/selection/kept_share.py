"""What share of the K best of a whole pool a shortlist holds, from a random probe of the rest.

    s_1 <= s_2 <= ...      the scores of the shortlist
    o(j)                   documents outside of it that score below s_j
    kept = max { j : j + o(j) <= K }

The best K are the `kept` best of the shortlist and what beats the next of them from outside. Nobody knows o, but of m
probed documents x(j) score below s_j, so that o(j) is about U x(j) / m where U are outside. The interval puts the
bounds of Clopper & Pearson (1934) in its place; since both sides of the inequality grow with j, the low end exceeds the
truth only if the bound fails at the one j = kept + 1, and the high end likewise at j = kept: it covers at its level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class KeptShare:
    """The estimate.

    Attributes:
        share: of the K best of the whole pool that the shortlist holds.
        low, high: the interval at LEVEL.
        best: K.
        shortlist, outside, probed: documents on it, not on it, and those of them that were scored.
    """

    share: float
    low: float
    high: float
    best: int
    shortlist: int
    outside: int
    probed: int


def kept_share(shortlist: NDArray[np.float32], probe: NDArray[np.float32], outside: int, best: int) -> KeptShare:
    """The estimate from the scores of a shortlist (n,) and of a uniform probe (m,) of the `outside` others.

    Args:
        best: K, at most n.
    """
    order = np.sort(shortlist)[:best]
    below = np.searchsorted(np.sort(probe), order, side="left")
    ranks = np.arange(1, best + 1)

    def kept(beating: NDArray[np.float64]) -> float:
        """`kept` as a share, for the documents from outside (K,) that beat each of the shortlist."""
        return float((ranks + beating <= best).sum()) / best

    sizes = best, len(shortlist), outside, len(probe)
    if len(probe) >= outside:  # nothing is left to guess
        found = kept(below.astype(np.float64))
        return KeptShare(found, found, found, *sizes)
    low, high = bounds(below, len(probe))
    return KeptShare(kept(outside * below / max(len(probe), 1)), kept(outside * high), kept(outside * low), *sizes)


def bounds(hits: NDArray[np.int64], draws: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clopper & Pearson's interval at LEVEL for a share of which `draws` draws found `hits`; without draws, 0 to 1."""
    from scipy.stats import beta

    if not draws:
        return np.zeros(len(hits)), np.ones(len(hits))
    tail = (1 - LEVEL) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(hits > 0, beta.ppf(tail, hits, draws - hits + 1), 0.0)
        high = np.where(hits < draws, beta.ppf(1 - tail, hits + 1, draws - hits), 1.0)
    return low, high
