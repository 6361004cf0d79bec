"""Fit the potential: a sample of the reference and the targets become one file.

reference, targets -> documents -> encoder (fitted on all) -> vectors -> space -> phi -> potential.safetensors
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gotd.artifacts import open_artifact, released_by_errors
from gotd.corpus import Fields, GivenFields, Inputs, OnError, RejectWriter, fields_from, find
from gotd.encoder_folders import encoder_files, encoder_folder
from gotd.encoders import Encoder
from gotd.encoders.weights import transport_device
from gotd.engine import Progress, silent
from gotd.potential import Potential
from gotd.selection.methods import GOTD, Method, fit_method
from gotd.selection.several import Wanted, accounts, fit_terms
from gotd.stages.fit_settings import FitSettings
from gotd.stages.more import more_of
from gotd.stages.points import masses
from gotd.stages.samples import Samples, draw
from gotd.stages.targets import Aim, Targets, aims, check_aims, described, inputs_of
from gotd.transfers import enough_memory, give_back
from gotd.transport import Cost, Measure, Space, recentred, summarised


@released_by_errors()
def fit(
    target: Targets,
    reference: Inputs,
    output: Path | str,
    *,
    avoid: Targets | None = None,
    settings: FitSettings | None = None,
    fields: GivenFields | None = None,
    target_fields: GivenFields | None = None,
    on_error: OnError = "skip",
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress = silent,
) -> Potential:
    """Fit the potential that moves the reference toward the target, and save it.

    Args:
        target: files, folders, globs or URLs of examples of the task, or one or several `gotd.Target`.
        reference: files, folders, globs or URLs of what the model was trained on, or of a pool that resembles it.
        output: folder for `potential.safetensors`, `rejects.jsonl` and the manifest.
        avoid: as `target`: examples of what the selection is to leave.
        settings: what decides the fit.
        fields: where text, id and source are in a record of the reference, and of pools to come: `gotd.Fields`, or
            some of its names as a mapping.
        target_fields: the same for the target; left out, as for the reference; a mapping changes some of those.
        on_error: `skip` names bad rows in `rejects.jsonl`; `fail` stops at the first.
        device: where a transformer encoder runs and the transport is solved, see `transport_device`.
        overwrite: replace what another command left in `output`.
        progress: called as work is done.
    """
    started = time.perf_counter()
    chosen, where = settings or FitSettings(), fields_from(fields, Fields())
    where_target = fields_from(target_fields, where.of_target())
    goals, read_from = aims(target, avoid), find(reference)
    check_aims(chosen.method, goals)
    asked = {
        **asdict(chosen),
        **encoder_files(chosen.encoder),
        "fields": asdict(where),
        "target_fields": asdict(where_target),
        "on_error": on_error,
        **described(goals),
    }
    files = {**inputs_of(goals), "reference": read_from}
    inputs = {name: [file.as_input for file in found] for name, found in files.items()}
    reads = filter(None, [encoder_folder(chosen.encoder)])
    artifact = open_artifact(output, "fit", asked, inputs, overwrite=overwrite, reads=reads)
    if artifact.finished is not None:
        return Potential.load(artifact.folder, device=device)
    progress("reading target and reference", 0, 4)
    samples = draw(
        goals,
        where_target,
        read_from,
        where,
        target_size=chosen.target_sample,
        reference_size=chosen.fit_sample,
        seed=chosen.seed,
        on_error=on_error,
    )
    read_at = time.perf_counter()
    progress("embedding target and reference", 1, 4)
    encoder, vectors = samples.embedded(chosen.encoder, device=device, seed=chosen.seed)
    embedded_at = time.perf_counter()
    progress("solving", 2, 4)
    space = chosen.space(vectors[0])
    source, wanted = samples.measured(space, vectors, chosen.text_mass)
    more = None
    if chosen.debias:
        more = more_of(
            samples.reference,
            read_from,
            where,
            encoder,
            space,
            text_mass=chosen.text_mass,
            seed=chosen.seed,
            on_error=on_error,
            progress=progress,
        )
    more_at = time.perf_counter()
    where_solved = transport_device(device, encoder.config())
    with enough_memory("the fit", "pass a smaller --fit-sample or --target-sample, or --device cpu"):
        potential = fitted_to(encoder, space, source, wanted, chosen, more, where_solved)
    give_back(where_solved)
    known = {
        "key": artifact.key,
        "fields": asdict(where),
        "text_mass": chosen.text_mass,
        "reference_digests": sorted(file.digest for file in read_from),
        "targets": _where_targets_are(goals, where_target, chosen),
    }
    potential = replace(potential, settings=known, method=_method(chosen, samples, source, wanted))
    path = potential.save(artifact.folder)
    solved_at = time.perf_counter()
    with RejectWriter(artifact.folder / "rejects.jsonl") as rejects:
        for reject in samples.rejects:
            rejects.write(reject)
    artifact.finish(
        {
            "counts": samples.counts,
            "trimmed": _trimmed(samples, potential, chosen),
            "encoder": {"spec": encoder.spec, "dim": encoder.dim, "fingerprint": encoder.fingerprint},
            **({} if where_solved.type == "cpu" else {"solved_on": str(where_solved)}),
            "quality": {**asdict(potential.quality), **accounts(potential.terms)},
            "bytes": path.stat().st_size,
            "seconds": {
                "read": read_at - started,
                "embed": embedded_at - read_at,
                "embed more": more_at - embedded_at,
                "solve": solved_at - more_at,
            },
        }
    )
    progress("fitted", 4, 4)
    return Potential.load(artifact.folder, device=device)


def fitted(
    encoder: Encoder,
    reference: NDArray[np.float32],
    target: NDArray[np.float32],
    settings: FitSettings,
    *,
    more: NDArray[np.float32] | None = None,
    device: torch.device | str = "cpu",
) -> Potential:
    """The potential from raw vectors: reference (n, d) and one target (m, d), each document weighing the same.

    `more` (k, d) are vectors of the reference, these n among them, to correct the fit by. `device` solves.
    """
    space = settings.space(reference)
    source = Measure.of(space(reference))
    wanted = Wanted("target", 1.0, Measure.of(space(target)))
    rest = None if more is None else Measure.of(space(more))
    return fitted_to(encoder, space, source, [wanted], settings, rest, device)


def fitted_to(
    encoder: Encoder,
    space: Space,
    reference: Measure,
    wanted: Sequence[Wanted],
    settings: FitSettings,
    more: Measure | None = None,
    device: torch.device | str = "cpu",
) -> Potential:
    """The potential from points of the space: the reference (and more of it), what to move toward or to leave.

    It is solved on `device`, and lies on the CPU.
    """
    source = reference.to(device)
    more = more if settings.debias else None  # the published setting is that of its sample
    summary = None if more is None else recentred(summarised(source, seed=settings.seed), more)
    terms, repel, quality = fit_terms(
        source,
        [each.to(device) for each in wanted],
        reg=settings.reg,
        debias=settings.debias,
        cost=Cost(settings.cost),
        seed=settings.seed,
        trim=settings.trim,
        summary=summary,
    )
    col = None if more is None else torch.cat([term.attract.received(more) for term in terms]).cpu()
    home = tuple(term.to("cpu") for term in terms)
    found = Potential(encoder, space, home, None if repel is None else repel.to("cpu"), reference, quality)
    return found if col is None else found.stepped(col)


def _where_targets_are(goals: Sequence[Aim], fields: Fields, settings: FitSettings) -> dict[str, Any]:
    """For the report, which reads their samples again."""
    return {
        "files": [[asdict(file) for file in goal.files] for goal in goals],
        "fields": asdict(fields),
        "size": settings.target_sample,
        "seed": settings.seed,
    }


def _trimmed(samples: Samples, potential: Potential, settings: FitSettings) -> list[dict[str, Any]]:
    """The target documents that were left out, and the share of their target's mass that went with each."""
    found = []
    for sampled, term in zip(samples.targets, potential.terms):
        documents, left = sampled.documents, term.objective.target.weights
        before = Measure.of(term.objective.target.points, masses(documents, settings.text_mass)).weights
        found += [
            {"id": documents[row].id, "weight": float(before[row]), "text": " ".join(documents[row].text.split())[:200]}
            for row in (left == 0).nonzero().flatten().tolist()
        ]
    return found


def _method(settings: FitSettings, samples: Samples, source: Measure, wanted: Sequence[Wanted]) -> Method | None:
    """Another way to rank candidates, fitted on the targets pooled by weight."""
    if settings.method == GOTD:
        return None
    whole = sum(each.weight for each in wanted)
    pooled = wanted[0].measure
    if len(wanted) > 1:
        weights = torch.cat([each.measure.weights * (each.weight / whole) for each in wanted])
        pooled = Measure.of(torch.cat([each.measure.points for each in wanted]), weights)
    return fit_method(
        settings.method,
        reference_texts=[document.text for document in samples.reference.documents],
        target_texts=[document.text for found in samples.targets for document in found.documents],
        reference=source,
        target=pooled,
        pool=samples.reference.rows,
        target_parts=[(len(each.measure), each.weight / whole) for each in wanted],
        seed=settings.seed,
        options=settings.method_options,
    )
