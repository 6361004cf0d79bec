"""Choose the best of the scored documents, and say what that should do.

scores.parquet -> the K lowest, in memory O(K) -> their records, each with one more key -> selected.*
selected, reference, target -> OT predicted and solved again, beside a random choice of the same size
"""

from __future__ import annotations

import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gotd.artifacts import load_manifest, open_artifact
from gotd.corpus import Document, Fields, OutputFormat, fetch, open_writer
from gotd.engine import Progress, silent
from gotd.errors import InputError, SettingsError
from gotd.potential import FILE_NAME, Potential
from gotd.selection.budget import Budget
from gotd.selection.caps import Cap
from gotd.selection.duplicates import Duplicate, Mode
from gotd.selection.methods import GOTD
from gotd.selection.methods.all_target import AllTarget
from gotd.selection.mix import WarmUp
from gotd.selection.ranking import Picked, lowest_by, rank
from gotd.selection.rounds import rounds_needed
from gotd.selection.several import Blend, accounts
from gotd.selection.trimming import pull_of_few
from gotd.stages.picking import MIX, Beyond, Choice, Mix, Pick, PickSettings, pick
from gotd.stages.score import masses, points_of
from gotd.stages.scores import NAME, REJECTS, Scores, own_column
from gotd.stages.sharing import Lists, check_shares, divided, joined, parse_shares, share_out
from gotd.stages.target_alone import target_alone
from gotd.stages.tiers import COARSE, PROBE, of_whole_pool
from gotd.transport import Measure, summarised

