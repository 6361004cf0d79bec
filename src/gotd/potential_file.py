"""The file of a potential: arrays, and what they are as JSON. Safetensors, so that nothing in it can run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import torch

from gotd.durable import settle, temporary
from gotd.errors import ArtifactError

FILE_NAME = "potential.safetensors"
FORMAT = 3
_HEADER = "gotd"


def write(folder: Path, about: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Path:
    """Write both into a folder, whole or not at all."""
    from safetensors.torch import save

    header = {_HEADER: orjson.dumps({"format": FORMAT, **about}).decode()}
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, header)
    path = folder / FILE_NAME
    if path.exists() and path.read_bytes() == content:
        return path  # another rank may be reading it: over NFS, a file that is replaced is lost to its readers
    written = temporary(path)
    written.write_bytes(content)
    settle(written, path)
    return path


def identity(path: Path | str) -> str:
    """16 hex digits of the content of the file, or of that in the folder: two potentials of one fit may differ."""
    file = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What `write` was given, from the file or the folder that holds it.

    Raises:
        ArtifactError: there is none, it is damaged, or has another format.
    """
    from safetensors import SafetensorError, safe_open

    file = path / FILE_NAME if path.is_dir() else path
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
