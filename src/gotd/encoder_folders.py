"""Encoders that are read from a folder: that of a model, or of a selector whose encoder serves again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gotd.encoders import Encoder, fit_encoder
from gotd.encoders.local import file_digest
from gotd.encoders.registry import EMBEDDED
from gotd.potential import Potential
from gotd.potential_file import FILE_NAME


def encoder_for(spec: str, texts: Sequence[str], *, device: str = "auto", seed: int = 0) -> Encoder:
    """The encoder of the selector in the folder `spec`, as it was fitted there; of any other spec see `fit_encoder`."""
    if spec and (Path(spec) / FILE_NAME).is_file():
        return Potential.load(spec, device=device).encoder
    return fit_encoder(spec, texts, device=device, seed=seed)


def encoder_folder(spec: str) -> Path | None:
    """The folder of a selector or a model that an encoder is read from; None where it is none on this machine."""
    if spec in EMBEDDED:
        return None
    return next((Path(name) for name in (spec, spec.partition(":")[2]) if name and Path(name).is_dir()), None)


def encoder_files(*specs: str) -> dict[str, Any]:
    """For a manifest: of the specs that are folders of selectors or models, what is in them now; nothing of others."""
    found = {}
    for spec in map(str, specs):
        folder = encoder_folder(spec)
        if folder is None:
            continue
        selector = folder / FILE_NAME
        model = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
        found[spec] = file_digest(*([selector] if selector.is_file() else model))
    return {"encoder_files": found} if found else {}
