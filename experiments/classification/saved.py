"""Figure 1 of the paper: how many labels without a warm-up reach what N labels with one reach?

    python experiments/classification/saved.py COMPARISON

Of every task `NAME, N labels` of a comparison the figure of the row `none` makes a curve over N, never falling, in
lines on a logarithmic axis. What a row reaches with N labels is looked up on it. Beyond its ends there is
nothing to look up: `< 100` and `> 300` are said as such. Intervals are 95 % bootstrap over seeds, 2,000 resamples; it
knows nothing of another test set; with five seeds it is narrower than it should be.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gotd.comparison import Comparison
from gotd.comparison.config import NONE

METRIC = "macro F1"
RESAMPLES = 2_000
Scores = Mapping[int, NDArray[np.float64]]
"""Number of labels -> (seeds,) figures, in the order of the seeds."""


@dataclass(frozen=True, slots=True)
class Equal:
    """What N labels after a warm-up are worth in labels without one.

    Attributes:
        labels: N.
        worth: so many labels; the ends of the curve where it lies beyond them.
        low, high: 95 % interval, likewise.
        ends: the least and the most labels of the curve.
    """

    task: str
    row: str
    labels: int
    worth: float
    low: float
    high: float
    ends: tuple[int, int]

    def said(self, value: float) -> str:
        """A number of labels, or that it lies beyond the curve."""
        first, last = self.ends
        return f"< {first}" if value <= first else f"> {last}" if value >= last else f"{value:.0f}"


def worth(curve: Mapping[int, float], reached: float) -> float:
    """Labels at which the curve reaches a figure; its ends where it lies beyond them."""
    labels = sorted(curve)
    figures = np.maximum.accumulate([curve[count] for count in labels])
    if reached <= figures[0]:
        return float(labels[0])
    if reached >= figures[-1]:
        return float(labels[-1])
    place = int(np.searchsorted(figures, reached, side="left"))
    low, high = figures[place - 1], figures[place]
    share = (reached - low) / (high - low)
    return float(labels[place - 1] * (labels[place] / labels[place - 1]) ** share)


def equal(task: str, row: str, labels: int, without: Scores, reached: NDArray[np.float64]) -> Equal:
    """The worth of what a row reached with so many labels, seeds resampled for it and the curve together."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(reached), (RESAMPLES, len(reached)))
    found = [
        worth({n: float(s[some].mean()) for n, s in without.items()}, float(reached[some].mean())) for some in drawn
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    value = worth({n: float(s.mean()) for n, s in without.items()}, float(reached.mean()))
    return Equal(task, row, labels, value, float(low), float(high), (min(without), max(without)))


def of_comparison(comparison: Comparison) -> list[Equal]:
    """For every task with several numbers of labels, every row and number."""
    scores: dict[str, dict[str, dict[int, dict[int, float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(dict))
    )
    for cell in comparison.results.cells:
        named = re.fullmatch(r"(.+), (\d+) labels", cell["task"])
        for figure in cell["figures"]:
            if named and METRIC in figure["metrics"]:
                scores[named[1]][cell["row"]][int(named[2])][cell["seed"]] = figure["metrics"][METRIC]
    found = []
    for task, rows in scores.items():
        by_row = {
            row: {n: np.array([by_seed[seed] for seed in sorted(by_seed)]) for n, by_seed in sorted(counts.items())}
            for row, counts in rows.items()
        }
        without = by_row.pop(NONE, {})
        if len(without) > 1:
            found += [equal(task, row, n, without, s) for row, each in by_row.items() for n, s in each.items()]
    return found


def table(found: Sequence[Equal]) -> str:
    """A page of Markdown."""
    lines = ["| task | row | labels | worth, in labels without a warm-up | 95 % interval |", "|---|---|---|---|---|"]
    for one in found:
        interval = f"{one.said(one.low)} to {one.said(one.high)}"
        lines.append(f"| {one.task} | {one.row} | {one.labels} | {one.said(one.worth)} | {interval} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", help="the folder of `gotd compare`")
    found = of_comparison(Comparison.load(parser.parse_args(arguments).comparison))
    print(table(found) if found else "No task has the row `none` at two numbers of labels.")


if __name__ == "__main__":
    main()
