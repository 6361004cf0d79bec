"""Any task of lm-evaluation-harness (Gao et al. 2024), by that library: its prompts, its answers, its figures.

A task is named as the library names it, and its data then come from the Hugging Face hub; or it is a YAML file of
yours, in the library's format, whose data may be local files. Causal models only. Prompts are as the library makes
them, without a start token where the tokeniser adds none: figures compare with others of the library, and not with
those of `gotd.evaluation.zero_shot`.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd.artifacts import digest, versions
from gotd.encoders.local import require
from gotd.errors import SettingsError
from gotd.training.models import check_finished, need_training

if TYPE_CHECKING:
    from gotd.evaluation.harness import Answers

_PACKAGES = ("gotd", "lm-eval", "datasets", "transformers", "torch")
_UNVERSIONED = "Yaml"  # what the library calls the version of a task that states none


@dataclass(frozen=True, slots=True)
class Score:
    """One figure of a task.

    Attributes:
        mean: over the documents, or however the task adds them up.
        stderr: standard error as the library gives it; None where it gives none.
        higher: whether more is better; None where the task does not say.
    """

    mean: float
    stderr: float | None
    higher: bool | None


@dataclass(frozen=True, slots=True)
class TaskScores:
    """The figures of a task, or of a group of tasks.

    Attributes:
        figures: by name; `exact_match,strict-match` where the answers went through a filter.
        documents, of: judged, and there are.
        shots: examples in each prompt; None of a group whose tasks differ.
        version: of the task; None where it states none.
        config: digest of the task's definition; None of a group.
        asked: digest of its documents, prompts and right answers; None of a group.
    """

    figures: dict[str, Score]
    documents: int
    of: int
    shots: int | None
    version: str | None
    config: str | None
    asked: str | None


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model made of tasks.

    Attributes:
        tasks: by name, groups among them.
        cut: prompts that were longer than the window, and lost their beginning.
        window: tokens.
        models: folder or hub name.
        versions: of the libraries.
        seconds: in all.
    """

    tasks: dict[str, TaskScores]
    cut: int
    window: int
    models: list[str]
    versions: dict[str, str]
    seconds: float

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def evaluate_tasks(model: str, task: str, *, task_folder: str | None = None, **given: Any) -> Answered:
    """Judge a language model on tasks of lm-evaluation-harness.

    Args:
        task: names of tasks or groups, commas between them.
        task_folder: with YAML files of your own. Code that they name by `!function` is run.
        given: arguments of `gotd.evaluation.harness.answers`.

    Raises:
        MissingExtra: lm-eval is not installed.
        SettingsError: there is no such task, or its data cannot be had; the library's come from the hub.
    """
    started = time.perf_counter()
    run = answers_to(task, task_folder, model, **given)
    # A group that adds nothing up has no figures of its own.
    scores = {name: one for name in run.found["results"] if (one := _scores(run.found, name)).figures}
    seconds = time.perf_counter() - started
    return Answered(scores, run.cut, run.window, [model], versions(_PACKAGES), seconds)


def answers_to(task: str, task_folder: str | None, model: str, **given: Any) -> Answers:
    """What the library finds, document by document; `given` are arguments of `gotd.evaluation.harness.answers`."""
    _need_lm_eval()
    need_training("evaluate zero-shot --task")
    check_finished(model)
    from gotd.evaluation.harness import answers

    return answers(model, _names(task), task_folder, **given)


def check_tasks(task: str, task_folder: str | None) -> None:
    """MissingExtra without lm-eval, SettingsError unless there are such tasks; their data are not looked for."""
    _need_lm_eval()
    from gotd.evaluation.harness import manager_of

    manager_of(_names(task), task_folder)


def task_files(folder: str) -> list[str]:
    """Path and digest of each file of a task folder."""
    return [
        f"{path.resolve()} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    ]


def scores_of(found: dict[str, Any], name: str, metric: str) -> list[float]:
    """What each document of a task scored.

    Raises:
        SettingsError: the task has no such metric, or one that is no mean over documents of scores from 0 to 1.
    """
    figures = _figures(found["results"][name], {})
    if metric not in figures:
        raise SettingsError(f'task {name}: no metric "{metric}"; wanted {", ".join(figures)}')
    key, _, kind = metric.partition(",")
    samples = [one for one in found["samples"][name] if one["filter"] == (kind or "none")]
    scores = [one.get(key) for one in samples]
    each = all(isinstance(score, Real) and 0 <= float(score) <= 1 for score in scores)
    if not each or not math.isclose(sum(scores) / len(scores), figures[metric].mean, abs_tol=1e-9):
        raise SettingsError(f"task {name}: {metric} is no mean over documents of scores from 0 to 1; pass one that is")
    return [float(score) for score in scores]


def _need_lm_eval() -> None:
    require("a task of lm-eval", ("lm_eval",), "lm-eval")


def _names(task: str) -> list[str]:
    names = list(dict.fromkeys(part.strip() for part in task.split(",") if part.strip()))
    if not names:
        raise SettingsError(f'task is "{task}"; wanted names of lm-eval, such as arc_easy,boolq')
    return names


def _scores(found: dict[str, Any], name: str) -> TaskScores:
    row, config, version = (found[part].get(name) for part in ("results", "configs", "versions"))
    documents = int(row.get("sample_len", 0))
    samples = found["samples"].get(name, [])
    said = [[one["doc_hash"], one["prompt_hash"], one["target_hash"]] for one in samples]
    return TaskScores(
        figures=_figures(row, found["higher_is_better"].get(name, {})),
        documents=documents,
        of=found["n-samples"].get(name, {}).get("original", documents),
        shots=found["n-shot"].get(name),
        version=None if version in (None, _UNVERSIONED) else str(version),
        config=None if config is None else digest(_definition(config)),
        asked=digest(said) if said else None,
    )


def _figures(row: dict[str, Any], higher: dict[str, bool]) -> dict[str, Score]:
    """From `acc,none` and `acc_stderr,none`."""
    figures = {}
    for key, value in row.items():
        metric, comma, kind = key.partition(",")
        if not comma or metric.endswith("_stderr"):
            continue
        error = row.get(f"{metric}_stderr,{kind}")
        stderr = float(error) if isinstance(error, Real) else None
        if not isinstance(value, Real):
            raise SettingsError(f"the figure {key} is a {type(value).__name__}; wanted a metric that gives a number")
        figures[metric if kind == "none" else key] = Score(float(value), stderr, higher.get(metric))
    return figures


def _definition(config: dict[str, Any]) -> str:
    """All that defines a task, but not where its file lies."""
    about = {key: value for key, value in config.get("metadata", {}).items() if key != "config_source"}
    whole = {**config, "metadata": about}
    return json.dumps(whole, sort_keys=True, default=lambda one: getattr(one, "__qualname__", type(one).__name__))
