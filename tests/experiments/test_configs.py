"""The comparisons of `experiments`: every config is read as it stands, and run with a tiny model and tiny files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gotd.comparison import Config, Task, compare, read_comparison
from gotd.comparison.choices import check_rows

FOLDER = Path(__file__).resolve().parents[2] / "experiments"
CONFIGS = sorted(FOLDER.glob("*/*.yaml"))
HOW_MANY = {"paper": 7, "classification": 4, "detox": 3, "smollm2": 2}
MASKED = ("bert", "minilm")
TINY: dict[str, Any] = {"window": 32, "batch": 4, "precision": "float32"}
FIGURES = {
    "toxicity": {"expected maximum toxicity", "toxicity probability", "bits a byte", "perplexity"},
    "zero-shot": {"accuracy", "macro F1", "MCC", "bits a byte", "perplexity"},
    "classify": {"accuracy", "macro F1", "MCC"},
}

Files = Callable[[Task], Task]


@pytest.fixture
def tiny_files(write: Callable[..., str], text: Callable[..., str]) -> Files:
    """tiny_files(task): the same task with tiny files of every role that it has."""

    def examples(start: int, count: int, labels: tuple[Any, ...]) -> list[dict[str, Any]]:
        return [
            {
                "text": text(start + i, i % 2 == 0, 6),
                "text2": text(start + i, True, 4),
                "label": labels[i % len(labels)],
            }
            for i in range(count)
        ]

    def make(task: Task) -> Task:
        labels = (0, 1) if "zero-shot" in task.evaluate else ("yes", "no")
        roles = {"target": (100, 24), "dev": (200, 4), "train": (300, 12), "test": (400, 6)}
        given = {
            role: (write(f"{role}.jsonl", examples(start, count, labels)),)
            for role, (start, count) in roles.items()
            if getattr(task, role)
        }
        evaluate = {name: dict(settings) for name, settings in task.evaluate.items()}
        for number, (name, settings) in enumerate(evaluate.items()):
            settings |= {"window": 32} if "window" in settings else {}
            if "data" in settings:
                settings["data"] = (write(f"{name}.jsonl", examples(500 + 100 * number, 4, labels)),)
            if name == "toxicity":
                settings |= {"scorer": "rude:score", "continuations": 2, "tokens": 4}
        return replace(task, **given, evaluate=evaluate, max_train="8docs" if task.max_train else None)

    return make


def tiny(config: Config, model: Path, pool: str, files: Files) -> Config:
    """The same comparison of a tiny model: its first task, random and gotd's first row, one seed."""
    published = next(row for row in config.methods if config.method(row) == "gotd")
    own = {name: value for name, value in config.methods[published].items() if name not in ("encoder", "keep")}
    finetune = {**config.finetune, "epochs": 1.0, **TINY} if config.finetune else {}
    if "max_train" in finetune:
        finetune["max_train"] = "8docs"
    return replace(
        config,
        model=str(model),
        candidates=(pool,),
        chunk_chars=40,
        budgets=("6docs",),
        seeds=config.seeds[:1],
        methods={"random": {}, published: own},
        tasks=(files(config.tasks[0]),),
        warmup={**config.warmup, **TINY},
        finetune=finetune,
        micro_batch=config.micro_batch and 2,
        device="cpu",
        workers=1,
    )


@pytest.mark.usefixtures("quick_trainings")
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_comparison_runs_from_end_to_end(
    path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    corpora: Any,
    tiny_files: Files,
    tmp_path: Path,
) -> None:
    (tmp_path / "rude.py").write_text(
        "def score(texts): return [text.count('rare') / (1 + len(text)) for text in texts]"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = read_comparison(path)
    check_rows(config)
    model = request.getfixturevalue("mlm" if any(name in config.model for name in MASKED) else "gpt")
    small = tiny(config, model, corpora.pool, tiny_files)
    found = compare(small, tmp_path / "out")
    assert {row.row for row in found.results.rows} == set(small.methods)
    wanted = next(names for name, names in FIGURES.items() if name in config.tasks[0].evaluate)
    assert {row.metric for row in found.results.rows} == wanted
    assert {cell["tokens"] > 0 for cell in found.results.cells} == {True}
    assert "one seed shows nothing about seeds" in found.verdict[0]


@pytest.mark.parametrize("folder", sorted(HOW_MANY))
def test_the_page_lists_every_comparison(folder: str) -> None:
    files = [path for path in CONFIGS if path.parent.name == folder]
    assert len(files) == HOW_MANY[folder]
    said = (FOLDER / folder / "README.md").read_text()
    assert all(f"`{path.name}`" in said for path in files)
    assert {path.parent.name for path in CONFIGS} == set(HOW_MANY)
