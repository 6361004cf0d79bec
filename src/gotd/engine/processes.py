"""Workers as processes of this machine: spawned, one thread each, one pipe each.

A worker hears its task once and then shard after shard. To import what a task needs, torch above all, takes it a
second and more: `ahead` starts workers while the parent is at something else, and `Processes` takes those first.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module
from multiprocessing import spawn
from multiprocessing.connection import Connection, wait
from typing import Any

import pyarrow as pa

from gotd.corpus import Shard
from gotd.engine.crew import Death, Failed, Failure, Ready, Worker, answer, cause
from gotd.engine.parts import Done, Task
from gotd.engine.threads import name_one_thread, settle_threads

_SPAWN = multiprocessing.get_context("spawn")
_STARTING = threading.Lock()
_AHEAD: ContextVar[list[_Process] | None] = ContextVar("ahead", default=None)


@contextmanager
def ahead(count: int, needed: str) -> Iterator[None]:
    """Start so many workers now, for whoever runs tasks within the block; those that nobody took end with it.

    Args:
        needed: the module that they import meanwhile, that of the tasks to come.
    """
    idle: list[_Process] = []
    token = _AHEAD.set(idle)
    try:
        for _ in range(count):
            idle.append(_Process(needed))
        yield
    finally:
        _AHEAD.reset(token)
        for process in idle:
            process.stop()


class Processes:
    """A crew of processes that do `task`."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def start(self) -> Worker:
        """A worker that started ahead, or else a new one; it says Ready once it has the task."""
        idle = _AHEAD.get() or []
        process = idle.pop() if idle else _Process()
        if not process.alive:  # killed while it waited, which is no fault of a shard
            process.stop()
            process = _Process()
        process.assign(self._task)
        return process

    def wait(self, workers: Sequence[Worker]) -> Sequence[Worker]:
        """Those of the workers that have something to say, or are dead."""
        by_pipe = {worker.pipe: worker for worker in workers if isinstance(worker, _Process)}
        # A dead process closes its end of the pipe, which is something to hear too.
        return [by_pipe[pipe] for pipe in wait(list(by_pipe)) if isinstance(pipe, Connection)]


class _Process:
    """The parent's side of a worker."""

    def __init__(self, needed: str | None = None) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, needed))
        with _without_main():
            self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.is_alive()

    def assign(self, task: Task) -> None:
        """What it is to do with the shards that follow."""
        self._send(task)

    def give(self, shard: Shard) -> None:
        """One more shard to do."""
        self._send(shard)

    def hear(self) -> Ready | Done | Death:
        """What it has to say; waits for it."""
        try:
            told: Ready | Done | Failure | Death = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            self.pipe.close()
            return Death(cause(self._process.exitcode or 0))
        if isinstance(told, Failure | Death):
            self.stop()
        if isinstance(told, Failure):
            raise told.error from Failed(told.trace)
        return told

    def stop(self) -> None:
        """End it, whatever it is at: a part that is not whole is not there."""
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def _send(self, message: Task | Shard) -> None:
        """Say something to the worker, if it lives."""
        with suppress(BrokenPipeError, ConnectionResetError):  # it died just now: `hear` says so
            self.pipe.send(message)


@contextmanager
def _without_main() -> Iterator[None]:
    """A process spawned within the block does not import the script that the parent runs.

    It would for the sake of what a task may have been defined there, and no task is. A script that calls gotd without
    `if __name__ == "__main__":` would begin anew in each worker, and that of the command line costs time. What other
    threads start meanwhile is told all, as ever.
    """
    thread = threading.get_ident()

    def told(name: str) -> dict[str, Any]:
        about: dict[str, Any] = whole(name)
        if threading.get_ident() == thread:
            about = {key: value for key, value in about.items() if not key.startswith("init_main")}
        return about

    with _STARTING:
        whole = spawn.get_preparation_data
        spawn.get_preparation_data = told
        try:
            yield
        finally:
            spawn.get_preparation_data = whole


def _serve(pipe: Connection, needed: str | None) -> None:
    """What a worker does, until its parent says no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    name_one_thread()
    with suppress(EOFError):
        with _quick_imports():
            if needed is not None:
                import_module(needed)
            task: Task = pipe.recv()  # which imports what it needs
        settle_threads()
        pipe.send(Ready())
        while True:
            pipe.send(answer(task, pipe.recv()))


@contextmanager
def _quick_imports() -> Iterator[None]:
    """Imports within the block take two thirds of their time, and pandas is not imported for nothing.

    What an import makes is no garbage, yet the collector looks through all of it again and again. And pyarrow imports
    pandas, where it is installed, at its first conversion, to see whether it was given one of its series.
    """
    gc.disable()
    try:
        yield
        if "pandas" not in sys.modules:
            sys.meta_path.insert(0, _NoPandas)
            try:
                pa.array([])
            finally:
                sys.meta_path.remove(_NoPandas)
    finally:
        gc.enable()


class _NoPandas:
    """On the path of imports: pandas is not there."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        """None, which lets others look, for whatever else."""
        if name == "pandas":
            raise ImportError(name)


def _end_with_parent() -> None:
    """A worker whose parent was killed would work on for nobody, beside those of the next run."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
