"""Workers in processes of their own: the same parts, deaths survived, nobody left behind."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import spawn
from pathlib import Path

import pytest

from gotd.corpus import Shard
from gotd.engine import Done, Ran, ahead, run
from gotd.engine.processes import _without_main
from gotd.errors import GotdError, SettingsError


def tries(log: Path) -> list[int]:
    return sorted(int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("try"))


def loads(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith("loaded")]


def whole(ran: Ran) -> bool:
    return all(one.stem.with_name(f"{one.stem.name}.out").read_text() == str(one.shard.index) for one in ran.done)


def test_every_shard_once_and_what_it_needs_once_a_worker(shards: list[Shard], works, tmp_path: Path) -> None:
    work = works.Work(tmp_path / "log")
    ran = run(shards, work, tmp_path / "parts", "key", workers=2)
    assert [one.shard for one in ran.done] == shards
    assert ran.lost == []
    assert whole(ran)
    assert tries(work.log) == list(range(6))
    assert len(loads(work.log)) == len(set(loads(work.log))) <= 2
    assert f"loaded {os.getpid()}" not in loads(work.log)
    assert run(shards, work, tmp_path / "parts", "key", workers=2) == ran
    assert tries(work.log) == list(range(6))


def test_killed_workers_are_replaced_and_what_kills_twice_is_in_quarantine(
    shards: list[Shard], works, tmp_path: Path
) -> None:
    """The same again tries what is in quarantine, and nothing else."""
    work = works.Work(tmp_path / "log", once=(1,), always=(2,), hungry=(4,))
    ran = run(shards, work, tmp_path / "parts", "key", workers=2)
    assert [one.shard.index for one in ran.done] == [0, 1, 3, 5]
    assert whole(ran)
    assert multiprocessing.active_children() == []
    killed, hungry = ran.lost
    assert (killed.shard, hungry.shard) == (shards[2], shards[4])
    assert killed.reason == "SIGKILL killed it, as the system does for want of memory"
    assert hungry.reason == "it ran out of memory"
    assert tries(work.log) == [0, 1, 1, 2, 2, 3, 4, 4, 5]
    work = works.Work(tmp_path / "again")
    again = run(shards, work, tmp_path / "parts", "key", workers=1, executor="processes")
    assert [one.shard for one in again.done] == shards
    assert tries(work.log) == [2, 4]


def test_workers_that_start_ahead_are_those_that_work(shards: list[Shard], works, tmp_path: Path) -> None:
    """One more than is needed ends unused; outside the block others start."""
    work = works.Work(tmp_path / "log")
    with ahead("works", 3, 3, None):
        started = {process.pid for process in multiprocessing.active_children()}
        assert len(started) == 3
        ran = run(shards, work, tmp_path / "parts", "key", workers=2)
        assert len(multiprocessing.active_children()) == 1
    assert multiprocessing.active_children() == []
    assert [one.shard for one in ran.done] == shards
    assert {int(line.split()[1]) for line in loads(work.log)} <= started
    again = works.Work(tmp_path / "again")
    run(shards, again, tmp_path / "more", "key", executor="processes", workers=1)
    assert not {int(line.split()[1]) for line in loads(again.log)} & started


@pytest.mark.parametrize(
    ("found", "workers", "executor", "count"),
    [
        (9, 2, None, 2),
        (1, 4, None, 0),
        (9, 1, None, 0),
        (9, 1, "processes", 1),
        (1, 4, "processes", 1),
        (0, 4, "processes", 0),
        (9, 2, "inline", 0),
        (9, 2, "ray", 0),
    ],
)
def test_ahead_start_those_that_run_will_want(
    found: int, workers: int, executor: str | None, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr("gotd.engine.processes._Process", lambda needed: Idle(started.append(needed)))
    with ahead("works", found, workers, executor):
        assert started == ["works"] * count


@dataclass
class Idle:
    """A worker that nobody takes."""

    started: None

    def stop(self) -> None: ...


def test_workers_that_are_killed_while_they_wait_are_replaced(shards: list[Shard], works, tmp_path: Path) -> None:
    with ahead("works", 2, 2, None):
        for process in multiprocessing.active_children():
            process.kill()
            process.join()
        ran = run(shards, works.Work(tmp_path / "log"), tmp_path / "parts", "key", workers=2)
    assert [one.shard for one in ran.done] == shards
    assert multiprocessing.active_children() == []


def test_a_worker_imports_no_pandas_and_has_one_thread(shards: list[Shard], works, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    (one,) = run(shards[:1], works.Imports(), tmp_path / "parts", "key", executor="processes").done
    assert one.counts == {"length": 1, "pandas": False, "threads": "1"}


@pytest.mark.parametrize(
    ("message", "kind", "shown"),
    [("found, wanted", KeyError, "'found, wanted'"), ("odd one", GotdError, r"Odd: \('odd one'")],
)
def test_an_error_of_the_work_is_raised_here(
    message: str, kind: type[Exception], shown: str, shards: list[Shard], works, tmp_path: Path
) -> None:
    """With the place in the worker where it was raised; one that cannot travel is told in words."""
    work = works.Work(tmp_path / "log", wrong=((0, message),))
    with pytest.raises(kind, match=shown) as caught:
        run(shards, work, tmp_path / "parts", "key", executor="processes", workers=1)
    assert "works.py" in str(caught.value.__cause__)
    assert tries(work.log) == [0]


def test_a_script_without_a_guard_runs_once(shards: list[Shard], tmp_path: Path) -> None:
    """Workers that imported it would run it again, and again in theirs."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from works import Work
