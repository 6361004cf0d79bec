"""Train a language model on texts: what warm-up, and fine-tuning without labels, have in common.

texts -> windows -> schedule -> loop -> model, tokenizer in a folder
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from gotd.engine import Progress, silent
from gotd.errors import SettingsError
from gotd.training.batches import Loss, collator, mean_loss
from gotd.training.head import sparing
from gotd.training.job import Job, Measure
from gotd.training.loop import Trained, train
from gotd.training.models import (
    arithmetic,
    load_language_model,
    load_tokenizer,
    quiet,
    save_model,
    weights_dtype,
    window_of,
    with_lora,
)
from gotd.training.settings import Kind, Machine, Recipe
from gotd.training.together import first, world
from gotd.training.windows import Schedule, Windows, in_turn, ordered, pack

_HELD_OUT_BATCH = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is told of a training run.

    Attributes:
        trained: of the loop.
        window: tokens.
        windows: how many, of the data and of the reference.
        tokens: of the data once, of the reference once, planned and seen.
        parameters: of the model, and how many of them were trained.
        device: where it ran, in which precision.
    """

    trained: Trained
    window: int
    windows: dict[str, int]
    tokens: dict[str, int]
    parameters: dict[str, int]
    device: dict[str, str]

    def told(self) -> dict[str, Any]:
        """As a manifest has it."""
        run = self.trained
        here = self.tokens["seen_here"]
        losses = [entry["loss"] for entry in run.curve if "loss" in entry]
        return {
            "steps": {"taken": run.steps, "planned": run.planned, "kept": run.best_step, "resumed": run.resumed_from},
            "loss": {
                "unit": "nats a token",
                "held_out": None
                if run.before is None or run.after is None
                else {"before": run.before["loss"], "after": run.after["loss"]},
                "training": {"first": losses[0], "last": losses[-1]} if losses else None,
            },
            "curve": run.curve,
            "window": self.window,
            "windows": self.windows,
            "tokens": self.tokens,
            "parameters": self.parameters,
            "device": self.device,
            "seconds": run.seconds,
            "tokens_per_second": here / run.seconds if run.seconds else 0.0,
            "peak_memory_bytes": run.peak_memory,
        }


def train_language(
    name: str,
    texts: Sequence[str],
    folder: Path,
    kind: Kind,
    recipe: Recipe,
    machine: Machine,
    *,
    checkpoints: Path,
    held_out: Sequence[str] = (),
    reference: Sequence[str] = (),
    replay: float = 0.0,
    what: str = "training",
    progress: Progress = silent,
) -> Outcome:
    """Load, train and save a language model.

    Args:
        name: folder or hub name of the model.
        folder: where it is saved.
        checkpoints: folder of the run's checkpoints.
        held_out: texts whose loss says which weights to keep and when to stop.
        reference, replay: texts to mix in, and their share of the windows.
    """
    device, bf16 = arithmetic(machine.device, recipe.precision)
    tokenizer = load_tokenizer(name)
    with quiet():
        model = load_language_model(name, kind, weights_dtype(bf16, recipe.precision, recipe.lora))
    check_vocabulary(model, tokenizer, name)
    window = window_of(model, tokenizer, recipe.window)
    own = pack(texts, tokenizer, kind, window)
    other = pack(reference, tokenizer, kind, window) if reference else None
    order = ordered(own, other, epochs=recipe.epochs, tokens=recipe.tokens, replay=replay, seed=recipe.seed)
    packs = (own,) if other is None else (own, other)
    schedule = Schedule(packs, order, kind, tokenizer, recipe.mask, recipe.seed)
    held = pack(held_out, tokenizer, kind, window) if held_out else None
    if recipe.lora:
        torch.manual_seed(recipe.seed)  # of the factors
        model = with_lora(model, recipe.lora, "CAUSAL_LM" if kind == "causal" else None)
    pad = tokenizer.pad_token_id or 0
    parameters = count_parameters(model)
    with loss_of(model, kind) as loss:
        measure = None if held is None else _measure(held, kind, tokenizer, recipe, machine, bf16, loss)
        job = Job(what, schedule, collator(pad), loss, measure)
        trained = train(model, job, recipe, machine, checkpoints, progress)
    first(lambda: save_model(model, tokenizer, folder, trained.weights))
    return Outcome(
        trained=trained,
        window=window,
        windows={"data": len(own), "reference": len(other) if other else 0, "planned": len(order)},
        tokens={
            "data": own.tokens,
            "reference": other.tokens if other else 0,
            "planned": schedule.tokens(),
            "seen": schedule.tokens(0, trained.steps * recipe.batch),
            "seen_here": schedule.tokens(trained.resumed_from * recipe.batch, trained.steps * recipe.batch),
        },
        parameters=parameters,
        device=where_told(device, bf16, recipe, machine),
    )


def where_told(device: torch.device, bf16: bool, recipe: Recipe, machine: Machine) -> dict[str, str]:
    """Where a run took place, for a manifest."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    told = {"name": name, "processes": str(world()), "arithmetic": "bf16" if bf16 else "float32"}
    told["weights"] = str(weights_dtype(bf16, recipe.precision, recipe.lora)).removeprefix("torch.")
    return {**told, **{part: str(value) for part, value in asdict(machine).items() if part != "device"}}


def count_parameters(model: Any) -> dict[str, int]:
    """All, and those that are trained."""
    return {
        "all": sum(p.numel() for p in model.parameters()),
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def check_vocabulary(model: Any, tokenizer: Any, name: str) -> None:
    """Refuse a tokenizer whose tokens the model has no vector for."""
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise SettingsError(
            f"{name}: the tokenizer has {len(tokenizer)} tokens and the model vectors for {rows}; "
            "pass the model with its own tokenizer"
        )


def causal_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """Each token from those before it."""
    return mean_loss(outputs["logits"][:, :-1], labels[:, 1:], num_items_in_batch)


def masked_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """Each hidden token from those around it."""
    return mean_loss(outputs["logits"], labels, num_items_in_batch)


def loss_of(model: Any, kind: Kind) -> AbstractContextManager[Loss]:
    """What a model of this kind is trained by, while the context is open."""
    if kind == "causal":
        return nullcontext(causal_loss)
    # Of several processes each may hold a part of the last layer, and the loss cannot reach for the whole.
    return sparing(model, masked_loss) if world() == 1 else nullcontext(masked_loss)


def _measure(
    windows: Windows, kind: Kind, tokenizer: Any, recipe: Recipe, machine: Machine, bf16: bool, loss: Loss
) -> Measure:
    """The mean loss over all tokens of the held-out windows; masked ones are hidden alike at every measurement."""
    items = in_turn(windows, kind, tokenizer, recipe.mask)
    collate = collator(tokenizer.pad_token_id or 0)
    size = machine.micro_batch or min(recipe.batch, _HELD_OUT_BATCH)

    def measure(model: Any) -> dict[str, float]:
        total = count = 0.0
        for start in range(0, len(items), size):
            batch = collate([items[i] for i in range(start, min(start + size, len(items)))])
            batch = {name: part.to(model.device) for name, part in batch.items()}
            labels = batch.pop("labels")
            with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
                outputs = model(**batch)
            total += float(loss(outputs, labels, 1))
            count += int((labels != -100).sum())
        return {"loss": total / count}

    return measure
