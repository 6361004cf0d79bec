"""What a comparison will take, from one short step of training and one of reading on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from gotd.artifacts import digest
from gotd.comparison.cells import TUNED, WARM, Runner, text_field_of
from gotd.comparison.checks import prepared
from gotd.comparison.choices import rule
from gotd.comparison.config import LM_EVAL, NONE, Config, Task
from gotd.comparison.plan import Cell, Plan, fields_of, targets_of, warm_recipe
from gotd.comparison.verdict import budget_in_words
from gotd.corpus import Fields
from gotd.dry_run import DryRun, dry_run
from gotd.dry_run.steps import embedding, foretelling
from gotd.evaluation.templates import load_template
from gotd.stages.targets import Target
from gotd.training.documents import texts_of
from gotd.training.finetune import CLASSIFIER, LANGUAGE
from gotd.training.labelled import documents_of
from gotd.training.language import loss_of
from gotd.training.models import (
    arithmetic,
    kind_of,
    load_language_model,
    load_tokenizer,
    quiet,
    weights_dtype,
    window_of,
    with_lora,
)
from gotd.training.settings import Machine
from gotd.training.windows import IGNORED

_COUNTED = 1_000  # texts whose tokens stand for those of a file


@dataclass(frozen=True, slots=True)
class Cost:
    """What a comparison would run, and take.

    Attributes:
        planned: for each budget its name, cells and tokens a cell.
        cells, done: how many, and how many of them are there.
        scorings, choices: passes over the pool, and selections.
        parts: of what is left: name, tokens, seconds.
        training, reading: tokens a second.
        device: where that was measured.
    """

    planned: list[tuple[str, str, str]]
    cells: int
    done: int
    scorings: int
    choices: int
    parts: list[tuple[str, int, float]]
    training: float
    reading: float
    device: str

    @property
    def seconds(self) -> float:
        """Of all that is left."""
        return sum(seconds for _, _, seconds in self.parts)

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "seconds": self.seconds}


def cost(config: Config | Path | str, output: Path | str) -> Cost:
    """The plan of a comparison and its cost; nothing is written."""
    work = prepared(config)
    asked = work.config
    runner = Runner(work, Path(output))
    left = [cell for cell in work.cells if runner.done(cell) is None]
    reading = [cell for cell in left if asked.method(cell.row) != NONE]
    missing = {runner.choices.key(cell): cell for cell in reading}
    missing = {
        key: cell for key, cell in missing.items() if not (runner.choices.place(cell) / "manifest.json").exists()
    }
    scorings = {runner.choices.scored(cell): cell for cell in missing.values()}
    scorings = {folder: cell for folder, cell in scorings.items() if not (folder / "manifest.json").exists()}
    training, judging, device = _speeds(asked)
    sizes = _Sizes(asked)
    warmed = {runner.warm_key(cell): cell for cell in reading}
    warm = sum(work.tokens[str(cell.budget)] for cell in warmed.values())
    tuned = sum(sizes.tuning(asked.task(cell.task)) for cell in left)
    judged = sum(sizes.judging(asked.task(cell.task)) for cell in left)
    chosen = _choosing(asked, list(scorings.values()), list(missing.values()), runner.choices.embedded())
    return Cost(
        planned=_planned(work),
        cells=len(work.cells),
        done=len(work.cells) - len(left),
        scorings=len(scorings),
        choices=len(missing),
        parts=[
            ("choosing", 0, chosen),
            (WARM, warm, warm / training),
            (TUNED, tuned, tuned / training),
            ("judging", judged, judged / judging),
        ],
        training=training,
        reading=judging,
        device=device,
    )


def _planned(work: Plan) -> list[tuple[str, str, str]]:
    found = []
    for budget in (*work.config.budgets, None):
        count = sum(cell.budget == budget for cell in work.cells)
        name = "without a warm-up" if budget is None else budget_in_words(budget)
        tokens = "" if budget is None else f"{work.tokens[budget]:,}"
        found += [(name, f"{count:,}", tokens)] if count else []
    return found


def _choosing(config: Config, scorings: Sequence[Cell], choices: Sequence[Cell], embedded: set[str]) -> float:
    """Seconds of these passes over the pool and of these selections.

    Args:
        embedded: the encoders whose vectors of the pool are there.
    """
    # A pool is looked at for each way to choose: its seeds and other tasks take as long.
    looked = {cell.row: _looked(config, cell.task, cell.row) for cell in {c.row: c for c in choices}.values()}
    seconds, there = 0.0, set(embedded)
    for cell in choices:
        found = looked[cell.row]
        seconds += found.of("choose") + foretelling(found.job, found.rates)
    for cell in scorings:
        found = looked[cell.row]
        seconds += found.seconds - found.of("choose")
        if found.job.embeds and found.reusable:
            seconds -= embedding(found.job, found.rates)
            if found.encoder not in there:  # in a pass of its own, by the first that wants the vectors
                seconds += found.of("score")
                there.add(found.encoder)
    return seconds


def _looked(config: Config, task: str, row: str) -> DryRun:
    """The dry run of `gotd select` for one row."""
    asked = rule(config, row)
    return dry_run(
        config.candidates,
        targets_of(config.task(task)),
        config.budgets[-1],
        reference=config.reference or None,
        avoid=[Target.parse(text) for text in asked.avoid] or None,
        keep=asked.keep,
        **{name: getattr(part, name) for part in (asked.fit, asked.pick) for name in part.__dataclass_fields__},
        fields=fields_of(config),
        target_fields=Fields(text=config.task(task).text_field),
        workers=config.workers,
        device=config.device,
    )


class _Sizes:
    """Tokens of the files of a task, counted once."""

    def __init__(self, config: Config) -> None:
        self.config, self._seen = config, dict[str, tuple[int, float]]()
        with quiet():
            self.tokenizer, self.kind = load_tokenizer(config.model), kind_of(config.model)

    def of(self, data: tuple[str, ...], field: str | None) -> tuple[int, float]:
        """Documents, and mean tokens of one."""
        key = digest([data, field])
        if key not in self._seen:
            texts = texts_of(data, Fields(text=field)).texts
            some = texts[:: -(-len(texts) // _COUNTED)]
            ids = self.tokenizer(some)["input_ids"]
            self._seen[key] = len(texts), sum(map(len, ids)) / len(ids)
        return self._seen[key]

    def tuning(self, task: Task) -> int:
        """Tokens of stage II of a cell."""
        if not task.train:
            return 0
        given = self.config.finetune
        count, length = self.of(task.train, task.text_field)
        most = task.max_train or given.get("max_train")
        count = min(count, documents_of(most) if most else count)
        epochs = given.get("epochs") or (CLASSIFIER if task.label_field else LANGUAGE).epochs
        return round(epochs * count * min(length, given.get("window") or length))

    def judging(self, task: Task) -> int:
        """Tokens that the evaluations of a cell read; a masked model reads a text once for each token of it."""
        total = 0.0
        for name, given in task.evaluate.items():
            if name == LM_EVAL:
                continue  # what it reads is known once its data are loaded
            field = text_field_of(name, self.config, task)
            count, length = self.of(task.data_of(name, self.config.reference), field)
            count = min(count, given.get("max_docs") or count)
            times = 1.0
            if name in ("perplexity", "utility") and self.kind == "masked":
                times = length
            elif name == "zero-shot":
                template = load_template(given["template"])
                times = len(template.prompts) * len(template.words)
            elif name == "toxicity":
                times = given.get("continuations", 25)
                length += given.get("tokens", 20)
            total += count * length * times
        return round(total)


def _speeds(config: Config) -> tuple[float, float, str]:
    """Tokens a second of a training step and of reading, and the device."""
    how, machine = warm_recipe(config), Machine(config.device, config.micro_batch, config.gradient_checkpointing)
    device, bf16 = arithmetic(config.device, how.precision)
    with quiet():
        kind, tokenizer = kind_of(config.model), load_tokenizer(config.model)
        model = load_language_model(config.model, kind, weights_dtype(bf16, how.precision, how.lora))
    window = window_of(model, tokenizer, how.window)
    if how.lora:
        model = with_lora(model, how.lora, "CAUSAL_LM" if kind == "causal" else None)
    model = model.to(device)
    ids = torch.randint(0, len(tokenizer), (machine.portion(how.batch), window), device=device)
    optimiser = torch.optim.AdamW([part for part in model.parameters() if part.requires_grad], lr=0.0)

    labels = ids if kind == "causal" else ids.masked_fill(torch.rand(ids.shape, device=device) > how.mask, IGNORED)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16), loss_of(model, kind) as loss:
            value = loss(model(input_ids=ids), labels)
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()

    @torch.inference_mode()
    def read() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            model(input_ids=ids)

    return ids.numel() / _timed(step, device), ids.numel() / _timed(read, device), str(device)


def _timed(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of the quickest of three goes."""
    took = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took.append(time.perf_counter() - started)
    return max(min(took), 1e-6)
