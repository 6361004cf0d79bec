"""Fit the potential: a sample of the reference and the target become one file.

reference, target -> documents -> encoder (fitted on both) -> vectors -> space -> phi -> potential.safetensors
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gotd.artifacts import open_artifact
from gotd.corpus import Document, Fields, File, Inputs, OnError, RejectWriter, Sampled, find, sample
from gotd.encoders import Encoder, fit_encoder
from gotd.encoders.precomputed import Precomputed
from gotd.engine import Progress, silent
from gotd.errors import InputError, SettingsError
from gotd.potential import Potential, Quality
from gotd.selection.gradient import Gradient, fit_gradient
from gotd.selection.methods import GOTD, Method, check_method, fit_method
from gotd.selection.trimming import trimmed
from gotd.stages.score import TextMass, masses, vectors_of
from gotd.transport import Cost, Measure, Space


@dataclass(frozen=True, slots=True)
class FitSettings:
    """What decides a fit.

    Attributes:
        encoder: see `gotd.encoders.KNOWN_SPECS`.
        reg: fraction of the mean cost.
        debias: gradient of the Sinkhorn divergence instead of entropic OT's.
        centre: subtract the reference's mean vector.
        cost: `cosine` or `sqeuclidean`, on unit vectors.
        fit_sample: documents of the reference to fit on, at most.
        target_sample: documents of the target to fit on, at most.
        text_mass: whether a document weighs one (`docs`) or its tokens (`tokens`).
        seed: of samples, encoder, centroids and draws.
        method: `gotd`, or another way to rank candidates, see `gotd.selection.methods`; phi is fitted all the same.
        trim: the share of the target's mass that may be left out where it pulls far more of the choice than its
            share, see `selection/trimming.py`; 0 for none.
    """

    encoder: str = "lsa"
    reg: float = 0.1
    debias: bool = True
    centre: bool = True
    cost: str = "cosine"
    fit_sample: int = 20_000
    target_sample: int = 5_000
    text_mass: TextMass = "docs"
    seed: int = 0
    method: str = GOTD
    trim: float = 0.0

    def __post_init__(self) -> None:
        check_method(self.method)
        if not 0 <= self.trim < 0.5:
            raise SettingsError(f"trim is {self.trim:g}; wanted a share of the target, from 0 to below 0.5")
        if self.trim and self.method != GOTD:
            raise SettingsError(f"trim is for gotd's price, which method {self.method} has not; leave out one of both")
        if not 0 < self.reg < 100:
            raise SettingsError(f"reg is {self.reg}; wanted a positive fraction of the mean cost, such as 0.1")
        if self.cost not in [cost.value for cost in Cost]:
            raise SettingsError(f'cost is "{self.cost}"; wanted {" or ".join(cost.value for cost in Cost)}')
        if self.text_mass not in ("docs", "tokens"):
            raise SettingsError(f'text_mass is "{self.text_mass}"; wanted docs or tokens')
        if not min(self.fit_sample, self.target_sample) >= 1:
            raise SettingsError("fit_sample and target_sample are numbers of documents; wanted 1 or more")

    def as_published(self) -> FitSettings:
        """The settings of the paper: entropic OT with a small reg, no debiasing, no centring."""
        return replace(self, reg=0.01, debias=False, centre=False)


def fit(
    target: Inputs,
    reference: Inputs,
    output: Path | str,
    *,
    settings: FitSettings | None = None,
    fields: Fields | None = None,
    target_fields: Fields | None = None,
    on_error: OnError = "skip",
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress = silent,
) -> Potential:
    """Fit the potential that moves the reference toward the target, and save it.

    Args:
        target: files, folders, globs or URLs of examples of the task.
        reference: the same of what the model was trained on, or of a pool that resembles it.
        output: folder for `potential.safetensors`, `rejects.jsonl` and the manifest.
        settings: what decides the fit.
        fields: where text, id and source are in a record of the reference, and of pools to come.
        target_fields: the same for the target; left out, as for the reference.
        on_error: `skip` names bad rows in `rejects.jsonl`; `fail` stops at the first.
        device: where a transformer encoder runs.
        overwrite: replace what another command left in `output`.
        progress: called as work is done.
    """
    started = time.perf_counter()
    chosen, where = settings or FitSettings(), fields or Fields()
    where_target = target_fields or replace(where, id=None, source=None, min_chars=0)
    files = {"target": find(target), "reference": find(reference)}
    asked = {
        **asdict(chosen),
        "fields": asdict(where),
        "target_fields": asdict(where_target),
        "on_error": on_error,
    }
    inputs = {name: [f"{file.path} {file.digest}" for file in found] for name, found in files.items()}
    artifact = open_artifact(output, "fit", asked, inputs, overwrite=overwrite)
    if artifact.finished is not None:
        return Potential.load(artifact.folder, device=device)
    progress("reading target and reference", 0, 4)
    drawn = {
        "target": _drawn("target", files["target"], where_target, chosen.target_sample, chosen.seed, on_error),
        "reference": _drawn("reference", files["reference"], where, chosen.fit_sample, chosen.seed, on_error),
    }
    read_at = time.perf_counter()
    progress("embedding target and reference", 1, 4)
    encoder, vectors = _embedded(drawn, chosen, device)
    embedded_at = time.perf_counter()
    progress("solving", 2, 4)
    potential = fitted(
        encoder,
        vectors["reference"],
        vectors["target"],
        chosen,
        reference_weights=masses(drawn["reference"].documents, chosen.text_mass),
        target_weights=masses(drawn["target"].documents, chosen.text_mass),
    )
    potential = replace(
        potential,
        settings={
            "key": artifact.key,
            "fields": asdict(where),
            "text_mass": chosen.text_mass,
            "reference_digests": sorted(file.digest for file in files["reference"]),
        },
        method=_method(chosen, drawn, potential),
    )
    path = potential.save(artifact.folder)
    solved_at = time.perf_counter()
    with RejectWriter(artifact.folder / "rejects.jsonl") as rejects:
        for found in drawn.values():
            for reject in found.rejects:
                rejects.write(reject)
    artifact.finish(
        {
            "counts": {
                name: {"rows": found.rows, "fitted": len(found.documents), "rejected": len(found.rejects)}
                for name, found in drawn.items()
            },
            "trimmed": _trimmed(drawn["target"].documents, potential, chosen),
            "encoder": {"spec": encoder.spec, "dim": encoder.dim, "fingerprint": encoder.fingerprint},
            "quality": asdict(potential.quality),
            "bytes": path.stat().st_size,
            "seconds": {
                "read": read_at - started,
                "embed": embedded_at - read_at,
                "solve": solved_at - embedded_at,
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
    reference_weights: torch.Tensor | None = None,
    target_weights: torch.Tensor | None = None,
) -> Potential:
    """The potential from raw vectors: reference (n, d), target (m, d), weights (n,) and (m,) or uniform."""
    space = Space.fit(reference, centre=settings.centre)
    source, wanted = Measure.of(space(reference), reference_weights), Measure.of(space(target), target_weights)

    def fitted_to(goal: Measure) -> Gradient:
        cost = Cost(settings.cost)
        return fit_gradient(source, goal, reg=settings.reg, debias=settings.debias, cost=cost, seed=settings.seed)

    gradient = fitted_to(wanted)
    if settings.trim:
        gradient = fitted_to(trimmed(gradient, source, settings.trim))
    return Potential(
        encoder=encoder,
        space=space,
        attract=gradient.attract,
        repel=gradient.repel,
        objective=gradient.objective,
        reference=source,
        level=gradient.level,
        quality=Quality.of(gradient),
    )


def _trimmed(documents: Sequence[Document], potential: Potential, settings: FitSettings) -> list[dict[str, Any]]:
    """The target documents that were left out, and the share of the target's mass that went with each."""
    left = potential.objective.target.weights
    before = Measure.of(potential.objective.target.points, masses(documents, settings.text_mass)).weights
    return [
        {"id": documents[row].id, "weight": float(before[row]), "text": " ".join(documents[row].text.split())[:200]}
        for row in (left == 0).nonzero().flatten().tolist()
    ]


