"""Score a pool: one pass over its shards, in constant memory.

    shard -> documents -> vectors -> phi -> parts/00012.parquet, .rejects.jsonl, .mass.npy
    parts -> scores.parquet, rejects.jsonl, the certificate

The mass that each document of a target receives comes with the pass. Where the pool is the reference itself and that
mass is off by more than ASK_AT, the potential is corrected by one Sinkhorn step and the pool is scored again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import orjson
import torch

from gotd.artifacts import Artifact, open_artifact, released_by_errors
from gotd.corpus import Fields, File, GivenFields, Inputs, OnError, Shard, fields_from, find, plan
from gotd.durable import linked
from gotd.encoders import Encoder
from gotd.encoders.weights import ON_GPU
from gotd.engine import Done, Executor, Progress, Ran, check_executor, run, silent
from gotd.errors import InputError, SettingsError, whole
from gotd.potential import FILE_NAME, Potential
from gotd.potential_file import identity as identity_of
from gotd.selection.methods.round_robin import Taken
from gotd.selection.tokens import identity
from gotd.stages.arithmetic import arithmetic_for, worker_count
from gotd.stages.embeddings import FOLDER, REUSED, Kept, check_keeping, check_place, collect
from gotd.stages.ranks import Rank
from gotd.stages.scores import REJECTS, Merged, Scores, given_up, merge, repeats
from gotd.stages.shard_scorer import ShardScorer, forget, own_columns
from gotd.stages.turns import TurnScores, take_turns, told

ASK_AT = 0.03  # below it the best 1 % change by about one in a hundred (docs/log.md)


@released_by_errors()
def score(
    potential: Path | str,
    pool: Inputs,
    output: Path | str,
    *,
    fields: GivenFields | None = None,
    on_error: OnError = "skip",
    sources: Sequence[str] | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    rank: Rank | None = None,
    held_out: Inputs | None = None,
    polish: int = 3,
    tokenizer: str | None = None,
    embeddings: Path | str | None = None,
    keep_embeddings: bool = False,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress = silent,
) -> Scores:
    """Score every document of a pool with a fitted potential.

    Shards whose workers die twice are in quarantine: the manifest and `rejects.jsonl` name them, and the same call
    again tries them again.

    Args:
        potential: a folder made by `fit` or `select`, or its file.
        pool: files, folders, globs or URLs.
        output: folder for `scores.parquet`, `rejects.jsonl` and the manifest.
        fields: where text, id and source are in a record; left out, as in the fit; a mapping changes some of those.
        on_error: `skip` names bad rows in `rejects.jsonl`; `fail` stops at the first.
        sources: score these only, or this one.
        workers: processes; None for one a core, or two on a GPU.
        executor: `inline`, `processes` or `ray`; None for processes, or this one where one worker is enough.
        rank: score one share, and merge nothing: the manifest of what is returned then holds only `shards`, of this
            share (`done`, `of`) and of the `pool`, and `quarantined`. The call without it does the rest, and merges.
        held_out: files of a test set: a candidate that shares 13 words in a row with one of its texts is rejected.
        polish: further passes at most, made where the pool is the reference and the certificate asks for them.
        tokenizer: what counts tokens: a `tokenizer.json`, its folder, or a model's id on the hub; left out, tokens are
            estimated at four bytes each.
        embeddings: a folder of `score` or `select` with kept vectors of this pool by the potential's encoder; what it
            lacks is embedded.
        keep_embeddings: keep the vectors in `output`/embeddings, as float16.
        device: where a transformer encoder runs and documents are priced, see `transport_device`.
        overwrite: replace what another command left in `output`.
        progress: called as work is done.

    Raises:
        ArtifactError: the kept vectors are another encoder's.
        SettingsError: a share is to overwrite.
        InputError: a file of the pool is not the one that was embedded.
    """
    started = time.perf_counter()
    polish = whole("polish", polish)
    if not polish >= 0:
        raise SettingsError(f"polish is {polish}; wanted 0 or more passes")
    if rank is not None and overwrite:
        raise SettingsError(
            "--overwrite would delete what other ranks have scored; delete the folder before they start"
        )
    check_executor(executor)
    fitted = Potential.load(potential, device=device)
    sources = [sources] if isinstance(sources, str) else sources
    chosen = fields_from(fields, Fields(**fitted.settings.get("fields", {})))
    files = find(pool)
    settings = {
        "potential": identity_of(potential),
        "fields": asdict(chosen),
        "on_error": on_error,
        "sources": None if sources is None else sorted(sources),
        "polish": polish,
        "tokenizer": identity(tokenizer),
        **({"keep_embeddings": True} if keep_embeddings else {}),
    }
    shards = plan(files, chosen)
    kept = _kept(embeddings, keep_embeddings, fitted, shards, output, overwrite)
    if kept is not None:
        settings["embeddings"] = kept.key
    test = find(held_out) if held_out else []
    inputs = {"pool": [file.as_input for file in files]}
    if test:
        inputs["held_out"] = [file.as_input for file in test]
    artifact = open_artifact(
        output,
        "score",
        settings,
        inputs,
        overwrite=overwrite,
        rank=rank.rank if rank else None,
        reads=filter(None, [potential, tokenizer]),
    )
    if artifact.finished is not None:
        return Scores.load(artifact.folder)
    arithmetic = arithmetic_for(fitted, device)
    scorer = ShardScorer(
        Path(),
        replace(chosen, vector_length=fitted.encoder.dim),
        on_error,
        None if sources is None else frozenset(sources),
        fitted.settings.get("text_mass", "docs"),
        device,
        tuple(file.path for file in test),
        tokenizer,
        None if kept is None else kept.folder,
        keep_embeddings,
        products=None if arithmetic is None else arithmetic.products,
    )
    is_reference = sources is None and fitted.settings.get("reference_digests") == sorted(f.digest for f in files)
    passes = _Passes(artifact, scorer, shards, workers, executor, progress)
    if rank is not None:
        return passes.shared(fitted, rank)
    ran, fitted, errors, steps = passes.all(fitted, polish if is_reference else 0)
    merged, taken = _merged(ran, fitted, files, artifact.folder, chosen, on_error)
    reused = {name: merged.counts.pop(name, 0) for name in REUSED}
    if not merged.counts["scored"]:
        raise InputError(_nothing(artifact.folder, merged.counts, sources))
    linked(passes.potential(steps), artifact.folder / FILE_NAME)
    seconds = time.perf_counter() - started
    artifact.finish(
        {
            "files": [asdict(file) for file in files],
            "counts": merged.counts,
            "rejects": merged.rejects,
            "quarantined": given_up(ran.lost),
            "sources": merged.sources,
            "marginal_error": max(errors, default=None),
            **({} if fitted.plain else {"marginal_errors": errors}),
            **({} if kept is None else {"embeddings": {"from": str(kept.folder), **reused}}),
            "polish_steps": steps,
            **({} if arithmetic is None else {"arithmetic": arithmetic.told()}),
            **({} if not test else {"contamination": _checked_for(scorer)}),
            "turns": None if taken is None else told(taken),
            "seconds": seconds,
            "documents_per_second": merged.counts["read"] / seconds,
        }
    )
    return Scores.load(artifact.folder)


@dataclass(frozen=True, slots=True)
class _Passes:
    """Passes over the shards, each by the potential in `parts/pass-1` and so on: a run goes on with the last."""

    artifact: Artifact
    scorer: ShardScorer
    shards: Sequence[Shard]
    workers: int | None
    executor: Executor | None
    progress: Progress

    def all(self, fitted: Potential, polish: int) -> tuple[Ran, Potential, list[float], int]:
        """Score, and step and score again while the certificate asks for it: of several targets, the worst of theirs.

        Returns:
            What came of the last pass, its potential, the marginal errors by it, and how many steps were taken.
        """
        step, fitted = self._begun(fitted)
        while True:
            ran = self._run(self.shards, step, fitted)
            if self.scorer.keep_embeddings and step == 0:
                collect(ran, self.artifact.folder, fitted.encoder)
            col = received(fitted.no_mass(), ran.done)
            errors = fitted.marginal_errors(col) if float(col.sum()) > 0 else []
            # Without the rows in quarantine the pool is not the reference: no step is taken by the others' mass.
            if ran.lost or max(errors, default=0.0) <= ASK_AT or step >= polish:
                return ran, fitted, errors, step
            step, fitted = step + 1, fitted.stepped(col)
            self._save(step, fitted)

    def shared(self, fitted: Potential, rank: Rank) -> Scores:
        """One share of the pass that is under way."""
        mine = rank.share(self.shards)
        step, fitted = self._begun(fitted)
        ran = self._run(mine, step, fitted)
        self.artifact.release()
        shards = {"done": len(ran.done), "of": len(mine), "pool": len(self.shards)}
        return Scores(self.artifact.folder, {"shards": shards, "quarantined": given_up(ran.lost)})

    def _run(self, shards: Sequence[Shard], step: int, fitted: Potential) -> Ran:
        """One pass over some shards."""
        scorer = replace(self.scorer, potential=self.potential(step))
        if step and scorer.keep_embeddings:
            # No pass embeds what the first has embedded.
            scorer = replace(scorer, embeddings=self.artifact.folder / FOLDER, keep_embeddings=False)
        forget()
        try:
            return run(
                shards,
                scorer,
                self._parts,
                f"{self.artifact.key}:{step}",
                workers=worker_count(self.workers, self.executor, scorer.device, fitted),
                executor=self.executor,
                gpu=on_gpu(scorer.device, fitted.encoder),
                progress=self.progress,
            )
        finally:
            forget()

    def _begun(self, fitted: Potential) -> tuple[int, Potential]:
        """The pass that a stopped run was at, and its potential."""
        step = max((int(path.parent.name[5:]) for path in self._parts.glob(f"pass-*/{FILE_NAME}")), default=0)
        if step == 0:
            self._save(0, fitted)
            return 0, fitted
        return step, Potential.load(self.potential(step), device=self.scorer.device)

    def _save(self, step: int, fitted: Potential) -> None:
        """Put a potential where the workers of its pass find it."""
        folder = self.potential(step).parent
        folder.mkdir(parents=True, exist_ok=True)
        fitted.save(folder)

    def potential(self, step: int) -> Path:
        """The file of the potential of a pass."""
        return self._parts / f"pass-{step}" / FILE_NAME

    @property
    def _parts(self) -> Path:
        """Where shards leave their files."""
        return self.artifact.folder / "parts"


def received(zero: torch.Tensor, done: Sequence[Done]) -> torch.Tensor:
    """The mass (m,) that each document of the targets has from all parts; `zero` is none of it.

    Added one by one: of 100,000 shards and 4,000 targets all together would take 3 GB.
    """
    col = zero.clone()
    for part in done:
        col += torch.from_numpy(np.load(part.stem.with_name(f"{part.stem.name}.mass.npy")))
    return col


def _kept(
    embeddings: Path | str | None,
    keep: bool,
    fitted: Potential,
    shards: Sequence[Shard],
    output: Path | str,
    overwrite: bool,
) -> Kept | None:
    """The vectors of a folder, if one is given, and known to be of this encoder and these shards."""
    found = None if embeddings is None else Kept.load(embeddings)
    if found is not None or keep:
        check_keeping(fitted)
    if found is not None:
        check_place(found, output, overwrite)
        found.check(fitted.encoder, shards)
    return found


def _merged(
    ran: Ran, fitted: Potential, files: Sequence[File], folder: Path, fields: Fields, on_error: OnError
) -> tuple[Merged, Taken | None]:
    """The parts as one, without the ids that repeat; and the turns, where the method takes some."""
    gone = repeats(ran.done)
    taken = take_turns(fitted, ran.done, gone)
    merged = merge(
        ran.done,
        files,
        folder,
        on_error,
        gone,
        rescored=None if taken is None else TurnScores(taken),
        pieces=fields.chunk_chars is not None,
        own=own_columns(fitted),
        lost=ran.lost,
    )
    return merged, taken


def _checked_for(scorer: ShardScorer) -> dict[str, int]:
    """How many held-out texts there were, and how many too short to be looked for."""
    found = scorer.held_out_texts()
    return {"texts": found.texts, "unchecked": found.unchecked}


def on_gpu(device: str, encoder: Encoder) -> bool:
    """Whether the work is quicker with a GPU."""
    device = str(device)  # from Python it may be torch's
    return device.startswith("cuda") or (device != "cpu" and encoder.config().get("kind") in ON_GPU)


def _nothing(folder: Path, counts: dict[str, int], sources: Sequence[str] | None) -> str:
    """Why nothing was scored, and what to do."""
    if counts["outside"]:
        wanted = ", ".join(sources or ())
        return f"none of {counts['outside']} documents is from the sources {wanted}. Pass sources that the pool has"
    with (folder / REJECTS).open("rb") as lines:
        first = next(lines, b"")
    why = f"the first: {orjson.loads(first)['message']}" if first else "the files are empty"
    return f"no document could be read, of {counts['read']} rows; {why}"
