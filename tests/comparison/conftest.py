"""Tiny comparisons: two vocabularies without a word in common, and a model that has read neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from gotd.comparison import Comparison, Config, Task, compare

QUICK: dict[str, Any] = {"tokens": 512, "lr": 1e-2, "batch": 4, "window": 32}
TUNING: dict[str, Any] = {"epochs": 2.0, "lr": 1e-2, "batch": 4, "window": 32}


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return str(path)


@pytest.fixture(scope="session")
def small(gpt: Path, corpora: Any, text: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Config:
    """One task of rare words, two seeds; its test is half rare words, half common ones, by label."""
    folder = tmp_path_factory.mktemp("task")

    def examples(start: int, count: int) -> list[dict[str, Any]]:
        return [{"text": text(start + i, i % 2 == 0, 8), "label": ("rare", "common")[i % 2]} for i in range(count)]

    task = Task(
        "words",
        target=(lines(folder / "target.jsonl", [{"text": text(3000 + i, True, 10)} for i in range(40)]),),
        test=(lines(folder / "test.jsonl", examples(4000, 20)),),
        dev=(lines(folder / "dev.jsonl", examples(5000, 8)),),
        train=(lines(folder / "train.jsonl", examples(6000, 16)),),
        label_field="label",
        evaluate={"perplexity": {}, "classify": {}},
    )
    return Config(
        model=str(gpt),
        candidates=(corpora.pool,),
        tasks=(task,),
        methods={"none": {}, "random": {}, "gotd": {}, "words alone": {"method": "dsir"}},
        budgets=("15docs",),
        seeds=(0, 1),
        warmup=QUICK,
        finetune=TUNING,
        device="cpu",
        workers=1,
    )


@pytest.fixture(scope="session")
def compared(small: Config, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Two seeds of `small`, and a second task of common words; not to be written to."""
    first = small.tasks[0]
    second = replace(
        first, name="the same again", train=(), label_field=None, evaluate={"perplexity": {"max_docs": 12}}
    )
    return compare(replace(small, tasks=(first, second)), tmp_path_factory.mktemp("compared"))
