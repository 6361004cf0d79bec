"""Stage II: train the warmed-up model on the task itself, with labels, or on the task's texts without.

model, examples [, dev] -> tuned/: a classifier (or language model), its tokenizer, manifest.json
several seeds           -> tuned/seed-0, tuned/seed-1, ...: one model each
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gotd.artifacts import MANIFEST, Artifact, open_artifact, read_json, released_by_errors, versions, write_json
from gotd.corpus import Inputs
from gotd.engine import Progress, silent
from gotd.errors import InputError, SettingsError
from gotd.training.documents import check_dev, inputs_of
from gotd.training.labelled import (
    Columns,
    Example,
    check_classes,
    classes_of,
    documents_of,
    held_out,
    read_examples,
    stratified,
)
from gotd.training.models import check_finished, kind_of, model_inputs, need_training, quiet
from gotd.training.settings import Kind, Machine, Recipe, recipe
from gotd.training.together import first, first_opens, together, world
from gotd.training.warmup import CHECKPOINTS, PACKAGES, TrainedModel

# Gururangan et al. 2020, whose tasks and settings the paper takes over.
CLASSIFIER = Recipe(lr=2e-5, batch=16, epochs=10.0)
LANGUAGE = Recipe(lr=2e-5, batch=16, epochs=3.0)
_DONE = "parts"


@together
@released_by_errors()
def finetune(
    model: str,
    train: Inputs,
    output: Path | str,
    *,
    label_field: str | None = None,
    text_field: str | None = None,
    pair_field: str | None = None,
    dev: Inputs | None = None,
    max_train: str | int | None = None,
    seeds: int = 1,
    best_by: str = "macro_f1",
    machine: Machine | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    **given: Any,
) -> TrainedModel:
    """Fine-tune a model on a task.

    Args:
        model: folder or hub name; the folder of `warmup`, for one.
        train: labelled examples; texts alone where no `label_field` is given: then the model, causal or masked, is
            trained on as a language model.
        output: folder for the model, or for one folder a seed.
        pair_field: field with the second text of each example.
        dev: examples that choose the checkpoint and say when to stop; never the test set. Left out, a tenth of the
            training examples is held out for it, by class.
        max_train: at most so many training examples, the shares of the classes kept.
        seeds: how many models to train, with seeds from `seed` on. The examples are the same for all.
        best_by: the figure on `dev` that chooses the checkpoint.
        given: fields of `Recipe`.

    Raises:
        InputError: an example lacks a label, there is one class only, or `dev` has a class that `train` lacks.
    """
    need_training("finetune", *(("peft",) if given.get("lora") else ()))
    check_finished(model)
    if not seeds >= 1:
        raise SettingsError(f"seeds is {seeds}; wanted 1 or more models")
    if pair_field and not label_field:
        raise SettingsError("a pair is fine-tuned by its label; pass --label-field with --pair-field")
    with quiet():
        kind = kind_of(model)
    how = recipe(kind, None, CLASSIFIER if label_field else LANGUAGE, **given)
    if "measurements" not in given:
        how = replace(how, measurements=max(1, round(how.epochs)))
    where = machine or Machine()
    where.portion(how.batch, world())
    recipes = [replace(how, seed=how.seed + number) for number in range(seeds)]
    size = None if max_train is None else documents_of(max_train)
    columns = Columns(label_field, text_field, pair_field)
    inputs = {"model": model_inputs(model), "train": inputs_of(train)}
    if dev is not None:
        inputs["dev"] = inputs_of(dev)
        check_dev(inputs["train"], inputs["dev"])
    asked = {**asdict(columns), "max_train": size, "seeds": seeds, "best_by": best_by if label_field else "loss"}
    asked |= {"kind": kind, **asdict(how)}
    artifact = first_opens(lambda: open_artifact(output, "finetune", asked, inputs, overwrite=overwrite))
    finished = first(lambda: artifact.finished)
    if finished is not None:
        return TrainedModel(artifact.folder, finished)
    started = time.perf_counter()
    examples, judged, counts = _examples(train, dev, columns, size, how.seed)
    classes: list[str] = []
    if label_field:
        classes = classes_of(examples, "training data")
        check_classes(judged, classes, "dev data")
    counts["classes"] = _shares(examples, classes)
    task = _Task(model, kind, examples, judged, classes, best_by)
    told = []
    for one in recipes:
        folder = artifact.folder if seeds == 1 else artifact.folder / f"seed-{one.seed}"
        told.append(_one_seed(artifact, folder, one, task, where, progress))
    found = {
        "objective": "classification" if label_field else "language",
        "classes": classes,
        "counts": counts,
        "models": [result["folder"] for result in told],
        "seeds": told,
        "dev": _over_seeds(told, bool(label_field)),
        "seconds_total": time.perf_counter() - started,
        "versions": versions(PACKAGES),
    }
    return TrainedModel(artifact.folder, first(lambda: artifact.finish(found)))


def model_folders(model: str) -> list[str]:
    """The folders of the models that `gotd finetune` left, one a seed; any other model is itself."""
    path = Path(model) / MANIFEST
    if not path.is_file():
        return [model]
    found = read_json(path)
    if found.get("kind") != "finetune":
        return [model]
    return [str(Path(model) / name) for name in found["models"]]


def _examples(
    train: Inputs, dev: Inputs | None, columns: Columns, size: int | None, seed: int
) -> tuple[list[Example], list[Example], dict[str, Any]]:
    """Training and dev examples; without a dev file a tenth of the training data."""
    every = read_examples(train, columns, "training data")
    counts: dict[str, Any] = {"train": {"rows": len(every)}}
    if dev is not None:
        judged = read_examples(dev, columns, "dev data")
        rest = every
    else:
        judged, rest = held_out(every, seed)
        if not rest:
            raise InputError(f"the training data has {len(every)} examples; too few to hold some out. Pass --dev")
    used = rest if size is None else stratified(rest, size, seed)[0]
    counts["train"]["used"] = len(used)
    counts["dev"] = {"used": len(judged), "from_train": dev is None}
    return used, judged, counts


@dataclass(frozen=True, slots=True)
class _Task:
    """What all seeds have in common; no classes for a language model."""

    model: str
    kind: Kind
    examples: Sequence[Example]
    dev: Sequence[Example]
    classes: Sequence[str]
    best_by: str


def _one_seed(
    artifact: Artifact, folder: Path, how: Recipe, task: _Task, machine: Machine, progress: Progress
) -> dict[str, Any]:
    """Train with one seed, unless that was done before."""
    done = artifact.folder / _DONE / f"seed-{how.seed}.done.json"
    earlier = first(lambda: read_json(done) if done.exists() else None)
    if earlier is not None:
        return earlier
    checkpoints = artifact.folder / CHECKPOINTS / f"seed-{how.seed}"
    told = _trained(folder, checkpoints, how, task, machine, progress)
    told = {"seed": how.seed, "folder": str(folder.relative_to(artifact.folder)), **told}
    first(lambda: _keep(done, told, checkpoints))
    return told


def _keep(done: Path, told: dict[str, Any], checkpoints: Path) -> None:
    done.parent.mkdir(exist_ok=True)
    write_json(done, told)
    shutil.rmtree(checkpoints, ignore_errors=True)


def _trained(
    folder: Path, checkpoints: Path, how: Recipe, task: _Task, machine: Machine, progress: Progress
) -> dict[str, Any]:
    """A classifier where there are classes, else a language model."""
    from gotd.training.classify import train_classifier
    from gotd.training.language import train_language

    common: dict[str, Any] = {"checkpoints": checkpoints, "progress": progress}
    if task.classes:
        given = (task.model, task.examples, task.dev, task.classes, folder, how, machine)
        return train_classifier(*given, best_by=task.best_by, **common)
    texts, held_out = ([example.text for example in part] for part in (task.examples, task.dev))
    common |= {"held_out": held_out, "what": "fine-tuning"}
    return train_language(task.model, texts, folder, task.kind, how, machine, **common).told()


def _shares(examples: Sequence[Example], classes: Sequence[str]) -> dict[str, int]:
    found = Counter(example.label for example in examples)
    return {name: found[name] for name in classes}


def _over_seeds(told: Sequence[dict[str, Any]], labelled: bool) -> dict[str, Any]:
    """Mean and standard deviation of the figures on the dev data."""
    if labelled:
        after = [result["dev"]["after"] for result in told]
    else:
        after = [{"loss": result["loss"]["held_out"]["after"]} for result in told]
    spread = {name: [figures[name] for figures in after] for name in after[0]}
    return {
        name: {"mean": statistics.fmean(values), "sd": statistics.stdev(values) if len(values) > 1 else None}
        for name, values in spread.items()
    }
