"""Shards to parts: each once, in order, resumed by what is done and never by what is something else's."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from gotd.corpus import Shard
from gotd.engine import Ran, one_thread, run, share
from gotd.engine.threads import available_cores
from gotd.errors import ArtifactError, SettingsError


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


def test_every_shard_once_and_results_in_order(shards: list[Shard], tmp_path: Path) -> None:
    """The largest are begun first; what comes back is in the order of the pool."""
    work = Work()
    done = run(shards, work, tmp_path / "parts", "key", workers=1).done
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
    ran = run(shards, second, tmp_path, "key", workers=1)
    assert second.calls == [3, 4, 5]
    assert [part.shard.index for part in ran.done] == list(range(6))
    third = Work()
    assert run(shards, third, tmp_path, "key", workers=1) == ran
    assert third.calls == []


def test_parts_of_something_else_are_made_again(shards: list[Shard], evenly, write, tmp_path: Path) -> None:
    """Under another key, of a file that changed, of a file elsewhere, or of other bytes."""
    parts = tmp_path / "parts"

    def again(some: list[Shard], key: str = "key") -> list[int]:
        work = Work()
        run(some, work, parts, key, workers=1)
        return sorted(work.calls)

    assert again(shards) == list(range(6))
    assert again(shards, "other key") == list(range(6))
    changed = evenly(write("pool.jsonl", [b"y" * 50] * 10), 100)
    assert again(changed, "other key") == list(range(6))
    elsewhere = evenly(write("moved.jsonl", [b"y" * 50] * 10), 100)
    assert again(elsewhere, "other key") == list(range(6))
    wider = evenly(write("moved.jsonl", [b"y" * 50] * 10), 150)
    assert again(wider, "other key") == [0, 1, 2, 3]
    assert again(wider, "other key") == []


def test_progress_counts_what_was_there_already(shards: list[Shard], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(shards, Work(failing=(2,)), tmp_path, "key", workers=1)
    told: list[tuple[str, int, int]] = []
    run(shards, Work(), tmp_path, "key", workers=1, progress=lambda *step: told.append(step))
    assert told == [("scoring", done, 6) for done in (2, 3, 4, 5, 6)]


def test_a_container_has_the_cores_of_its_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a node of 64 cores, of which it has two, 64 workers would want the memory of 64."""
    pytest.importorskip("joblib")  # imported before `open` is another
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64, raising=False)
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/sys/fs/cgroup/cpu.max")
    monkeypatch.setattr("builtins.open", lambda path, *_, **__: io.StringIO("200000 100000\n"))
    assert available_cores() == 2


def test_no_shards_no_work(tmp_path: Path) -> None:
    for executor in (None, "inline", "processes", "ray"):
        assert run([], Work(), tmp_path, "key", executor=executor) == Ran([], [])


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


def test_a_part_is_there_whole_or_not_at_all(shards: list[Shard], tmp_path: Path) -> None:
    """Its files get their names once the work has ended, before the marker; what is left of a failure is nothing."""
    parts = tmp_path / "parts"
    seen: list[list[str]] = []

    def work(shard: Shard, stem: Path) -> dict[str, Any]:
        stem.with_name(f"{stem.name}.out").write_text("half")
        seen.append(sorted(path.name for path in parts.iterdir() if not path.name.startswith(".")))
        if shard.index == 1:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        run(shards, work, parts, "key", executor="inline")
    assert seen == [[], ["00000.done.json", "00000.out"]]
    assert sorted(path.name for path in parts.iterdir()) == seen[1]


def test_files_are_on_disk_before_their_marker(
    shards: list[Shard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, its name, the marker, its name: each flushed before the next is written."""
    steps: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        steps.append(("flush", Path(os.readlink(f"/proc/self/fd/{handle}")).name))
        fsync(handle)

    def renamed(source: Path, target: Path) -> None:
        steps.append(("name", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    run(shards[:1], Work(), tmp_path / "parts", "key", executor="inline")
    marker = steps[3][1]
    assert marker.startswith(".00000.done.json")
    assert steps == [
        ("flush", "00000.out"),
        ("name", "00000.out"),
        ("flush", "parts"),
        ("flush", marker),
        ("name", "00000.done.json"),
        ("flush", "parts"),
    ]


def test_a_part_made_again_loses_its_old_marker_first(
    shards: list[Shard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else files of two keys could stand under one marker."""
    run(shards[:1], Work(), tmp_path, "key", executor="inline")

    def stop(source: Path, target: Path) -> None:
        assert not (tmp_path / "00000.done.json").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        run(shards[:1], Work(), tmp_path, "other key", executor="inline")


def test_what_cannot_be_read_is_not_called_a_full_disk(shards: list[Shard], tmp_path: Path) -> None:
    def work(shard: Shard, stem: Path) -> dict[str, Any]:
        raise OSError(5, "Input/output error", "pool.jsonl")

    with pytest.raises(ArtifactError, match=r"pool\.jsonl to .*00000: .*Input/output error"):
        run(shards, work, tmp_path, "key", executor="inline")


@pytest.mark.parametrize("world_size", [1, 2, 3, 6, 9])
def test_shares_are_all_of_the_shards_once_and_alike_in_size(world_size: int, shards: list[Shard]) -> None:
    shares = [share(shards, rank, world_size) for rank in range(world_size)]
    assert sorted(shard.index for one in shares for shard in one) == list(range(6))
    for one in shares:
        assert [shard.index for shard in one] == sorted(shard.index for shard in one)
    sizes = [sum(shard.stop - shard.start for shard in one) for one in shares]
    assert max(sizes) - min(sizes) <= 100


def test_an_unknown_executor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match='executor is "threads"; wanted inline, processes, ray'):
        run([], Work(), tmp_path, "key", executor="threads")
