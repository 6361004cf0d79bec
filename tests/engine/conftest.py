from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gotd.corpus import Shard, find


@pytest.fixture
def evenly() -> Callable[[str, int], list[Shard]]:
    """evenly(path, size): shards of a file, all of so many bytes but the last."""

    def cut(path: str, size: int) -> list[Shard]:
        (file,) = find(path)
        whole = file.bytes or 0
        return [Shard(file, i, start, min(start + size, whole)) for i, start in enumerate(range(0, whole, size))]

    return cut


@pytest.fixture
def shards(write, evenly) -> list[Shard]:
    """Five of 100 bytes, and one of what is left."""
    return evenly(write("pool.jsonl", [b"x" * 50] * 10), 100)


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch):
    """The module `works`, under a name by which workers in other processes find it too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import works

    return works


@pytest.fixture
def counted(works, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file in which each reading of a potential by a scoring worker leaves the number of its process."""
    from functools import partial

    from scorers import CountedScorer

    monkeypatch.setattr("gotd.stages.score.ShardScorer", partial(CountedScorer, log=tmp_path / "loads"))
    return tmp_path / "loads"