from gotd.corpus import Fields, find, plan
from gotd.engine import run
print("begun")
work = Work(Path({str(tmp_path / "log")!r}))
ran = run(plan(find([{shards[0].file.path!r}]), Fields()), work, Path("parts"), "k", executor="processes", workers=2)
print(len(ran.done), sys.modules["__main__"].__file__ == __file__)
""")
    ran = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == "begun\n1 True\n"
    assert ran.stderr == ""


def test_what_others_start_meanwhile_imports_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the process that this thread starts within the block goes without, and nothing stays behind."""
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "script.py", raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None, raising=False)
    known = spawn.get_preparation_data
    with _without_main():
        mine = spawn.get_preparation_data("mine")
        with ThreadPoolExecutor(1) as pool:
            theirs = pool.submit(spawn.get_preparation_data, "theirs").result()
    assert "init_main_from_path" not in mine
    assert theirs["init_main_from_path"].endswith("script.py")
    assert spawn.get_preparation_data is known


def test_a_daemon_does_the_work_itself(shards: list[Shard], works, tmp_path: Path, monkeypatch) -> None:
    """A worker of multiprocessing.Pool may have no children."""
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {"daemon": True})
    work = works.Work(tmp_path / "log")
    assert len(run(shards, work, tmp_path / "parts", "key", workers=2).done) == len(shards)
    assert {int(line.split()[1]) for line in loads(work.log)} == {os.getpid()}
    with pytest.raises(SettingsError, match="a daemon process may start none; pass inline"):
        run(shards, work, tmp_path / "more", "key", executor="processes")


@pytest.mark.parametrize("workers", [0, -1, "2", 1.5, True])
def test_a_number_of_workers_that_is_none_is_refused(
    workers: object, shards: list[Shard], works, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="wanted 1 or more processes, or None"):
        run(shards, works.Work(tmp_path / "log"), tmp_path / "parts", "key", workers=workers)


def test_workers_end_with_a_parent_that_is_killed(shards: list[Shard], tmp_path: Path) -> None:
    """In the midst of a shard, too: the pipe that the worker holds open is heard to close."""
    name = tmp_path / "pipe"
    os.mkfifo(name)
    heard = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    held = os.open(name, os.O_WRONLY)  # until the worker has opened it too
    script = """
import sys
sys.path.insert(0, sys.argv[1])
if __name__ == "__main__":
    from pathlib import Path
    from works import Waiting
    from gotd.corpus import Fields, find, plan
    from gotd.engine import run
    run(plan(find([sys.argv[2]]), Fields()), Waiting(Path(sys.argv[3])), Path(sys.argv[4]), "k", executor="processes")
"""
    (tmp_path / "parent.py").write_text(script)
    arguments = [str(Path(__file__).parent), shards[0].file.path, str(name), str(tmp_path / "parts")]
    with subprocess.Popen([sys.executable, str(tmp_path / "parent.py"), *arguments]) as parent:
        try:
            assert select.select([heard], [], [], 60)[0], "no worker came up"
            worker = int(os.read(heard, 100))
            os.close(held)
            assert worker != parent.pid
        finally:
            parent.send_signal(signal.SIGKILL)
    assert select.select([heard], [], [], 60)[0], "the worker outlives its parent"
    assert os.read(heard, 100) == b""
    os.close(heard)


def test_inline_and_processes_make_the_same_parts(shards: list[Shard], works, tmp_path: Path) -> None:
    made = {}
    for executor in ("inline", "processes"):
        folder = tmp_path / executor
        run(shards, works.Work(tmp_path / f"{executor}.log"), folder, "key", executor=executor, workers=2)
        made[executor] = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert made["inline"] == made["processes"]
    assert len(made["inline"]) == 12


def test_done_is_what_the_marker_says(shards: list[Shard], works, tmp_path: Path) -> None:
    ran = run(shards[:1], works.Work(tmp_path / "log"), tmp_path, "key", executor="processes")
    assert ran == run(shards[:1], works.Work(tmp_path / "log"), tmp_path, "key", executor="inline")
    assert ran.done == [Done(shards[0], tmp_path / "00000", {"read": 100})]
