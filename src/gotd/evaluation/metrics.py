"""Accuracy, F1 and MCC of predicted labels, and how far chance could move them.

The intervals are percentiles of a bootstrap over the documents (Efron 1979): they tell how the figures would vary with
another test set of this size. How they vary with the seed of training is told apart, by the standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

METRICS = ("accuracy", "micro_f1", "macro_f1", "mcc")
RESAMPLES = 1000
_INTERVAL = (2.5, 97.5)

Labels = NDArray[np.int64]


def metrics(true: Labels, predicted: Labels, classes: int) -> dict[str, float]:
    """The four figures of labels 0 to classes - 1; F1 counts 0 for a class without a hit."""
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    every = np.arange(classes)
    f1 = {name: f1_score(true, predicted, labels=every, average=name, zero_division=0) for name in ("micro", "macro")}
    return {
        "accuracy": float(accuracy_score(true, predicted)),
        "micro_f1": float(f1["micro"]),
        "macro_f1": float(f1["macro"]),
        # One class alone on both sides is no correlation: 0, as scikit-learn has it, but without its warning.
        "mcc": float(matthews_corrcoef(true, predicted)) if len({*true, *predicted}) > 1 else 0.0,
    }


def intervals(
    true: Labels, predictions: Sequence[Labels], classes: int, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap interval of each figure, averaged over the models of several seeds.

    Args:
        predictions: (n,) of each model; one resample of documents serves all of them.
    """
    cells = [true * classes + predicted for predicted in predictions]

    def figures(rows: Labels) -> Any:
        tables = [np.bincount(cell[rows], minlength=classes**2).reshape(classes, classes) for cell in cells]
        return np.mean([of_table(table) for table in tables], axis=0)

    low, high = bootstrap(len(true), figures, seed)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(METRICS)}


def bootstrap(count: int, figure: Callable[[Labels], Any], seed: int = 0) -> tuple[Any, Any]:
    """Ends of the 95 % interval of a figure, or of an array of figures.

    Args:
        count: documents there are.
        figure: of documents drawn with replacement, (count,) row numbers.
    """
    rng = np.random.default_rng(seed)
    drawn = [figure(rng.integers(0, count, count)) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, _INTERVAL, axis=0)
    return low, high


def of_table(table: NDArray[np.int64]) -> tuple[float, float, float, float]:
    """The figures of METRICS of a confusion matrix, (classes, classes): true by predicted. The same as `metrics`, but
    fast enough to resample."""
    count = table.sum()
    hits, of_true, of_predicted = np.diag(table), table.sum(1), table.sum(0)
    accuracy = hits.sum() / count
    f1 = 2 * hits / np.maximum(of_true + of_predicted, 1)
    # Gorodkin (2004), R_K.
    spread = (count**2 - (of_true**2).sum()) * (count**2 - (of_predicted**2).sum())
    covariance = hits.sum() * count - (of_true * of_predicted).sum()
    mcc = covariance / np.sqrt(float(spread)) if spread else 0.0
    return float(accuracy), float(accuracy), float(f1.mean()), float(mcc)
