"""What is compared: models, rows, tasks, and what they mean beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import Any

from gotd.errors import ArtifactError, InputError, SettingsError
from gotd.selection.budget import Budget
from gotd.selection.methods import GOTD, KNOWN_METHODS

NONE = "none"
IN_DOMAIN = "in-domain"
METHODS = (NONE, GOTD, IN_DOMAIN, *KNOWN_METHODS)
LM_EVAL = "lm-eval"
EVALUATIONS = ("perplexity", "zero-shot", "toxicity", "utility", "classify", LM_EVAL)


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
        check_once("seeds", self.seeds, self.seeds)
        check_once("budgets", self.budgets, [Budget.parse(budget) for budget in self.budgets])
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


def check_once(name: str, given: Sequence[Any], meant: Sequence[Any]) -> None:
    """SettingsError where two of what is given mean the same: `1000docs` and `1,000 documents` are one budget."""
    for number, one in enumerate(meant):
        if one in meant[:number]:
            both = " and ".join(dict.fromkeys((str(given[meant.index(one)]), str(given[number]))))
            raise SettingsError(f"{name} names one twice, {both}; drop one of both")


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Errors of what was asked for begin with where."""
    try:
        yield
    except (ArtifactError, InputError, SettingsError) as error:
        raise type(error)(f"{place}: {error}") from error
