"""Workers as actors of a Ray cluster that gotd starts: what processes do, they do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import gotd
from gotd import MissingExtra
from gotd.corpus import Shard
from gotd.engine import run
from gotd.engine.rays import connect, gpu_share


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Joined by all that happens in a test."""
    ray = pytest.importorskip("ray")
    here = str(Path(__file__).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])]))
        connect(2)
        yield
        ray.shutdown()


def test_actors_do_what_processes_do(cluster, shards: list[Shard], works, tmp_path: Path) -> None:
    """The same parts, deaths survived, quarantine, and errors as they are."""
    made = {}
    for executor in ("inline", "ray"):
        work = works.Work(tmp_path / f"{executor}.log", once=(1,) if executor == "ray" else ())
        ran = run(shards, work, tmp_path / executor, "key", executor=executor, workers=2)
        assert [one.shard for one in ran.done] == shards
        made[executor] = {path.name: path.read_bytes() for path in (tmp_path / executor).glob("[0-9]*")}
    assert made["inline"] == made["ray"]
    work = works.Work(tmp_path / "log", always=(2,), hungry=(4,))
    ran = run(shards[2:5], work, tmp_path / "lost", "key", executor="ray", workers=2)
    assert [one.shard.index for one in ran.done] == [3]
    killed, hungry = ran.lost
    assert "worker unexpectedly exits" in killed.reason.lower()
    assert "\n" not in killed.reason
    assert hungry.reason == "it ran out of memory"
    wrong = works.Work(tmp_path / "log", wrong=((0, "found, wanted"),))
    with pytest.raises(KeyError, match="found, wanted"):
        run(shards[:1], wrong, tmp_path / "wrong", "key", executor="ray")


def test_a_cluster_scores_the_same_to_the_bit(
    cluster, corpora, selector: Path, scored: Path, counted, small_shards, contents, tmp_path: Path
) -> None:
    """And each of its workers reads the potential once."""
    small_shards(3000)
    gotd.score(selector, corpora.pool, tmp_path / "out", executor="ray", workers=2)
    assert contents(tmp_path / "out") == contents(scored)
    loads = counted.read_text().split()
    assert 1 <= len(loads) == len(set(loads)) <= 2  # the first may have done all before the second was up
    assert str(os.getpid()) not in loads


@pytest.mark.parametrize(
    ("gpus", "workers", "share"), [(0, 4, 0.0), (1, 4, 0.25), (1, 3, 0.33), (2, 3, 0.66), (4, 4, 1.0), (8, 4, 1.0)]
)
def test_gpus_are_shared_so_that_all_workers_fit(gpus: float, workers: int, share: float) -> None:
    assert gpu_share(gpus, workers) == share
    assert workers * share <= max(gpus, workers)


def test_a_missing_ray_is_named_before_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gotd.engine.rays.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"Run: pip install 'gotd\[ray\]'"):
        run([], lambda shard, stem: {}, tmp_path, "key", executor="ray")
