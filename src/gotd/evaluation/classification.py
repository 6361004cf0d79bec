"""How often a fine-tuned classifier is right, on a test set that chose nothing."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gotd.corpus import Inputs
from gotd.encoders.weights import precision, resolve_device
from gotd.engine import Progress, silent
from gotd.errors import SettingsError
from gotd.evaluation.metrics import METRICS, Labels, intervals, metrics
from gotd.evaluation.unseen import refuse_seen
from gotd.training.batches import collator
from gotd.training.classify import AUTO, Encoded, encode, padded_tokenizer, predict
from gotd.training.finetune import model_folders
from gotd.training.labelled import Columns, Example, check_classes, read_examples
from gotd.training.memory import room_for
from gotd.training.models import check_finished, load_model, made_by, need_training, quiet, window_of


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure over the models of all seeds.

    Attributes:
        mean: over the seeds.
        sd: standard deviation over the seeds, None for one.
        low, high: 95 % bootstrap interval of the mean, over test sets of this size.
        seeds: the figure of each model.
    """

    mean: float
    sd: float | None
    low: float
    high: float
    seeds: list[float]


@dataclass(frozen=True, slots=True)
class Classified:
    """Figures of a classifier.

    Attributes:
        figures: of METRICS.
        documents: in the test set.
        classes: how many of each class.
        majority: accuracy of always saying the commonest class.
        cut: documents longer than the window; only their beginning was read.
        window: tokens.
        models: folders.
    """

    figures: dict[str, Figure]
    documents: int
    classes: dict[str, int]
    majority: float
    cut: int
    window: int
    models: list[str]

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Judged:
    """What classifiers say of a test set.

    Attributes:
        true: (n,) numbers of the classes.
        predicted: (n,) of each model.
        classes: their names.
        cut: documents longer than the window; only their beginning was read.
        window: tokens.
        models: folders.
    """

    true: Labels
    predicted: list[Labels]
    classes: list[str]
    cut: int
    window: int
    models: list[str]

    def summary(self, seed: int) -> Classified:
        """Figures with their intervals; `seed` is of the bootstrap."""
        counts = Counter(self.true.tolist())
        return Classified(
            figures=figures_of(self.true, self.predicted, len(self.classes), seed),
            documents=len(self.true),
            classes={name: counts[number] for number, name in enumerate(self.classes)},
            majority=max(counts.values()) / len(self.true),
            cut=self.cut,
            window=self.window,
            models=self.models,
        )


def classify(
    model: str,
    data: Inputs,
    *,
    label_field: str | None = None,
    text_field: str | None = None,
    pair_field: str | None = None,
    batch: int = 32,
    device: str = "auto",
    seed: int = 0,
    progress: Progress = silent,
) -> Classified:
    """Judge the classifiers that `gotd finetune` left, or any one of Hugging Face.

    Args:
        data: labelled examples, not those of training or dev.
        label_field, text_field, pair_field: left out, those of the fine-tuning.
        seed: of the bootstrap.

    Raises:
        SettingsError: the model is no classifier, or was trained or chosen on these very files.
        InputError: a row lacks its label, or has one that the model does not know.
    """
    where = Columns(label_field, text_field, pair_field)
    return judged(model, data, where, batch=batch, device=device, progress=progress).summary(seed)


def judged(
    model: str, data: Inputs, where: Columns, *, batch: int = 32, device: str = "auto", progress: Progress = silent
) -> Judged:
    """The class of each document by each model of a folder; the columns that `where` leaves out are as fine-tuned."""
    need_training("evaluate classify")
    check_finished(model, one=False)
    refuse_seen(model, data, "a test set of its own")
    tuned = made_by(model)
    asked = tuned.get("settings", {}) if tuned.get("kind") == "finetune" else {}
    columns = Columns(
        where.label or asked.get("label") or "label", where.text or asked.get("text"), where.pair or asked.get("pair")
    )
    examples = read_examples(data, columns, "test data")
    predictions: list[Labels] = []
    folders = model_folders(model)
    for number, folder in enumerate(folders):
        progress("classifying", number, len(folders))
        classes, encoded, window, predicted = _predicted(folder, examples, batch, device, asked.get("window"))
        predictions.append(predicted)
    true: Labels = np.array([classes.index(str(example.label)) for example in examples])
    return Judged(true, predictions, classes, encoded.cut, window, folders)


def _predicted(
    folder: str, examples: Sequence[Example], batch: int, device: str, window: int | None
) -> tuple[list[str], Encoded, int, Labels]:
    where = resolve_device(device)
    tokenizer = padded_tokenizer(folder)
    with quiet():
        model, info = load_model(folder, AUTO, precision(where), output_loading_info=True)
    if info["missing_keys"]:
        raise SettingsError(
            f"{folder}: found no classifier; it lacks {sorted(info['missing_keys'])[0]}. "
            "Make one: gotd finetune --label-field label"
        )
    model = model.to(where).eval()
    classes = [model.config.id2label[i] for i in range(model.config.num_labels)]
    check_classes(examples, classes, "test data")
    longest = window_of(model, tokenizer, window)
    encoded = encode(examples, tokenizer, longest, classes)
    with room_for(f"{batch} texts of up to {longest} tokens", f"--batch-size {max(1, batch // 2)}"):
        logits = predict(model, encoded, collator(tokenizer.pad_token_id), False, batch)
    return classes, encoded, longest, logits.argmax(1).astype(np.int64)


def figures_of(true: Labels, predictions: Sequence[Labels], classes: int, seed: int) -> dict[str, Figure]:
    """Each figure of METRICS over the predictions of several models."""
    single = [metrics(true, predicted, classes) for predicted in predictions]
    bounds = intervals(true, predictions, classes, seed)
    found = {}
    for name in METRICS:
        values = [one[name] for one in single]
        sd = statistics.stdev(values) if len(values) > 1 else None
        found[name] = Figure(statistics.fmean(values), sd, *bounds[name], values)
    return found
