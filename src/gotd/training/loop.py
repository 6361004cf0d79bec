"""One loop for every kind of training: Hugging Face's Trainer, with gotd's checkpoints, measurements and errors.

The data come in their final order, one "epoch" of the Trainer: a run that is stopped goes on from its last checkpoint
with the very batches, masks and dropout that it would have had, and ends in the same weights.

Differs from a plain Trainer in these points: the loss of a step is the mean over its tokens however they are cut into
micro-batches, for masked models too; a loss or gradient that is not finite stops the run before it touches a weight;
running out of memory names a size that fits.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
import transformers
from transformers.trainer_callback import EarlyStoppingCallback, PrinterCallback, TrainerCallback

from gotd.artifacts import read_json, write_json
from gotd.engine import Progress, silent
from gotd.errors import ArtifactError, InputError, SettingsError
from gotd.training.batches import Collate, Item, Items, Loss
from gotd.training.memory import memory_advice, out_of_memory
from gotd.training.models import arithmetic, quiet
from gotd.training.settings import Machine, Recipe
from gotd.training.together import added, first, meet, out_of_reach, rank, sharded, world
from gotd.training.windows import IGNORED

_BEFORE = "before.json"
_STATE = "trainer_state.json"

Measure = Callable[[Any], dict[str, float]]
"""A model in evaluation mode -> figures on held-out data, `loss` among them."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to train on what, and how to judge it.

    Attributes:
        what: for progress and messages, such as `warming up`.
        items: in the order of training.
        collate: items -> a batch.
        loss: (outputs, labels, number of items in the step) -> mean loss.
        measure: figures on held-out data; None where there are none.
        best_by: the figure that chooses the checkpoint.
        higher_is_better: its direction.
    """

    what: str
    items: Items
    collate: Collate
    loss: Loss
    measure: Measure | None = None
    best_by: str = "loss"
    higher_is_better: bool = False


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
    steps = -(-len(job.items) // recipe.batch)
    last = first(lambda: last_checkpoint(folder))
    where, bf16 = arithmetic(machine.device, recipe.precision)
    if not sharded():  # a part of it goes there later
        model.to(where)
        _before(model, job, folder)
    meet()
    with out_of_reach():
        trainer = _trainer(model, job, recipe, machine, folder, steps, where, bf16, progress)
        started = time.perf_counter()
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        seconds = time.perf_counter() - started
        # Measured again: what the checkpoint gave back is what is saved.
        after = _measured(trainer.model, job.measure)
        weights = trainer.accelerator.get_state_dict(trainer.model) if sharded() else None
    state = trainer.state
    return Trained(
        steps=state.global_step,
        planned=steps,
        best_step=state.best_global_step if job.measure and state.best_global_step else state.global_step,
        before=_before(model, job, folder),
        after=after,
        curve=_curve(state.log_history, job.measure is not None),
        resumed_from=_step_of(last) if last else 0,
        seconds=seconds,
        weights=weights,
    )


def last_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint; those that a kill left unfinished are removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        try:
            read_json(path / _STATE)  # written last by the Trainer
            whole.append(path)
        except ArtifactError:
            shutil.rmtree(path)
    return max(whole, key=_step_of, default=None)


def _trainer(
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
    callbacks: list[TrainerCallback] = [_Tell(job.what, progress if rank() == 0 else silent)]
    if sharded():
        callbacks.append(_Begin(lambda: _before(trainer.model, job, folder)))
    if held_out:
        callbacks.append(EarlyStoppingCallback(recipe.patience))
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=_Even.of(job.items, portion * world()),
        eval_dataset=job.items if held_out else None,
        data_collator=job.collate,
        compute_loss_func=job.loss,
        callbacks=callbacks,
    )
    trainer.measure = job.measure
    trainer.remove_callback(PrinterCallback)
    if world() > 1:
        torch.manual_seed(recipe.seed + rank())  # of dropout, which is not to be the same in each part of a batch
    return trainer


@dataclass(frozen=True, slots=True)
class _Even:
    """Items, and copies of the last with nothing to learn, so that each of several processes has as many."""

    items: Items
    count: int

    @classmethod
    def of(cls, items: Items, multiple: int) -> Items:
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
        found = _measured(self.model, self.measure) or {}
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
        f"{kept}. Lower --lr (now {trainer.args.learning_rate:g}), and pass --overwrite"
    )
    meet(error)
    raise error


def _before(model: Any, job: Job, folder: Path) -> dict[str, float] | None:
    """Figures of the model as it was: measured at the start, remembered when the run goes on."""
    if job.measure is None:
        return None
    path = folder / _BEFORE
    if not first(path.exists):
        found = _measured(model, job.measure)
        first(lambda: folder.mkdir(parents=True, exist_ok=True))
        first(lambda: write_json(path, found))
    return first(lambda: read_json(path))


def _measured(model: Any, measure: Measure | None) -> dict[str, float] | None:
    if measure is None:
        return None
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            found = measure(model)
        return first(lambda: found)  # which may differ by rounding
    finally:
        model.train(was_training)


def _curve(history: Sequence[Mapping[str, Any]], held_out: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for entry in history:
        if "loss" in entry:
            found.append({"step": entry["step"], "loss": entry["loss"], "lr": entry["learning_rate"]})
        elif held_out and "eval_loss" in entry:
            figures = {name.removeprefix("eval_"): v for name, v in entry.items() if name.startswith("eval_")}
            found.append({"step": entry["step"], "held_out": figures})
    return found


def _step_of(path: Path) -> int:
    return int(path.name.rpartition("-")[2])
