"""From cells to a table: means with intervals, paired differences to the baseline, and what transport foretold.

Differences are taken within a seed, a task and a resample, so what seeds and test items have in common falls out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa

from gotd.comparison.cells import items_of
from gotd.comparison.config import Config
from gotd.comparison.statistics import (
    METRICS,
    Interval,
    Metric,
    Values,
    draws_of_seeds,
    interval,
    metric,
    over_seeds,
    rank_correlation,
    resampled,
)

ALL = "all tasks"

Told = Mapping[str, Any]
"""A finished cell, as its cell.json has it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one row of the comparison at one budget.

    Attributes:
        task: its name, or ALL for the mean over those that have the figure.
        evaluation, stage, metric: which figure.
        row: of the comparison.
        budget: as the config has it.
        value: over seeds.
        difference: to the baseline; None of the baseline itself.
        seeds: how many; 0 where nothing is drawn.
        items: in the test set, of all tasks together under ALL.
        tasks: 1, or how many the mean is over.
        values: of each seed.
    """

    task: str
    evaluation: str
    stage: str
    metric: str
    row: str
    budget: str
    value: Interval
    difference: Interval | None
    seeds: int
    items: int
    tasks: int
    values: tuple[float, ...]

    @property
    def of(self) -> Metric:
        """What is measured."""
        return metric(self.evaluation, self.metric)

    @property
    def gain(self) -> Interval | None:
        """The difference, turned so that above 0 is better."""
        if self.difference is None or self.of.higher:
            return self.difference
        return Interval(-self.difference.mean, -self.difference.high, -self.difference.low)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether the rows that transport prefers are the better ones, on one task at one budget.

    Attributes:
        rows: names.
        predicted, solved: decrease of the distance to the target, mean over seeds.
        gained: by how much the figure is better than the baseline's, mean over seeds.
        by_predicted, by_solved: Spearman's rank correlation of either with the gain; None of too few rows.
    """

    task: str
    evaluation: str
    stage: str
    metric: str
    budget: str
    rows: tuple[str, ...]
    predicted: tuple[float, ...]
    solved: tuple[float, ...]
    gained: tuple[float, ...]
    by_predicted: float | None
    by_solved: float | None


@dataclass(frozen=True, slots=True)
class Results:
    """A finished comparison.

    Attributes:
        rows: every figure.
        agreements: of the first figure of every evaluation.
        cells: as they were run.
        baseline: the row that differences are to.
    """

    rows: list[Row]
    agreements: list[Agreement]
    cells: list[Told]
    baseline: str


@dataclass(frozen=True, slots=True)
class _Series:
    """One figure of one row: the seeds' values (s,) and their resamples (s, r)."""

    values: Values
    resamples: Values
    items: int
    seeds: int


_Key = tuple[str, str, str]  # evaluation, stage, metric


def results(config: Config, cells: Sequence[Told], folder: Path) -> Results:
    """The figures of all cells of a comparison."""
    seeds = list(config.seeds)
    drawn = draws_of_seeds(len(seeds))
    found: dict[_Key, dict[str, dict[tuple[str, str], _Series]]] = {}
    for task in config.tasks:
        mine = [cell for cell in cells if cell["task"] == task.name]
        for key, series in _of_task(config, mine, folder).items():
            found.setdefault(key, {})[task.name] = series
    rows = []
    for key, tasks in found.items():
        for name, series in tasks.items():
            rows += list(_rows(config, key, name, [series], drawn))
        if len(tasks) > 1:
            rows += list(_rows(config, key, ALL, list(tasks.values()), drawn))
    return Results(rows, list(_agreements(rows, cells)), list(cells), config.baseline)


def _of_task(config: Config, cells: Sequence[Told], folder: Path) -> dict[_Key, dict[tuple[str, str], _Series]]:
    """The series of every row and budget of a task, by figure. A row without a warm-up is there at every budget."""
    judged: dict[str, list[tuple[Told, Told]]] = {}
    for cell in cells:
        for figure in cell["figures"]:
            judged.setdefault(figure["evaluation"], []).append((cell, figure))
    values: dict[tuple[_Key, str, str], dict[int | None, tuple[float, Values, int]]] = {}
    for evaluation, pairs in judged.items():
        items = [items_of(folder, cell, figure) for cell, figure in pairs]
        # The same items are drawn for every row, budget and seed, and for tasks that are judged on the same files.
        task = config.task(pairs[0][0]["task"])
        data = task.data_of(evaluation, config.reference) or task.evaluate[evaluation]["task"]
        seed = crc32(f"{data} {evaluation}".encode())
        classes = len(pairs[0][1]["told"].get("classes", ()))
        for (cell, figure), again in zip(pairs, resampled(evaluation, items, seed, classes)):
            for name, value in figure["metrics"].items():
                key = (evaluation, figure["stage"], name)
                for budget in config.budgets if cell["budget"] is None else (cell["budget"],):
                    of_seed = values.setdefault((key, cell["row"], budget), {})
                    of_seed[cell["seed"]] = (value, again[name], len(next(iter(items[0].values()))))
    found: dict[_Key, dict[tuple[str, str], _Series]] = {}
    for (key, row, budget), of_seed in values.items():
        every = [of_seed[seed if seed in of_seed else None] for seed in config.seeds]
        found.setdefault(key, {})[row, budget] = _Series(
            np.array([value for value, _, _ in every]),
            np.stack([again for _, again, _ in every]),
            every[0][2],
            0 if None in of_seed else len(every),
        )
    return found


