"""Workers as processes of this machine: spawned, one thread each, one pipe each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from gotd.corpus import Shard
from gotd.engine.crew import Death, Failed, Failure, Ready, Worker, answer, cause
from gotd.engine.parts import Done, Task
from gotd.engine.threads import settle_threads

_SPAWN = multiprocessing.get_context("spawn")


class Processes:
    """A crew of processes that do `task`."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def start(self) -> Worker:
        return _Process(self._task)

    def wait(self, workers: Sequence[Worker]) -> Sequence[Worker]:
        by_pipe = {worker.pipe: worker for worker in workers if isinstance(worker, _Process)}
        # A dead process closes its end of the pipe, which is something to hear too.
        return [by_pipe[pipe] for pipe in wait(list(by_pipe)) if isinstance(pipe, Connection)]


class _Process:
    def __init__(self, task: Task) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, task))
        self._process.start()
        theirs.close()

    def give(self, shard: Shard) -> None:
        with suppress(BrokenPipeError):  # it died just now: `hear` says so
            self.pipe.send(shard)

    def hear(self) -> Ready | Done | Death:
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


def _serve(pipe: Connection, task: Task) -> None:
    """What a worker does, until its parent says no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    settle_threads()
    pipe.send(Ready())
    while True:
        try:
            shard = pipe.recv()
        except EOFError:
            return
        pipe.send(answer(task, shard))


def _end_with_parent() -> None:
    """A worker whose parent was killed would work on for nobody, beside those of the next run."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
