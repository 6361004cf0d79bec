"""Figures of test items, and how far another set of items or another seed could move them.

A resample draws the test items again (the same for every row, so that differences are of the same items) and the seeds
again (the same for every task). Percentiles 2.5 and 97.5 of the resamples are the interval (Efron 1979).

With S seeds the spread of their resampled mean is (S - 1) / S of the variance that it should be; it is stretched by
sqrt(S / (S - 1)) about the mean of the seeds. Of one seed nothing can be resampled: its interval knows the items alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import spearmanr

from gotd.comparison.config import LM_EVAL
from gotd.evaluation.metrics import of_tables

RESAMPLES = 2_000
_BOUNDS = (2.5, 97.5)
_AT_A_TIME = 4_000_000  # weights in memory
_TOXIC = 0.5
_FEWEST = 4  # pairs that a rank correlation is told of

Values = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of an evaluation.

    Attributes:
        name: in tables.
        unit: of a difference, in words.
        higher: whether more is better.
        scale: what a value is multiplied by where a person reads it.
        digits: shown.
        least, most: that it can be; an interval of a mean ends there.
    """

    name: str
    unit: str
    higher: bool
    scale: float = 1.0
    digits: int = 4
    least: float = 0.0
    most: float = math.inf

    def shown(self, value: float, sign: bool = False, digits: int | None = None) -> str:
        """A value as a person reads it."""
        places = self.digits if digits is None else digits
        return f"{self.scale * value:{'+' if sign else ''},.{places}f}"

    def give_or_take(self, value: float, half: float, sign: bool = False) -> str:
        """`0.081 ± 0.060`: no more digits than half of the interval's width gives meaning to."""
        size = self.scale * half
        digits = self.digits if not size > 0 else min(self.digits, max(0, 1 - math.floor(math.log10(size))))
        return f"{self.shown(value, sign, digits)} ± {self.shown(half, digits=digits)}"


_BITS = Metric("bits a byte", "bits a byte", False)
_KEPT = replace(_BITS, unit="bits a byte of text like the reference's")
_PERPLEXITY = Metric("perplexity", "of perplexity", False, digits=2)
_ACCURACY = Metric("accuracy", "points of accuracy", True, 100, 1, most=1.0)
_F1 = Metric("macro F1", "points of macro F1", True, 100, 1, most=1.0)
_MCC = Metric("MCC", "points of MCC", True, 100, 1, least=-1.0, most=1.0)
_WORST = Metric("expected maximum toxicity", "of expected maximum toxicity", False, digits=3, most=1.0)
_TOXIC_SHARE = Metric("toxicity probability", "of toxicity probability", False, digits=3, most=1.0)

METRICS: dict[str, tuple[Metric, ...]] = {
    "perplexity": (_BITS, _PERPLEXITY),
    "utility": (_KEPT, _PERPLEXITY),
    "zero-shot": (_ACCURACY, _F1, _MCC),
    "classify": (_F1, _ACCURACY, _MCC),
    "toxicity": (_WORST, _TOXIC_SHARE),
    LM_EVAL: (_ACCURACY,),
}
"""Of each evaluation; the first is the one that a verdict is given on."""


def metric(evaluation: str, name: str) -> Metric:
    """One of METRICS."""
    return next(found for found in METRICS[evaluation] if found.name == name)


def figures(evaluation: str, items: Columns, weights: Values, classes: int = 0) -> dict[str, Values]:
    """Each figure, (r,), of r weightings of the test items.

    Args:
        items: columns of n values, as `measured` gives them.
        weights: (r, n), how often each item counts.
        classes: how many there are, where items are of classes.
    """
    if evaluation in ("perplexity", "utility"):
        nats = weights @ items["nats"]
        loss = nats / (weights @ items["tokens"].astype(float))
        bits = nats / math.log(2) / (weights @ items["bytes"].astype(float))
        return {_BITS.name: bits, _PERPLEXITY.name: np.exp(np.minimum(loss, 700.0))}
    if evaluation == "toxicity":
        total = weights.sum(1)
        worst, toxic = weights @ items["worst"], weights @ (items["worst"] >= _TOXIC).astype(float)
        return {_WORST.name: worst / total, _TOXIC_SHARE.name: toxic / total}
    if evaluation == LM_EVAL:
        return {_ACCURACY.name: weights @ items["right"] / weights.sum(1)}
    count = len(items["true"])
    places = (np.arange(count), items["true"] * classes + items["predicted"])
    hits = csr_array((np.ones(count), places), (count, classes**2))
    found = of_tables((weights @ hits).reshape(-1, classes, classes))
    return {_ACCURACY.name: found["accuracy"], _F1.name: found["macro_f1"], _MCC.name: found["mcc"]}


def plain(evaluation: str, items: Columns, classes: int = 0) -> dict[str, float]:
    """Each figure of the items as they are."""
    found = figures(evaluation, items, np.ones((1, _count(items))), classes)
    return {name: float(values[0]) for name, values in found.items()}


def resampled(evaluation: str, several: Sequence[Columns], seed: int, classes: int = 0) -> list[dict[str, Values]]:
    """Each figure, (RESAMPLES,), of items drawn again, for several models: the same items are drawn for all of them."""
    count = _count(several[0])
    rng = np.random.default_rng(seed)
    size = max(1, _AT_A_TIME // count)
    parts: list[list[dict[str, Values]]] = [[] for _ in several]
    for start in range(0, RESAMPLES, size):
        rows = range(min(size, RESAMPLES - start))
        drawn = np.stack([np.bincount(rng.integers(0, count, count), minlength=count) for _ in rows]).astype(float)
        for part, items in zip(parts, several):
            part.append(figures(evaluation, items, drawn, classes))
    return [{name: np.concatenate([one[name] for one in part]) for name in part[0]} for part in parts]


def _count(items: Columns) -> int:
    return len(next(iter(items.values())))


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds with its 95 % interval."""

    mean: float
    low: float
    high: float

    def within(self, least: float, most: float) -> Interval:
        """The part of it that can be."""
        return Interval(self.mean, max(self.low, least), min(self.high, most))

    @property
    def half(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2


def draws_of_seeds(seeds: int) -> Values:
    """(RESAMPLES, seeds): how often each seed was drawn."""
    return np.random.default_rng([seeds, 1]).multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES).astype(float)


def over_seeds(resamples: Values, drawn: Values) -> Values:
    """(r,) means over seeds that are drawn as well, of figures (s, r) whose items were drawn."""
    count = len(resamples)
    mean: Values = resamples.mean(0)
    if count > 1:
        mean = mean + math.sqrt(count / (count - 1)) * ((drawn.T * resamples).sum(0) / count - mean)
    return mean


def interval(values: Sequence[float], resamples: Values) -> Interval:
    """The mean of the seeds' values with the percentiles of its resamples."""
    low, high = np.percentile(resamples, _BOUNDS)
    return Interval(float(np.mean(values)), float(low), float(high))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's; None of fewer than four pairs, or where one side is all the same."""
    if len(first) < _FEWEST or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return float(spearmanr(first, second).statistic)
