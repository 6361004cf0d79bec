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

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gotd.comparison.typed import TEXTS, Hints, Tree, arguments, hints_of
from gotd.errors import ArtifactError, InputError, SettingsError
from gotd.selection.budget import Budget
from gotd.selection.methods import GOTD, KNOWN_METHODS

NONE = "none"
IN_DOMAIN = "in-domain"
METHODS = (NONE, GOTD, IN_DOMAIN, *KNOWN_METHODS)
LM_EVAL = "lm-eval"
EVALUATIONS = ("perplexity", "zero-shot", "toxicity", "utility", "classify", LM_EVAL)
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


@dataclass(frozen=True, slots=True)
class Task:
    """What the model is to be good at.

    Attributes:
        name: in tables and folders.
        target: examples that the selection goes by, each `PATH[:WEIGHT]`.
        test: what the model is judged on; nothing is ever chosen by it.
        dev: examples that choose the checkpoints of both stages; left out, the last weights of the warm-up are
            taken, and a tenth of `train` is held out in stage II.
        train: examples of stage II; none, no stage II.
        label_field: with it stage II is classification; without, language modelling.
        text_field, pair_field: where the texts are in a record of the task.
        max_train: examples of stage II, at most; goes before that of `finetune`.
        evaluate: settings of each of EVALUATIONS that is asked for; `data` there goes before `test`.
    """

    name: str
    target: tuple[str, ...]
    test: tuple[str, ...] = ()
    dev: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    label_field: str | None = None
    text_field: str | None = None
    pair_field: str | None = None
    max_train: str | None = None
    evaluate: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"perplexity": {}})

    def __post_init__(self) -> None:
        if not self.target:
            raise SettingsError(f"task {self.name}: no target; name the examples that the selection goes by")
        if not self.evaluate:
            raise SettingsError(f"task {self.name}: nothing to evaluate; wanted some of {', '.join(EVALUATIONS)}")
        for name, settings in self.evaluate.items():
            for setting, value in settings.items():
                if type(value) is int and value < (0 if setting == "shots" else 1):
                    raise SettingsError(f"task {self.name}: {name}: {setting} is {value}; wanted 1 or more")
            if name not in ("utility", LM_EVAL) and not self.test and not settings.get("data"):
                raise SettingsError(f"task {self.name}: {name} has no data; name a held-out `test`")
        if "zero-shot" in self.evaluate and not self.evaluate["zero-shot"].get("template"):
            raise SettingsError(f"task {self.name}: zero-shot has no template; wanted agnews, boolq, or a JSON file")
        if LM_EVAL in self.evaluate and not self.evaluate[LM_EVAL].get("task"):
            raise SettingsError(f"task {self.name}: lm-eval has no task; wanted the name of one, such as arc_easy")
        if "classify" in self.evaluate and not (self.train and self.label_field):
            raise SettingsError(f"task {self.name}: classify judges stage II; name `train` and `label_field`")

    def data_of(self, evaluation: str, reference: tuple[str, ...]) -> tuple[str, ...]:
        """The files of an evaluation; none of `lm-eval`, which brings its own."""
        if evaluation == LM_EVAL:
            return ()
        given: tuple[str, ...] = self.evaluate[evaluation].get("data", ())
        return given or (reference if evaluation == "utility" else self.test)


@dataclass(frozen=True, slots=True)
class Config:
    """A comparison: methods x budgets x tasks x seeds.

    Attributes:
        model: folder or hub name that every cell starts from.
        candidates: files of the pool.
        tasks: what to be good at.
        methods: rows of the comparison; settings of `gotd.select`, `method` among them if it is not the row's name.
        budgets: as of `gotd select`.
        seeds: of draws, order, masks, dropout and new layers.
        reference: what the model was trained on; left out, the candidates stand for it.
        baseline: the row that differences are taken to.
        select: settings of all methods, unless a row says otherwise.
        warmup, finetune: settings of the two stages.
        text_field, id_field, source_field, chunk_chars, min_chars: of the candidates, as `gotd.Fields` has them.
        workers: processes for scoring.
        keep_models: keep the weights of every cell.
    """

    model: str
    candidates: tuple[str, ...]
    tasks: tuple[Task, ...]
    methods: Mapping[str, Mapping[str, Any]]
    budgets: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    reference: tuple[str, ...] = ()
    baseline: str = "random"
    select: Mapping[str, Any] = field(default_factory=dict)
    warmup: Mapping[str, Any] = field(default_factory=dict)
    finetune: Mapping[str, Any] = field(default_factory=dict)
    text_field: str | None = None
    id_field: str | None = None
    source_field: str | None = None
    chunk_chars: int | None = None
    min_chars: int = 0
    device: str = "auto"
    micro_batch: int | None = None
    gradient_checkpointing: bool = False
    workers: int | None = None
    keep_models: bool = False

    def __post_init__(self) -> None:
        for name in ("candidates", "tasks", "methods", "budgets", "seeds"):
            if not getattr(self, name):
                raise SettingsError(f"no {name} to compare; name one or more")
        _check_once("seeds", self.seeds, self.seeds)
        _check_once("budgets", self.budgets, [Budget.parse(budget) for budget in self.budgets])
        for row in self.methods:
            if self.method(row) not in METHODS:
                near = get_close_matches(self.method(row), METHODS, n=1)
                hint = f". Did you mean {near[0]}?" if near else ""
                raise SettingsError(f'row {row}: no method "{self.method(row)}"; wanted {", ".join(METHODS)}{hint}')
        if self.baseline not in self.methods or self.method(self.baseline) == NONE:
            raise SettingsError(
                f"no row {self.baseline} among the methods to take differences to; add `random:`, or name a row that "
                "chooses as baseline"
            )
        for task in self.tasks:
            if "utility" in task.evaluate and not task.data_of("utility", self.reference):
                raise SettingsError(f"task {task.name}: utility has no text; name a reference, or its data")

    def method(self, row: str) -> str:
        """The way to choose of a row."""
        return str(self.methods[row].get("method", row))

    def task(self, name: str) -> Task:
        """A task by its name."""
        return next(task for task in self.tasks if task.name == name)

    def told(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)


def _check_once(name: str, given: Sequence[Any], meant: Sequence[Any]) -> None:
    """SettingsError where two of what is given mean the same: `1000docs` and `1,000 documents` are one budget."""
    for number, one in enumerate(meant):
        if one in meant[:number]:
            both = " and ".join(dict.fromkeys((str(given[meant.index(one)]), str(given[number]))))
            raise SettingsError(f"{name} names one twice, {both}; drop one of both")


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


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Errors of what was asked for begin with where."""
    try:
        yield
    except (ArtifactError, InputError, SettingsError) as error:
        raise type(error)(f"{place}: {error}") from error


def _check_values(top: Mapping[str, Tree], given: Mapping[str, Any]) -> None:
    """SettingsError, with the line, for a budget or a seed that can be none, or is there twice."""
    with placed(top["budgets"].place):
        _check_once("budgets", given["budgets"], [Budget.parse(budget) for budget in given["budgets"]])
    seeds = given.get("seeds", ())
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise SettingsError(f"{top['seeds'].place}: found {seed}, wanted whole numbers from 0 to 2**32 - 1")
    if seeds:
        with placed(top["seeds"].place):
            _check_once("seeds", seeds, seeds)


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
