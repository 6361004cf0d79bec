"""The table of a comparison, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gotd.comparison.config import Config
from gotd.comparison.results import ALL, Agreement, Results, Row
from gotd.comparison.statistics import METRICS, Interval, Metric
from gotd.comparison.verdict import budget_in_words, chance, main_rows, outcome

_SIGNS = {"better": "better", "worse": "worse", "open": "not better"}


@dataclass(frozen=True, slots=True)
class Block:
    """The rows of one figure at one budget.

    Attributes:
        title: which figure, of what, at which budget.
        heads: of the columns.
        lines: cells of the table, as texts.
    """

    title: str
    heads: tuple[str, ...]
    lines: list[tuple[str, ...]]


def blocks(results: Results, main: bool = False) -> Iterator[Block]:
    """A table for every figure (the `main` one of each evaluation alone) and budget; that over all tasks comes last."""
    groups: dict[tuple[str, str, str, str, str], list[Row]] = {}
    for row in results.rows:
        if main and row.metric != METRICS[row.evaluation][0].name:
            continue
        groups.setdefault((row.task, row.evaluation, row.stage, row.metric, row.budget), []).append(row)
    for (task, evaluation, stage, name, budget), rows in groups.items():
        better = "higher is better" if rows[0].of.higher else "lower is better"
        seeds = max(row.seeds for row in rows)
        of = f"mean of {rows[0].tasks} tasks" if task == ALL else task
        size = f"{budget_in_words(budget)}, {seeds} seed{'s' if seeds != 1 else ''}"
        title = f"{of}: {name} ({evaluation} after {stage}; {better}), {size}"
        heads = ("", "mean", "95 % interval", f"minus {results.baseline}", "95 % interval", "")
        yield Block(title, heads, [_line(row) for row in rows])


def _line(row: Row) -> tuple[str, ...]:
    apart = ("", "", "")
    if row.difference is not None:
        apart = (
            row.of.shown(row.difference.mean, sign=True),
            _bounds(row.of, row.difference, True),
            _SIGNS[outcome(row)],
        )
    return (row.row, row.of.shown(row.value.mean), _bounds(row.of, row.value), *apart)


def _bounds(of: Metric, found: Interval, sign: bool = False) -> str:
    return f"{of.shown(found.low, sign)} to {of.shown(found.high, sign)}"


def agreement_lines(agreements: Sequence[Agreement]) -> list[tuple[str, ...]]:
    """Task, figure, budget, rows, and both rank correlations."""
    return [
        (
            one.task,
            f"{one.evaluation} after {one.stage}",
            budget_in_words(one.budget),
            str(len(one.rows)),
            *("" if value is None else f"{value:+.2f}" for value in (one.by_predicted, one.by_solved)),
        )
        for one in agreements
    ]


AGREEMENT_HEADS = ("task", "figure", "budget", "rows", "predicted", "solved again")


def markdown(config: Config, results: Results, verdict: Sequence[str]) -> str:
    """The whole comparison as one page of Markdown."""
    parts = ["# What the comparison shows", *(f"- {line}" for line in verdict)]
    warned = chance(main_rows(config, results))
    parts += [f"\n{warned}"] if warned else []
    for block in blocks(results):
        parts += [f"\n## {block.title}\n", *_markdown(block.heads, block.lines)]
    if results.agreements:
        said = "Spearman's rank correlation, over rows, of the decrease of the distance with the gain on the baseline."
        parts += ["\n## Does transport foretell it?\n", f"{said}\n"]
        parts += _markdown(AGREEMENT_HEADS, agreement_lines(results.agreements))
    return "\n".join(parts) + "\n"


def _markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *lines]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
