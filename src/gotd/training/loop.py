"""One loop for every kind of training: a job begins or goes on, ends, and says what came of it.

The data come in their final order, one "epoch" of the Trainer: a run that is stopped goes on from its last checkpoint
with the very batches, masks and dropout that it would have had, and ends in the same weights.
Running out of memory names a size that fits.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gotd.engine import Progress, silent
from gotd.errors import InputError, SettingsError
from gotd.training.job import Job, measured, measured_before
from gotd.training.memory import memory_advice, out_of_memory, peak_memory
from gotd.training.models import arithmetic, quiet
from gotd.training.settings import Machine, Recipe
from gotd.training.together import first, meet, out_of_reach, rank, sharded
from gotd.training.trainer import Counted, gone_on_from, last_checkpoint, step_of, trainer_for


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a run.

    Attributes:
        steps: steps taken, of `planned`; fewer where held-out data said to stop.
        best_step: the step whose weights the model has; 0 is the model as it was.
        before, after: figures of the model as it was and as it is now.
        curve: figures along the way: step, and `loss` on the training data or `held_out` ones.
        resumed_from: the step that this process went on from; 0 from the start.
        seconds: of this process, in training and measuring.
        peak_memory: bytes, see `peak_memory`.
        weights: where each process has but a part of them, all, on rank 0; else None, and the model has them.
    """

    steps: int
    planned: int
    best_step: int
    before: dict[str, float] | None
    after: dict[str, float] | None
    curve: list[dict[str, Any]]
    resumed_from: int
    seconds: float
    peak_memory: int
    weights: dict[str, torch.Tensor] | None


def train(model: Any, job: Job, recipe: Recipe, machine: Machine, folder: Path, progress: Progress = silent) -> Trained:
    """Train in place; the model ends with the weights of the best measurement, or of the last step.

    Args:
        folder: of checkpoints, from which the same call goes on.

    Raises:
        SettingsError: the loss is not finite, or memory ran out.
    """
    try:
        with quiet():
            return _run(model, job, recipe, machine, folder, progress)
    except Exception as error:
        if not out_of_memory(error):
            raise
    # Out of the handler: an error in hand holds on to the activations of its frames.
    with quiet():
        raise SettingsError(memory_advice(model, job.items, job.collate, job.loss, recipe, machine))


def _run(model: Any, job: Job, recipe: Recipe, machine: Machine, folder: Path, progress: Progress) -> Trained:
    _check(model, job)
    steps = -(-len(job.items) // recipe.batch)
    last = first(lambda: last_checkpoint(folder))
    where, bf16 = arithmetic(machine.device, recipe.precision)
    if where.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # before it, to begin the count anew is an error
        torch.cuda.reset_peak_memory_stats(where)
    if not sharded():  # a part of it goes there later
        model.to(where)
        measured_before(model, job, folder)
    if last and first(lambda: gone_on_from(last)):
        # The library would take one more step before it looked: there is nothing more to read.
        job = replace(job, items=Counted(job.items, min(step_of(last) * recipe.batch, len(job.items))))
    meet()
    with out_of_reach():
        trainer = trainer_for(model, job, recipe, machine, folder, steps, where, bf16, progress)
        started = time.perf_counter()
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        seconds = time.perf_counter() - started
        # Measured again: what the checkpoint gave back is what is saved.
        after = measured(trainer.model, job.measure)
        weights = trainer.accelerator.get_state_dict(trainer.model) if sharded() else None
    state = trainer.state
    return Trained(
        steps=state.global_step,
        planned=steps,
        best_step=state.best_global_step if job.measure and state.best_global_step else state.global_step,
        before=measured_before(model, job, folder),
        after=after,
        curve=_curve(state.log_history, job.measure is not None),
        resumed_from=step_of(last) if last else 0,
        seconds=seconds,
        peak_memory=peak_memory(where),
        weights=weights,
    )


def _check(model: Any, job: Job) -> None:
    """What cannot be trained, or not by these processes together."""
    if getattr(model, "is_quantized", False) and not hasattr(model, "peft_config"):
        raise SettingsError(
            "the model's weights are quantised, and cannot be trained. Save it in full precision, or, where its file "
            "holds it so, take quantization_config out of config.json; or pass --lora 16"
        )
    if sharded() and (hasattr(model, "peft_config") or not hasattr(model, "save_pretrained")):
        raise SettingsError(
            "low-rank factors and encoders are not sharded; take FSDP out of accelerate's configuration"
        )
    if first(lambda: len(job.items)) != len(job.items):
        raise InputError(f"process {rank()} reads other data than process 0; give all of them the same files")


def _curve(history: Sequence[Mapping[str, Any]], held_out: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for entry in history:
        if "loss" in entry:
            found.append({"step": entry["step"], "loss": entry["loss"], "lr": entry["learning_rate"]})
        elif held_out and "eval_loss" in entry:
            figures = {name.removeprefix("eval_"): v for name, v in entry.items() if name.startswith("eval_")}
            found.append({"step": entry["step"], "held_out": figures})
    return found
