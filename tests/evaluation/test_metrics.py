"""Figures by hand, by scikit-learn, and from the confusion matrix, which must agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd.evaluation.metrics import intervals, metrics, of_tables

labels = st.integers(2, 5).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=40),
    )
)


def test_by_hand() -> None:
    """3 of 4 right; F1 of the classes 2/3 and 4/5; MCC = (2 * 1 - 1 * 0) / sqrt(2 * 2 * 3 * 1)."""
    found = metrics(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2)
    expected = {"accuracy": 3 / 4, "micro_f1": 3 / 4, "macro_f1": (2 / 3 + 4 / 5) / 2, "mcc": 2 / 12**0.5}
    assert found == pytest.approx(expected)


@given(labels)
def test_the_table_gives_what_scikit_learn_gives(case: tuple[int, list[tuple[int, int]]]) -> None:
    classes, pairs = case
    true, predicted = np.array(pairs).T
    table = np.zeros((1, classes, classes))
    np.add.at(table[0], (true, predicted), 1)
    found = {name: float(value) for name, (value,) in of_tables(table).items()}
    assert found == pytest.approx(metrics(true, predicted, classes))


def test_the_interval_of_an_accuracy_is_that_of_a_proportion() -> None:
    """400 documents, half right: 0.5 plus or minus 1.96 * sqrt(.25 / 400) = .049."""
    true = np.tile([0, 1], 200)
    predicted = np.repeat([0, 1], 200)
    low, high = intervals(true, [predicted], 2)["accuracy"]
    assert (low, high) == pytest.approx((0.451, 0.549), abs=0.006)
    both = intervals(true, [predicted, 1 - predicted], 2)["accuracy"]
    assert both == pytest.approx((0.5, 0.5))  # where one errs the other is right: the mean never moves


def test_who_is_always_right_is_so_in_every_resample() -> None:
    true = np.arange(30) % 3
    assert set(intervals(true, [true], 3).values()) == {(1.0, 1.0)}


def test_a_large_test_set_has_an_interval_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """120,000 documents: their number to the fourth is above what 64 bits hold."""
    monkeypatch.setattr("gotd.evaluation.metrics.RESAMPLES", 10)
    true = np.tile([0, 1], 60_000)
    predicted = np.where(np.arange(120_000) % 10 < 2, 1 - true, true)
    low, high = intervals(true, [predicted], 2)["mcc"]
    assert low < 0.6 < high
    assert high - low < 0.02
