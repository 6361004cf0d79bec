"""The cells as tables: losses, paired differences with intervals, what transport foretold, and what is missing.

    python experiments/known_pretraining/analyse.py [--cells FILE] [--seeds 0 1 2]

Intervals: 95 % of 2000 bootstrap resamples of seeds (the same draw for every target, for targets share a seed's pool
and reference) and of each target's blocks of held-out items; differences are taken within seed and block. Where it
says so, targets are resampled as well: the interval for another target like these. Seeds are few, so their part of a
variance is stretched by S / (S - 1).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from choices import METHODS, ROUNDS
from plan import MIXTURES, TASKS
from run import NOTHING, RESULTS, read_cells
from scipy.stats import spearmanr

RESAMPLES = 2_000
PUBLISHED, DEFAULT, RANDOM = "gotd as published", "gotd", "random"
UNFOCUSED = (RANDOM, "in-domain random", "target-only")
WARM, TUNED, KEPT = "bits", "tuned_bits", "kept_bits"
STAGES = {WARM: "after the warm-up", TUNED: "after stage II", KEPT: "on held-out text of the pretraining mixture"}
GROUPS: dict[str, Callable[[str], bool]] = {
    "tasks": lambda target: target not in MIXTURES,
    "mixtures": lambda target: target in MIXTURES,
}
Cell = dict[str, Any]


def _any(target: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one budget by target, method and seed, looked at by one of their losses.

    Attributes:
        measure: `bits`, `tuned_bits` or `kept_bits`.
    """

    by_key: dict[tuple[str, str, int], Cell]
    targets: tuple[str, ...]
    seeds: tuple[int, ...]
    measure: str = WARM

    @classmethod
    def of(cls, cells: Sequence[Cell], seeds: Sequence[int], tokens: int, measure: str = WARM) -> Cells:
        kept = [cell for cell in cells if cell["tokens"] in (0, tokens) and cell["seed"] in seeds]
        by_key = {(cell["target"], cell["method"], cell["seed"]): cell for cell in kept}
        present = {target for target, _, _ in by_key}
        known = tuple(name for name in (*TASKS, *MIXTURES) if name in present)
        return cls(by_key, known or tuple(sorted(present)), tuple(seeds), measure)

    def both(self, target: str, *methods: str) -> list[int]:
        """The seeds in which a target has all these methods."""
        return [seed for seed in self.seeds if all((target, method, seed) in self.by_key for method in methods)]

    def loss(self, target: str, method: str, seed: int, blocks: slice = slice(None)) -> float:
        """Bits a byte."""
        cell = self.by_key[target, method, seed]
        return float(sum(cell[self.measure][blocks]) / sum(cell[_sizes(self.measure)][blocks]))

    def difference(self, target: str, method: str, base: str, blocks: slice = slice(None)) -> float | None:
        """Mean over seeds of the difference in bits a byte, or None where no seed has both."""
        found = [
            self.loss(target, method, seed, blocks) - self.loss(target, base, seed, blocks)
            for seed in self.both(target, method, base)
        ]
        return float(np.mean(found)) if found else None


def _sizes(measure: str) -> str:
    return "kept_bytes" if measure == KEPT else "bytes"


@dataclass(frozen=True, slots=True)
class Paired:
    """A mean difference over targets.

    Attributes:
        mean: in bits a byte, below 0 where the first method is better.
        low, high: 95 % over seeds and held-out items.
        wide_low, wide_high: 95 % over targets too.
        better: targets in which it is below 0.
        targets: targets that have both methods.
        cells: pairs of cells.
    """

    mean: float
    low: float
    high: float
    wide_low: float
    wide_high: float
    better: int
    targets: int
    cells: int

    def __str__(self) -> str:
        return f"{1000 * self.mean:+.1f} [{1000 * self.low:+.1f}, {1000 * self.high:+.1f}]"


def paired(cells: Cells, targets: Sequence[str], method: str, base: str) -> Paired | None:
    """`method` less `base`, averaged over those targets that have both."""
    rng = np.random.default_rng(0)
    count = len(cells.seeds)
    drawn = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    means, draws, pairs = [], [], 0
    for target in targets:
        seeds = cells.both(target, method, base)
        if not seeds:
            continue
        pairs += len(seeds)
        first, second = (
            np.array([cells.by_key[target, name, seed][cells.measure] for seed in seeds]) for name in (method, base)
        )
        bits, sizes = first - second, np.array(cells.by_key[target, method, seeds[0]][_sizes(cells.measure)])
        means.append(bits.sum() / (len(bits) * sizes.sum()))
        # How often each seed (R, S) and each block (R, B) was drawn; a draw of none of these seeds takes them all.
        by_seed = drawn[:, [cells.seeds.index(seed) for seed in seeds]]
        by_seed = np.where(by_seed.any(1, keepdims=True), by_seed, 1)
        by_block = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), RESAMPLES)
        stretch = np.sqrt(len(seeds) / (len(seeds) - 1)) if len(seeds) > 1 else 1.0
        shifted = bits.mean(0) + stretch * (bits - bits.mean(0))
        draws.append(((by_seed @ shifted) * by_block).sum(1) / (by_seed.sum(1) * (by_block @ sizes)))
    if not means:
        return None
    each = np.array(draws).T
    low, high = np.quantile(each.mean(1), (0.025, 0.975))
    which = rng.integers(len(means), size=each.shape)
    wide_low, wide_high = np.quantile(np.take_along_axis(each, which, 1).mean(1), (0.025, 0.975))
    better = int((np.array(means) < 0).sum())
    return Paired(float(np.mean(means)), low, high, wide_low, wide_high, better, len(means), pairs)


def foretold(cells: Cells, target: str, seed: int, prediction: str, without: Sequence[str] = ()) -> float | None:
    """Spearman, over methods, of the decrease of the objective with the decrease of the loss."""
    methods = [m for m in METHODS if m not in without and (target, m, seed) in cells.by_key]
    pairs = [(cells.by_key[target, m, seed][prediction], -cells.loss(target, m, seed)) for m in methods]
    return float(spearmanr(*zip(*pairs)).statistic) if len(pairs) >= 5 else None


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _thousandths(value: float | None) -> str:
    return "" if value is None else f"{1000 * value:+.0f}"