def _method(settings: FitSettings, drawn: dict[str, Sampled], potential: Potential) -> Method | None:
    if settings.method == GOTD:
        return None
    texts = {name: [document.text for document in found.documents] for name, found in drawn.items()}
    return fit_method(
        settings.method,
        reference_texts=texts["reference"],
        target_texts=texts["target"],
        reference=potential.reference,
        target=potential.objective.target,
        seed=settings.seed,
    )


def _drawn(name: str, files: Sequence[File], fields: Fields, size: int, seed: int, on_error: OnError) -> Sampled:
    drawn = sample(files, fields, size, seed, on_error)
    if not drawn.documents:
        empty = f"{files[0].path} is empty" if files else "no file was given"
        why = drawn.rejects[0].message if drawn.rejects else empty
        raise InputError(f"the {name} holds no document; {why}")
    return drawn


def _embedded(
    drawn: dict[str, Sampled], settings: FitSettings, device: str
) -> tuple[Encoder, dict[str, NDArray[np.float32]]]:
    documents = {name: found.documents for name, found in drawn.items()}
    if all(found[0].vector is not None for found in documents.values()):
        given = {name: vectors_of(found) for name, found in documents.items()}
        dims = {name: vectors.shape[1] for name, vectors in given.items()}
        if dims["target"] != dims["reference"]:
            raise InputError(
                f"target vectors have {dims['target']} numbers, reference vectors {dims['reference']}; embed both alike"
            )
        return Precomputed(dims["target"]), given
    carrying = [name for name, found in documents.items() if found[0].vector is not None]
    if carrying:
        raise SettingsError(
            f"the records of the {carrying[0]} alone carry vectors; wanted them in target and reference. "
            "Pass --embedding-field for both, or for neither"
        )
    texts = {name: [document.text for document in found] for name, found in documents.items()}
    encoder = fit_encoder(settings.encoder, texts["reference"] + texts["target"], device=device, seed=settings.seed)
    return encoder, {name: encoder.encode(found) for name, found in texts.items()}
