"""What to train on what, and how to judge it: the figures of a model on held-out data, before and along the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gotd.artifacts import read_json, write_json
from gotd.training.batches import Collate, Items, Loss
from gotd.training.together import first

_BEFORE = "before.json"

Measure = Callable[[Any], dict[str, float]]
"""A model in evaluation mode -> figures on held-out data, `loss` among them."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to train on what, and how to judge it.

    Attributes:
        what: for progress and messages, such as `warming up`.
        items: in the order of training.
        collate: items -> a batch.
        loss: (outputs, labels, number of items in the step) -> mean loss.
        measure: figures on held-out data; None where there are none.
        best_by: the figure that chooses the checkpoint.
        higher_is_better: its direction.
    """

    what: str
    items: Items
    collate: Collate
    loss: Loss
    measure: Measure | None = None
    best_by: str = "loss"
    higher_is_better: bool = False


def measured_before(model: Any, job: Job, folder: Path) -> dict[str, float] | None:
    """Figures of the model as it was: measured at the start, remembered when the run goes on."""
    if job.measure is None:
        return None
    path = folder / _BEFORE
    if not first(path.exists):
        found = measured(model, job.measure)
        first(lambda: folder.mkdir(parents=True, exist_ok=True))
        first(lambda: write_json(path, found))
    return first(lambda: read_json(path))


def measured(model: Any, measure: Measure | None) -> dict[str, float] | None:
    """Figures of the model as it is now, which is in evaluation mode for so long."""
    if measure is None:
        return None
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            found = measure(model)
        return first(lambda: found)  # which may differ by rounding
    finally:
        model.train(was_training)
