"""The selections of a comparison, each made once and shared by all cells that have it.

vectors      once for each encoder that is no target's own (any but lsa and lsa+static), for all tasks and methods
fit, score   once for each task and method with its settings, and once a seed for methods that draw
choose       once for each budget
foretold     how far the selection lowers the distance to the target, by one yardstick for all rows: the potential of
             gotd's own settings, fitted on the same reference and target
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gotd.artifacts import digest, read_json, write_json
from gotd.comparison.config import IN_DOMAIN, NONE, Config, Task, placed
from gotd.comparison.plan import Cell, Plan, fields_of, judging, targets_of
from gotd.corpus import Fields
from gotd.corpus.temporary import Replacement
from gotd.engine import Progress, silent
from gotd.evaluation.templates import load_template
from gotd.pipeline import IN_DOMAIN_SOURCES, fit_settings
from gotd.potential import Potential
from gotd.selection.gradient import Mixture
from gotd.selection.tokens import identity
from gotd.stages.choose import check_rounds, checked, choose
from gotd.stages.domains import domains
from gotd.stages.embeddings import Kept, can_be_shared
from gotd.stages.fit import fit
from gotd.stages.fit_settings import FitSettings
from gotd.stages.picking import MIX, PickSettings
from gotd.stages.score import score
from gotd.stages.selected import Selection
from gotd.stages.targets import Target
from gotd.training.documents import texts_of
from gotd.transport import Measure

DRAWN = ("random", IN_DOMAIN, "dsir", "knn-kde", "all-target")  # methods that draw: another seed, another choice
_SOLVED_ON = 5_000
_SCORING = ("polish", "tokenizer")


@dataclass(frozen=True, slots=True)
class Choice:
    """A selection, and what transport says of it.

    Attributes:
        folder: of `gotd choose`.
        documents: how many it holds.
        filled: whether they fill the budget.
        predicted: by how much it should lower the distance to the target, to first order, in units of the yardstick.
        solved: the same, solved again.
    """

    folder: Path
    documents: int
    filled: bool
    predicted: float
    solved: float


@dataclass(frozen=True, slots=True)
class Rule:
    """The settings of a row, sorted by the stage that they belong to."""

    fit: FitSettings
    pick: PickSettings
    keep: int | None
    scoring: Mapping[str, Any]
    avoid: tuple[str, ...]


def rule(config: Config, row: str, seed: int = 0) -> Rule:
    """What a row asks of each stage of `gotd.select`.

    Raises:
        SettingsError: values that do not fit.
    """
    given = {**config.select, **config.methods[row], "method": config.method(row)}
    given.setdefault("paper", False)
    draws, keep = given["method"] in DRAWN, given.pop("keep", None)
    if given["method"] == IN_DOMAIN:
        given["method"], keep = "random", keep or IN_DOMAIN_SOURCES
    picking = {name: given.pop(name) for name in PickSettings.__dataclass_fields__ if name in given}
    scoring = {name: given.pop(name) for name in _SCORING if name in given}
    avoid = given.pop("avoid", ())
    fitted = fit_settings(seed=seed if draws else 0, **given)
    pick = PickSettings(**picking)
    check_rounds(pick.rounds, fitted.method)
    return Rule(fitted, pick, keep, scoring, avoid)


@dataclass(frozen=True)
class Choices:
    """Makes selections, or finds those that are there.

    Attributes:
        plan: of the comparison.
        folder: where fits, scores and selections are kept.
    """

    plan: Plan
    folder: Path
    progress: Progress = silent
    _yardsticks: dict[str, Potential] = field(default_factory=dict)

    def key(self, cell: Cell) -> str:
        """Changes with all that the choice of a cell depends on."""
        asked = rule(self.plan.config, cell.row, cell.seed or 0)
        return digest([self.scores_key(cell), asdict(asked.pick), cell.budget])

    def scores_key(self, cell: Cell) -> str:
        """Changes with all that the scores that it is chosen by depend on."""
        config = self.plan.config
        return digest(self._asked(config.task(cell.task), rule(config, cell.row, cell.seed or 0)))

    def place(self, cell: Cell) -> Path:
        """The folder of the selection of a cell."""
        return self.folder / f"chosen-{self.key(cell)}"

    def scored(self, cell: Cell) -> Path:
        """The folder of the scores that it is chosen by."""
        return self.folder / f"scores-{self.scores_key(cell)}"

    def embedded(self) -> set[str]:
        """The encoders whose vectors of the pool are there."""
        made = [path.parent for path in self.folder.glob("vectors-*/manifest.json")]
        return {str(Kept.load(folder).encoder["spec"]) for folder in made}

    def __call__(self, cell: Cell) -> Choice:
        """The selection of a cell that has one."""
        config, task = self.plan.config, self.plan.config.task(cell.task)
        asked, folder = rule(config, cell.row, cell.seed or 0), self.place(cell)
        picking = {name: getattr(asked.pick, name) for name in PickSettings.__dataclass_fields__}
        if not (folder / "manifest.json").exists():
            scores = self._scores(task, asked)
            choose(scores, str(cell.budget), folder, **picking, seed=asked.fit.seed, progress=self.progress)
        chosen = Selection.load(folder)
        told = folder.with_name(f"foretold-{folder.name}.json")
        if not told.exists():
            texts = chosen.to_arrow()["text"].to_pylist()
            write_json(told, foretold(self._yardstick(task), texts))
        return Choice(folder, len(chosen), bool(chosen.manifest["filled"]), **read_json(told))

    def sweep(self) -> None:
        """Remove vectors whose embedding was stopped, and which another row then made: nobody goes on with them."""
        made = {path.parent.name.rpartition("-")[0] for path in self.folder.glob("vectors-*/manifest.json")}
        for path in self.folder.glob("vectors-*"):
            if path.name.rpartition("-")[0] in made and not (path / "manifest.json").exists():
                shutil.rmtree(path)

    def _asked(self, task: Task, asked: Rule) -> dict[str, Any]:
        """What scores depend on."""
        config, files = self.plan.config, self.plan.digests
        # Not by the name of the task: those of one target and test share their scores.
        roles = {"candidates": "candidates", "reference": "reference"}
        roles |= {role: f"{task.name}: {role}" for role in ("target", *judging(task))}
        avoided = [line for name, lines in files.items() if name.endswith(": avoid") for line in lines]
        return {
            "fit": asdict(asked.fit),
            "keep": asked.keep,
            **asked.scoring,
            "avoid": [asked.avoid, avoided] if asked.avoid else None,
            # Of a folder what is in it: it may be tuned again.
            **{name: lines for name, lines in files.items() if name == f"encoder {asked.fit.encoder}"},
            "targets": task.target,
            "fields": [asdict(fields_of(config)), task.text_field],
            "files": {
                role: [line.split()[-1] for line in files[name]] for role, name in roles.items() if name in files
            },
        }

    def _scores(self, task: Task, asked: Rule) -> Path:
        """The folder of a scored pool."""
        config = self.plan.config
        key = digest(self._asked(task, asked))
        fitted, scored = (self.folder / f"{part}-{key}" for part in ("fit", "scores"))
        common: dict[str, Any] = {"fields": fields_of(config), "device": config.device, "progress": self.progress}
        if not (scored / "manifest.json").exists():
            self._fit(task, asked, fitted)
            sources = None
            if asked.keep is not None:
                near = domains(
                    config.candidates,
                    targets_of(task),
                    settings=asked.fit,
                    target_fields=Fields(text=task.text_field),
                    **common,
                )
                sources = [domain.source for domain in near[: asked.keep]]
            common |= {"workers": config.workers, **asked.scoring}
            vectors = self._vectors(fitted, common)
            common |= {"sources": sources, "held_out": self._held_out(task), "embeddings": vectors}
            score(fitted, config.candidates, scored, **common)
        return scored

    def _vectors(self, fitted: Path, common: Mapping[str, Any]) -> Path | None:
        """The folder of the pool's vectors; None where another target would have others, or none are needed."""
        potential = Potential.load(fitted, device=self.plan.config.device)
        if not can_be_shared(potential):
            return None
        files = [line.split()[-1] for line in self.plan.digests["candidates"]]
        key = digest([potential.encoder.fingerprint, asdict(fields_of(self.plan.config)), files])
        made = next(self.folder.glob(f"vectors-{key}-*/manifest.json"), None)
        if made is not None:
            return made.parent
        # Any row may make them. One that was stopped is gone on with by itself alone: its potential is another's.
        folder = self.folder / f"vectors-{key}-{fitted.name.removeprefix('fit-')}"
        score(fitted, self.plan.config.candidates, folder, **{**common, "polish": 0}, keep_embeddings=True)
        return folder

    def _fit(self, task: Task, asked: Rule, folder: Path) -> None:
        config = self.plan.config
        fit(
            targets_of(task),
            config.reference or config.candidates,
            folder,
            avoid=[Target.parse(text) for text in asked.avoid] or None,
            settings=asked.fit,
            fields=fields_of(config),
            target_fields=Fields(text=task.text_field),
            device=config.device,
            progress=self.progress,
        )

    def _held_out(self, task: Task) -> list[str] | None:
        """The texts that judge under the name that candidates have theirs under: none may give them away."""
        where = self.plan.config.text_field
        if not checks_contamination(self.plan.config):
            return None
        found = []
        for role, files in judging(task).items():
            # What zero-shot reads of a record, its template says.
            asked = task.evaluate[role] if role == "zero-shot" else None
            field = load_template(asked["template"]).prompts[0] if asked else task.text_field
            path = self.folder / f"held-out-{digest([self.plan.digests[f'{task.name}: {role}'], field, where])}.jsonl"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                out = Replacement(path)
                for text in texts_of(files, Fields(text=field)).texts:
                    out.file.write(orjson.dumps({where or "text": text}, option=orjson.OPT_APPEND_NEWLINE))
                out.commit()
            found.append(str(path))
        return found or None

    def _yardstick(self, task: Task) -> Potential:
        if task.name not in self._yardsticks:
            settings = FitSettings(**{k: v for k, v in self.plan.config.select.items() if k == "encoder"})
            asked = Rule(settings, PickSettings(), None, {}, ())
            folder = self.folder / f"fit-{digest(self._asked(task, asked))}"
            self._fit(task, asked, folder)
            self._yardsticks[task.name] = Potential.load(folder, device=self.plan.config.device)
        return self._yardsticks[task.name]


def checks_contamination(config: Config) -> bool:
    """Whether candidates that share a run of words with a test text can be told: not where text is a template."""
    return config.text_field is None or "{" not in config.text_field


def foretold(potential: Potential, texts: Sequence[str]) -> dict[str, float]:
    """By how much texts lower the distance from reference to target once they are MIX of the reference."""
    points = potential.points(texts)
    start, summary = potential.gradient()
    some = Measure.of(points[:: -(-len(points) // _SOLVED_ON)])
    after = start.toward(Mixture.of(potential.reference, summary, some, MIX))
    predicted = MIX * (potential.level - float(potential.priced(points).f.double().mean()))
    return {"predicted": predicted, "solved": start.value - after.value}


def check_rows(config: Config) -> None:
    """SettingsError where the settings of a row do not fit, before any work."""
    for row in config.methods:
        if config.method(row) != NONE:
            with placed(f"row {row}"):
                asked = rule(config, row)
                identity(asked.scoring.get("tokenizer"))
                for budget in config.budgets:
                    checked(budget, "jsonl", asked.pick.max_per_source)
