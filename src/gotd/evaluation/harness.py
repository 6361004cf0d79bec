"""lm-evaluation-harness as gotd calls it: the only module that imports it.

The library draws its own bars, logs and prints; all of that is turned away. What it would only log, prompts that it
cuts, is counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from lm_eval.defaults import DEFAULT_OTHER_SEED
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from gotd.engine import Progress, silent
from gotd.errors import GotdError, SettingsError
from gotd.evaluation.likelihood import language_model
from gotd.evaluation.metrics import RESAMPLES
from gotd.training.memory import room_for
from gotd.training.models import longest_input


class _Reader(HFLM):  # type: ignore[misc]
    """The library's model, which counts what it cuts and says how far it is."""

    cut = done = asked = 0
    progress: Progress

    def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None) -> Any:
        # One token more than the window: the last is scored and not read.
        self.cut += sum(len(before) + len(after) > self.max_length + 1 for _, before, after in requests)
        self.asked += len(requests)
        found = super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
        self.done = self.asked
        return found

    def _model_call(self, inps: torch.Tensor, *given: Any, **named: Any) -> Any:
        self.progress("answering", self.done, self.asked)
        self.done = min(self.done + len(inps), self.asked)
        return super()._model_call(inps, *given, **named)

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> Any:
        self.asked += len(requests)
        return super().generate_until(requests, disable_tqdm)

    def tok_batch_encode(
        self,
        strings: list[str],
        padding_side: str = "left",
        left_truncate_len: int | None = None,
        truncation: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = super().tok_batch_encode(strings, padding_side, None, truncation)
        self.progress("writing", self.done, self.asked)
        self.done += len(strings)
        if left_truncate_len:
            self.cut += int((mask.sum(1) > left_truncate_len).sum())
            ids, mask = ids[:, -left_truncate_len:], mask[:, -left_truncate_len:]
        return ids, mask


@dataclass(frozen=True, slots=True)
class Answers:
    """The library's own account of what a model made of tasks.

    Attributes:
        found: as `lm_eval.evaluate` gives it.
        cut: prompts that were longer than the window.
        window: tokens.
    """

    found: dict[str, Any]
    cut: int
    window: int


def answers(
    model: str,
    names: Sequence[str],
    folder: str | None,
    *,
    limit: int | None = None,
    shots: int | None = None,
    window: int | None = None,
    batch: int = 8,
    device: str = "auto",
    progress: Progress = silent,
) -> Answers:
    """Have a model answer tasks. Examples in the prompt, and what is sampled, are drawn by the library's own seeds.

    Args:
        names: of tasks or groups.
        folder: with YAML files of your own.
        limit: the first so many documents of each task.
        shots: examples in each prompt; left out, as the task has it. A task that is defined without any keeps to that.
        window: tokens at once; left out, all that the model takes.
        batch: prompts at a time.
    """
    progress("finding the task", 0, 1)
    manager = manager_of(names, folder)
    reader = language_model(model, device, window, causal=True)
    longest = window or longest_input(reader.model, reader.tokenizer)
    progress("loading its data", 0, 1)
    with _hushed(), _refused(names, "Its data come from the Hugging Face hub, or from files that its YAML names"):
        loaded = manager.load(list(names))
    with _hushed(), _refused(names, "Mend the task, or pass another"):
        for task in loaded["tasks"].values():
            _with_shots(task, shots)
        answering = _Reader(reader.model, "causal", tokenizer=reader.tokenizer, batch_size=batch, max_length=longest)
        answering.progress = progress
        torch.manual_seed(DEFAULT_OTHER_SEED)
        with room_for(f"{batch} prompts of up to {longest} tokens", f"--batch-size {max(1, batch // 2)}"):
            found = evaluate(answering, loaded, limit=limit, bootstrap_iters=RESAMPLES)
    return Answers(found, answering.cut, longest)


def manager_of(names: Sequence[str], folder: str | None) -> Any:
    """What loads these tasks.

    Raises:
        SettingsError: there is no such folder, or no task of such a name.
    """
    if folder is not None and not Path(folder).is_dir():
        raise SettingsError(f"task folder {folder}: no such folder; pass the one that holds the task's YAML file")
    own = None
    if folder is not None:
        with _hushed():
            own = TaskManager(include_path=folder, include_defaults=False)
        # The library's own tasks are more than ten thousand files: read for a group, or where they are meant.
        if set(names) <= set(own.all_subtasks):
            return own
    every = _manager(folder)
    for name in names:
        if name not in every.task_index:
            near = get_close_matches(name, every.all_tasks, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "lm-eval ls tasks names those that it has"
            there = "" if own is None else f"; {folder} holds {', '.join(own.all_tasks) or 'none that can be read'}"
            raise SettingsError(f'no task "{name}" in lm-eval{there}: {hint}')
    return every


def _manager(folder: str | None) -> Any:
    """The library's own tasks, and those of a folder."""
    if folder is None:
        return _library()
    with _hushed():
        return TaskManager(include_path=folder)


@lru_cache(maxsize=1)
def _library() -> Any:
    with _hushed():
        return TaskManager()


def _with_shots(task: Any, shots: int | None) -> None:
    """As the library's own command has it: a task that is without examples by definition stays so."""
    own = task.get_config("num_fewshot")
    if own is None or (shots is not None and own != 0):
        task.set_config(key="num_fewshot", value=shots or 0)
    task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)


@contextmanager
def _refused(names: Sequence[str], remedy: str) -> Iterator[None]:
    """Whatever a task meets becomes one line: it may be of any YAML, and of anyone's code."""
    try:
        yield
    except GotdError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SettingsError(f"task {', '.join(names)}: {reason}. {remedy}") from error


@contextmanager
def _hushed() -> Iterator[None]:
    """Without what the libraries print, draw and log; and without their pools of processes, which fork threads."""
    os.environ.setdefault("DISABLE_MULTIPROC", "1")
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield
