"""The cells as tables: losses, paired differences with intervals, what transport foretold, and what is missing.

    python experiments/known_pretraining/analyse.py [--cells FILE] [--seeds 0 1 2]

Intervals: 95 % of 2000 bootstrap resamples of seeds (the same draw for every target, for targets share a seed's pool
and reference) and of each target's blocks of held-out items; differences are taken within seed and block. Where it
says so, targets are resampled as well: the interval for another target like these.
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
REGS = ("gotd reg .05", "gotd", "gotd reg .2")
Cell = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cells:
    """The measured cells by target, method and seed, and which seeds every target has for a method."""

    by_key: dict[tuple[str, str, int], Cell]
    targets: tuple[str, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, cells: Sequence[Cell], seeds: Sequence[int]) -> Cells:
        by_key = {(cell["target"], cell["method"], cell["seed"]): cell for cell in cells}
        targets = tuple(name for name in (*TASKS, *MIXTURES) if (name, NOTHING, 0) in by_key)
        return cls(by_key, targets or tuple(sorted({name for name, _, _ in by_key})), tuple(seeds))

    def get(self, target: str, method: str, seed: int) -> Cell | None:
        return self.by_key.get((target, method, 0 if method == NOTHING else seed))

    def both(self, target: str, *methods: str) -> list[int]:
        """The seeds in which a target has all these methods."""
        return [seed for seed in self.seeds if all(self.get(target, method, seed) for method in methods)]

    def difference(self, target: str, method: str, base: str, kept: bool = False) -> float | None:
        """Mean over seeds of the difference in bits a byte, or None where no seed has both."""
        found = [
            loss(self.by_key[target, method, seed], kept) - loss(self.get(target, base, seed) or {}, kept)
            for seed in self.both(target, method, base)
        ]
        return float(np.mean(found)) if found else None


def loss(cell: Cell, kept: bool = False, blocks: slice = slice(None)) -> float:
    """Bits a byte on the target's held-out text, or on that of the pretraining mixture."""
    bits, sizes = ("kept_bits", "kept_bytes") if kept else ("bits", "bytes")
    return float(sum(cell[bits][blocks]) / sum(cell[sizes][blocks]))


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
    drawn = rng.multinomial(len(cells.seeds), np.full(len(cells.seeds), 1 / len(cells.seeds)), RESAMPLES)
    means, draws, pairs = [], [], 0
    for target in targets:
        seeds = cells.both(target, method, base)
        if not seeds:
            continue
        pairs += len(seeds)
        first, second = (
            np.array([cell["bits"] for seed in seeds if (cell := cells.get(target, name, seed))])
            for name in (method, base)
        )
        bits, sizes = first - second, np.array(cells.by_key[target, method, seeds[0]]["bytes"])
        means.append(bits.sum() / (len(bits) * sizes.sum()))
        # How often each seed (R, S) and each block (R, B) was drawn; a draw of none of these seeds takes them all.
        by_seed = drawn[:, [cells.seeds.index(seed) for seed in seeds]]
        by_seed = np.where(by_seed.any(1, keepdims=True), by_seed, 1)
        by_block = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), RESAMPLES)
        draws.append(((by_seed @ bits) * by_block).sum(1) / (by_seed.sum(1) * (by_block @ sizes)))
    if not means:
        return None
    each = np.array(draws).T
    low, high = np.quantile(each.mean(1), (0.025, 0.975))
    which = rng.integers(len(means), size=each.shape)
    wide_low, wide_high = np.quantile(np.take_along_axis(each, which, 1).mean(1), (0.025, 0.975))
    better = int((np.array(means) < 0).sum())
    return Paired(float(np.mean(means)), low, high, wide_low, wide_high, better, len(means), pairs)


def foretold(cells: Cells, target: str, seed: int, measure: str, without: Sequence[str] = ()) -> float | None:
    """Spearman, over methods, of the decrease of the objective with the decrease of the loss."""
    found = [cells.get(target, method, seed) for method in METHODS if method not in without]
    pairs = [(cell[measure], -loss(cell)) for cell in found if cell]
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


def by_target(cells: Cells, kept: bool) -> str:
    """Change of the loss by each method, a column a target."""
    rows = []
    start = [loss(cells.by_key[target, NOTHING, 0], kept) for target in cells.targets]
    rows.append([NOTHING, *(f"{value:.3f}" for value in start), f"{np.mean(start):.3f}"])
    for method in METHODS:
        found = [cells.difference(target, method, NOTHING, kept) for target in cells.targets]
        if any(value is not None for value in found):
            rows.append([method, *map(_thousandths, found), _thousandths(_mean_of(found))])
    return table(["", *cells.targets, "mean"], rows)


def against(cells: Cells, base: str, methods: Sequence[str] = METHODS) -> str:
    """Every method against one: over all targets, over tasks, over mixtures."""
    groups: dict[str, Callable[[str], bool]] = {
        "all": lambda name: True,
        "tasks": lambda name: name not in MIXTURES,
        "mixtures": lambda name: name in MIXTURES,
    }
    rows = []
    for method in methods:
        if method == base:
            continue
        found = {
            group: paired(cells, [name for name in cells.targets if inside(name)], method, base)
            for group, inside in groups.items()
        }
        whole = found["all"]
        if whole:
            wide = f"[{1000 * whole.wide_low:+.1f}, {1000 * whole.wide_high:+.1f}]"
            better = f"{whole.better} of {whole.targets}"
            rows.append([method, *(str(part or "") for part in found.values()), wide, better, str(whole.cells)])
    columns = [f"less {base}", "all targets", "tasks", "mixtures", "targets drawn too", "better in", "pairs"]
    return table(columns, rows)


