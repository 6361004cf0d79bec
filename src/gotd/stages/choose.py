"""Choose the best of the scored documents, and say what that should do.

scores.parquet -> the K lowest, in memory O(K) -> their records, each with one more key -> selected.*
selected, reference, target -> OT predicted and solved again, beside a random choice of the same size
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from gotd.artifacts import open_artifact, released_by_errors
from gotd.corpus import Document, OutputFormat
from gotd.engine import Progress, silent
from gotd.errors import SettingsError, whole
from gotd.potential import Potential
from gotd.potential_file import FILE_NAME
from gotd.selection.budget import Budget
from gotd.selection.caps import Cap
from gotd.selection.duplicates import Mode
from gotd.selection.methods import GOTD
from gotd.selection.methods.all_target import AllTarget
from gotd.selection.mix import WarmUp
from gotd.selection.ranking import Picked, lowest_by
from gotd.selection.several import accounts
from gotd.stages.moved import pull, transport
from gotd.stages.picking import MIX, Beyond, Choice, Mix, Pick, PickSettings, pick
from gotd.stages.scores import NAME, REJECTS, Scores, own_column
from gotd.stages.selected import Selection, calibrated_scores, fetched, write_arrow, write_duplicates, write_records
from gotd.stages.sharing import Lists, check_shares, divided, joined, parse_shares, share_out
from gotd.stages.target_alone import target_alone
from gotd.stages.tiers import COARSE, PROBE, of_whole_pool

_SHOWN = 5


@released_by_errors()
def choose(
    scores: Path | str,
    budget: str | int,
    output: Path | str,
    *,
    rounds: int = 1,
    mix: Mix = MIX,
    warm_up: WarmUp | None = None,
    dedup: Mode = "near",
    max_per_source: str | None = None,
    shortlist: float = 10.0,
    target_shares: str | None = None,
    format: OutputFormat = "jsonl",
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Selection:
    """Choose within a budget from a scored pool.

    Args:
        scores: a folder made by `score`.
        budget: `5000docs`, `5%` of the documents, or `2000000tokens`.
        output: folder for `selected.*`, `scores.parquet`, the potential and the manifest.
        rounds: 1 takes the lowest scores; more solve again as the selection grows (see `selection/rounds.py`).
        mix: the share lambda of the selection in what the model has seen, for rounds and figures; `auto` takes it
            from the tokens of the selection and the warm-up (see `selection/mix.py`).
        warm_up: how the selection will be trained on, for mix `auto`.
        dedup: drop documents that say the same as a better one: `near`, `exact` or `off`.
        max_per_source: `40%` or `2000docs`: the most that one source may have.
        shortlist: how many budgets of the best documents the rounds choose from.
        target_shares: `60,40`: each of several targets takes its share by its own score, no document twice.
        format: `jsonl`, `jsonl.zst` or `parquet`.
        seed: of the random choice that the selection is compared with.
        overwrite: replace what another command left in `output`.
        progress: called as work is done.

    Raises:
        SettingsError: a budget above the pool, or below the first document.
    """
    started = time.perf_counter()
    scored = Scores.load(scores)
    wanted, seed = checked(budget, format, max_per_source), whole("seed", seed)
    how = PickSettings(rounds, mix, dedup, max_per_source, shortlist, target_shares, warm_up)
    settings = {"budget": str(wanted), **asdict(how), "format": format, "seed": seed}
    inputs = {"scores": [str(scored.manifest["inputs"]), str(scored.manifest["settings"])]}
    artifact = open_artifact(output, "choose", settings, inputs, overwrite=overwrite, reads=[scored.folder])
    if artifact.finished is not None:
        return Selection.load(artifact.folder)
    progress("choosing", 0, 3)
    potential = Potential.load(scored.folder)
    method = GOTD if potential.method is None else potential.method.name
    check_rounds(rounds, method)
    check_shares(target_shares, [term.name for term in potential.terms if term.weight > 0], rounds, method)
    choice = _choice(scored, wanted, how, potential, seed)
    ranking, chosen, documents = choice.ranking, choice.pick, choice.documents
    if not documents:
        raise SettingsError(f"the budget is {wanted}, less than the first document to take; raise --budget")
    best = ranking.best.take(chosen.rows)
    progress("writing", 1, 3)
    calibrated = calibrated_scores(best.score, ranking.mean, ranking.pool)
    path = write_records(artifact.folder, format, documents, best, calibrated, chosen.taken_by)
    write_arrow(artifact.folder, documents, best, calibrated, chosen.taken_by)
    write_duplicates(artifact.folder, chosen.duplicates)
    progress("solving again", 2, 3)
    random, worst = fetched(scored, ranking.random), fetched(scored, ranking.worst)
    tiers = scored.manifest.get("tiers")
    for name in (NAME, REJECTS, FILE_NAME, *((COARSE, PROBE) if tiers else ())):
        shutil.copyfile(scored.folder / name, artifact.folder / name)
    artifact.finish(
        {
            "selected": path.name,
            "counts": _counts(scored, choice, int(best.tokens.sum())),
            "tokenizer": scored.tokenizer,
            "turns": _turns(scored, chosen),
            "duplicates": len(chosen.duplicates),
            "filled": chosen.full,
            "rejects": scored.manifest["rejects"],
            **({"tiers": tiers} if tiers else {}),
            "quarantined": scored.manifest["quarantined"],
            "from_target": choice.from_target,
            "sources": _by_source(scored.manifest["sources"], [] if choice.from_target else documents),
            **_shares_taken(scored, target_shares, potential, chosen, best),
            "transport": transport(potential, documents, random, best, how.share(int(best.tokens.sum()))),
            "rounds": [asdict(step) for step in chosen.rounds],
            "quality": {
                **asdict(potential.quality),
                **accounts(potential.terms),
                "marginal_error_pool": scored.manifest["marginal_error"],
                "polish_steps": scored.manifest["polish_steps"],
                "pull": pull(potential, documents),
            },
            "best": _lines(documents[:_SHOWN], best),
            "worst": _lines(worst, ranking.worst),
            "files": scored.manifest["files"],
            "fields": scored.manifest["settings"]["fields"],
            "seconds": {"choose": time.perf_counter() - started, "score": scored.manifest["seconds"]},
            "documents_per_second": scored.manifest["documents_per_second"],
        }
    )
    progress("chosen", 3, 3)
    return Selection.load(artifact.folder)


def _choice(scored: Scores, budget: Budget, how: PickSettings, potential: Potential, seed: int) -> Choice:
    """What is chosen, and what it was chosen from."""
    if isinstance(potential.method, AllTarget):
        return target_alone(scored, budget, how, potential, potential.method, seed)
    if how.target_shares is not None:
        return _shared(scored, budget, how, potential, seed)
    return _picked(scored, budget, how, potential, seed)


def _picked(scored: Scores, budget: Budget, how: PickSettings, potential: Potential, seed: int) -> Choice:
    """The choice, from a shortlist that is made longer until it fills the budget or nothing can come after it."""
    stretch = how.stretch
    # In rounds the order changes as documents are taken: what is beyond the cap now may come first then.
    cap = Cap.parse(how.max_per_source, budget) if how.max_per_source is not None and how.rounds == 1 else None
    while True:
        ranking = scored.ranked(budget, seed=seed, worst=_SHOWN, stretch=stretch, cap=cap)
        shortlist = fetched(scored, ranking.best)
        more = Beyond(ranking.ended, ranking.beyond)
        chosen = pick(shortlist, ranking.best.tokens.tolist(), budget, ranking.size, how, potential, more)
        if not chosen.open:
            ranking = of_whole_pool(ranking, scored, seed)
            return Choice(ranking, chosen, [shortlist[row] for row in chosen.rows])
        stretch *= 2


def _shared(scored: Scores, budget: Budget, how: PickSettings, potential: Potential, seed: int) -> Choice:
    """The choice of each target by its own score, from lists made longer until they fill its share or are the pool."""
    pool, stretch, names = scored.pool, how.stretch, potential.owners
    ranking = scored.ranked(budget, seed=seed, worst=_SHOWN)
    budgets = divided(budget, pool, parse_shares(how.target_shares or ""), names)
    while True:
        wanted = {own_column(name): part for name, part in zip(names, budgets)}
        found = lowest_by(scored.batches, wanted, pool, stretch)
        every, orders = joined([picked for picked, _ in found])
        lists = Lists(every, fetched(scored, every), orders, [own for _, own in found])
        whole = min(map(len, orders)) == pool
        chosen = share_out(lists, budgets, names, ranking.size, budget, how, whole=whole)
        if not chosen.open:
            return Choice(replace(ranking, best=every), chosen, [lists.documents[row] for row in chosen.rows])
        stretch *= 2


def checked(budget: str | int, format: str, max_per_source: str | None) -> Budget:
    """The budget, once all that decides a choice is known to be sound: before hours of scoring, not after.

    Raises:
        SettingsError: one of the three is not.
    """
    if format not in get_args(OutputFormat):
        raise SettingsError(f'format is "{format}"; wanted {", ".join(get_args(OutputFormat))}')
    found = Budget.parse(budget)
    if max_per_source is not None:
        Cap.parse(max_per_source, found)
    return found


def check_rounds(rounds: int, method: str) -> None:
    """SettingsError where rounds are asked of a method that has no gradient to go down."""
    if rounds > 1 and method != GOTD:
        raise SettingsError(
            f"{rounds} rounds go down the gradient, which method {method} has not; leave out one of both"
        )


def _counts(scored: Scores, choice: Choice, tokens: int) -> dict[str, int]:
    """Rows of the pool; the tokens are those of the selection, wherever it comes from."""
    counts, selected = scored.manifest["counts"], 0 if choice.from_target else len(choice.documents)
    return {
        "read": counts["read"],
        "selected": selected,
        "not_selected": counts["scored"] - selected + counts["outside"],
        "rejected": counts["rejected"],
        _tokens(scored): tokens,
    }


def _turns(scored: Scores, chosen: Pick) -> dict[str, Any] | None:
    """How far the turns of round-robin are exact, and how far down the ranking the choice went, duplicates included."""
    turns = scored.manifest["turns"]
    return None if turns is None else {**turns, "used": max(chosen.rows, default=-1) + 1}


def _by_source(pool: dict[str, int], documents: Sequence[Document]) -> dict[str, dict[str, int]]:
    chosen = Counter(document.source for document in documents)
    return {source: {"pool": count, "selected": chosen[source]} for source, count in sorted(pool.items())}


def _tokens(scored: Scores) -> str:
    """What a manifest calls tokens: estimated, where no tokenizer counted them."""
    return "tokens" if scored.tokenizer else "tokens_estimated"


def _shares_taken(
    scored: Scores, shares: str | None, potential: Potential, chosen: Pick, best: Picked
) -> dict[str, list[dict[str, Any]]]:
    """What each target was to take, and took; nothing where all share one budget."""
    if shares is None:
        return {}
    takers = np.array([name for name, _ in chosen.taken_by])
    taken = [
        {
            "name": name,
            "share": share,
            "selected": int((takers == name).sum()),
            _tokens(scored): int(best.tokens[takers == name].sum()),
        }
        for name, share in zip(potential.owners, parse_shares(shares))
    ]
    return {"target_shares": taken}


def _lines(documents: Sequence[Document], picked: Picked) -> list[dict[str, Any]]:
    return [
        {"id": d.id, "source": d.source, "score": float(score), "text": " ".join(d.text.split())[:200]}
        for d, score in zip(documents, picked.score)
    ]
