"""Hugging Face's Trainer, with gotd's settings, checkpoints, measurements and errors.

Differs from a plain Trainer in these points: the loss of a step is the mean over its tokens however they are cut into
micro-batches, for masked models too; a loss or gradient that is not finite stops the run before it touches a weight.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
import transformers
from transformers.trainer_callback import EarlyStoppingCallback, PrinterCallback, TrainerCallback

from gotd.artifacts import read_json, write_json
from gotd.engine import Progress, silent
from gotd.errors import ArtifactError, SettingsError
from gotd.training.batches import Item, Items
from gotd.training.job import Job, Measure, measured, measured_before
from gotd.training.settings import Machine, Recipe
from gotd.training.together import added, first, meet, rank, sharded, world
from gotd.training.windows import IGNORED

_STATE = "trainer_state.json"


def trainer_for(
    model: Any,
    job: Job,
    recipe: Recipe,
    machine: Machine,
    folder: Path,
    steps: int,
    where: torch.device,
    bf16: bool,
    progress: Progress,
) -> Any:
    """The library's Trainer for a job of so many steps, with its checkpoints in a folder."""
    arguments = _arguments(job, recipe, machine, folder, steps, where, bf16)
    callbacks: list[TrainerCallback] = [_Tell(job.what, progress if rank() == 0 else silent)]
    if sharded():
        callbacks.append(_Begin(lambda: measured_before(trainer.model, job, folder)))
    if job.measure is not None:
        callbacks.append(EarlyStoppingCallback(recipe.patience))
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=Counted.even(job.items, arguments.per_device_train_batch_size * world()),
        eval_dataset=job.items if job.measure is not None else None,
        data_collator=job.collate,
        compute_loss_func=job.loss,
        callbacks=callbacks,
    )
    trainer.measure = job.measure
    trainer.remove_callback(PrinterCallback)
    if world() > 1:
        torch.manual_seed(recipe.seed + rank())  # of dropout, which is not to be the same in each part of a batch
    return trainer


def _arguments(
    job: Job, recipe: Recipe, machine: Machine, folder: Path, steps: int, where: torch.device, bf16: bool
) -> transformers.TrainingArguments:
    """The recipe and the machine in the library's words."""
    portion = machine.portion(recipe.batch, world())
    every = max(1, round(steps / recipe.measurements))
    held_out = job.measure is not None
    checkpointing: dict[str, Any] = (
        {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": False}}
        if machine.gradient_checkpointing
        else {}
    )
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=portion,
        gradient_accumulation_steps=recipe.batch // (portion * world()),
        num_train_epochs=1,
        train_sampling_strategy="sequential",
        learning_rate=recipe.lr,
        weight_decay=recipe.decay,
        warmup_steps=math.ceil(recipe.rise * steps),
        bf16=bf16,
        use_cpu=where.type == "cpu",
        eval_strategy="steps" if held_out else "no",
        eval_steps=every,
        save_steps=every,
        # The best and the last; a kill may leave the last unfinished, so one more.
        save_total_limit=3,
        restore_callback_states_from_checkpoint=True,  # how patient it was so far
        load_best_model_at_end=held_out,
        metric_for_best_model=job.best_by if held_out else None,
        greater_is_better=job.higher_is_better if held_out else None,
        logging_steps=1 if steps <= 100 else max(1, every // 10),
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=where.type == "cuda",
        log_level_replica="error",
        report_to="none",
        disable_tqdm=True,
        seed=recipe.seed,
        **checkpointing,
    )
    arguments.mixed_precision = "bf16" if bf16 else "no"  # whatever a file of accelerate's says
    return arguments


def last_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint; those that a kill left unfinished are removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        try:
            read_json(path / _STATE)  # written last by the Trainer
            whole.append(path)
        except ArtifactError:
            shutil.rmtree(path)
    return max(whole, key=step_of, default=None)


def step_of(path: Path) -> int:
    """The step that a checkpoint was made at."""
    return int(path.name.rpartition("-")[2])


def gone_on_from(path: Path) -> bool:
    """Make a checkpoint ready to go on from; whether held-out data had ended the training there.

    The library notes the best checkpoint by a path that may be relative, of a folder that may have moved since: where
    it finds none, it silently ends in the last weights.
    """
    state = read_json(path / _STATE)
    best = state["best_global_step"] and path.with_name(f"checkpoint-{state['best_global_step']}")
    if best and state["best_model_checkpoint"] != str(best) and best.is_dir():
        write_json(path / _STATE, {**state, "best_model_checkpoint": str(best)})
    return bool(state["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"])


@dataclass(frozen=True, slots=True)
class Counted:
    """The first so many items; beyond the last, copies of it with nothing to learn, so that each of several processes
    has as many."""

    items: Items
    count: int

    @classmethod
    def even(cls, items: Items, multiple: int) -> Items:
        return items if world() == 1 else cls(items, -(-len(items) // multiple) * multiple)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Item:
        if i < len(self.items):
            return self.items[i]
        last = self.items[len(self.items) - 1]
        return {**last, "labels": np.full_like(last["labels"], IGNORED)}


class _Trainer(transformers.Trainer):  # type: ignore[misc]  # the library has no types
    """The library's, with our own measurement and without a loss that is not finite."""

    measure: Measure | None = None

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        found = measured(self.model, self.measure) or {}
        metrics = {f"eval_{name}": value for name, value in found.items()}
        self.log(metrics)
        given = (self.args, self.state, self.control, metrics)
        self.control: Any = self.callback_handler.on_evaluate(*given)
        return metrics

    def training_step(self, *given: Any, **named: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*given, **named)
        seen = added(loss)
        if not torch.isfinite(seen):
            _diverged(self, f"the loss is {seen.item()}")
        return loss

    def _get_grad_norm(self, *given: Any, **named: Any) -> Any:
        norm = super()._get_grad_norm(*given, **named)
        if not math.isfinite(float(norm)):
            _diverged(self, "the gradient is not finite")
        return norm

    def _save_checkpoint(self, *given: Any, **named: Any) -> None:
        if sharded():
            # The library looks for this folder before it makes it, and would go back to an older one as the best.
            path = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            first(lambda: path.mkdir(parents=True, exist_ok=True))
        super()._save_checkpoint(*given, **named)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        meet()  # what makes a checkpoint whole is written next, and by rank 0


class _Tell(TrainerCallback):  # type: ignore[misc]
    """Passes the progress on."""

    def __init__(self, what: str, progress: Progress) -> None:
        self.what, self.progress = what, progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.progress(self.what, state.global_step, state.max_steps)


class _Begin(TrainerCallback):  # type: ignore[misc]
    """Measures the model as it was, once its parts are where they belong."""

    def __init__(self, measure: Callable[[], object]) -> None:
        self.measure = measure

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.measure()


def _diverged(trainer: Any, what: str) -> NoReturn:
    """Raise the error; all ranks come here at the same step."""
    step = trainer.state.global_step + 1
    last = first(lambda: last_checkpoint(Path(trainer.args.output_dir)))
    kept = f"the last good checkpoint is {last}" if last else "there is no checkpoint yet"
    error = SettingsError(
        f"{what} at step {step} of {trainer.state.max_steps}, and the run stopped before it touched the weights; "
        f"{kept}. Lower --lr (now {trainer.args.learning_rate:g}) and begin anew: pass --overwrite, but not to `gotd "
        "compare`, which goes on without it and would lose its selections"
    )
    meet(error)
    raise error
