"""Tiny comparisons: two vocabularies without a word in common, and a model that has read neither."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gotd.comparison import Comparison, Config, Task, compare

Lines = Callable[[str, list[dict[str, Any]]], str]


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """lines(name, rows) -> path of a JSONL file of this session."""
    folder = tmp_path_factory.mktemp("lines")

    def write(name: str, rows: list[dict[str, Any]]) -> str:
        (folder / name).write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        return str(folder / name)

    return write


@pytest.fixture(scope="session")
def rare(text: Callable[..., str], lines: Lines) -> Task:
    """A task of rare words alone, of which one document in twenty of the pool is made."""

    def texts(start: int, count: int) -> list[dict[str, Any]]:
        return [{"text": text(start + i, True, 10)} for i in range(count)]

    return Task("rare", (lines("target.jsonl", texts(3000, 40)),), (lines("test.jsonl", texts(4000, 16)),))


@pytest.fixture(scope="session")
def small(gpt: Path, corpora: Any, rare: Task) -> Config:
    """Four rows, one budget, two seeds on `rare`."""
    return Config(
        model=str(gpt),
        candidates=(corpora.pool,),
        tasks=(rare,),
        methods={"none": {}, "random": {}, "gotd": {}, "words": {"method": "dsir"}},
        budgets=("12docs",),
        seeds=(0, 1),
        warmup={"tokens": 512, "lr": 1e-2, "batch": 4, "window": 32},
        device="cpu",
        workers=1,
    )


@pytest.fixture(scope="session")
def compared(small: Config, quick_trainings: None, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """What `small` shows; not to be written to."""
    return compare(small, tmp_path_factory.mktemp("compared"))
