"""Tune the encoder of the selection on the task, so that its distances are the task's.

    with labels     masked mean of the last hidden states, a linear layer, cross-entropy
    without         SimCSE (Gao et al. 2021): a text read twice under dropout is nearer to itself than to the others
                    of its batch: -log exp(cos(h_i, h_i') / 0.05) / sum_j exp(cos(h_i, h_j') / 0.05)

The vectors are pooled as `gotd select --encoder FOLDER` pools them (`gotd.encoders.transformer`), and the folder that
is left is one it takes. The paper tunes a DistilBERT so; it found a general MiniLM within 1.3 points of it.
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
from torch import nn
from torch.nn import functional

from gotd.artifacts import open_artifact, released_by_errors, versions
from gotd.corpus import Inputs
from gotd.encoders.transformer import MAX_TOKENS, masked_mean
from gotd.engine import Progress, silent
from gotd.errors import InputError, SettingsError
from gotd.training.batches import Collate, Item, collator
from gotd.training.classify import class_loss, encode, judge, padded_tokenizer
from gotd.training.documents import check_dev, inputs_of
from gotd.training.job import Job
from gotd.training.labelled import Columns, Example, check_classes, classes_of, held_out, read_examples
from gotd.training.language import check_vocabulary, count_parameters, where_told
from gotd.training.loop import train
from gotd.training.models import (
    arithmetic,
    check_finished,
    load_body,
    longest_input,
    model_inputs,
    need_training,
    quiet,
    save_model,
    weights_dtype,
)
from gotd.training.settings import Machine, Recipe, recipe
from gotd.training.together import first, first_opens, together, world
from gotd.training.warmup import CHECKPOINTS, PACKAGES, TrainedModel
from gotd.training.windows import passes

BY_LABELS = Recipe(lr=2e-5, batch=32, epochs=3.0, measurements=3)
CONTRASTIVE = Recipe(lr=3e-5, batch=64, epochs=1.0, measurements=1)
TEMPERATURE = 0.05


class Pooled(nn.Module):
    """An encoder with masked mean pooling, and what it is tuned by.

    Args:
        encoder: gives `last_hidden_state`.
        classes: outputs of a linear layer over the mean; 0 for the contrast of two readings.
    """

    def __init__(self, encoder: Any, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, classes) if classes else None

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        found: torch.device = self.encoder.device
        return found

    def gradient_checkpointing_enable(self, **given: Any) -> None:
        self.encoder.gradient_checkpointing_enable(**given)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """`logits`: (n, classes), or (n, n) likenesses of two readings over the temperature."""
        vectors = self._vectors(input_ids, attention_mask)
        if self.head is not None:
            return {"logits": self.head(vectors.to(self.head.weight.dtype))}
        first = functional.normalize(vectors, dim=1)
        second = functional.normalize(self._vectors(input_ids, attention_mask), dim=1)
        return {"logits": first @ second.T / TEMPERATURE}

    def _vectors(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return masked_mean(self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state, mask)


@dataclass(frozen=True, slots=True)
class _Ordered:
    items: list[dict[str, Any]]
    order: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> Item:
        item: Item = self.items[self.order[i]]
        return item


@together
@released_by_errors()
def tune_encoder(
    base: str,
    train: Inputs,
    output: Path | str,
    *,
    label_field: str | None = None,
    text_field: str | None = None,
    dev: Inputs | None = None,
    machine: Machine | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    **given: Any,
) -> TrainedModel:
    """Tune an encoder on the task.

    Args:
        base: folder or hub name of an encoder such as MiniLM or DistilBERT.
        train: examples of the task; labelled where `label_field` is given.
        output: folder for the encoder.
        dev: labelled examples that choose the checkpoint; left out, a tenth of `train`. Without labels there is no
            such choice: the last weights are kept.
        given: fields of `Recipe`.
    """
    need_training("tune-encoder")
    check_finished(base)
    if given.get("lora"):
        raise SettingsError("an encoder is tuned whole; leave --lora out")
    if dev is not None and label_field is None:
        raise SettingsError("dev data choose a checkpoint by their labels; pass --label-field, or leave --dev out")
    how, where = recipe("masked", None, BY_LABELS if label_field else CONTRASTIVE, **given), machine or Machine()
    if how.window is None:
        how = replace(how, window=MAX_TOKENS)
    if "measurements" not in given:
        how = replace(how, measurements=max(1, round(how.epochs)))
    if label_field is None:
        _check_whole_batches(how, where)
    where.portion(how.batch, world())
    columns = Columns(label_field, text_field)
    inputs = {"model": model_inputs(base), "train": inputs_of(train), **({"dev": inputs_of(dev)} if dev else {})}
    check_dev(inputs["train"], inputs.get("dev", ()))
    settings = {"label": label_field, "text": text_field, **asdict(how)}
    artifact = first_opens(lambda: open_artifact(output, "tune-encoder", settings, inputs, overwrite=overwrite))
    finished = first(lambda: artifact.finished)
    if finished is not None:
        return TrainedModel(artifact.folder, finished)
    started = time.perf_counter()
    examples, judged = _examples(train, dev, columns, how.seed)
    told = _tuned(base, examples, judged, artifact.folder, how, where, progress)
    found = {
        "objective": "classification" if label_field else "contrastive",
        "counts": {"train": len(examples), "dev": len(judged)},
        **told,
        "seconds_total": time.perf_counter() - started,
        "versions": versions(PACKAGES),
    }
    manifest = first(lambda: artifact.finish(found))
    return TrainedModel(artifact.folder, manifest)


def _check_whole_batches(how: Recipe, where: Machine) -> None:
    """SettingsError where no device would see a whole batch, or a batch is one text alone."""
    if how.batch < 2:
        raise SettingsError(
            "without labels a text is told from the others of its batch, and a batch of 1 has none; "
            "pass --batch-size 2 or more, or --label-field"
        )
    if world() > 1:
        raise SettingsError(
            f"without labels a text is told from the others on the device: {world()} processes would change the task. "
            "Start one, or pass --label-field"
        )
    if where.portion(how.batch) < how.batch:
        raise SettingsError(
            f"without labels a text is told from the others on the device: a micro-batch of {where.micro_batch} would "
            f"change the task. Pass --batch-size {where.micro_batch}"
        )


def _examples(train: Inputs, dev: Inputs | None, columns: Columns, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and dev examples; without a dev file a tenth of the training data, without labels no dev examples."""
    examples = read_examples(train, columns, "training data")
    if columns.label is None:
        if len(examples) < 2:
            raise InputError("the training data has one text, and nothing to tell it from; add texts")
        return examples, []
    if dev is not None:
        judged = read_examples(dev, columns, "dev data")
    else:
        judged, examples = held_out(examples, seed)
    if not examples:
        raise InputError("the training data has one example; too few to hold one out. Pass --dev")
    return examples, judged


