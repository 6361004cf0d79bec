"""Train a classifier: a pretrained model with a new linear layer, on labelled examples.

examples -> tokens -> loop, judged on the dev examples after each pass -> model, tokenizer
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gotd.engine import Progress, silent
from gotd.errors import SettingsError
from gotd.evaluation.metrics import Labels, metrics
from gotd.training.batches import Collate, collator, mean_loss
from gotd.training.job import Job
from gotd.training.labelled import Example
from gotd.training.language import check_vocabulary, count_parameters, where_told
from gotd.training.loop import Trained, train
from gotd.training.models import (
    arithmetic,
    load_body,
    load_tokenizer,
    quiet,
    save_model,
    weights_dtype,
    window_of,
    with_lora,
)
from gotd.training.settings import BEST_BY, Machine, Recipe
from gotd.training.together import first
from gotd.training.windows import passes

AUTO = "AutoModelForSequenceClassification"
_JUDGED_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class Encoded:
    """Examples as tokens.

    Attributes:
        items: for each example its tokens, and its label where there is one.
        cut: how many were longer than the window.
    """

    items: list[dict[str, Any]]
    cut: int


@dataclass(frozen=True, slots=True)
class _Ordered:
    encoded: Encoded
    order: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> dict[str, Any]:
        item: dict[str, Any] = self.encoded.items[self.order[i]]
        return item


def encode(examples: Sequence[Example], tokenizer: Any, window: int, classes: Sequence[str] = ()) -> Encoded:
    """Tokens of each example, cut to the window; of a pair the longer text is cut first.

    A tokeniser with marks for pairs puts them; with another, the second text stands on a line of its own.
    """
    number = {name: i for i, name in enumerate(classes)}
    marked = tokenizer.num_special_tokens_to_add(pair=True) > tokenizer.num_special_tokens_to_add(pair=False)
    items, cut = [], 0
    for start in range(0, len(examples), 1_000):
        group = examples[start : start + 1_000]
        given = [[example.text for example in group]]
        if group[0].pair is not None:
            given.append([("" if marked else "\n") + (example.pair or "") for example in group])
        cut += sum(len(ids) > window for ids in tokenizer(*given)["input_ids"])
        found = tokenizer(*given, truncation=True, max_length=window)
        for i, example in enumerate(group):
            item: dict[str, Any] = {"input_ids": found["input_ids"][i] or [tokenizer.pad_token_id]}
            if "token_type_ids" in found and len(given) == 2:
                item["token_type_ids"] = found["token_type_ids"][i]
            if example.label is not None and classes:
                item["labels"] = number[example.label]
            items.append(item)
    return Encoded(items, cut)


def train_classifier(
    name: str,
    examples: Sequence[Example],
    dev: Sequence[Example],
    classes: Sequence[str],
    folder: Path,
    recipe: Recipe,
    machine: Machine,
    *,
    checkpoints: Path,
    best_by: str = "macro_f1",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Load, train and save a classifier; what came of it, for a manifest.

    Args:
        name: folder or hub name of a pretrained or warmed-up model.
        dev: examples that choose the checkpoint; never those of the test.
        classes: names of all classes.
        best_by: the figure on `dev` that chooses.
    """
    if best_by not in BEST_BY:
        raise SettingsError(f'best-by is "{best_by}"; wanted {", ".join(BEST_BY)}')
    device, bf16 = arithmetic(machine.device, recipe.precision)
    tokenizer = padded_tokenizer(name)
    torch.manual_seed(recipe.seed)  # of the new layer
    with quiet():
        names = {"id2label": dict(enumerate(classes)), "label2id": {label: i for i, label in enumerate(classes)}}
        model = load_body(name, AUTO, weights_dtype(bf16, recipe.precision, recipe.lora), **names)
    check_vocabulary(model, tokenizer, name)
    model.config.pad_token_id = tokenizer.pad_token_id
    window = window_of(model, tokenizer, recipe.window)
    encoded, judged = (encode(part, tokenizer, window, classes) for part in (examples, dev))
    rng = np.random.default_rng(recipe.seed)
    order = passes(len(examples), max(1, round(recipe.epochs * len(examples))), rng)
    collate = collator(tokenizer.pad_token_id)
    if recipe.lora:
        model = with_lora(model, recipe.lora, "SEQ_CLS")
        if recipe.precision != "bf16":
            for part in model.parameters():
                if part.requires_grad:  # the new layer, which was loaded as the frozen ones are
                    part.data = part.data.float()
    job = Job(
        what="fine-tuning",
        items=_Ordered(encoded, order),
        collate=collate,
        loss=class_loss,
        measure=lambda model: judge(model, judged, collate, len(classes), bf16),
        best_by=best_by,
        higher_is_better=best_by != "loss",
    )
    told = {"parameters": count_parameters(model), "device": where_told(device, bf16, recipe, machine)}
    trained = train(model, job, recipe, machine, checkpoints, progress)
    first(lambda: save_model(model, tokenizer, folder, trained.weights))
    return {**_told(trained), **told, "window": window, "cut": {"train": encoded.cut, "dev": judged.cut}}


def padded_tokenizer(name: str) -> Any:
    """The tokenizer of a model, which must have a token to fill up with."""
    tokenizer = load_tokenizer(name)
    if tokenizer.pad_token_id is None:
        raise SettingsError(f"{name}: the tokenizer has neither a pad nor an EOS token; set one and save it again")
    return tokenizer


def class_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """Cross-entropy in nats an example."""
    return mean_loss(outputs["logits"], labels, num_items_in_batch)


def predict(
    model: Any, encoded: Encoded, collate: Collate, bf16: bool, size: int = _JUDGED_AT_A_TIME
) -> NDArray[np.float32]:
    """(n, classes) logits, in the order of the examples; computed longest first, so that like lengths meet."""
    order = sorted(range(len(encoded.items)), key=lambda i: -len(encoded.items[i]["input_ids"]))
    parts = [part.cpu().numpy() for part in _logits(model, encoded, collate, bf16, order, size)]
    logits = np.concatenate(parts)
    found = np.empty_like(logits)
    found[order] = logits
    return found


@torch.inference_mode()
def _logits(
    model: Any, encoded: Encoded, collate: Collate, bf16: bool, order: Sequence[int], size: int
) -> Iterator[torch.Tensor]:
    for start in range(0, len(order), size):
        batch = collate([encoded.items[i] for i in order[start : start + size]])
        batch.pop("labels", None)
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
            yield model(**{name: part.to(model.device) for name, part in batch.items()})["logits"].float()


def judge(model: Any, encoded: Encoded, collate: Collate, classes: int, bf16: bool) -> dict[str, float]:
    """Loss and the figures of `metrics`."""
    logits = torch.from_numpy(predict(model, encoded, collate, bf16))
    true: Labels = np.array([item["labels"] for item in encoded.items])
    loss = float(mean_loss(logits, torch.from_numpy(true), None))
    return {"loss": loss, **metrics(true, logits.argmax(1).numpy(), classes)}


def _told(run: Trained) -> dict[str, Any]:
    losses = [entry["loss"] for entry in run.curve if "loss" in entry]
    return {
        "steps": {"taken": run.steps, "planned": run.planned, "kept": run.best_step, "resumed": run.resumed_from},
        "dev": {"before": run.before, "after": run.after},
        "training": {"first": losses[0], "last": losses[-1]} if losses else None,
        "curve": run.curve,
        "seconds": run.seconds,
        "peak_memory_bytes": run.peak_memory,
    }
