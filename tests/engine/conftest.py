from __future__ import annotations

from pathlib import Path

import pytest

from gotd.corpus import Fields, Shard, find, plan


@pytest.fixture
def shards(write) -> list[Shard]:
    """Five of 100 bytes, and one of what is left."""
    path = write("pool.jsonl", [b"x" * 50] * 10)
    return plan(find([path]), Fields(), 100)


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
