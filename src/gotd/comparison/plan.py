"""The plan of a comparison: its cells, the tokens that each of them reads, and what may not be used twice.

A cell is one row (a method with its settings) at one budget on one task with one seed. Every cell starts from the same
weights; at one budget all rows read the same number of tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gotd.artifacts import digest
from gotd.comparison.config import LM_EVAL, NONE, Config, Task
from gotd.corpus import Fields, find, sample
from gotd.encoder_folders import encoder_files, encoder_folder
from gotd.errors import SettingsError
from gotd.evaluation.tasks import task_files
from gotd.selection.budget import Budget
from gotd.stages.targets import Target
from gotd.training.documents import inputs_of, texts_of
from gotd.training.models import kind_of, load_tokenizer, quiet
from gotd.training.settings import recipe

_LENGTHS_OF = 2_000  # candidates whose tokens are counted for a budget in documents


@dataclass(frozen=True, slots=True)
class Cell:
    """One run.

    Attributes:
        budget: as the config has it; None for the row without a warm-up, which is the same at every budget.
        seed: None where nothing of the cell is drawn.
    """

    task: str
    row: str
    budget: str | None
    seed: int | None

    @property
    def name(self) -> str:
        """For a folder: `chemprot-gotd-5000docs-seed0-1f2e3d4c`."""
        seed = None if self.seed is None else f"seed{self.seed}"
        parts = [
            re.sub(r"[^\w.-]+", "_", part) for part in (self.task, self.row, self.budget, seed) if part is not None
        ]
        return "-".join([*parts, digest([self.task, self.row, self.budget, self.seed])[:8]])


@dataclass(frozen=True, slots=True)
class Plan:
    """What a comparison will do.

    Attributes:
        config: what was asked.
        cells: in the order of the work: a seed at a time, so that what is there can be compared.
        tokens: that a warm-up reads at each budget.
        digests: of the files of every role, by task where it is a task's.
        repeated: for each task how many of its test texts stand word by word in its target, dev or training data.
    """

    config: Config
    cells: Sequence[Cell]
    tokens: dict[str, int]
    digests: dict[str, list[str]]
    repeated: dict[str, dict[str, int]]


def plan(config: Config) -> Plan:
    """The cells of a comparison, and what they are made of.

    Raises:
        SettingsError: test data are used for anything else.
    """
    digests = _digests(config)
    check_unseen(config, digests)
    repeated = {task.name: _repeated(task) for task in config.tasks}
    return Plan(config, list(cells_of(config)), tokens_of(config), digests, repeated)


def cells_of(config: Config) -> Iterator[Cell]:
    """Every cell, the row without a warm-up once for each seed that can make a difference."""
    for seed in config.seeds:
        for task in config.tasks:
            for row in config.methods:
                if config.method(row) != NONE:
                    yield from (Cell(task.name, row, budget, seed) for budget in config.budgets)
                elif task.train or "toxicity" in task.evaluate:
                    yield Cell(task.name, row, None, seed)
                elif seed == config.seeds[0]:
                    yield Cell(task.name, row, None, None)


def fields_of(config: Config) -> Fields:
    """Where text, id and source of a candidate are."""
    return Fields(
        text=config.text_field,
        id=config.id_field,
        source=config.source_field,
        chunk_chars=config.chunk_chars,
        min_chars=config.min_chars,
    )


def judging(task: Task) -> dict[str, tuple[str, ...]]:
    """The files that judge a task, by their role: the test, and what an evaluation has of its own.

    Those of `utility` are none of them, for they are to be like the reference; lm-eval brings its own.
    """
    own = {name: task.data_of(name, ()) for name in task.evaluate if name not in ("utility", LM_EVAL)}
    return {**({"test": task.test} if task.test else {}), **{n: data for n, data in own.items() if data != task.test}}


def targets_of(task: Task) -> list[Target]:
    """The targets of a task, each with its weight."""
    return [Target.parse(text) for text in task.target]


def tokens_of(config: Config) -> dict[str, int]:
    """Tokens of a warm-up at each budget: the same for every row, whatever the length of the documents that it chose.

    Those that `warmup: tokens` names; else, for a budget in documents, so many documents of mean length in the pool,
    in tokens of the model, times the epochs.
    """
    given = config.warmup.get("tokens")
    if given is not None:
        return dict.fromkeys(config.budgets, int(given))
    epochs = warm_recipe(config).epochs
    found = {}
    drawn = None
    for text in config.budgets:
        budget = Budget.parse(text)
        if budget.unit == "tokens":
            found[text] = max(1, round(epochs * budget.amount))
            continue
        drawn = drawn or sample(find(config.candidates), fields_of(config), _LENGTHS_OF, 0)
        if not drawn.documents:
            raise SettingsError("the candidates hold no document")
        documents = budget.documents(drawn.rows) or 1
        with quiet():
            ids = load_tokenizer(config.model)([document.text for document in drawn.documents])["input_ids"]
        found[text] = max(1, round(epochs * documents * sum(map(len, ids)) / len(ids)))
    return found


def warm_recipe(config: Config) -> Any:
    """How a warm-up goes, as `gotd warmup` takes it."""
    given = {name: value for name, value in config.warmup.items() if name not in ("preset", "replay")}
    with quiet():
        kind = kind_of(config.model)
    return recipe(kind, config.warmup.get("preset"), **given)


def _digests(config: Config) -> dict[str, list[str]]:
    found = {"candidates": inputs_of(config.candidates)}
    if config.reference:
        found["reference"] = inputs_of(config.reference)
    for row, settings in config.methods.items():
        if avoid := {**config.select, **settings}.get("avoid"):
            found[f"{row}: avoid"] = _target_files(avoid)
    encoders = {str(settings.get("encoder", "")) for settings in (config.select, *config.methods.values())}
    for name, content in encoder_files(*sorted(encoders)).get("encoder_files", {}).items():
        found[f"encoder {name}"] = [f"{encoder_folder(name)} {content}"]
    for task in config.tasks:
        found[f"{task.name}: target"] = _target_files(task.target)
        for role in ("dev", "train", "test"):
            if getattr(task, role):
                found[f"{task.name}: {role}"] = inputs_of(getattr(task, role))
        for name in task.evaluate:
            if name == LM_EVAL and task.evaluate[name].get("task_folder"):
                found[f"{task.name}: {name}"] = task_files(task.evaluate[name]["task_folder"])
            elif task.evaluate[name].get("data"):
                found[f"{task.name}: {name}"] = inputs_of(task.data_of(name, ()))
    return found


def _target_files(texts: Sequence[str]) -> list[str]:
    return [line for text in texts for line in inputs_of(Target.parse(text).paths)]


def check_unseen(config: Config, digests: dict[str, list[str]]) -> None:
    """Refuse a file that judges if it also chooses or trains: a selection, a checkpoint, or a weight.

    By content, so that a copy under another name is found too. Text of the reference may judge what is forgotten
    (`utility`), as long as none of it is replayed.
    """
    shared = {"candidates", *(name for name in digests if name.endswith(": avoid"))}
    if config.warmup.get("replay") and config.reference:
        shared.add("reference")
    for task in config.tasks:
        seen = {role: digests[role] for role in shared}
        seen |= {
            role: digests[f"{task.name}: {role}"]
            for role in ("target", "dev", "train")
            if f"{task.name}: {role}" in digests
        }
        judging = {"test": digests.get(f"{task.name}: test", [])}
        judging |= {name: inputs_of(data) for name in task.evaluate if (data := task.data_of(name, config.reference))}
        judging |= {LM_EVAL: digests.get(f"{task.name}: {LM_EVAL}", [])}
        for name, lines in judging.items():
            for role, others in seen.items():
                both = {line.split()[-1] for line in others}
                for line in lines:
                    if line.split()[-1] in both:
                        path = line.rpartition(" ")[0]
                        raise SettingsError(
                            f"task {task.name}: {path} judges ({name}) and is one of the {role} files too; what is "
                            "measured must choose nothing. Pass a held-out file"
                        )


def _repeated(task: Task) -> dict[str, int]:
    """How many test texts are there, and how many of them stand in other data of the task, blanks aside."""
    if not task.test:
        return {}

    def said(data: Any) -> list[str]:
        return [" ".join(text.split()) for text in texts_of(data, Fields(text=task.text_field)).texts]

    seen = set[str]()
    for paths in [target.paths for target in targets_of(task)] + [part for part in (task.dev, task.train) if part]:
        seen |= set(said(paths))
    tests = said(task.test)
    return {"test": len(tests), "repeated": sum(text in seen for text in tests)}
