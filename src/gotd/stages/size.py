"""What a budget buys: the objective against the number of documents, and the knee of that curve.

scores -> the best of the largest budget, without duplicates
       -> at each of some budgets K: the share lambda(K), the objective predicted and solved again
target -> folds; of each: phi without it ranks the same documents, and the objective is solved against it

A larger selection weighs more in what the model has seen, for it trains longer: with lambda fixed, as with a number
for `mix`, the value could only fall with K, since the best documents come first. So lambda follows K by the rule of
`selection/mix.py`; the knee is where it stands for a warm-up that goes by that rule, and moves with its scale.

On the target that the selection was fitted to, more documents look better than they are. Against a fold that it was
not fitted to, what they do to unseen examples of the task shows. One leak stays: that a document is among the
shortlist at all is known from the whole target. It is _STRETCH times the largest budget long, so that it decides
little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gotd.corpus import Document
from gotd.engine import Progress, silent
from gotd.errors import SettingsError, whole
from gotd.potential import Potential
from gotd.selection.budget import Budget
from gotd.selection.duplicates import Deduplicator, Mode
from gotd.selection.gradient import Gradient, Mixture
from gotd.selection.knee import knee
from gotd.selection.mix import AUTO, WarmUp
from gotd.stages.moved import SOLVE_AGAIN_ON
from gotd.stages.picking import Mix, check_mix, share_of
from gotd.stages.points import masses_as_fitted, points_of
from gotd.stages.scores import Scores
from gotd.stages.selected import fetched
from gotd.transport import Measure

LEAST = 50
BUDGETS = 12
FOLDS = 5
_MOST = 10_000  # the largest budget, where none is given: a tenth of the pool, from 1000 to so many
_STRETCH = 3


@dataclass(frozen=True, slots=True)
class Size:
    """One budget.

    Attributes:
        documents: K.
        tokens: of them, estimated.
        mix: the share lambda that they have once the model is trained on them.
        predicted: change of the objective to first order, in units of the cost; below zero is closer.
        solved: the same, solved again.
        held_out: the same against unseen folds of the target, for documents chosen without them: the mean of the
            folds; None without folds.
    """

    documents: int
    tokens: int
    mix: float
    predicted: float
    solved: float
    held_out: float | None


@dataclass(frozen=True, slots=True)
class Sizes:
    """The curve: `gotd size`.

    Attributes:
        sizes: the budgets, smallest first.
        before: the objective at the reference, in units of the cost.
        measure: what the objective is.
        knee: documents at the knee of `solved`; None where there is none up to the last budget.
        held_out_knee: the same of `held_out`: the one to go by.
        folds: of the target; 0 for none.
        target: documents of the target.
        pool: documents that were scored.
        mix: as asked, `auto` or a share.
        warm_up: what `auto` was taken from; None for a share.
        wanted: the largest budget that was asked for; above the last where duplicates left no more.
    """

    sizes: tuple[Size, ...]
    before: float
    measure: str
    knee: int | None
    held_out_knee: int | None
    folds: int
    target: int
    pool: int
    mix: Mix
    warm_up: WarmUp | None
    wanted: int


def size(
    scores: Path | str,
    *,
    limit: int | None = None,
    budgets: int = BUDGETS,
    folds: int = FOLDS,
    mix: Mix = AUTO,
    warm_up: WarmUp | None = None,
    dedup: Mode = "near",
    seed: int = 0,
    progress: Progress = silent,
) -> Sizes:
    """What selections of several sizes would do, to choose a budget by.

    Args:
        scores: a folder made by `score` or `select`.
        limit: the largest budget in documents; left out, a tenth of the pool, between 1000 and 10,000.
        budgets: how many, at even steps of log K from 50 to the limit.
        folds: of the target to measure on what a selection was not fitted to; 0 leaves that out.
        mix: `auto`, or the same share lambda for every budget: then no budget has a knee.
        warm_up: how the selection will be trained on, for mix `auto`.
        dedup: as in `choose`.
        seed: of the folds.
        progress: called as work is done.

    Raises:
        SettingsError: more folds than pairs of target documents, or scores of another method than gotd.
    """
    check_mix(mix, warm_up)
    budgets, folds, limit = whole("budgets", budgets), whole("folds", folds), limit and whole("limit", limit)
    scored = Scores.within(scores)
    if tiers := scored.manifest.get("tiers"):
        short = f"--fine scored a shortlist of {tiers['shortlist']} alone"
        raise SettingsError(f"{scores}: {short}; score the pool with `gotd score {scores}` first")
    pool = scored.pool
    most = min(pool, max(1000, min(_MOST, pool // 10))) if limit is None else limit
    potential = Potential.load(scored.folder)
    _check(most, budgets, folds, potential)
    progress("choosing", 0, 1 + folds)
    documents, tokens = _shortlist(scored, most, dedup)
    counts = _spaced(min(most, len(documents)), budgets)
    spent = np.cumsum(tokens)[np.array(counts) - 1].tolist()
    shares = [share_of(mix, warm_up, total) for total in spent]
    points = points_of(documents, potential)
    weights = masses_as_fitted(documents, potential)
    shortlist = Measure.of(points, weights)
    blend, summary = potential.gradient()
    (start,) = blend.parts
    phi = start(points)
    order = torch.arange(len(points))
    means = [float(_best(shortlist, order, count).weights @ phi[:count]) for count in counts]
    progress("solving again", 1, 1 + folds)
    solved = _changes(start, potential.reference, summary, shortlist, order, counts, shares)
    held_out = _held_out(start, potential, summary, shortlist, counts, shares, folds, seed, progress)
    bent = None if mix != AUTO else knee(counts, [-change for change in solved])
    held_bent = None if mix != AUTO or not held_out else knee(counts, [-change for change in held_out])
    return Sizes(
        tuple(
            Size(count, total, share, share * (mean - start.level), change, held_out[place] if held_out else None)
            for place, (count, total, share, mean, change) in enumerate(zip(counts, spent, shares, means, solved))
        ),
        start.value,
        "sinkhorn divergence" if start.objective.debias else "entropic OT",
        None if bent is None else counts[bent],
        None if held_bent is None else counts[held_bent],
        folds,
        len(start.objective.target),
        pool,
        mix,
        (warm_up or WarmUp()) if mix == AUTO else None,
        most,
    )


def _check(most: int, budgets: int, folds: int, potential: Potential) -> None:
    if potential.method is not None:
        raise SettingsError(
            f"the scores are of method {potential.method.name}; wanted gotd's, which alone can be fitted to folds. "
            "Score with --method gotd"
        )
    if not most >= 1 or not budgets >= 2:
        raise SettingsError(f"limit {most} and {budgets} budgets; wanted a limit of 1 or more, and 2 budgets or more")
    target = int((potential.objective.target.weights > 0).sum())
    if folds != 0 and not 2 <= folds <= target // 2:
        wanted = f"2 to {target // 2}, or " if target >= 4 else ""
        raise SettingsError(f"{folds} folds of {target} target documents; wanted {wanted}0 folds, to leave them out")


def _shortlist(scored: Scores, most: int, dedup: Mode) -> tuple[list[Document], list[int]]:
    """The best documents of some budgets of `most`, without duplicates, and the tokens of each."""
    ranking = scored.ranked(Budget(most, "docs"), stretch=_STRETCH)
    found = fetched(scored, ranking.best)
    twins = Deduplicator(dedup)
    kept = [row for row, document in enumerate(found) if twins.offer(document.id, document.text) is None]
    return [found[row] for row in kept], ranking.best.tokens[kept].tolist()


def _spaced(most: int, count: int) -> list[int]:
    """Budgets at even steps of the logarithm, from LEAST to `most`."""
    found = np.geomspace(min(LEAST, most), most, count).round().astype(int)
    return [int(size) for size in np.unique(found)]


def _best(shortlist: Measure, order: Tensor, count: int) -> Measure:
    return Measure.of(shortlist.points[order[:count]], shortlist.weights[order[:count]])


def _changes(
    here: Gradient,
    reference: Measure,
    summary: Measure | None,
    shortlist: Measure,
    order: Tensor,
    counts: Sequence[int],
    shares: Sequence[float],
) -> list[float]:
    """How the objective of `here` changes with the first of the order mixed into the reference, solved again."""
    found = []
    for count, share in zip(counts, shares):
        best = _best(shortlist, order, count)
        added = best.rows(-(-count // SOLVE_AGAIN_ON))
        found.append(here.toward(Mixture.of(reference, summary, added, share)).value - here.value)
    return found


def _held_out(
    start: Gradient,
    potential: Potential,
    summary: Measure | None,
    shortlist: Measure,
    counts: Sequence[int],
    shares: Sequence[float],
    folds: int,
    seed: int,
    progress: Progress,
) -> list[float]:
    """The mean over the folds of what the choice without a fold does to the objective against it."""
    if not folds:
        return []
    few = potential.reference.rows(-(-len(potential.reference) // SOLVE_AGAIN_ON))
    total = np.zeros(len(counts))
    for number, (kept, fold) in enumerate(_folds(start.objective.target, folds, seed), start=1):
        progress(f"solving fold {number}", number, 1 + folds)
        fitted, held = (_at_part(start, few, summary, part) for part in (kept, fold))
        order = torch.argsort(fitted(shortlist.points), stable=True)
        total += _changes(held, few, summary, shortlist, order, counts, shares)
    progress("solved", 1 + folds, 1 + folds)
    return [float(change) for change in total / folds]


def _at_part(start: Gradient, reference: Measure, summary: Measure | None, part: Tensor) -> Gradient:
    """The gradient at the reference of the same objective to a part of the target."""
    target = start.objective.target
    some = replace(start.objective, target=Measure.of(target.points[part], target.weights[part]))
    return some.at(reference, summary=summary, init=start.attract.g[part])


def _folds(target: Measure, folds: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(rows without the fold, rows of the fold), for each; a document of weight 0 is in none."""
    held = torch.nonzero(target.weights > 0).flatten().numpy()
    parts = np.array_split(np.random.default_rng(seed).permutation(held), folds)
    for part in parts:
        yield torch.from_numpy(np.setdiff1d(held, part)), torch.from_numpy(np.sort(part))
