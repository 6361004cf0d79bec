"""A fitted selector: from text to the potential, in one file.

    text -> encoder -> space (unit length, centred, whitened) -> phi = sum_t weight_t f_t -> score

`potential.safetensors` holds all of it, the fitted encoder and a sample of the reference included, so that any pool
can be scored by it later, elsewhere, in one pass with constant memory. Safetensors and JSON: nothing in it can run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from numpy.typing import NDArray

from gotd.encoders import Encoder, restore_encoder
from gotd.errors import ArtifactError, InputError
from gotd.selection.gradient import Gradient, Objective
from gotd.selection.methods import Method, restore_method
from gotd.transport import Cost, Measure, Pass, SoftMin, Space

FILE_NAME = "potential.safetensors"
FORMAT = 1
_ENCODER, _METHOD = "encoder.", "method."
# Rows scored at a time. For few rows BLAS takes other paths, which round otherwise: in blocks of one shape the score
# of a document has the same bits whatever its neighbours are.
_ROWS = 128


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a fit is.

    Attributes:
        reg: entropy strength in units of the cost.
        value: the objective at the reference before any selection, in units of the cost.
        marginal_error: L1 error of the plan between sample and target, between 0 and 2.
        passes: passes of the solver over all rows of the sample.
        converged: whether the marginal error reached its tolerance.
        debias_error: error of the reference's own potential, between 0 and 2.
        stability: overlap of the best 1, 5 and 10 % under two halves of the target.
        advice: what to change if it did not converge; else empty.
    """

    reg: float
    value: float
    marginal_error: float
    passes: int
    converged: bool
    debias_error: float
    stability: dict[str, float]
    advice: str

    @classmethod
    def of(cls, gradient: Gradient) -> Quality:
        found = gradient.solution
        return cls(
            reg=found.reg,
            value=gradient.value,
            marginal_error=found.error,
            passes=found.passes,
            converged=found.converged,
            debias_error=gradient.repel_error,
            stability=gradient.stability,
            advice=found.advice,
        )