def _mean_of(values: Sequence[float | None]) -> float | None:
    """The mean where all are there."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) and known else None


def by_target(cells: Cells) -> str:
    """Change of the loss by each method, a column a target."""
    start = [
        np.mean([cells.loss(target, NOTHING, seed) for seed in cells.both(target, NOTHING)]) for target in cells.targets
    ]
    rows = [[NOTHING, *(f"{value:.3f}" for value in start), f"{np.mean(start):.3f}"]]
    for method in METHODS:
        found = [cells.difference(target, method, NOTHING) for target in cells.targets]
        if any(value is not None for value in found):
            rows.append([method, *map(_thousandths, found), _thousandths(_mean_of(found))])
    return table(["", *cells.targets, "mean"], rows)


def against(cells: Cells, base: str, methods: Sequence[str] = METHODS) -> str:
    """Every method against one: over all targets, over tasks, over mixtures."""
    rows = []
    for method in methods:
        if method == base:
            continue
        found = {
            group: paired(cells, [name for name in cells.targets if inside(name)], method, base)
            for group, inside in {"all": _any, **GROUPS}.items()
        }
        whole = found["all"]
        if whole:
            wide = f"[{1000 * whole.wide_low:+.1f}, {1000 * whole.wide_high:+.1f}]"
            better = f"{whole.better} of {whole.targets}"
            rows.append([method, *(str(part or "") for part in found.values()), wide, better, str(whole.cells)])
    columns = [f"less {base}", "all targets", "tasks", "mixtures", "targets drawn too", "better in", "pairs"]
    return table(columns, rows)


def over_budgets(views: Sequence[tuple[str, Cells]], targets: Callable[[str], bool], base: str) -> str:
    """Mean difference of every method, a column a budget and stage."""
    rows = []
    for method in METHODS:
        found = [paired(cells, [t for t in cells.targets if targets(t)], method, base) for _, cells in views]
        if method != base and any(found):
            rows.append([method, *(str(part or "") for part in found)])
    return table([f"less {base}", *(title for title, _ in views)], rows)


def correlations(cells: Cells) -> str:
    """How well transport ranks the methods."""
    rows = []
    for title, prediction, without in (
        ("predicted, to first order", "predicted", ()),
        ("solved again", "solved", ()),
        ("predicted, focused methods alone", "predicted", UNFOCUSED),
        ("solved again, focused methods alone", "solved", UNFOCUSED),
    ):
        row = []
        for target in cells.targets:
            got = [foretold(cells, target, seed, prediction, without) for seed in cells.seeds]
            row.append([value for value in got if value is not None])
        everything = [value for values in row for value in values]
        shown = [f"{np.mean(values):+.2f}" if values else "" for values in row]
        rows.append([title, *shown, f"{np.mean(everything):+.2f}" if everything else ""])
    return table(["Spearman", *cells.targets, "mean"], rows)


def halves(cells: Cells) -> str:
    """Of the mixtures: the share of the rare source in each choice, and the change of the loss on either half."""
    rows = []
    mixtures = [name for name in cells.targets if name in MIXTURES]
    for method in METHODS:
        row = [method]
        for target in mixtures:
            seeds = cells.both(target, method, NOTHING)
            if not seeds:
                row.append("")
                continue
            rare, middle = MIXTURES[target][1], len(cells.by_key[target, method, seeds[0]]["bytes"]) // 2
            chosen = [cells.by_key[target, method, seed]["sources"] for seed in seeds]
            share = np.mean([sources.get(rare, 0) / sum(sources.values()) for sources in chosen])
            shown = "" if method == "target-only" else f"{share:.0%}: "
            parts = [cells.difference(target, method, NOTHING, part) for part in (slice(middle), slice(middle, None))]
            row.append(shown + " / ".join(map(_thousandths, parts)))
        if any(row[1:]):
            rows.append(row)
    return table(["share of the rare source: change on the common / the rare half", *mixtures], rows)


def spread(views: Sequence[Cells]) -> str:
    """The standard deviation of a cell over seeds, pooled."""
    found = [
        np.std([cells.loss(target, method, seed) for seed in seeds], ddof=1)
        for cells in views
        for target in cells.targets
        for method in METHODS
        if len(seeds := cells.both(target, method)) > 1
    ]
    return f"{1000 * np.sqrt(np.mean(np.square(found))):.1f} thousandths" if found else "one seed: not known"


def report(found: Sequence[Cell], seeds: Sequence[int]) -> str:
    """All tables, with what they mean."""
    budgets = sorted({cell["tokens"] for cell in found} - {0})
    seen = {stage: [Cells.of(found, seeds, tokens, stage) for tokens in budgets] for stage in STAGES}
    middle = {stage: of[len(budgets) // 2] for stage, of in seen.items()}
    targets, tokens = middle[WARM].targets, budgets[len(budgets) // 2]
    wanted = {(t, m, s) for t in targets for m in (NOTHING, *METHODS) for s in seeds}
    missing = Counter(f"seed {seed}" for of in seen[WARM] for _, _, seed in wanted - set(of.by_key))
    absent = "; ".join(f"{name}: {count}" for name, count in sorted(missing.items())) or "none"
    columns = [
        (f"{size:,} tokens, {STAGES[stage].removeprefix('after ').removeprefix('the ')}", cells)
        for stage in (WARM, TUNED)
        for size, cells in zip(budgets, seen[stage])
    ]
    by_budget = "\n".join(
        f"### {group}\n\n" + "\n".join(over_budgets(columns, inside, base) for base in (NOTHING, RANDOM, DEFAULT))
        for group, inside in GROUPS.items()
    )
    forgotten = over_budgets([(f"{size:,} tokens", c) for size, c in zip(budgets, seen[KEPT])], _any, NOTHING)
    pairs = "\n".join(
        f"### {title}\n\n" + "\n".join(against(middle[stage], base) for base in (RANDOM, PUBLISHED, DEFAULT))
        for stage, title in STAGES.items()
        if stage != KEPT
    )
    return f"""# Known pretraining distribution: tables

Made by `python experiments/known_pretraining/analyse.py` from `cells.jsonl`. Bits a byte on held-out text; changes and
differences are in thousandths, below 0 is better. Missing cells: {absent}. Standard deviation of a cell over seeds:
{spread(seen[WARM])} after the warm-up, {spread(seen[TUNED])} after stage II.

## All budgets, both stages

{by_budget}
## What is forgotten: held-out text of the pretraining mixture, after the warm-up

{forgotten}
## {tokens:,} tokens: change of the loss by each warm-up

{by_target(middle[WARM])}
After stage II:

{by_target(middle[TUNED])}
## {tokens:,} tokens: paired differences

{pairs}
### {ROUNDS} less {DEFAULT}, target by target

{_each(middle[WARM], ROUNDS, DEFAULT)}
## {tokens:,} tokens, mixtures: where the budget went, and what it did

{halves(middle[WARM])}
## Does transport foretell the loss?

{"".join(f"{size:,} tokens:{chr(10) * 2}{correlations(cells)}{chr(10)}" for size, cells in zip(budgets, seen[WARM]))}"""


def _each(cells: Cells, method: str, base: str) -> str:
    return table(cells.targets, [[str(paired(cells, [target], method, base) or "") for target in cells.targets]])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=Path, default=RESULTS / "cells.jsonl")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args(arguments)
    path = given.cells.with_name("table.md")
    path.write_text(report(read_cells(given.cells), given.seeds).rstrip() + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
