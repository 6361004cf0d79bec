"""Figures are of data that the model has not seen: what a training says of its files is held to that."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from gotd.corpus import Inputs
from gotd.errors import SettingsError
from gotd.training.documents import inputs_of
from gotd.training.models import made_by, model_inputs

_SEEN = {"finetune": ("train", "dev"), "warmup": ("data", "reference", "target")}


def refuse_seen(model: str, data: Inputs, wanted: str) -> None:
    """SettingsError if `gotd warmup` or `gotd finetune` trained or chose a model on one of these files, or a model
    that it was made from.

    By content, so that a copy under another name is found too.

    Args:
        wanted: what to pass instead.
    """
    given: set[str] = set()
    began = []  # with which models, from the last training back
    while (manifest := made_by(model)) and model not in began:
        began.append(model)
        for part in _SEEN.get(manifest.get("kind", ""), ()):
            given = given or {line.split()[-1] for line in inputs_of(data)}
            if given & {line.split()[-1] for line in manifest["inputs"].get(part, ())} and _are_still(began):
                raise SettingsError(f"the model has seen this file as its {part} data; pass {wanted}")
        model = _start(manifest).rsplit(" ", 2)[0]


def _start(manifest: dict[str, Any]) -> str:
    """The model that a training began with, as its manifest has it: a hub's name, or folder and digests."""
    found = manifest.get("inputs", {}).get("model") or [""]
    return str(found[0])


def _are_still(models: list[str]) -> bool:
    """Whether each is what the training of the one before it began with, and not made anew since."""
    return all(model_inputs(model) == [_start(made_by(later))] for later, model in pairwise(models))