@dataclass(frozen=True, slots=True)
class Potential:
    """The price of a document: where it is low, one more like it brings the reference closest to the target.

    Attributes:
        encoder: text to vectors.
        space: vectors to points.
        attract: f_PT.
        repel: f_PP, or None where the fit was not debiased.
        objective: what the potential is the gradient of.
        reference: the sample of the reference that it was fitted on.
        level: mean of phi over the reference, in units of the cost.
        quality: how good the fit is.
        settings: what was asked, and the digests of the files it was fitted on.
        method: what ranks candidates instead of phi, where another way to choose is compared with; phi then judges.
    """

    encoder: Encoder
    space: Space
    attract: SoftMin
    repel: SoftMin | None
    objective: Objective
    reference: Measure
    level: float
    quality: Quality
    settings: dict[str, Any] = field(default_factory=dict)
    method: Method | None = None

    def score(self, items: Sequence[str] | NDArray[np.float32]) -> NDArray[np.float32]:
        """phi (n,) float32 of texts, or of raw vectors (n, d) from the same encoder; lower is better.

        Raises:
            InputError: vectors of another length, or with NaN.
        """
        return self.priced(self.points(items)).f.numpy()

    def priced(self, points: torch.Tensor, weights: torch.Tensor | None = None) -> Pass:
        """phi (n,) of points (n, d), and with weights (n,) the mass (m,) that each target receives from them."""
        phi = torch.empty(len(points))
        col = torch.zeros(len(self.attract.g), dtype=torch.float64)
        for start in range(0, len(points), _ROWS):
            block = _filled(points[start : start + _ROWS])
            held = None if weights is None else _filled(weights[start : start + _ROWS])
            found = self.attract.plan_pass(block, held)
            f = found.f if self.repel is None else found.f - self.repel(block)
            phi[start : start + _ROWS] = f[: len(points) - start]
            col += found.col
        return Pass(phi, col)

    def gradient(self) -> tuple[Gradient, Measure | None]:
        """The gradient at the reference, to go on from in rounds, and the reference as centroids if debiased."""
        repel = self.repel
        summary = None if repel is None else Measure.of(repel.points, repel.log_b.exp())
        here = self.objective.at(self.reference, summary=summary, init=self.attract.g)
        return replace(here, attract=self.attract, repel=repel), summary

    def points(self, items: Sequence[str] | NDArray[np.float32]) -> torch.Tensor:
        """Texts or raw vectors as points (n, d) of the space."""
        if isinstance(items, np.ndarray):
            vectors = items
        elif isinstance(items, str):
            raise InputError("score takes a list of texts; found one string. Pass [text]")
        else:
            vectors = self.encoder.encode(items)
        if vectors.ndim == 2 and vectors.shape[1] != self.encoder.dim:
            raise InputError(
                f"vectors have {vectors.shape[1]} dimensions, the potential was fitted on {self.encoder.dim}; "
                f"use the encoder it was fitted with, {self.encoder.spec}"
            )
        return self.space(vectors)

    def save(self, folder: Path | str) -> Path:
        """Write `potential.safetensors` into a folder, whole or not at all."""
        from safetensors.torch import save

        tensors = {
            **_halves("attract", self.attract),
            **_halves("repel", self.repel),
            # Half precision: the sample serves to solve again, where it changes nothing that is shown.
            "reference.points": self.reference.points.half(),
            "reference.weights": self.reference.weights,
            **{f"{_ENCODER}{name}": torch.from_numpy(array) for name, array in self.encoder.tensors().items()},
        }
        if self.space.mean is not None:
            tensors["space.mean"] = self.space.mean
        if self.space.axes is not None:
            tensors["space.axes"] = self.space.axes
        if self.method is not None:
            tensors |= {f"{_METHOD}{name}": tensor for name, tensor in self.method.tensors().items()}
        about = {
            "method": None if self.method is None else self.method.config(),
            "format": FORMAT,
            "encoder": self.encoder.config(),
            "reg": self.objective.reg,
            "cost": self.objective.cost.value,
            "debias": self.objective.debias,
            "centroids": self.objective.centroids,
            "seed": self.objective.seed,
            "own": self.objective.own,
            "level": self.level,
            "quality": asdict(self.quality),
            "settings": self.settings,
        }
        content = save({k: v.contiguous() for k, v in tensors.items()}, {"gotd": orjson.dumps(about).decode()})
        path = Path(folder) / FILE_NAME
        temporary = path.with_name(f".{FILE_NAME}.tmp")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        return path

    @classmethod
    def load(cls, path: Path | str, *, device: str = "auto") -> Potential:
        """Read a potential from its file, or from the folder that holds it.

        Args:
            device: where a transformer encoder runs: `auto`, `cpu`, `cuda`, `mps`.

        Raises:
            ArtifactError: there is none, it is damaged, or its encoder is no longer the same.
        """
        about, tensors = _read(Path(path))
        cost, reg = Cost(about["cost"]), about["reg"]
        fitted = {name: tensor.numpy() for name, tensor in _under(_ENCODER, tensors).items()}
        other = about["method"]

        def softmin(name: str) -> SoftMin:
            points, g, log_b = (tensors[f"{name}.{part}"] for part in ("points", "g", "log_b"))
            return SoftMin(points, g, log_b, reg, cost)

        attract = softmin("attract")
        target = Measure.of(attract.points, attract.log_b.exp())
        return cls(
            encoder=restore_encoder(about["encoder"], fitted, device=device),
            space=Space(tensors.get("space.mean"), tensors.get("space.axes")),
            attract=attract,
            repel=softmin("repel") if "repel.g" in tensors else None,
            objective=Objective(target, reg, cost, about["debias"], about["centroids"], about["seed"], about["own"]),
            reference=Measure.of(tensors["reference.points"].float(), tensors["reference.weights"]),
            level=about["level"],
            quality=Quality(**about["quality"]),
            settings=about["settings"],
            method=None if other is None else restore_method(other, _under(_METHOD, tensors)),
        )


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _filled(rows: torch.Tensor) -> torch.Tensor:
    """Rows of zeros after the last, up to a full block."""
    missing = _ROWS - len(rows)
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows


def _halves(name: str, part: SoftMin | None) -> dict[str, torch.Tensor]:
    if part is None:
        return {}
    return {f"{name}.points": part.points.clone(), f"{name}.g": part.g, f"{name}.log_b": part.log_b}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    from safetensors import SafetensorError, safe_open

    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        raise ArtifactError(f"{path}: no {FILE_NAME} there; wanted a folder made by `gotd fit` or `gotd select`")
    try:
        with safe_open(str(file), framework="pt") as content:
            about = orjson.loads((content.metadata() or {})["gotd"])
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, orjson.JSONDecodeError) as error:
        raise ArtifactError(f"{file} is damaged or not gotd's ({error}); fit it again") from error
    if about.get("format") != FORMAT:
        raise ArtifactError(f"{file} has format {about.get('format')}; this gotd reads format {FORMAT}. Fit it again")
    return about, tensors
