"""What a model is worth on a task: the evaluations of a cell, each kept item by item.

perplexity, utility   nats, bytes and tokens of each document
zero-shot, classify   true and predicted class of each document
toxicity              the worst continuation of each prompt
lm-eval               what each document scored by the task's own metric
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from gotd.comparison.config import LM_EVAL, Task
from gotd.corpus import Fields
from gotd.engine import Progress
from gotd.evaluation.classification import Judged, judged
from gotd.evaluation.perplexity import bytes_of, score_texts
from gotd.evaluation.tasks import answers_to, scores_of
from gotd.evaluation.toxicity import toxicity
from gotd.evaluation.zero_shot import guessed
from gotd.training.documents import texts_of
from gotd.training.labelled import Columns

Items = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Measured:
    """One evaluation of one model.

    Attributes:
        items: columns of n values, a row a test item.
        told: what else there is to say, such as texts that were cut.
    """

    items: Items
    told: dict[str, Any]

    @property
    def classes(self) -> int:
        """How many classes there are; 0 where there are none."""
        return len(self.told.get("classes", ()))


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged on what.

    Attributes:
        model: folder or hub name.
        task: of the comparison.
        data: files.
        text_field: where the texts are in them.
        settings: of the evaluation.
        device: where the model runs.
        seed: of what is sampled.
        folder: for what is written along the way.
    """

    model: str
    task: Task
    data: tuple[str, ...]
    text_field: str | None
    settings: dict[str, Any]
    device: str
    seed: int
    folder: Path
    progress: Progress


def measured(evaluation: str, subject: Subject) -> Measured:
    """The items of one of EVALUATIONS."""
    return _MADE_BY[evaluation](subject)


def _likelihood(subject: Subject) -> Measured:
    given = dict(subject.settings)
    # The same documents for every cell: their seed is not the cell's.
    texts = texts_of(subject.data, Fields(text=subject.text_field), size=given.pop("max_docs", None)).texts
    scored = score_texts(
        subject.model,
        texts,
        given.get("window"),
        given.get("stride"),
        given.get("batch", 8),
        subject.device,
        subject.progress,
    )
    sizes = [bytes_of(text) for text in texts]
    items = {"nats": np.array(scored.nats), "bytes": np.array(sizes), "tokens": np.array(scored.tokens)}
    told = {"kind": scored.kind, "strided": scored.strided, "unknown": scored.unknown, "window": scored.window}
    return Measured(items, told)


def _zero_shot(subject: Subject) -> Measured:
    given = {"label_field": subject.task.label_field or "label", **subject.settings}
    return _classes(guessed(subject.model, subject.data, device=subject.device, progress=subject.progress, **given))


def _classified(subject: Subject) -> Measured:
    given = dict(subject.settings)
    where = Columns(given.pop("label_field", None), subject.text_field, subject.task.pair_field)
    return _classes(
        judged(subject.model, subject.data, where, device=subject.device, progress=subject.progress, **given)
    )


def _classes(found: Judged) -> Measured:
    counts = np.bincount(found.true, minlength=len(found.classes))
    told = {"classes": found.classes, "majority": float(counts.max() / counts.sum()), "cut": found.cut}
    return Measured({"true": found.true, "predicted": found.predicted[0]}, {**told, "window": found.window})


def _toxicity(subject: Subject) -> Measured:
    written = subject.folder / "written.jsonl"
    found = toxicity(
        subject.model,
        subject.data,
        output=written,
        fields=Fields(text=subject.text_field),
        device=subject.device,
        seed=subject.seed,
        progress=subject.progress,
        **subject.settings,
    )
    worst = [max(orjson.loads(line)["toxicity"]) for line in written.read_bytes().splitlines()]
    return Measured({"worst": np.array(worst)}, {"scorer": found.scorer, "continuations": found.continuations})


def _lm_eval(subject: Subject) -> Measured:
    given = dict(subject.settings)
    metric, task, folder = given.pop("metric", "acc"), given.pop("task"), given.pop("task_folder", None)
    run = answers_to(task, folder, subject.model, device=subject.device, progress=subject.progress, **given)
    right = [score for name in run.found["samples"] for score in scores_of(run.found, name, metric)]
    return Measured({"right": np.array(right)}, {"metric": metric, "cut": run.cut, "window": run.window})


_MADE_BY: dict[str, Callable[[Subject], Measured]] = {
    "perplexity": _likelihood,
    "utility": _likelihood,
    "zero-shot": _zero_shot,
    "classify": _classified,
    "toxicity": _toxicity,
    LM_EVAL: _lm_eval,
}
