"""Score a pool: one pass over its shards, in constant memory.

    shard -> documents -> vectors -> phi -> parts/00012.parquet, .rejects.jsonl, .mass.npy
    parts -> scores.parquet, rejects.jsonl, the certificate

The mass that each document of a target receives comes with the pass. Where the pool is the reference itself and that
mass is off by too much, the potential is corrected by one Sinkhorn step and the pool is scored again (`passes.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from gotd.artifacts import open_artifact, released_by_errors
from gotd.corpus import Fields, File, GivenFields, Inputs, OnError, Shard, fields_from, find, plan
from gotd.durable import linked
from gotd.engine import Executor, Progress, check_executor, silent
from gotd.errors import InputError, SettingsError, whole
from gotd.potential import Potential
from gotd.potential_file import FILE_NAME
from gotd.potential_file import identity as identity_of
from gotd.selection.methods.round_robin import Taken
from gotd.selection.tokens import identity
from gotd.stages.arithmetic import arithmetic_for
from gotd.stages.embeddings import REUSED, Kept, check_keeping, check_place
from gotd.stages.merging import Merged, given_up, merge, repeats
from gotd.stages.passes import Last, Passes
from gotd.stages.ranks import Rank
from gotd.stages.scores import REJECTS, Scores
from gotd.stages.shard_scorer import ShardScorer, own_columns
from gotd.stages.turns import TurnScores, take_turns, told


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
    inputs = {name: [file.as_input for file in found] for name, found in (("pool", files), ("held_out", test)) if found}
    number, reads = None if rank is None else rank.rank, [potential, *([tokenizer] if tokenizer else [])]
    artifact = open_artifact(output, "score", settings, inputs, overwrite=overwrite, rank=number, reads=reads)
    if artifact.finished is not None:
        return Scores.load(artifact.folder)
    arithmetic = arithmetic_for(fitted, device)
    scorer = ShardScorer(
        potential=Path(),  # that of each pass takes its place
        fields=chosen,
        on_error=on_error,
        sources=None if sources is None else frozenset(sources),
        device=device,
        held_out=tuple(file.path for file in test),
        tokenizer=tokenizer,
        embeddings=None if kept is None else kept.folder,
        keep_embeddings=keep_embeddings,
        products=None if arithmetic is None else arithmetic.products,
    )
    is_reference = sources is None and fitted.settings.get("reference_digests") == sorted(f.digest for f in files)
    passes = Passes(artifact, scorer, shards, workers, executor, progress)
    if rank is not None:
        return passes.shared(fitted, rank)
    last = passes.all(fitted, polish if is_reference else 0)
    merged, taken = _merged(last, files, artifact.folder, chosen, on_error)
    reused = {name: merged.counts.pop(name, 0) for name in REUSED}
    if not merged.counts["scored"]:
        raise InputError(_nothing(artifact.folder, merged.counts, sources))
    linked(passes.potential(last.steps), artifact.folder / FILE_NAME)
    seconds = time.perf_counter() - started
    artifact.finish(
        {
            "files": [asdict(file) for file in files],
            "counts": merged.counts,
            "rejects": merged.rejects,
            "quarantined": given_up(last.ran.lost),
            "sources": merged.sources,
            **last.certificate,
            **({} if kept is None else {"embeddings": {"from": str(kept.folder), **reused}}),
            "polish_steps": last.steps,
            **({} if arithmetic is None else {"arithmetic": asdict(arithmetic)}),
            **({} if not test else {"contamination": _checked_for(scorer)}),
            "turns": None if taken is None else told(taken),
            "seconds": seconds,
            "documents_per_second": merged.counts["read"] / seconds,
        }
    )
    return Scores.load(artifact.folder)


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
    last: Last, files: Sequence[File], folder: Path, fields: Fields, on_error: OnError
) -> tuple[Merged, Taken | None]:
    """The parts as one, without the ids that repeat; and the turns, where the method takes some."""
    done = last.ran.done
    gone = repeats(done)
    taken = take_turns(last.potential, done, gone)
    merged = merge(
        done,
        files,
        folder,
        on_error,
        gone,
        rescored=None if taken is None else TurnScores(taken),
        pieces=fields.chunk_chars is not None,
        own=own_columns(last.potential),
        lost=last.ran.lost,
    )
    return merged, taken


def _checked_for(scorer: ShardScorer) -> dict[str, int]:
    """How many held-out texts there were, and how many too short to be looked for."""
    found = scorer.held_out_texts()
    return {"texts": found.texts, "unchecked": found.unchecked}


def _nothing(folder: Path, counts: dict[str, int], sources: Sequence[str] | None) -> str:
    """Why nothing was scored, and what to do."""
    if counts["outside"]:
        wanted = ", ".join(sources or ())
        return f"none of {counts['outside']} documents is from the sources {wanted}. Pass sources that the pool has"
    with (folder / REJECTS).open("rb") as lines:
        first = next(lines, b"")
    why = f"the first: {orjson.loads(first)['message']}" if first else "the files are empty"
    return f"no document could be read, of {counts['read']} rows; {why}"