_SOLVE_AGAIN_ON = 5_000
_SHOWN = 5
_PULLED = 1_000
FEW = 0.02
DUPLICATES = "duplicates.parquet"
_TAKEN_BY = ("target", "target_score")


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen: `gotd select` or `gotd choose`.

    Attributes:
        folder: where the files are.
        manifest: settings, inputs, counts, transport before and after, times.
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def load(cls, folder: Path | str) -> Selection:
        """The selection that a finished folder holds."""
        kind = "select" if _kind(folder) == "select" else "choose"
        return cls(Path(folder), load_manifest(folder, kind))

    def __len__(self) -> int:
        # Under `all-target` the documents are the target's, and none of the pool is selected.
        return int((self.manifest.get("from_target") or self.manifest["counts"])["selected"])

    @property
    def path(self) -> Path:
        """The file of selected records."""
        return self.folder / str(self.manifest["selected"])

    @property
    def scores(self) -> Path:
        """`scores.parquet`: every candidate."""
        return self.folder / NAME

    @property
    def potential(self) -> Potential:
        """The fitted selector, to score any other pool."""
        return Potential.load(self.folder)

    def to_arrow(self) -> pa.Table:
        """The selected documents, best first: rank, id, source, text, score, calibrated score."""
        return pa.ipc.open_file(self.folder / "selected.arrow").read_all()

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame."""
        return self.to_arrow().to_pandas()


def _kind(folder: Path | str) -> str:
    from gotd.artifacts import MANIFEST, read_json

    path = Path(folder) / MANIFEST
    return str(read_json(path).get("kind")) if path.exists() else "choose"


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
        SettingsError: a budget above the pool.
    """
    started = time.perf_counter()
    scored = Scores.load(scores)
    wanted = checked(budget, format, max_per_source)
    how = PickSettings(rounds, mix, dedup, max_per_source, shortlist, target_shares, warm_up)
    settings = {"budget": str(wanted), **asdict(how), "format": format, "seed": seed}
    inputs = {"scores": [str(scored.manifest["inputs"]), str(scored.manifest["settings"])]}
    artifact = open_artifact(output, "choose", settings, inputs, overwrite=overwrite)
    if artifact.finished is not None:
        return Selection.load(artifact.folder)
    progress("choosing", 0, 3)
    potential = Potential.load(scored.folder)
    method = GOTD if potential.method is None else potential.method.name
    check_rounds(rounds, method)
    check_shares(target_shares, [term.name for term in potential.terms if term.weight > 0], rounds, method)
    fields = Fields(**scored.manifest["settings"]["fields"])
    if isinstance(potential.method, AllTarget):
        choice = target_alone(scored, wanted, how, potential, potential.method, seed)
    elif target_shares is None:
        choice = _picked(scored, wanted, how, potential, fields, seed)
    else:
        choice = _shared(scored, wanted, how, potential, fields, seed)
    ranking, chosen, documents = choice.ranking, choice.pick, choice.documents
    best = ranking.best.take(chosen.rows)
    progress("writing", 1, 3)
    calibrated = _calibrated(best.score, ranking.mean, ranking.pool)
    path = _write(artifact.folder, format, documents, best, calibrated, chosen.taken_by)
    _write_arrow(artifact.folder, documents, best, calibrated, chosen.taken_by)
    _write_duplicates(artifact.folder, chosen.duplicates)
    progress("solving again", 2, 3)
    random = _fetched(scored, ranking.random, fields)
    worst = _fetched(scored, ranking.worst, fields)
    tiers = scored.manifest.get("tiers")
    for name in (NAME, REJECTS, FILE_NAME, *((COARSE, PROBE) if tiers else ())):
        shutil.copyfile(scored.folder / name, artifact.folder / name)
    artifact.finish(
        {
            "selected": path.name,
            "counts": _counts(scored, choice, int(best.tokens.sum())),
            "tokenizer": scored.manifest["settings"]["tokenizer"],
            "turns": _turns(scored, chosen),
            "duplicates": len(chosen.duplicates),
            "filled": chosen.full,
            "rejects": scored.manifest["rejects"],
            **({"tiers": tiers} if tiers else {}),
            "quarantined": scored.manifest.get("quarantined", []),
            "from_target": choice.from_target,
            "sources": _by_source(scored.manifest["sources"], [] if choice.from_target else documents),
            **_shares_taken(scored, target_shares, potential, chosen, best),
            "transport": _transport(potential, documents, random, best, how.share(int(best.tokens.sum()))),
            "rounds": [asdict(step) for step in chosen.rounds],
            "quality": {
                **asdict(potential.quality),
                **accounts(potential.terms),
                "marginal_error_pool": scored.manifest["marginal_error"],
                "pull": _pull(potential, documents),
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


def _picked(
    scored: Scores, budget: Budget, how: PickSettings, potential: Potential, fields: Fields, seed: int
) -> Choice:
    """The choice, from a shortlist that is made longer until it fills the budget or nothing can come after it."""
    pool, stretch = scored.manifest["counts"]["scored"], how.stretch
    estimated = scored.manifest["settings"]["tokenizer"] is None
    # In rounds the order changes as documents are taken: what is beyond the cap now may come first then.
    cap = Cap.parse(how.max_per_source, budget) if how.max_per_source is not None and how.rounds == 1 else None
    while True:
        ranking = rank(
            scored.batches, budget, pool, seed=seed, worst=_SHOWN, stretch=stretch, estimated=estimated, cap=cap
        )
        shortlist = _fetched(scored, ranking.best, fields)
        more = Beyond(ranking.ended, ranking.beyond)
        chosen = pick(shortlist, ranking.best.tokens.tolist(), budget, ranking.size, how, potential, more)
        if not chosen.open:
            ranking = of_whole_pool(ranking, scored, seed)
            return Choice(ranking, chosen, [shortlist[row] for row in chosen.rows])
        stretch *= 2


def _shared(
    scored: Scores, budget: Budget, how: PickSettings, potential: Potential, fields: Fields, seed: int
) -> Choice:
    """The choice of each target by its own score, from lists made longer until they fill its share or are the pool."""
    pool, stretch, names = scored.manifest["counts"]["scored"], how.stretch, potential.owners
    estimated = scored.manifest["settings"]["tokenizer"] is None
    ranking = rank(scored.batches, budget, pool, seed=seed, worst=_SHOWN, estimated=estimated)
    budgets = divided(budget, pool, parse_shares(how.target_shares or ""), names)
    while True:
        wanted = {own_column(name): part for name, part in zip(names, budgets)}
        found = lowest_by(scored.batches, wanted, pool, stretch)
        every, orders = joined([picked for picked, _ in found])
        lists = Lists(every, _fetched(scored, every, fields), orders, [own for _, own in found])
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


def _fetched(scored: Scores, picked: Picked, fields: Fields) -> list[Document]:
    """The documents of the picked rows, in their order."""
    rows: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    for row, (file, position, piece) in enumerate(zip(picked.file, picked.position, picked.piece)):
        rows[int(file)][int(position), int(piece)] = row
    found: list[Document | None] = [None] * len(picked)
    files = scored.files
    for number, addresses in rows.items():
        for document in fetch(files[number], list(addresses), fields):
            row = addresses[document.position, document.piece]
            if document.id != picked.id[row] or crc32(document.record) != picked.checksum[row]:
                other = "another record under that id" if document.id == picked.id[row] else document.id
                raise InputError(
                    f"{files[number].path} changed since it was scored: found {other}, "
                    f"wanted {picked.id[row]}. Score it again"
                )
            found[row] = document
    return [document for document in found if document is not None]


def _calibrated(score: NDArray[np.float32], mean: float, pool: int) -> NDArray[np.float64]:
    """f_i - mean_{k != i} f_k over the pool (Just et al. 2023, LAVA): centred, and the ranking unchanged."""
    values = score.astype(np.float64)
    return (values - mean) * (pool / (pool - 1)) if pool > 1 else values * 0


def _write(
    folder: Path,
    format: OutputFormat,
    documents: Sequence[Document],
    picked: Picked,
    calibrated: NDArray[np.float64],
    taken_by: Sequence[tuple[str, float]],
) -> Path:
    with open_writer(folder, format) as writer:
        for row, document in enumerate(documents):
            mark = {
                "id": document.id,
                "source": document.source,
                "score": float(picked.score[row]),
                "calibrated": float(calibrated[row]),
                "rank": row + 1,
                **(dict(zip(_TAKEN_BY, taken_by[row])) if taken_by else {}),
            }
            writer.write(document.record, mark)
    return writer.path


def _write_arrow(
    folder: Path,
    documents: Sequence[Document],
    picked: Picked,
    calibrated: NDArray[np.float64],
    taken_by: Sequence[tuple[str, float]],
) -> None:
    table = pa.table(
        {
            "rank": np.arange(1, len(documents) + 1, dtype=np.int32),
            "id": [d.id for d in documents],
            "source": [d.source for d in documents],
            "text": [d.text for d in documents],
            "score": picked.score,
            "calibrated": calibrated,
            **(dict(zip(_TAKEN_BY, zip(*taken_by))) if taken_by else {}),
        }
    )
    with (
        pa.OSFile(str(folder / "selected.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)


def _write_duplicates(folder: Path, duplicates: Sequence[Duplicate]) -> None:
    """duplicates.parquet: what was passed over, the better document it repeats, and how alike they are."""
    rows = {name: [getattr(found, name) for found in duplicates] for name in ("id", "survivor", "similarity")}
    schema = pa.schema([("id", pa.string()), ("survivor", pa.string()), ("similarity", pa.float64())])
    pq.write_table(pa.table(rows, schema=schema), folder / DUPLICATES)


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
    return "tokens_estimated" if scored.manifest["settings"]["tokenizer"] is None else "tokens"


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


def _transport(
    potential: Potential,
    selected: Sequence[Document],
    random: Sequence[Document],
    best: Picked,
    mix: float,
) -> dict[str, Any]:
    """The objective at the reference, predicted after the selection, solved after it, and after a random choice."""
    before = potential.quality.value
    start, summary = potential.gradient()
    if potential.method is None:
        phi = best.score.astype(np.float64)
    else:
        phi = potential.priced(points_of(selected, potential)).f.double().numpy()
    mass = masses(selected, potential.settings.get("text_mass", "docs"))
    mean = float(np.average(phi, weights=None if mass is None else mass.numpy()))
    predicted = before + mix * (mean - potential.level)
    some, few = _some(selected, potential), _some(random, potential)
    after, by_chance = (_solved(potential, start, summary, added, mix) for added in (some, few))
    return {
        "measure": "sinkhorn divergence" if start.parts[0].objective.debias else "entropic OT",
        "unit": "cost" if potential.plain else "standard deviations of the gradient over the reference",
        "mix": mix,
        "before": before,
        "predicted": predicted,
        "after": after.value,
        "random": by_chance.value,
        "rounds_needed": rounds_needed(before, predicted, after.value),
        "solved_on": {"selected": min(len(selected), _SOLVE_AGAIN_ON), "random": len(random)},
        **({} if potential.plain else {"targets": _each(potential, some, after, by_chance, mix)}),
    }


def _each(potential: Potential, added: Measure, after: Blend, by_chance: Blend, mix: float) -> list[dict[str, Any]]:
    """The same for each of several targets, in units of the cost; predicted from the documents that are solved on."""
    means = potential.phi(added.points).double() @ added.weights.double()
    return [
        {
            "name": term.name,
            "weight": abs(term.weight),
            "avoid": term.weight < 0,
            "before": term.quality.value,
            "predicted": term.quality.value + mix * (float(mean) - term.level),
            "after": chosen.value,
            "random": chance.value,
        }
        for term, mean, chosen, chance in zip(potential.terms, means, after.parts, by_chance.parts)
    ]


def _pull(potential: Potential, documents: Sequence[Document]) -> float | None:
    """How much of the selection FEW of the target's mass buys, on an even sample; None of several targets."""
    if not potential.plain:
        return None
    some = documents[:: -(-len(documents) // _PULLED)]
    return pull_of_few(potential.attract, points_of(some, potential), FEW)


def _some(documents: Sequence[Document], potential: Potential) -> Measure:
    """Documents as a measure; of many an even sample stands for all."""
    some = documents[:: -(-len(documents) // _SOLVE_AGAIN_ON)]
    return Measure.of(points_of(some, potential), masses(some, potential.settings.get("text_mass", "docs")))


def _solved(potential: Potential, start: Blend, summary: Measure | None, added: Measure, mix: float) -> Blend:
    """The gradient, with the objective, at (1 - mix) reference + mix of what is added."""
    centroids = None if summary is None else summary.mixed_with(summarised(added), mix)
    return start.at(potential.reference.mixed_with(added, mix), centroids)


def _lines(documents: Sequence[Document], picked: Picked) -> list[dict[str, Any]]:
    return [
        {"id": d.id, "source": d.source, "score": float(score), "text": " ".join(d.text.split())[:200]}
        for d, score in zip(documents, picked.score)
    ]
