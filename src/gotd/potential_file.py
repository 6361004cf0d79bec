"""The file of a potential: arrays, and what they are as JSON. Safetensors, so that nothing in it can run.

encoder.*, space.*            what brings a text to its point
0.*, 1.*, ..., repel.*        points, g and log_b of each f_PT and of f_PP
reference.*                   points and weights of the sample, for what is solved again
method.*                      another way to rank candidates, where there is one
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import torch

from gotd.durable import settle, temporary
from gotd.encoders import restore_encoder
from gotd.errors import ArtifactError
from gotd.potential import Potential
from gotd.selection.gradient import Objective
from gotd.selection.methods import restore_method
from gotd.selection.several import Quality, Term
from gotd.transport import Cost, Measure, SoftMin, Space

FILE_NAME = "potential.safetensors"
FORMAT = 3
_HEADER = "gotd"
_ENCODER, _METHOD = "encoder.", "method."


def write(folder: Path, potential: Potential) -> Path:
    """Write a potential into a folder, whole or not at all."""
    from safetensors.torch import save

    header = {_HEADER: orjson.dumps({"format": FORMAT, **_about(potential)}).decode()}
    content = save({name: tensor.contiguous() for name, tensor in _tensors(potential).items()}, header)
    path = folder / FILE_NAME
    written = temporary(path)
    written.write_bytes(content)
    settle(written, path)
    return path


def read(path: Path, device: str) -> Potential:
    """The potential of a file, or of the folder that holds it; see `Potential.load`."""
    about, tensors = _content(path)
    cost, reg, method = Cost(about["cost"]), about["reg"], about["method"]
    fitted = {name: tensor.numpy() for name, tensor in _under(_ENCODER, tensors).items()}

    def softmin(name: str) -> SoftMin:
        points, g, log_b = (tensors[f"{name}.{part}"] for part in ("points", "g", "log_b"))
        return SoftMin(points, g, log_b, reg, cost)

    def term(row: int, told: dict[str, Any]) -> Term:
        attract = softmin(f"{row}")
        target = Measure.of(attract.points, attract.log_b.exp())
        shared = about["debias"], about["centroids"], about["seed"]
        return Term(
            told["name"],
            told["weight"],
            attract,
            Objective(target, reg, cost, *shared, told["own"]),
            told["level"],
            told["spread"],
            Quality(**told["quality"]),
        )

    return Potential(
        encoder=restore_encoder(about["encoder"], fitted, device=device),
        space=Space(tensors.get("space.mean"), tensors.get("space.axes")),
        terms=tuple(term(row, told) for row, told in enumerate(about["terms"])),
        repel=softmin("repel") if "repel.g" in tensors else None,
        reference=Measure.of(tensors["reference.points"].float(), tensors["reference.weights"]),
        quality=Quality(**about["quality"]),
        settings=about["settings"],
        method=None if method is None else restore_method(method, _under(_METHOD, tensors)),
    )


def identity(path: Path | str) -> str:
    """16 hex digits of the content of the file, or of that in the folder: two potentials of one fit may differ."""
    return hashlib.sha256(_file(Path(path)).read_bytes()).hexdigest()[:16]


def _file(path: Path) -> Path:
    return path / FILE_NAME if path.is_dir() else path


def _content(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What `_about` and `_tensors` gave."""
    from safetensors import SafetensorError, safe_open

    file = _file(path)
    if not file.is_file():
        raise ArtifactError(f"{path}: no {FILE_NAME} there; wanted a folder made by `gotd fit` or `gotd select`")
    try:
        with safe_open(str(file), framework="pt") as content:
            about = orjson.loads((content.metadata() or {})[_HEADER])
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, orjson.JSONDecodeError) as error:
        raise ArtifactError(f"{file} is damaged or not gotd's ({error}); fit it again") from error
    if about.get("format") != FORMAT:
        raise ArtifactError(f"{file} has format {about.get('format')}; this gotd reads format {FORMAT}. Fit it again")
    return about, tensors


def _about(potential: Potential) -> dict[str, Any]:
    """What the file says of its arrays, as JSON."""
    shared = potential.terms[0].objective
    return {
        "method": None if potential.method is None else potential.method.config(),
        "encoder": potential.encoder.config(),
        "terms": [
            {
                "name": term.name,
                "weight": term.weight,
                "level": term.level,
                "spread": term.spread,
                "own": term.objective.own,
                "quality": asdict(term.quality),
            }
            for term in potential.terms
        ],
        "reg": shared.reg,
        "cost": shared.cost.value,
        "debias": shared.debias,
        "centroids": shared.centroids,
        "seed": shared.seed,
        "quality": asdict(potential.quality),
        "settings": potential.settings,
    }


def _tensors(potential: Potential) -> dict[str, torch.Tensor]:
    """The arrays of the file, by name."""
    named = {f"{row}": term.attract for row, term in enumerate(potential.terms)}
    if potential.repel is not None:
        named["repel"] = potential.repel
    arrays = {name: torch.from_numpy(array) for name, array in potential.encoder.tensors().items()}
    tensors = {
        **{f"{name}.points": part.points.clone() for name, part in named.items()},
        **{f"{name}.g": part.g for name, part in named.items()},
        **{f"{name}.log_b": part.log_b for name, part in named.items()},
        # Half precision: the sample serves to solve again, where it changes nothing that is shown.
        "reference.points": potential.reference.points.half(),
        "reference.weights": potential.reference.weights,
        **{f"{_ENCODER}{name}": array for name, array in arrays.items()},
    }
    if potential.space.mean is not None:
        tensors["space.mean"] = potential.space.mean
    if potential.space.axes is not None:
        tensors["space.axes"] = potential.space.axes
    if potential.method is not None:
        tensors |= {f"{_METHOD}{name}": tensor for name, tensor in potential.method.tensors().items()}
    return tensors


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
