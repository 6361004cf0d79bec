"""What a comparison shows, in plain words: better, worse, or not better than the baseline, as the interval says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gotd.comparison.cells import TUNED
from gotd.comparison.config import NONE, Config
from gotd.comparison.results import ALL, Results, Row
from gotd.comparison.statistics import METRICS
from gotd.selection.budget import Budget
from gotd.selection.methods import GOTD

Outcome = Literal["better", "worse", "open"]
ONE_SEED = "one seed shows nothing about seeds"


def outcome(row: Row) -> Outcome:
    """What the interval of the difference says; `open` where it holds 0."""
    gain = row.gain
    if gain is None or gain.low <= 0 <= gain.high:
        return "open"
    return "better" if gain.mean > 0 else "worse"


def sentence(row: Row, baseline: str) -> str:
    """One row against the baseline, such as `gotd beats random by 1.8 ± 0.6 points of accuracy at 5,000 documents`."""
    gain, of = row.gain, row.of
    assert gain is not None
    assert row.difference is not None
    by = f"{of.give_or_take(abs(gain.mean), gain.half)} {of.unit}"
    # Without labels perplexity is judged after both stages, and the two may differ.
    after = f" after {TUNED}" if row.evaluation == "perplexity" and row.stage == TUNED else ""
    where = f"at {budget_in_words(row.budget)} on {_tasks(row)}{after}"
    seeds = f"{row.seeds} seeds" if row.seeds != 1 else ONE_SEED
    found = outcome(row)
    if row.seeds == 1:
        said = {"better": f"is ahead of {baseline} by {by}", "worse": f"is behind {baseline} by {by}"}
    else:
        said = {"better": f"beats {baseline} by {by}", "worse": f"is worse than {baseline} by {by}"}
    if found == "open":
        apart = f"{of.give_or_take(row.difference.mean, gain.half, sign=True)} {of.unit}"
        return f"{row.row} is not better than {baseline} here: {apart} {where} ({seeds})."
    return f"{row.row} {said[found]} {where} ({seeds})."


def main_rows(config: Config, results: Results) -> list[Row]:
    """The rows that a verdict is given on: of the first figure of every evaluation, over all tasks where there are
    several, at every budget; the baseline and the row without a warm-up left out."""
    first = [row for row in results.rows if row.metric == METRICS[row.evaluation][0].name]
    pooled = {(row.evaluation, row.stage) for row in first if row.task == ALL}
    return [
        row
        for row in first
        if row.difference is not None
        and config.method(row.row) != NONE
        and (row.task == ALL) == ((row.evaluation, row.stage) in pooled)
    ]


def headline(config: Config, results: Results) -> Row | None:
    """The row of the first sentence: gotd, or else the first that is compared, by the first evaluation at the last
    budget; None where the baseline is alone."""
    rows = main_rows(config, results)
    own = [row for row in rows if config.method(row.row) == GOTD] or rows
    own = [
        row for row in own if row.row == own[0].row and (row.evaluation, row.stage) == (own[0].evaluation, own[0].stage)
    ]
    return own[-1] if own else None


def verdict(config: Config, results: Results) -> list[str]:
    """Sentences, the main one first."""
    first = headline(config, results)
    if first is None:
        return [f"{results.baseline} is alone: there is nothing to compare it with."]
    rows = [first, *(row for row in main_rows(config, results) if row is not first)]
    return [sentence(row, results.baseline) for row in rows]


def chance(rows: Sequence[Row]) -> str | None:
    """A warning where many differences are looked at together."""
    count = len(rows)
    if count < 10:
        return None
    return f"Of {count} differences about {count / 20:.0f} would leave 0 out by chance alone."


def budget_in_words(text: str) -> str:
    """`5000docs` as `5,000 documents`."""
    budget = Budget.parse(text)
    if budget.unit == "%":
        return f"{budget.amount:g} % of the pool"
    return f"{budget.amount:,.0f} {'documents' if budget.unit == 'docs' else 'tokens'}"


def _tasks(row: Row) -> str:
    return f"average over {row.tasks} tasks" if row.task == ALL else row.task
