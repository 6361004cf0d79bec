"""The page about a comparison: verdict, figures with intervals, paired differences, transport against the gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gotd.comparison.config import NONE
from gotd.comparison.results import Agreement, Row
from gotd.comparison.running import Comparison
from gotd.comparison.statistics import METRICS
from gotd.comparison.table import agreement_lines, blocks
from gotd.comparison.verdict import ONE_SEED, budget_in_words, chance, headline, main_rows, outcome
from gotd.reporting.page import Section, document, fill
from gotd.reporting.sections import flat
from gotd.reporting.verdict import Check
from gotd.selection.methods import GOTD

SCRIPTS = ("page.js", "charts.js", "comparison.js")
_APART = 0.02  # of the tokens: windows are whole, so cells may differ by one or two


def comparison_page(found: Comparison) -> str:
    """The whole page."""
    sections = [_verdict(found), _figures(found), _differences(found), _foretold(found), _made(found)]
    title = f"gotd: {found.folder.resolve().name}"
    return document(title, sections, {"comparison": drawn(found)}, SCRIPTS)


def _verdict(found: Comparison) -> Section:
    config, results = found.config, found.results
    said, first = found.verdict, headline(config, results)
    looked = checks(found)
    counts = found.manifest["counts"]
    body = fill(
        "compared.html",
        headline=said[0].rstrip("."),
        others=said[1:],
        model=config.model,
        rows=len(config.methods),
        budgets=[budget_in_words(budget) for budget in config.budgets],
        tasks=[task.name for task in config.tasks],
        seeds=len(config.seeds),
        cells=counts["cells"],
        figures=[] if first is None else _of_headline(first, results.rows, results.baseline),
        checks=looked,
        doubts=sum(not check.good for check in looked),
    )
    return Section("verdict", "Verdict", body, lead=True)


def _of_headline(first: Row, rows: Sequence[Row], baseline: str) -> list[tuple[str, str, str]]:
    """Name, figure and what it is of: the rows that the headline speaks of, and those that frame it."""
    same = [row for row in rows if _place(row) == _place(first)]
    others = [row for row in same if row.row not in (first.row, baseline)]
    best = sorted(others, key=lambda row: -row.value.mean if first.of.higher else row.value.mean)
    named = {row.row: row for row in same}
    assert first.difference is not None
    apart = f"{first.of.shown(first.difference.low, True)} to {first.of.shown(first.difference.high, True)}"
    shown = [
        (first.row, first.of.shown(first.value.mean), first.metric),
        (baseline, first.of.shown(named[baseline].value.mean), first.metric),
        ("difference", first.of.shown(first.difference.mean, True), f"95 %: {apart}"),
    ]
    return [
        *shown,
        *((f"best of the others: {row.row}", first.of.shown(row.value.mean), row.metric) for row in best[:1]),
    ]


def _place(row: Row) -> tuple[str, ...]:
    return row.task, row.evaluation, row.stage, row.metric, row.budget


def checks(found: Comparison) -> list[Check]:
    """What to look at before the verdict is trusted."""
    config, results = found.config, found.results
    listed = [_seeds(len(config.seeds)), _tokens(found.manifest["tokens"]), *_unseen(found)]
    short = sorted({f"{cell['row']} at {cell['budget']}" for cell in results.cells if cell["filled"] is False})
    if short:
        listed.append(Check(False, "Budgets that are not full", f"The pool held too little for {', '.join(short)}."))
    first = headline(config, results)
    rest = [row for row in results.rows if first and _place(row) == _place(first) and config.method(row.row) == NONE]
    if first and rest:
        before, after = rest[0].value.mean, first.value.mean
        better = after > before if first.of.higher else after < before
        shown = f"is {first.of.shown(before)}, after {first.row}'s {first.of.shown(after)}"
        said = f"{first.metric[0].upper()}{first.metric[1:]} without a warm-up {shown}."
        listed.append(Check(better, "The warm-up helps" if better else "The warm-up itself does not help", said))
    warned = chance(main_rows(config, results))
    if warned:
        listed.append(Check(False, "Many differences", f"{warned} Trust those that hold at every budget."))
    return listed


def _seeds(count: int) -> Check:
    if count == 1:
        return Check(False, "One seed", f"{ONE_SEED.capitalize()}: intervals know the test items alone. Add seeds.")
    if count == 2:
        return Check(
            False, "Two seeds", "Two seeds are few: their interval is little more than both of them. Add seeds."
        )
    return Check(True, f"{count} seeds", "None was dropped; intervals are over seeds and test items.")


def _tokens(told: Mapping[str, Mapping[str, int]]) -> Check:
    worst = max(told.values(), key=lambda one: (one["most"] - one["least"]) / one["wanted"])
    said = f"{worst['least']:,} to {worst['most']:,} tokens where {worst['wanted']:,} were asked for"
    if worst["most"] - worst["least"] <= _APART * worst["wanted"]:
        return Check(True, "The same tokens for every row", f"{said}: windows are whole.")
    return Check(False, "Not the same tokens for every row", f"{said}. Raise the budget, or lower `window`.")


def _unseen(found: Comparison) -> list[Check]:
    """Whether what judges was used for anything else."""
    files = "No file that judges is one that chooses, trains or picks a checkpoint; compared by content."
    listed = [Check(True, "Nothing is chosen on test data", files)]
    for task, told in found.manifest["repeated"].items():
        if told and told["repeated"]:
            said = f"{told['repeated']:,} of {told['test']:,} test texts stand in target, dev or training data"
            listed.append(Check(False, f"Repeated texts in {task}", f"{said}, word by word. Take them out."))
    if found.manifest["contamination"]:
        said = "Candidates that share a run of words with a test text were rejected, for every row alike."
        listed.append(Check(True, "The pool does not give the test away", said))
    else:
        said = "`text_field` is a template, so candidates were not compared with the test texts."
        listed.append(Check(False, "The pool was not compared with the test", said))
    return listed


def _figures(found: Comparison) -> Section:
    """Every figure with its interval, one at a time."""
    results = found.results
    tables = list(blocks(results))
    names = dict.fromkeys(_figure(row) for row in results.rows)
    groups: dict[tuple[str, ...], list[Any]] = {name: [] for name in names}
    for name, block in zip(dict.fromkeys(_place(row) for row in results.rows), tables):
        groups[name[:4]].append(block)
    shown = [{"name": _title(name), "blocks": parts} for name, parts in groups.items()]
    return Section("results", "Results", fill("results.html", figures=shown, baseline=results.baseline))


def _figure(row: Row) -> tuple[str, ...]:
    return row.task, row.evaluation, row.stage, row.metric


def _title(name: tuple[str, ...]) -> str:
    task, evaluation, stage, metric = name
    return f"{task}: {metric} ({evaluation} after {stage})"


def _differences(found: Comparison) -> Section:
    results = found.results
    body = fill("differences.html", baseline=results.baseline, budgets=len(found.config.budgets))
    return Section("differences", f"Minus {results.baseline}", body)


def _foretold(found: Comparison) -> Section:
    agreements = found.results.agreements
    body = fill(
        "foretold.html",
        names=[_agreement(one) for one in agreements],
        lines=agreement_lines(agreements),
        baseline=found.results.baseline,
    )
    return Section("foretold", "Does transport foretell it?", body)


def _agreement(one: Agreement) -> str:
    return f"{one.task}: {one.metric} ({one.evaluation} after {one.stage}), {budget_in_words(one.budget)}"


def _made(found: Comparison) -> Section:
    """Settings, inputs with digests, cells, versions: enough to make it again."""
    told = found.manifest
    tasks = {task["name"]: task for task in told["config"]["tasks"]}
    settings = {name: value for name, value in told["config"].items() if name != "tasks"} | {"task": tasks}
    body = fill(
        "compared_made.html",
        settings=[(name, value) for name, value in flat(settings) if value not in (None, [], {}, "")],
        inputs=[(role, *line.rpartition(" ")[::2]) for role, lines in told["files"].items() for line in lines],
        cells=found.results.cells,
        tokens=[(budget_in_words(budget), one) for budget, one in told["tokens"].items()],
        versions=told["versions"],
        seconds=list(told["seconds"].items()),
        folder=str(found.folder),
    )
    return Section("made", "How it was made", body)


def drawn(found: Comparison) -> dict[str, Any]:
    """What the script draws."""
    config, results = found.config, found.results
    kinds = {
        row: "baseline" if row == config.baseline else {GOTD: "gotd", NONE: "none"}.get(config.method(row), "other")
        for row in config.methods
    }
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in results.rows:
        groups.setdefault(_figure(row), []).append(row)
    first = headline(config, results)
    return {
        "baseline": config.baseline,
        "rows": list(config.methods),
        "kinds": kinds,
        "budgets": [budget_in_words(budget) for budget in config.budgets],
        "start": 0 if first is None else list(groups).index(_figure(first)),
        "figures": [
            {
                "title": _title(name),
                "metric": name[3],
                "higher": rows[0].of.higher,
                "scale": rows[0].of.scale,
                "digits": rows[0].of.digits,
                "points": [_point(row, config.budgets) for row in rows],
            }
            for name, rows in groups.items()
        ],
        "agreements": [
            {
                "title": _agreement(one),
                "metric": one.metric,
                "scale": METRICS[one.evaluation][0].scale,
                "digits": METRICS[one.evaluation][0].digits,
                "rows": one.rows,
                "predicted": one.predicted,
                "solved": one.solved,
                "gained": one.gained,
                "by_predicted": one.by_predicted,
                "by_solved": one.by_solved,
            }
            for one in results.agreements
        ],
    }


def _point(row: Row, budgets: Sequence[str]) -> dict[str, Any]:
    apart = row.difference
    return {
        "row": row.row,
        "budget": list(budgets).index(row.budget),
        "value": [row.value.mean, row.value.low, row.value.high],
        "difference": None if apart is None else [apart.mean, apart.low, apart.high],
        "outcome": outcome(row) if apart is not None else None,
        "values": row.values if row.seeds > 1 else [],
    }
