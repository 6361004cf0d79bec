"""What is compared: a YAML file as settings, each held to its type.

    model: gpt2
    candidates: [pool/*.jsonl]
    budgets: [5000docs]
    seeds: [0, 1, 2]
    methods:
      none:                           # no warm-up
      random:
      gotd:
      gotd, 5 rounds: {method: gotd, rounds: 5}
    tasks:
      chemprot:
        target: chemprot/train.jsonl
        test: chemprot/test.jsonl
        evaluate: [perplexity]

The settings of a method are the arguments of `gotd.select`, those of `warmup` and `finetune` the fields of `Recipe`,
those of an evaluation the arguments of `gotd evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gotd.comparison.config import LM_EVAL, Config, Task, check_once, placed
from gotd.comparison.typed import TEXTS, Hints, Tree, arguments, hints_of
from gotd.errors import SettingsError
from gotd.selection.budget import Budget

_TASK = {
    "target": TEXTS,
    "test": TEXTS,
    "dev": TEXTS,
    "train": TEXTS,
    "text_field": str,
    "label_field": str,
    "pair_field": str,
    "max_train": str,
}
_TOP = {
    "model": str,
    "candidates": TEXTS,
    "reference": TEXTS,
    "budgets": TEXTS,
    "seeds": tuple[int, ...],
    "baseline": str,
    "text_field": str,
    "id_field": str,
    "source_field": str,
    "chunk_chars": int,
    "min_chars": int,
    "device": str,
    "micro_batch": int,
    "gradient_checkpointing": bool,
    "workers": int,
    "keep_models": bool,
}
_TABLES = ("select", "warmup", "finetune", "methods", "tasks")
# Said once for all methods, by the comparison or by the task.
_NOT_OF_A_METHOD = (
    *("candidates", "target", "budget", "output", "reference", "held_out", "seed", "fields", "target_fields", "format"),
    *("on_error", "workers", "executor", "device", "overwrite", "progress", "warm_up", "target_shares", "avoid"),
    *("coarse", "fine", "probe", "embeddings", "keep_embeddings"),
)
_NOT_OF_AN_EVALUATION = (
    *("model", "data", "fields", "text_field", "pair_field", "device", "seed", "on_error", "progress", "output"),
)


def read_comparison(path: Path | str) -> Config:
    """The comparison that a YAML file describes.

    Raises:
        InputError: there is no such file, or it is no YAML.
        SettingsError: an unknown name, or a value of another type; file and line are named.
    """
    tree = Tree.of(path)
    top = tree.table("`name: value` lines")
    tables = {name: top.pop(name) for name in _TABLES if name in top}
    known = {**_TOP, **dict.fromkeys(_TABLES)}
    given: dict[str, Any] = {}
    for value in top.values():
        given |= value.named(known, "a comparison")
    for name in ("model", "candidates", "budgets"):
        if name not in given:
            raise SettingsError(f"{path}: no {name}; wanted model, candidates, budgets, methods and tasks")
    _check_values(top, given)
    nothing = Tree(str(path), None)
    method, warmup, finetune = _hints_of_stages()
    given |= {
        "select": tables.get("select", nothing).settings(method, "a method"),
        "warmup": tables.get("warmup", nothing).settings(warmup, "warmup"),
        "finetune": tables.get("finetune", nothing).settings(finetune, "finetune"),
        "methods": {
            row: tree.settings(method, "a method") for row, tree in tables.get("methods", nothing).table("rows").items()
        },
        "tasks": tuple(_task(name, tree) for name, tree in tables.get("tasks", nothing).table("tasks by name").items()),
    }
    with placed(str(path)):
        return Config(**given)


def _check_values(top: Mapping[str, Tree], given: Mapping[str, Any]) -> None:
    """SettingsError, with the line, for a budget or a seed that can be none, or is there twice."""
    with placed(top["budgets"].place):
        check_once("budgets", given["budgets"], [Budget.parse(budget) for budget in given["budgets"]])
    seeds = given.get("seeds", ())
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise SettingsError(f"{top['seeds'].place}: found {seed}, wanted whole numbers from 0 to 2**32 - 1")
    if seeds:
        with placed(top["seeds"].place):
            check_once("seeds", seeds, seeds)


def _task(name: str, tree: Tree) -> Task:
    parts = tree.table("the settings of a task")
    evaluate = parts.pop("evaluate", None)
    found: dict[str, Any] = {}
    for value in parts.values():
        found |= value.named({**_TASK, "evaluate": None}, "a task")
    if "target" not in found:
        raise SettingsError(f"{tree.place}: no target; name the examples that the selection goes by")
    if evaluate is not None:
        found["evaluate"] = _evaluations(evaluate)
    with placed(f"{tree.file}:{tree.line}"):
        return Task(name, **found)


def _evaluations(tree: Tree) -> dict[str, dict[str, Any]]:
    """`[perplexity, classify]`, or a table with the settings of each."""
    if tree.is_table:
        asked = tree.table("evaluations")
    else:
        asked = {name: Tree(tree.file, None, tree.line, name) for name in tree.texts()}
    known = _hints_of_evaluations()
    found = {}
    for name, part in asked.items():
        if name not in known:
            part.named(known, "evaluate")
        found[name] = part.settings(known[name], name)
    return found


def _hints_of_stages() -> tuple[Hints, Hints, Hints]:
    """Types of the settings of a method, of the warm-up, of stage II."""
    from gotd.pipeline import select
    from gotd.training.settings import Recipe

    recipe = hints_of(Recipe, arguments(Recipe, ("seed",)))
    method = {**hints_of(select, arguments(select, _NOT_OF_A_METHOD)), "avoid": TEXTS}
    # Every cell reads all its tokens: nothing ends a warm-up early.
    warmup = {name: hint for name, hint in recipe.items() if name != "patience"}
    warmup |= {"preset": str, "replay": str}
    finetune = {name: hint for name, hint in recipe.items() if name != "tokens"}
    return method, warmup, {**finetune, "max_train": str, "best_by": str}


def _hints_of_evaluations() -> dict[str, Hints]:
    from gotd.evaluation.classification import classify
    from gotd.evaluation.perplexity import perplexity
    from gotd.evaluation.tasks import evaluate_tasks
    from gotd.evaluation.toxicity import toxicity
    from gotd.evaluation.zero_shot import zero_shot

    functions: dict[str, Callable[..., Any]] = {
        "perplexity": perplexity,
        "zero-shot": zero_shot,
        "toxicity": toxicity,
        "utility": perplexity,
        "classify": classify,
    }
    found: dict[str, Hints] = {
        name: {**hints_of(function, arguments(function, _NOT_OF_AN_EVALUATION)), "data": TEXTS}
        for name, function in functions.items()
    }
    task = hints_of(evaluate_tasks, arguments(evaluate_tasks, _NOT_OF_AN_EVALUATION))
    return {**found, LM_EVAL: {**task, "metric": str}}
