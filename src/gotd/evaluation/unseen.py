"""Figures are of data that the model has not seen: what a training says of its files is held to that."""

from __future__ import annotations

from pathlib import Path

from gotd.artifacts import MANIFEST, read_json
from gotd.corpus import Inputs
from gotd.errors import SettingsError
from gotd.training.documents import inputs_of

_SEEN = {"finetune": ("train", "dev"), "warmup": ("data", "reference", "target")}


def refuse_seen(model: str, data: Inputs, wanted: str) -> None:
    """SettingsError if a folder of `gotd warmup` or `gotd finetune` was trained or chosen on one of these files.

    By content, so that a copy under another name is found too.

    Args:
        wanted: what to pass instead.
    """
    path = Path(model) / MANIFEST
    manifest = read_json(path) if path.is_file() else {}
    given: set[str] = set()
    for part in _SEEN.get(manifest.get("kind", ""), ()):
        given = given or {line.split()[-1] for line in inputs_of(data)}
        if given & {line.split()[-1] for line in manifest["inputs"].get(part, ())}:
            raise SettingsError(f"the model has seen this file as its {part} data; pass {wanted}")
