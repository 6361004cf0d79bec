"""Figures and intervals with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from gotd.comparison.statistics import (
    METRICS,
    RESAMPLES,
    Interval,
    draws_of_seeds,
    figures,
    interval,
    metric,
    over_seeds,
    plain,
    rank_correlation,
    resampled,
)
from gotd.evaluation.metrics import metrics


def test_figures_of_classes_are_those_of_the_evaluation() -> None:
    """With weights as with so many copies of each item; a class that nobody has counts 0 in macro F1 there and here."""
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    weights = rng.integers(0, 3, (3, 50)).astype(float)
    found = figures("classify", {"true": true, "predicted": predicted}, weights, classes=5)
    for row, times in enumerate(weights.astype(int)):
        wanted = metrics(np.repeat(true, times), np.repeat(predicted, times), 5)
        shown = {"accuracy": "accuracy", "macro F1": "macro_f1", "MCC": "mcc"}
        assert {name: found[name][row] for name in shown} == pytest.approx({k: wanted[v] for k, v in shown.items()})


def test_bits_are_of_all_texts_together() -> None:
    """Not the mean over texts: 8 bits over 1 byte and 8 over 7 are 2 bits a byte; 2 nats a token are e^2."""
    items = {"nats": np.array([8, 8]) * np.log(2), "bytes": np.array([1, 7]), "tokens": np.array([4, 4])}
    found = plain("perplexity", items)
    assert found == pytest.approx({"bits a byte": 2.0, "perplexity": 4.0})
    assert plain("utility", items) == found


def test_toxicity_counts_from_a_half_on() -> None:
    found = plain("toxicity", {"worst": np.array([0.5, 0.1, 0.9, 0.2])})
    assert found == pytest.approx({"expected maximum toxicity": 0.425, "toxicity probability": 0.5})


def test_every_evaluation_has_its_figures() -> None:
    items = {"true": np.array([0, 1]), "predicted": np.array([0, 1]), "worst": np.array([0.1, 0.2])}
    items |= {"nats": np.ones(2), "bytes": np.ones(2), "tokens": np.ones(2), "right": np.ones(2)}
    for evaluation, known in METRICS.items():
        assert {one.name for one in known} == set(plain(evaluation, items, 2))
        assert all(metric(evaluation, one.name) is one for one in known)


def test_the_interval_of_a_share_is_that_of_the_binomial() -> None:
    """60 of 100 right: 1.96 sqrt(.6 * .4 / 100) = .096 to either side."""
    true = np.zeros(100, int)
    items = {"true": true, "predicted": (np.arange(100) >= 60).astype(int)}
    [again] = resampled("classify", [items], 0, 2)
    found = interval([0.6], over_seeds(again["accuracy"][None], draws_of_seeds(1)))
    assert found.mean == 0.6
    assert (found.low, found.high) == pytest.approx((0.504, 0.696), abs=0.012)


def test_the_same_items_are_drawn_for_all() -> None:
    """So of two models that err alike, the difference has no interval at all."""
    rng = np.random.default_rng(1)
    items = {"worst": rng.random(30)}
    first, second = resampled("toxicity", [items, {"worst": items["worst"] + 1}], 7)
    [again] = resampled("toxicity", [items], 7)
    assert (again["expected maximum toxicity"] == first["expected maximum toxicity"]).all()
    apart = second["expected maximum toxicity"] - first["expected maximum toxicity"]
    assert apart == pytest.approx(np.ones(RESAMPLES))
    assert first["expected maximum toxicity"].std() > 0.01


@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_spread_of_seeds_is_that_of_their_mean(count: int) -> None:
    """Standard error s / sqrt(S) with s of S - 1 degrees of freedom; a plain bootstrap would fall short of it."""
    values = np.random.default_rng(2).normal(size=count)
    drawn = over_seeds(np.repeat(values[:, None], RESAMPLES, 1), draws_of_seeds(count))
    assert drawn.mean() == pytest.approx(values.mean(), abs=0.05)
    assert drawn.std() == pytest.approx(values.std(ddof=1) / np.sqrt(count), rel=0.06)


def test_one_seed_has_no_spread() -> None:
    drawn = over_seeds(np.full((1, RESAMPLES), 0.25), draws_of_seeds(1))
    assert interval([0.25], drawn) == Interval(0.25, 0.25, 0.25)


def test_rank_correlation() -> None:
    """Four pairs at least; none where one side does not vary."""
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 99]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, -1]) == pytest.approx(-1.0)
    assert rank_correlation([1, 2, 3], [1, 2, 3]) is None
    assert rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]) is None


@pytest.mark.parametrize(
    ("value", "half", "said"),
    [(0.01849, 0.00612, "1.8 ± 0.6"), (0.6667, 0.128, "67 ± 13"), (0.5, 0.0, "50.0 ± 0.0")],
)
def test_no_more_digits_than_the_interval_knows(value: float, half: float, said: str) -> None:
    assert metric("classify", "accuracy").give_or_take(value, half) == said


def test_bits_keep_four_digits_at_most() -> None:
    of = metric("perplexity", "bits a byte")
    assert of.give_or_take(-0.08091, 0.0599, sign=True) == "-0.081 ± 0.060"
    assert of.give_or_take(0.00091, 0.000032) == "0.0009 ± 0.0000"