def _rows(
    config: Config,
    key: _Key,
    task: str,
    parts: Sequence[Mapping[tuple[str, str], _Series]],
    drawn: Values,
) -> Iterator[Row]:
    """A row of the table for every row of the comparison and budget; of several tasks the mean of them."""
    evaluation, stage, name = key
    of = metric(evaluation, name)
    for budget in config.budgets:
        base = [part[config.baseline, budget] for part in parts]
        for row in config.methods:
            series = [part[row, budget] for part in parts]
            difference = None
            if row != config.baseline:
                apart = [(a.values - b.values, a.resamples - b.resamples) for a, b in zip(series, base)]
                difference = _mean(apart, drawn)
            yield Row(
                task,
                evaluation,
                stage,
                name,
                row,
                budget,
                _mean([(part.values, part.resamples) for part in series], drawn).within(of.least, of.most),
                difference,
                series[0].seeds,
                sum(part.items for part in series),
                len(parts),
                tuple(np.mean([part.values for part in series], axis=0).tolist()),
            )


def _mean(parts: Sequence[tuple[Values, Values]], drawn: Values) -> Interval:
    """The mean over tasks: seeds are drawn alike for all of them, items for each."""
    return interval(
        np.mean([values for values, _ in parts], axis=0).tolist(),
        over_seeds(np.mean([resamples for _, resamples in parts], axis=0), drawn),
    )


def _agreements(rows: Sequence[Row], cells: Sequence[Told]) -> Iterator[Agreement]:
    """Of every task, budget and stage, for the first figure of each evaluation."""
    foretold: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for cell in cells:
        if cell["predicted"] is not None:
            key = (cell["task"], cell["row"], cell["budget"])
            foretold.setdefault(key, []).append((cell["predicted"], cell["solved"]))
    groups: dict[tuple[str, str, str, str, str], list[Row]] = {}
    for row in rows:
        first = METRICS[row.evaluation][0].name
        if row.metric == first and (row.task, row.row, row.budget) in foretold:
            groups.setdefault((row.task, row.evaluation, row.stage, row.metric, row.budget), []).append(row)
    for (task, evaluation, stage, name, budget), group in groups.items():
        pairs = [np.mean(foretold[task, row.row, budget], axis=0) for row in group]
        predicted, solved = (tuple(float(pair[i]) for pair in pairs) for i in (0, 1))
        gained = tuple(0.0 if row.gain is None else row.gain.mean for row in group)
        yield Agreement(
            task,
            evaluation,
            stage,
            name,
            budget,
            tuple(row.row for row in group),
            predicted,
            solved,
            gained,
            rank_correlation(predicted, gained),
            rank_correlation(solved, gained),
        )


def raw(cells: Sequence[Told]) -> pa.Table:
    """One row a cell and figure: what `cells.parquet` holds."""
    found = []
    told = ("task", "row", "method", "budget", "seed", "tokens", "documents", "predicted", "solved", "seconds")
    for cell in cells:
        for figure in cell["figures"]:
            for name, value in figure["metrics"].items():
                of = metric(figure["evaluation"], name)
                about = {part: figure[part] for part in ("evaluation", "stage")}
                found.append(
                    {**{part: cell[part] for part in told}, **about, "metric": name, "value": value}
                    | {"higher_is_better": of.higher, "cell": cell["key"]}
                )
    return pa.Table.from_pylist(found)


def as_csv(rows: Sequence[Row]) -> str:
    """The table for machines: values as they are, differences as measured."""
    out = io.StringIO()
    names = ("task", "evaluation", "stage", "metric", "row", "budget", "seeds", "items", "tasks")
    heads = ["mean", "low", "high", "difference", "difference_low", "difference_high", "higher_is_better"]
    written = csv.writer(out, lineterminator="\n")
    written.writerow([*names, *heads])
    for row in rows:
        apart = ["", "", ""] if row.difference is None else list(asdict(row.difference).values())
        written.writerow([*(getattr(row, name) for name in names), *asdict(row.value).values(), *apart, row.of.higher])
    return out.getvalue()
