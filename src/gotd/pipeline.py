"""The main job, from top to bottom: a pool, a target and a budget become a selection.

    fit     reference + targets     -> output/.work/selector   the potential
    score   the potential + pool    -> output/.work/scores     every candidate's score
    choose  the scores + a budget   -> output                  the selection

Each stage leaves an artifact, so a run that was stopped goes on from the last one finished; the same three can be
run one by one with `gotd fit`, `gotd score` and `gotd choose`, with the same result.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson

from gotd.artifacts import MANIFEST, Artifact, open_artifact, read_json, released_by_errors
from gotd.corpus import Fields, GivenFields, Inputs, OnError, OutputFormat, Reject, RejectWriter, fields_from, find
from gotd.durable import linked
from gotd.encoder_folders import encoder_files, encoder_folder
from gotd.engine import Executor, Progress, check_executor, silent
from gotd.errors import InputError, whole
from gotd.selection.duplicates import Mode
from gotd.selection.mix import WarmUp
from gotd.selection.tokens import identity
from gotd.stages.choose import check_rounds, checked, choose
from gotd.stages.domains import domains
from gotd.stages.early import early_workers
from gotd.stages.embeddings import FOLDER as KEPT
from gotd.stages.embeddings import Kept, check_place
from gotd.stages.fit import fit
from gotd.stages.fit_settings import PUBLISHED, FitSettings
from gotd.stages.picking import MIX, Mix, PickSettings
from gotd.stages.points import TextMass
from gotd.stages.score import score
from gotd.stages.scores import REJECTS
from gotd.stages.selected import Selection
from gotd.stages.sharing import check_shares
from gotd.stages.targets import Targets, aims, check_aims, described, inputs_of
from gotd.stages.tiers import check_tiers, refine

IN_DOMAIN = "in-domain"
IN_DOMAIN_SOURCES = 3


@released_by_errors()
def select(
    candidates: Inputs,
    target: Targets,
    budget: str | int,
    output: Path | str | None = None,
    *,
    avoid: Targets | None = None,
    reference: Inputs | None = None,
    method: str = "gotd",
    method_options: Mapping[str, Any] | None = None,
    encoder: str = "lsa",
    coarse: str | None = None,
    fine: str | None = None,
    probe: int | None = None,
    embeddings: Path | str | None = None,
    keep_embeddings: bool = False,
    reg: float | None = None,
    debias: bool | None = None,
    centre: bool | None = None,
    whiten: float | None = None,
    remove_top: int = 0,
    cost: str = "cosine",
    paper: bool = False,
    fit_sample: int = 20_000,
    target_sample: int = 5_000,
    text_mass: TextMass = "docs",
    trim: float | None = None,
    keep: int | None = None,
    held_out: Inputs | None = None,
    rounds: int = 1,
    mix: Mix = MIX,
    warm_up: WarmUp | None = None,
    dedup: Mode = "near",
    max_per_source: str | None = None,
    shortlist: float = 10.0,
    target_shares: str | None = None,
    polish: int = 3,
    tokenizer: str | None = None,
    seed: int = 0,
    fields: GivenFields | None = None,
    target_fields: GivenFields | None = None,
    on_error: OnError = "skip",
    format: OutputFormat = "jsonl",
    workers: int | None = None,
    executor: Executor | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress = silent,
) -> Selection:
    """Choose the candidates that move what a model has seen closest to the target.

    Args:
        candidates: files, folders, globs or URLs of the pool.
        target: the same of examples of the task: paths are one target; several, or weights, are `gotd.Target`.
        budget: `5000docs`, `5%` of the pool's documents, or `2000000tokens`.
        output: folder for the result; left out, a new temporary one.
        avoid: as `target`: examples of what the selection is to leave.
        reference: what the model was trained on; left out, a sample of the candidates.
        method: `gotd`, or what it is compared with: `random`, `in-domain` (random within the `keep` nearest sources,
            3 if left out), `nearest`, `round-robin`, `mmd`, `dsir`, `knn-kde` or `all-target`: see docs/methods.md.
            Transport before and after is measured all the same.
        method_options: of that method alone, such as `{"kind": "mean"}` of `nearest`.
        encoder: see `gotd.encoders.KNOWN_SPECS`, or the folder of a selector whose encoder serves again.
        coarse, fine: two encoders instead of one: `coarse` scores the pool, `fine` the best `shortlist` budgets of it.
        probe: documents that are not on that shortlist and that `fine` scores too, to say what share of its best the
            shortlist holds; left out, as many as the budget holds, and 1000 at least.
        embeddings, keep_embeddings: see `score`.
        reg, debias, centre, whiten, remove_top, cost, fit_sample, target_sample, text_mass, trim, seed: see
            `FitSettings`.
        paper: the published settings where reg, debias, centre, whiten and trim are left out.
        keep: score only so many sources, those nearest to the target (see `domains`).
        rounds, mix, warm_up, dedup, max_per_source, shortlist, target_shares: see `choose`.
        held_out, polish, tokenizer: see `score`.
        fields: where text, id and source are in a candidate or reference record: `gotd.Fields`, or some of its names
            as a mapping, such as `{"text": "body"}`.
        target_fields: the same for the target; left out, as for the candidates; a mapping changes some of those.
        on_error: `skip` names bad rows in `rejects.jsonl`; `fail` stops at the first.
        format: of the selected records: `jsonl`, `jsonl.zst` or `parquet`.
        workers: processes for scoring; None for one a core, 1 to stay in this process.
        executor: who scores: see `score`.
        device: where a transformer encoder runs.
        overwrite: replace what another command left in `output`.
        progress: called as work is done.
    """
    started = time.perf_counter()
    keep, polish = None if keep is None else whole("keep", keep), whole("polish", polish)
    measured = keep  # what is asked for is refused where there are fewer sources, a default is not
    if method == IN_DOMAIN:
        # Uniform within the sources nearest to the target: the "DAPT" row of the paper.
        method, keep = "random", IN_DOMAIN_SOURCES if keep is None else keep
    settings = fit_settings(
        paper=paper,
        method=method,
        method_options=method_options or {},
        reg=reg,
        debias=debias,
        centre=centre,
        whiten=whiten,
        remove_top=remove_top,
        encoder=encoder,
        cost=cost,
        fit_sample=fit_sample,
        target_sample=target_sample,
        text_mass=text_mass,
        trim=trim,
        seed=seed,
    )
    seed, where = settings.seed, fields_from(fields, Fields())
    where_target = None if target_fields is None else fields_from(target_fields, where.of_target())
    wanted = checked(budget, format, max_per_source)
    how = PickSettings(rounds, mix, dedup, max_per_source, shortlist, target_shares, warm_up)
    check_rounds(rounds, settings.method)
    check_executor(executor)
    goals = aims(target, avoid)
    check_aims(settings.method, goals)
    check_shares(target_shares, [goal.name for goal in goals if not goal.avoid], rounds, settings.method)
    other = _beside_tiers(method, target_shares, where, keep_embeddings or embeddings is not None)
    tiers = check_tiers(coarse, fine, shortlist, probe, encoder, other)
    if tiers is not None:
        settings = replace(settings, encoder=tiers.fine)
    folder = Path(output) if output is not None else Path(tempfile.mkdtemp(prefix="gotd-"))
    kept = None if embeddings is None else Kept.load(embeddings)
    if kept is not None:
        check_place(kept, folder, overwrite)
    encoders = [settings.encoder, *([] if tiers is None else [tiers.coarse])]
    asked = {
        **asdict(settings),
        **encoder_files(*encoders),
        "fields": asdict(where),
        "target_fields": None if where_target is None else asdict(where_target),
        "budget": str(wanted),
        **asdict(how),
        "keep": keep,
        **({} if tiers is None else {"coarse": str(coarse), "probe": tiers.probe}),
        **({"keep_embeddings": True} if keep_embeddings else {}),
        **({} if kept is None else {"embeddings": kept.key}),
        "polish": polish,
        "tokenizer": identity(tokenizer),
        "on_error": on_error,
        "format": format,
        **described(goals),
    }
    files = {"candidates": find(candidates), **inputs_of(goals)}
    files |= {name: find(given) for name, given in (("reference", reference), ("held_out", held_out)) if given}
    inputs = {name: [file.as_input for file in found] for name, found in files.items()}
    reads: list[Path | str] = [*filter(None, map(encoder_folder, encoders)), *([tokenizer] if tokenizer else [])]
    artifact = open_artifact(folder, "select", asked, inputs, overwrite=overwrite, reads=reads)
    if artifact.finished is not None:
        return Selection.load(folder)
    work = folder / ".work"
    first = settings if tiers is None else replace(settings, encoder=tiers.coarse)
    reading: dict[str, Any] = {"fields": where, "on_error": on_error, "device": device, "progress": progress}
    working: dict[str, Any] = {"workers": workers, "executor": executor}
    sources = None
    if keep is not None:
        near = domains(candidates, target, keep=measured, settings=first, target_fields=where_target, **reading)
        sources = [domain.source for domain in near[:keep]]
    seen = reference if reference is not None else candidates
    fits = {"selector": settings, **({} if tiers is None else {"coarse": first})}
    place = work / ("scores" if tiers is None else "coarse-scores")
    with early_workers(files["candidates"], where, place, workers, executor):
        for name, chosen_by in fits.items():
            fit(target, seen, work / name, avoid=avoid, settings=chosen_by, target_fields=where_target, **reading)
        scored = score(
            work / ("selector" if tiers is None else "coarse"),
            candidates,
            place,
            sources=sources,
            held_out=held_out,
            polish=polish,
            tokenizer=tokenizer,
            embeddings=embeddings,
            keep_embeddings=keep_embeddings,
            **reading,
            **working,
        )
    if scored.manifest["inputs"]["pool"] != inputs["candidates"]:
        raise InputError(
            "the candidates changed while they were read; once they are whole, run it again with --overwrite"
        )
    if tiers is not None:
        refined = refine(
            work / "selector",
            work / "coarse-scores",
            work / "scores",
            wanted,
            shortlist=shortlist,
            probe=tiers.probe,
            seed=seed,
            device=device,
            progress=progress,
            **working,
        )
        budget = refined.manifest["tiers"]["budget"]
    picking = {**asdict(how), "warm_up": warm_up}
    chosen = choose(work / "scores", budget, work / "chosen", **picking, format=format, seed=seed, progress=progress)
    return _finished(artifact, work, chosen, sources, separate=reference is not None, started=started)


def _beside_tiers(method: str, target_shares: str | None, fields: Fields, keeps: bool) -> str | None:
    """What was asked for and two encoders do not go with, by name."""
    excluded = {
        f"method {method}": method != "gotd",
        "--target-shares": target_shares is not None,
        "kept embeddings": keeps,
        "--embedding-field": fields.embedding is not None,  # its vectors stand for those of any encoder
    }
    return next((name for name, found in excluded.items() if found), None)


def _finished(
    artifact: Artifact, work: Path, chosen: Selection, sources: list[str] | None, *, separate: bool, started: float
) -> Selection:
    """The files of the three stages in one folder, with one manifest."""
    folder = artifact.folder
    fitted, scored = (read_json(work / stage / MANIFEST) for stage in ("selector", "scores"))
    _add_rejects(folder, work, fitted, separate=separate)
    for path in sorted((work / "chosen").iterdir()):
        if path.name not in (MANIFEST, REJECTS):
            path.replace(folder / path.name)
    if (work / "scores" / KEPT).exists():
        # Copied, not moved: where shards are in quarantine, the same command goes on with what is in the workplace.
        shutil.copytree(work / "scores" / KEPT, folder / KEPT, dirs_exist_ok=True, copy_function=linked)
    found = {name: value for name, value in chosen.manifest.items() if name not in artifact.asked}
    of_fit = ("counts", "trimmed", "encoder", "bytes", "solved_on")
    seconds = {
        "fit": sum(fitted["seconds"].values()),
        **{f"fit: {part}": took for part, took in fitted["seconds"].items()},
        **chosen.manifest["seconds"],
        "total": time.perf_counter() - started,
    }
    artifact.finish(
        {
            **found,
            "fit": {name: fitted[name] for name in of_fit if name in fitted},
            "kept_sources": sources,
            **{name: scored[name] for name in ("embeddings", "arithmetic", "contamination") if name in scored},
            "seconds": seconds,
            "documents_per_second": {
                "score": found["documents_per_second"],
                "total": found["counts"]["read"] / seconds["total"],
            },
        }
    )
    return Selection.load(folder)


def fit_settings(*, paper: bool, **given: Any) -> FitSettings:
    """Settings of a fit: those given, over the published ones or the defaults; None of these is not given."""
    named = {name: value for name, value in given.items() if value is not None or name not in PUBLISHED}
    return FitSettings(**{**(PUBLISHED if paper else {}), **named})


def _add_rejects(folder: Path, work: Path, fitted: dict[str, Any], *, separate: bool) -> None:
    """The rejects of the pool, then those of the targets and of a reference that is not the pool."""
    inputs = fitted["inputs"]
    target = {line.rpartition(" ")[0] for line in inputs["target"] + inputs.get("avoid", [])}
    with RejectWriter(folder / REJECTS) as out:
        for path in (work / "chosen" / REJECTS, work / "selector" / REJECTS):
            for line in path.read_bytes().splitlines():
                reject = Reject(**orjson.loads(line))
                if path.parent.name == "chosen" or separate or reject.file in target:
                    out.write(reject)