def _tuned(
    base: str,
    examples: Sequence[Example],
    judged: Sequence[Example],
    folder: Path,
    how: Recipe,
    where: Machine,
    progress: Progress,
) -> dict[str, Any]:
    """Load, train, save."""
    classes = classes_of(examples, "training data") if judged else []
    check_classes(judged, classes, "dev data")
    device, bf16 = arithmetic(where.device, how.precision)
    tokenizer = padded_tokenizer(base)
    torch.manual_seed(how.seed)  # of a pooler that the checkpoint lacks: it is saved with the rest
    with quiet():
        encoder = load_body(base, "AutoModel", weights_dtype(bf16, how.precision, None))
    if getattr(encoder.config, "is_encoder_decoder", False):
        raise SettingsError(f"{base}: found an encoder-decoder; pass an encoder, such as MiniLM or DistilBERT")
    check_vocabulary(encoder, tokenizer, base)
    torch.manual_seed(how.seed)  # of the new layer
    model = Pooled(encoder, len(classes))
    window = min(how.window or MAX_TOKENS, longest_input(encoder, tokenizer))
    encoded, held_out = (encode(part, tokenizer, window, classes) for part in (examples, judged))
    rng = np.random.default_rng(how.seed)
    order = passes(len(examples), max(1 if classes else 2, round(how.epochs * len(examples))), rng)
    if not classes and len(order) % how.batch == 1:
        order = order[:-1]  # a text alone has nothing to be told from
    plain = collator(tokenizer.pad_token_id)
    job = Job(
        what="tuning",
        items=_Ordered(encoded.items, order),
        collate=plain if classes else _paired(plain),
        loss=class_loss,
        measure=(lambda model: judge(model, held_out, plain, len(classes), bf16)) if classes else None,
        best_by="macro_f1",
        higher_is_better=True,
    )
    trained = train(model, job, how, where, folder / CHECKPOINTS, progress)
    first(lambda: save_model(model.encoder, tokenizer, folder))
    losses = [entry["loss"] for entry in trained.curve if "loss" in entry]
    return {
        "classes": list(classes),
        "steps": {"taken": trained.steps, "planned": trained.planned, "kept": trained.best_step},
        "dev": {"before": trained.before, "after": trained.after},
        "training": {"first": losses[0], "last": losses[-1]},
        "window": window,
        "cut": {"train": encoded.cut, "dev": held_out.cut},
        "parameters": count_parameters(model),
        "device": where_told(device, bf16, how, where),
        "seconds": trained.seconds,
        "peak_memory_bytes": trained.peak_memory,
    }


def _paired(collate: Collate) -> Collate:
    """Each text's second reading is the one in its own place."""

    def paired(items: Sequence[Item]) -> dict[str, torch.Tensor]:
        batch = collate(items)
        return {**batch, "labels": torch.arange(len(items))}

    return paired
