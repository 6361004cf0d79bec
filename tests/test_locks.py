"""One run an output folder, and no lock that outlives its run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import gotd
from gotd.artifacts import open_artifact
from gotd.errors import ArtifactError
from gotd.locks import LOCK, Lock

BUSY = "is being written by another run"
HOLDS = """
import sys
from pathlib import Path
from gotd.locks import Lock
rank = int(sys.argv[2]) if len(sys.argv) > 2 else None
held = Lock(Path(sys.argv[1]), rank)
print("held", flush=True)
sys.stdin.read()
"""


def elsewhere(folder: Path, *rank: int) -> subprocess.Popen[str]:
    """Another process that holds the folder, until it is killed."""
    arguments = [sys.executable, "-c", HOLDS, str(folder), *map(str, rank)]
    held = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert held.stdout is not None
    assert held.stdout.readline() == "held\n"
    return held


def test_a_second_run_is_refused_by_name_and_a_kill_leaves_no_lock(tmp_path: Path) -> None:
    with elsewhere(tmp_path) as held:
        name = rf"{tmp_path} {BUSY} \(process {held.pid} on {socket.gethostname()}\)\. Wait for it to end, or pass ano"
        for overwrite in (False, True):
            with pytest.raises(ArtifactError, match=name):
                open_artifact(tmp_path, "fit", {}, {}, overwrite=overwrite)
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
        held.send_signal(signal.SIGKILL)
    artifact = open_artifact(tmp_path, "fit", {}, {})
    artifact.finish({})
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_several_processes_of_one_command_hear_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `torchrun -m gotd select` would start them."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with elsewhere(tmp_path) as held:
        with pytest.raises(ArtifactError, match="--output; all but training wants one process, and 4 were started"):
            Lock(tmp_path)
        held.send_signal(signal.SIGKILL)


def test_ranks_share_a_folder_that_no_other_run_may_have(tmp_path: Path) -> None:
    with elsewhere(tmp_path, 1) as held:
        other = Lock(tmp_path, 0)
        with pytest.raises(ArtifactError, match=BUSY):
            Lock(tmp_path, 1)
        with pytest.raises(ArtifactError, match=BUSY):
            Lock(tmp_path)
        held.send_signal(signal.SIGKILL)
    with pytest.raises(ArtifactError, match=BUSY):
        threaded(lambda: Lock(tmp_path))
    other.release()
    Lock(tmp_path, 1).release()
    alone = Lock(tmp_path)
    with pytest.raises(ArtifactError, match=BUSY):
        threaded(lambda: Lock(tmp_path, 0))
    alone.release()


def threaded(call) -> None:
    """Do it in another thread, which is another run, and raise what it raises."""
    raised: list[BaseException] = []

    def told() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=told)
    thread.start()
    thread.join()
    for error in raised:
        raise error


def test_two_threads_are_two_runs_and_one_after_another_is_one(tmp_path: Path) -> None:
    """A run that an error ended may be held by the error's traceback: its thread may begin again all the same."""
    first = Lock(tmp_path)
    with pytest.raises(ArtifactError, match=BUSY):
        threaded(lambda: Lock(tmp_path))
    second = Lock(tmp_path)
    first.release()
    with pytest.raises(ArtifactError, match=BUSY):
        threaded(lambda: Lock(tmp_path))
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_an_error_ended_holds_no_folder(corpora, tmp_path: Path) -> None:
    """Though the error is kept, as a notebook keeps its last one: another thread or process may go on."""
    errors: list[BaseException] = []
    wrong = gotd.Fields(text="nowhere")

    def fails() -> None:
        for fields, call in (
            (wrong, lambda out, fields: gotd.select(corpora.pool, corpora.target, 5, out, fields=fields, workers=1)),
            (wrong, lambda out, fields: gotd.fit(corpora.target, corpora.pool, out, fields=fields)),
        ):
            with pytest.raises(gotd.InputError) as caught:
                call(tmp_path / str(len(errors)), fields)
            errors.append(caught.value)

    threaded(fails)
    assert len(errors) == 2
    assert not list(tmp_path.glob(f"**/{LOCK}*"))
    assert gotd.fit(corpora.target, corpora.pool, tmp_path / "1").quality.converged


def test_a_lock_that_its_holder_took_away_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our opening of the file and our lock on it, its holder ended and removed it: another could have both."""
    first = Lock(tmp_path)
    opened = os.open

    def end_first(path: Path, *how: int) -> int:
        handle = opened(path, *how)
        first.release()
        return handle

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", end_first)
        thread_lock: list[Lock] = []
        threaded(lambda: thread_lock.append(Lock(tmp_path)))
    assert (tmp_path / LOCK).exists()
    with pytest.raises(ArtifactError, match=BUSY):
        Lock(tmp_path)
    thread_lock[0].release()


def test_a_folder_that_is_finished_or_refused_is_left_unlocked(tmp_path: Path) -> None:
    open_artifact(tmp_path, "fit", {"reg": 1}, {}).finish({})
    before = (tmp_path / "manifest.json").stat().st_mtime_ns
    assert open_artifact(tmp_path, "fit", {"reg": 1}, {}).lock is None
    with pytest.raises(ArtifactError, match="reg was 1 and is now 2") as caught:
        open_artifact(tmp_path, "fit", {"reg": 2}, {})
    assert caught.tb is not None  # which keeps what was opened alive
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert (tmp_path / "manifest.json").stat().st_mtime_ns == before
