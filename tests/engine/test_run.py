"""Shards to parts: each once, in order, resumed by what is done and never by what is something else's."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from gotd.corpus import Fields, Shard, find, plan
from gotd.engine import Done, one_thread, run
from gotd.errors import ArtifactError, GotdError


class Work:
    """Writes the shard's number and counts how often it was called on each; fails on some."""

    def __init__(self, failing: tuple[int, ...] = (), error: type[BaseException] = KeyboardInterrupt) -> None:
        self.calls: list[int] = []
        self.threads: list[int] = []
        self._failing, self._error = failing, error

    def __call__(self, shard: Shard, stem: Path) -> dict[str, Any]:
        self.calls.append(shard.index)
        self.threads.append(torch.get_num_threads())
        if shard.index in self._failing:
            raise self._error(28, "No space left on device")
        stem.with_name(f"{stem.name}.out").write_text(str(shard.index))
        return {"read": shard.stop - shard.start}


@pytest.fixture
def shards(write) -> list[Shard]:
    """Five of 100 bytes, and one of what is left."""
    path = write("pool.jsonl", [b"x" * 50] * 10)
    return plan(find([path]), Fields(), 100)


def test_every_shard_once_and_results_in_order(shards: list[Shard], tmp_path: Path) -> None:
    """The largest are begun first; what comes back is in the order of the pool."""
    work = Work()
    done = run(shards, work, tmp_path / "parts", "key", workers=1)
    assert [part.shard for part in done] == shards
    assert sorted(work.calls) == list(range(6))
    assert work.calls[-1] == 5
    assert [part.counts["read"] for part in done] == [100] * 5 + [10]
    assert [part.stem.with_name(f"{part.stem.name}.out").read_text() for part in done] == list("012345")


def test_what_is_done_is_not_done_again(shards: list[Shard], tmp_path: Path) -> None:
    first = Work(failing=(3,))
    with pytest.raises(KeyboardInterrupt):
        run(shards, first, tmp_path, "key", workers=1)
    assert first.calls == [0, 1, 2, 3]
    second = Work()
    done = run(shards, second, tmp_path, "key", workers=1)
    assert second.calls == [3, 4, 5]
    assert [part.shard.index for part in done] == list(range(6))
    third = Work()
    assert run(shards, third, tmp_path, "key", workers=1) == done
    assert third.calls == []


def test_parts_of_something_else_are_made_again(shards: list[Shard], write, tmp_path: Path) -> None:
    """Under another key, of a file that changed, of a file elsewhere, or of other bytes."""
    parts = tmp_path / "parts"

    def again(some: list[Shard], key: str = "key") -> list[int]:
        work = Work()
        run(some, work, parts, key, workers=1)
        return sorted(work.calls)

    assert again(shards) == list(range(6))
    assert again(shards, "other key") == list(range(6))
    changed = plan(find([write("pool.jsonl", [b"y" * 50] * 10)]), Fields(), 100)
    assert again(changed, "other key") == list(range(6))
    elsewhere = plan(find([write("moved.jsonl", [b"y" * 50] * 10)]), Fields(), 100)
    assert again(elsewhere, "other key") == list(range(6))
    wider = plan(find([write("moved.jsonl", [b"y" * 50] * 10)]), Fields(), 150)
    assert again(wider, "other key") == [0, 1, 2, 3]
    assert again(wider, "other key") == []


def test_progress_counts_what_was_there_already(shards: list[Shard], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(shards, Work(failing=(2,)), tmp_path, "key", workers=1)
    told: list[tuple[str, int, int]] = []
    run(shards, Work(), tmp_path, "key", workers=1, progress=lambda *step: told.append(step))
    assert told == [("scoring", done, 6) for done in (2, 3, 4, 5, 6)]


def test_no_shards_no_work(tmp_path: Path) -> None:
    assert run([], Work(), tmp_path, "key") == []


def test_a_full_disk_is_named_with_its_remedy(shards: list[Shard], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cannot write .*00001: No space left on device\. Make room and run"):
        run(shards, Work(failing=(1,), error=OSError), tmp_path, "key", workers=1)


def test_a_damaged_marker_is_named(shards: list[Shard], tmp_path: Path) -> None:
    run(shards, Work(), tmp_path, "key", workers=1)
    (tmp_path / "00002.done.json").write_text('{"key":')
    with pytest.raises(ArtifactError, match=r"00002\.done\.json cannot be read"):
        run(shards, Work(), tmp_path, "key", workers=1)


def test_work_has_one_thread_and_the_caller_its_own_again(shards: list[Shard], tmp_path: Path) -> None:
    """Two threads a core are slower than one, and may round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        work = Work()
        run(shards, work, tmp_path, "key", workers=1)
        assert set(work.threads) == {1}
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), one_thread():
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class _Pool:
    """Stands for a pool of processes: what is submitted is done at once, or lost with its worker."""

    made: list[int] = []  # noqa: RUF012
    lost = False

    def __init__(self, count: int, **others: object) -> None:
        self.made.append(count)

    def submit(self, function: Any, *arguments: Any) -> Future[Done]:
        future: Future[Done] = Future()
        if self.lost:
            future.set_exception(BrokenProcessPool("a child process terminated abruptly"))
        else:
            future.set_result(function(*arguments))
        return future

    def shutdown(self, **how: object) -> None:
        assert how == {"wait": True, "cancel_futures": True}


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> type[_Pool]:
    kind = type("Pool", (_Pool,), {"made": [], "lost": False})
    # By module: the name `gotd.engine.run` is the function's.
    monkeypatch.setattr(import_module("gotd.engine.run"), "ProcessPoolExecutor", kind)
    return kind


@pytest.mark.parametrize(("workers", "made"), [(2, [2]), (99, [6]), (1, [])])
def test_no_more_workers_than_shards(workers: int, made: list[int], shards, pool, tmp_path: Path) -> None:
    work = Work()
    done = run(shards, work, tmp_path, "key", workers=workers)
    assert pool.made == made
    assert sorted(work.calls) == list(range(6))
    assert [part.shard for part in done] == shards


def test_a_dead_worker_is_told_with_its_remedy(shards: list[Shard], pool, tmp_path: Path) -> None:
    pool.lost = True
    with pytest.raises(GotdError, match=r"a worker died, .* Run the same command again .* fewer --workers"):
        run(shards, Work(), tmp_path, "key", workers=2)