def per_target(cells: Cells, method: str, base: str) -> str:
    """One row of paired differences, a target a column."""
    found = [paired(cells, [target], method, base) for target in cells.targets]
    return table([f"{method} less {base}", *cells.targets], [["", *(str(part or "") for part in found)]])


def seed_by_seed(cells: Cells, base: str, methods: Sequence[str]) -> str:
    """Each seed's mean difference over those tasks that have both: what a new seed might change."""
    rows = []
    for method in methods:
        row = [f"{method} less {base}"]
        for seed in cells.seeds:
            alone = Cells(cells.by_key, cells.targets, (seed,))
            tasks = [name for name in cells.targets if name not in MIXTURES and alone.both(name, method, base)]
            found = [alone.difference(name, method, base) or 0.0 for name in tasks]
            better = sum(value < 0 for value in found)
            row.append(f"{1000 * np.mean(found):+.1f} (better in {better} of {len(found)})" if found else "")
        rows.append(row)
    return table(["tasks", *(f"seed {seed}" for seed in cells.seeds)], rows)


def correlations(cells: Cells) -> str:
    """How well transport ranks the methods."""
    rows = []
    for title, measure, without in (
        ("predicted, to first order", "predicted", ()),
        ("solved again", "solved", ()),
        ("predicted, without random and target-only", "predicted", (RANDOM, "in-domain random", "target-only")),
        ("solved again, without random and target-only", "solved", (RANDOM, "in-domain random", "target-only")),
    ):
        row = []
        for target in cells.targets:
            got = [foretold(cells, target, seed, measure, without) for seed in cells.seeds]
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
            rare, shares, parts = MIXTURES[target][1], [], []
            start = cells.by_key[target, NOTHING, 0]
            middle = len(start["bits"]) // 2
            for seed in cells.both(target, method):
                cell = cells.by_key[target, method, seed]
                shares.append(cell["sources"].get(rare, 0) / sum(cell["sources"].values()))
                ends = (slice(middle), slice(middle, None))
                parts.append([loss(cell, blocks=part) - loss(start, blocks=part) for part in ends])
            if parts:
                common, lacking = np.mean(parts, 0)
                share = "" if method == "target-only" else f"{np.mean(shares):.0%}: "
                row.append(f"{share}{_thousandths(common)} / {_thousandths(lacking)}")
            else:
                row.append("")
        if any(row[1:]):
            rows.append(row)
    return table(["share of the rare source: change on the common / the rare half", *mixtures], rows)


def report(cells: Cells) -> str:
    """All tables, with what they mean."""
    wanted = {(target, method, seed) for target in cells.targets for method in METHODS for seed in cells.seeds}
    missing = sorted(wanted - set(cells.by_key))
    by_seed = Counter(f"seed {seed}" for _, _, seed in missing)
    some = next(cell for cell in cells.by_key.values() if cell["tokens"])
    absent = "none" if not missing else "; ".join(f"{name}: {count}" for name, count in sorted(by_seed.items()))
    if 0 < len(missing) <= 60:
        absent += " (" + "; ".join(f"{target} {method} {seed}" for target, method, seed in missing) + ")"
    spread = [
        np.std([loss(cells.by_key[target, method, seed]) for seed in seeds], ddof=1)
        for target in cells.targets
        for method in METHODS
        if len(seeds := cells.both(target, method)) > 1
    ]
    noise = f"{1000 * np.sqrt(np.mean(np.square(spread))):.1f} thousandths" if spread else "one seed: not known"
    return f"""# Known pretraining distribution: tables

Made by `python experiments/known_pretraining/analyse.py` from `cells.jsonl`. Warm-up on {some["tokens"]:,} tokens,
peak rate {some["rate"]:g}, one epoch. Bits a byte on held-out text; changes and differences are in thousandths, below 0
is better.
Cells measured: {len(wanted) - len(missing)} of {len(wanted)}; missing: {absent}.
Standard deviation of a cell over seeds: {noise}. Where there is one seed, an interval knows held-out text alone.

## Held-out target text: change by each warm-up

Mean over the seeds that a method has; where these differ, compare in the paired tables below.

{by_target(cells, False)}
## Held-out text of the pretraining mixture: what is forgotten

{by_target(cells, True)}
## Paired differences: against random

{against(cells, RANDOM)}
## Against the published setting

{against(cells, PUBLISHED)}
## Against the default

{against(cells, DEFAULT)}
## Which reg

{per_target(cells, REGS[0], DEFAULT)}
{per_target(cells, REGS[2], DEFAULT)}
{per_target(cells, REGS[2], REGS[0])}
{per_target(cells, ROUNDS, DEFAULT)}
{seed_by_seed(cells, DEFAULT, (*REGS[::2], PUBLISHED, ROUNDS, RANDOM, "nearest", "mmd"))}
## Mixtures: where the budget went, and what it did

{halves(cells)}
## Does transport foretell the loss?

{correlations(cells)}"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=Path, default=RESULTS / "cells.jsonl")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args(arguments)
    path = given.cells.with_name("table.md")
    path.write_text(report(Cells.of(read_cells(given.cells), given.seeds)), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
