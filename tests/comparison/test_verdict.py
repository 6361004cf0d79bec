"""What is said, from figures that are made up: direction, seeds, several tasks, and nothing beyond the interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gotd.comparison import Config, Task
from gotd.comparison.plan import cells_of
from gotd.comparison.results import ALL, Results, results
from gotd.comparison.statistics import plain
from gotd.comparison.verdict import budget_in_words, chance, headline, main_rows, outcome, sentence, verdict

Level = Callable[[str, str, int], float]
"""(task, row, seed) -> the level of a figure."""


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[Config, Results]]:
    """made(evaluation, level, **config): results of cells whose 200 items lie about a level, with noise of the item."""

    def make(evaluation: str, level: Level, **given: Any) -> tuple[Config, Results]:
        names = given.pop("tasks", ("one",))
        needs = {"train": ("t",), "label_field": "label"} if evaluation == "classify" else {}
        tasks = tuple(Task(name, ("x",), test=(f"{name}.jsonl",), evaluate={evaluation: {}}, **needs) for name in names)
        methods = {"none": {}, "random": {}, "gotd": {}}
        config = Config(model="m", candidates=("p",), tasks=tasks, methods=methods, budgets=("5000docs",))
        config = replace(config, **given)
        return config, results(
            config, [_cell(config, cell, evaluation, level, tmp_path) for cell in cells_of(config)], tmp_path
        )

    return make


def _cell(config: Config, cell: Any, evaluation: str, level: Level, folder: Path) -> dict[str, Any]:
    # What items have in common is the same for all rows of a task; what a row adds is its own.
    common = np.random.default_rng(len(cell.task)).normal(0, 0.3, 200)
    at = level(cell.task, cell.row, cell.seed or 0)
    if evaluation == "perplexity":
        items = {"nats": 100 * (common + at) * np.log(2), "bytes": np.full(200, 100), "tokens": np.full(200, 25)}
    else:
        true = np.arange(200) % 2
        items = {"true": true, "predicted": np.where(np.arange(200) < 200 * at, true, 1 - true)}
    place = folder / "cells" / cell.name
    place.mkdir(parents=True)
    pq.write_table(pa.table(items), place / "items.parquet")
    told = {"classes": ["a", "b"]} if evaluation == "classify" else {}
    figure = {"evaluation": evaluation, "stage": "warm-up", "items": "items.parquet", "told": told}
    figure["metrics"] = plain(evaluation, items, len(told.get("classes", ())))
    reads = config.method(cell.row) != "none"
    gained = {"predicted": -at, "solved": at} if reads else {"predicted": None, "solved": None}
    return {**asdict(cell), **gained, "method": config.method(cell.row), "figures": [figure], "key": "", "tokens": 1}


def test_lower_bits_beat_random(made: Callable[..., Any]) -> None:
    """The items' noise is common to both and drops out: what is left is the seeds' .01, .02, .03."""
    config, found = made("perplexity", lambda task, row, seed: 2 - (row == "gotd") * 0.01 * (seed + 1))
    [row] = main_rows(config, found)
    assert (row.row, outcome(row)) == ("gotd", "better")
    assert row.difference.mean == pytest.approx(-0.02)
    assert row.gain.mean == pytest.approx(0.02)
    assert row.gain.half < 0.015 < row.value.half
    assert (
        sentence(row, "random") == "gotd beats random by 0.020 ± 0.012 bits a byte at 5,000 documents on one (3 seeds)."
    )


def test_higher_bits_are_worse(made: Callable[..., Any]) -> None:
    config, found = made("perplexity", lambda task, row, seed: 2 + (row == "gotd") * 0.01 * (seed + 1))
    assert verdict(config, found)[0].startswith("gotd is worse than random by 0.020 ± 0.012 bits a byte at")


def test_bits_of_one_kind_are_not_taken_for_another(made: Callable[..., Any]) -> None:
    """After either stage, of the task or of the reference: sentences that else would contradict each other."""
    config, found = made("perplexity", lambda task, row, seed: 2 - (row == "gotd") * 0.01 * (seed + 1))
    [row] = main_rows(config, found)
    others = ({"stage": "fine-tuning"}, {"evaluation": "utility"})
    said = {sentence(replace(row, **other), "random") for other in others}
    assert said == {
        "gotd beats random by 0.020 ± 0.012 bits a byte at 5,000 documents on one after fine-tuning (3 seeds).",
        "gotd beats random by 0.020 ± 0.012 bits a byte of text like the reference's at 5,000 documents on one "
        "(3 seeds).",
    }


def test_higher_accuracy_beats_and_lower_does_not(made: Callable[..., Any]) -> None:
    config, found = made("classify", lambda task, row, seed: 0.7 + (row == "gotd") * 0.1)
    [row] = main_rows(config, found)
    assert row.metric == "macro F1"
    # One item in ten is right for the one and wrong for the other: 1.96 sqrt(.1 * .9 / 200) = .042.
    assert sentence(row, "random").startswith("gotd beats random by 10.0 ± 4.2 ")
    assert "points of macro F1 at 5,000 documents on one (3 seeds)." in sentence(row, "random")
    worse = next(row for row in found.rows if (row.row, row.metric) == ("none", "accuracy"))
    assert outcome(worse) == "open"


def test_an_interval_that_holds_zero_is_not_better(made: Callable[..., Any]) -> None:
    """Better in two seeds of three."""
    config, found = made("perplexity", lambda task, row, seed: 2 - (row == "gotd") * (0.01, 0.01, -0.015)[seed])
    [said] = verdict(config, found)
    assert said.startswith("gotd is not better than random here: -0.002 ± 0.015 bits a byte at 5,000 documents on one")


def test_one_seed_says_nothing_of_seeds(made: Callable[..., Any]) -> None:
    config, found = made("perplexity", lambda task, row, seed: 2 - (row == "gotd") * 0.02, seeds=(4,))
    [said] = verdict(config, found)
    assert said.startswith("gotd is ahead of random by 0.0200 ± 0.0000 bits a byte")
    assert said.endswith("(one seed shows nothing about seeds).")


def test_tasks_are_averaged_and_their_own_rows_stay(made: Callable[..., Any]) -> None:
    """.03 on one task, .01 on the other; the headline is of both."""
    level = lambda task, row, seed: 2 - (row == "gotd") * (0.03 if task == "one" else 0.01)  # noqa: E731
    config, found = made("perplexity", level, tasks=("one", "other"))
    own = {row.task: row.gain.mean for row in found.rows if (row.row, row.metric) == ("gotd", "bits a byte")}
    assert own == pytest.approx({"one": 0.03, "other": 0.01, ALL: 0.02})
    [row] = main_rows(config, found)
    assert (row.task, row.tasks, row.items) == (ALL, 2, 400)
    # Two tasks of texts that err apart: half of the root of both squares.
    halves = {one.task: one.value.half for one in found.rows if (one.row, one.metric) == ("gotd", "bits a byte")}
    assert halves[ALL] == pytest.approx(np.hypot(halves["one"], halves["other"]) / 2, rel=0.1)
    assert "at 5,000 documents on average over 2 tasks (3 seeds)" in verdict(config, found)[0]


def test_without_a_warm_up_is_there_at_every_budget(made: Callable[..., Any]) -> None:
    config, found = made(
        "perplexity", lambda *given: 2.0 + (given[1] == "none"), budgets=("50docs", "5%", "7000tokens")
    )
    rows = [row for row in found.rows if (row.row, row.metric) == ("none", "bits a byte")]
    assert [row.budget for row in rows] == ["50docs", "5%", "7000tokens"]
    assert all((row.seeds, row.difference.mean) == (0, pytest.approx(1.0)) for row in rows)
    assert headline(config, found).budget == "7000tokens"
    words = [budget_in_words(budget) for budget in config.budgets]
    assert words == ["50 documents", "5 % of the pool", "7,000 tokens"]


def test_transport_agrees_where_it_ranks_as_the_loss_does(made: Callable[..., Any]) -> None:
    """Four rows whose predicted decrease falls with their loss, and whose solved one rises with it."""
    methods = {name: {"method": "random"} for name in ("random", "a", "b", "c")}
    _, found = made("perplexity", lambda task, row, seed: 2 + ord(row[0]) / 100, methods=methods)
    [one] = found.agreements
    assert (one.by_predicted, one.by_solved) == (pytest.approx(1.0), pytest.approx(-1.0))
    assert one.gained[0] == 0.0
    assert outcome(next(row for row in found.rows if row.row == "random")) == "open"


def test_many_differences_come_with_a_warning(made: Callable[..., Any]) -> None:
    rows = [object()] * 40
    assert chance(rows[:9]) is None
    assert chance(rows) == "Of 40 differences about 2 would leave 0 out by chance alone."


def test_tasks_of_one_test_set_are_drawn_alike(made: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of Figure 1, which differ in their labels alone: two of them know no more of the test than one."""
    level = lambda task, row, seed: 2 - (row == "gotd") * 0.02  # noqa: E731
    _, apart = made("perplexity", level, tasks=("one", "two"))
    monkeypatch.setattr(Task, "data_of", lambda task, evaluation, reference: ("same.jsonl",))
    _, alike = made("perplexity", level, tasks=("six", "ten"))

    def half(found: Results) -> float:
        return next(row.value.half for row in found.rows if (row.task, row.row) == (ALL, "gotd"))

    assert half(alike) == pytest.approx(np.sqrt(2) * half(apart), rel=0.1)
