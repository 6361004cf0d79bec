"""One cell: warm the model up on its selection, fine-tune it where the task says so, and judge it.

cells/<name>/items-*.parquet   what each evaluation found, item by item
cells/<name>/cell.json         settings, tokens, figures: written last. None, not finished
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gotd.artifacts import MANIFEST, digest, read_json, write_json
from gotd.comparison.choices import Choice, Choices
from gotd.comparison.config import NONE, Config, Task, placed
from gotd.comparison.measures import Subject, measured
from gotd.comparison.plan import Cell, Plan, fields_of
from gotd.comparison.statistics import plain
from gotd.corpus import Fields
from gotd.engine import Progress, silent
from gotd.training.finetune import finetune
from gotd.training.models import model_inputs
from gotd.training.settings import Machine
from gotd.training.warmup import share_of, warmup

WARM, TUNED = "warm-up", "fine-tuning"
DONE = "cell.json"


@dataclass(frozen=True)
class Runner:
    """Runs the cells of a comparison, or finds those that are done.

    Attributes:
        plan: of the comparison.
        folder: of the comparison.
    """

    plan: Plan
    folder: Path
    progress: Progress = silent
    _model: list[str] = field(default_factory=list)

    @property
    def choices(self) -> Choices:
        """The selections, shared by all cells."""
        return Choices(self.plan, self.folder / "selections", self.progress)

    def done(self, cell: Cell) -> dict[str, Any] | None:
        """What came of a cell, if it was run with these very settings and files."""
        path = self.folder / "cells" / cell.name / DONE
        if not path.exists():
            return None
        found = read_json(path)
        return found if found["key"] == self.key(cell) else None

    def key(self, cell: Cell) -> str:
        """Changes with all that the figures of a cell depend on."""
        config, task = self.plan.config, self.plan.config.task(cell.task)
        mine: dict[str, list[str]] = {
            name: lines for name, lines in self.plan.digests.items() if name.startswith(f"{task.name}: ")
        }
        warm = None
        if config.method(cell.row) != NONE:
            warm = [self.choices.key(cell), self.plan.tokens[str(cell.budget)], config.warmup]
        elif "utility" in task.evaluate and config.text_field is not None:
            mine["text field"] = [config.text_field]  # of all others the choice depends on it
        if config.warmup.get("replay") or "utility" in task.evaluate:
            mine["reference"] = self.plan.digests.get("reference", [])
        return digest([asdict(cell), self._start(), warm, config.finetune if task.train else None, asdict(task), mine])

    def warm_key(self, cell: Cell) -> str | None:
        """Changes with all that the warmed-up model of a cell depends on: tasks that differ in stage II or in what
        judges have it in common. None without a warm-up."""
        config, task = self.plan.config, self.plan.config.task(cell.task)
        if config.method(cell.row) == NONE:
            return None
        dev = [self.plan.digests.get(f"{task.name}: dev", []), task.text_field]
        replayed = self.plan.digests.get("reference", []) if config.warmup.get("replay") else []
        read = [self.choices.key(cell), self.plan.tokens[str(cell.budget)], replayed]
        return digest([self._start(), read, config.warmup, cell.seed, dev])

    def _start(self) -> list[str]:
        """The model that every cell starts from."""
        if not self._model:
            self._model.extend(model_inputs(self.plan.config.model))
        return self._model

    def _is_shared(self, cell: Cell) -> bool:
        """Whether a cell that is still to be run starts stage II from the same warmed-up model."""
        others = [other for other in self.plan.cells if other.seed == cell.seed and other != cell]
        return any(self.warm_key(other) == self.warm_key(cell) and self.done(other) is None for other in others)

    def _models(self, cell: Cell) -> tuple[Path, Path]:
        """The folders of the models of a cell: after the warm-up, and after stage II."""
        work = self.folder / "work"
        return work / f"warm-{self.warm_key(cell)}", work / f"{cell.name}-{self.key(cell)}"

    def sweep(self) -> None:
        """Remove what killed runs left and no cell goes on from. Only a run that holds the folder may ask for it."""
        config = self.plan.config
        wanted = {path for cell in self.plan.cells if self.done(cell) is None for path in self._models(cell)}
        for path in filter(Path.is_dir, (self.folder / "work").glob("*")):
            if path not in wanted and not (config.keep_models and any(path.rglob(MANIFEST))):
                shutil.rmtree(path)
        for path in filter(Path.is_dir, (self.folder / "cells").glob("*")):
            if not (path / DONE).exists():
                shutil.rmtree(path)
        self.choices.sweep()

    def run(self, cell: Cell) -> dict[str, Any]:
        """Do the work of a cell; what was done of it before is not done again."""
        started = time.perf_counter()
        config, task = self.plan.config, self.plan.config.task(cell.task)
        folder, (warm, work) = self.folder / "cells" / cell.name, self._models(cell)
        with placed(f"cell {cell.name}"):
            choice = None if config.method(cell.row) == NONE else self.choices(cell)
            model, tokens = self._warmed(cell, choice, warm)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            figures = self._judged(cell, task, model, WARM, folder)
            if task.train:
                model = self._tuned(cell, task, model, work)
                figures += self._judged(cell, task, model, TUNED, folder)
        told = {
            **asdict(cell),
            "key": self.key(cell),
            "method": config.method(cell.row),
            "tokens": tokens,
            "documents": None if choice is None else choice.documents,
            "filled": None if choice is None else choice.filled,
            "selection": None if choice is None else str(choice.folder.relative_to(self.folder)),
            "predicted": None if choice is None else choice.predicted,
            "solved": None if choice is None else choice.solved,
            "figures": figures,
            "seconds": time.perf_counter() - started,
        }
        write_json(folder / DONE, told)
        if not config.keep_models:
            shutil.rmtree(work, ignore_errors=True)
            if not self._is_shared(cell):
                shutil.rmtree(warm, ignore_errors=True)
        return told

    def _warmed(self, cell: Cell, choice: Choice | None, folder: Path) -> tuple[str, int]:
        """The model after the warm-up, and the tokens that it read."""
        config, task = self.plan.config, self.plan.config.task(cell.task)
        if choice is None:
            return config.model, 0
        given = {name: value for name, value in config.warmup.items() if name not in ("tokens", "epochs")}
        tokens = self.plan.tokens[str(cell.budget)]
        found = warmup(
            config.model,
            choice.folder,
            folder,
            target=list(task.dev) or None,
            reference=list(config.reference) if share_of(given.get("replay", 0.0)) else None,
            fields=fields_of(config),
            target_fields=Fields(text=task.text_field),
            tokens=tokens,
            # More than there are measurements: dev data choose which weights are kept, and every cell reads all.
            patience=tokens,
            seed=cell.seed,
            machine=_machine(config),
            progress=self.progress,
            **given,
        )
        return str(found.folder), int(found.manifest["tokens"]["seen"])

    def _tuned(self, cell: Cell, task: Task, model: str, work: Path) -> str:
        """The model after stage II."""
        found = finetune(
            model,
            list(task.train),
            work / "tuned",
            label_field=task.label_field,
            text_field=task.text_field,
            pair_field=task.pair_field,
            dev=list(task.dev) or None,
            seed=cell.seed,
            machine=_machine(self.plan.config),
            progress=self.progress,
            **{**self.plan.config.finetune, **({"max_train": task.max_train} if task.max_train else {})},
        )
        return str(found.folder)

    def _judged(self, cell: Cell, task: Task, model: str, stage: str, folder: Path) -> list[dict[str, Any]]:
        """The evaluations of a stage."""
        config, found = self.plan.config, []
        for name, settings in task.evaluate.items():
            if not _is_due(name, stage, task):
                continue
            own = {key: value for key, value in settings.items() if key != "data"}
            data = task.data_of(name, config.reference)
            text_field = text_field_of(name, config, task)
            place = (config.device, cell.seed or 0, folder, self.progress)
            subject = Subject(model, task, data, text_field, own, *place)
            result = measured(name, subject)
            path = folder / f"items-{name}-{stage}.parquet"
            pq.write_table(pa.table(result.items), path)
            told = {"evaluation": name, "stage": stage, "items": path.name, "told": result.told}
            found.append({**told, "metrics": plain(name, result.items, result.classes)})
        return found


def text_field_of(evaluation: str, config: Config, task: Task) -> str | None:
    """Where the texts are that an evaluation reads: `utility` is of texts like the reference's."""
    return config.text_field if evaluation == "utility" else task.text_field


def _is_due(evaluation: str, stage: str, task: Task) -> bool:
    """Classes are judged after stage II, all else after the warm-up; perplexity after both, if there are no labels."""
    if stage == WARM:
        return evaluation != "classify"
    return evaluation == "classify" or (evaluation == "perplexity" and not task.label_field)


def items_of(folder: Path, cell: Mapping[str, Any], figure: Mapping[str, Any]) -> dict[str, Any]:
    """The items of one evaluation of a finished cell, as columns."""
    name = Cell(*(cell[part] for part in Cell.__dataclass_fields__)).name
    table = pq.read_table(folder / "cells" / name / str(figure["items"]))
    return {column: table[column].to_numpy() for column in table.column_names}


def _machine(config: Config) -> Machine:
    return Machine(config.device, config.micro_batch, config.gradient_checkpointing)
