"""Workers that may die, and what becomes of their shards.

    every shard once, by all workers          a worker that dies is replaced, its shard put aside
    those put aside once more, by one worker  alone, so that want of memory is the shard's own; a second death
                                              is quarantine

What starts and hears workers is a `Crew`: processes of this machine (`processes.py`) or actors of Ray (`rays.py`).
concurrent.futures and loky give up all that is under way when one worker dies, and cannot say whose shard it was;
multiprocessing.Pool replaces it and waits for its answer for ever.
"""

from __future__ import annotations

import pickle
import signal
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gotd.corpus import Shard
from gotd.engine.parts import Done, Lost, Task
from gotd.errors import GotdError

GIVE_UP = 10  # deaths with no shard done between them: it is not the shards


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker that has started."""


@dataclass(frozen=True, slots=True)
class Death:
    """A worker that is no more, and why."""

    reason: str


class Failed(Exception):
    """The traceback of an error in a worker, as the cause of that error here."""

    def __str__(self) -> str:
        return f"in a worker:\n{self.args[0]}"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of the work, on its way to the parent."""

    error: BaseException
    trace: str


class Worker(Protocol):
    """Says Ready once, then Done for each shard that it is given; the work's own errors are raised by `hear`."""

    def give(self, shard: Shard) -> None:
        """One more shard to do."""

    def hear(self) -> Ready | Done | Death:
        """What it has to say; waits for it."""

    def stop(self) -> None:
        """End it, whatever it is at."""


class Crew(Protocol):
    """Starts workers, and waits until at least one of some has something to say."""

    def start(self) -> Worker:
        """One more worker."""

    def wait(self, workers: Sequence[Worker]) -> Sequence[Worker]:
        """Those that have something to say, once there is one."""


def supervised(crew: Crew, shards: Sequence[Shard], count: int) -> Iterator[Done | Lost]:
    """The shards by `count` workers, in the order in which they end."""
    again: list[Shard] = []
    for shard, outcome in _round(crew, shards, count):
        if isinstance(outcome, Done):
            yield outcome
        else:
            again.append(shard)
    for shard, outcome in _round(crew, again, 1):
        yield outcome if isinstance(outcome, Done) else Lost(shard, outcome.reason)


def _round(crew: Crew, shards: Sequence[Shard], count: int) -> Iterator[tuple[Shard, Done | Death]]:
    """Each shard once, and what became of it or of its worker."""
    waiting = deque(shards)
    workers: dict[Worker, Shard | None] = {}  # None until one is ready: a slow start holds no shard up
    deaths = 0
    try:
        while waiting or any(workers.values()):
            busy = sum(shard is not None for shard in workers.values())
            while len(workers) < min(count, busy + len(waiting)):
                workers[crew.start()] = None
            for worker in crew.wait(list(workers)):
                told, shard = worker.hear(), workers.pop(worker)
                if isinstance(told, Death):
                    deaths += 1
                    _give_up(told, deaths, started=shard is not None)
                elif waiting:
                    workers[worker] = following = waiting.popleft()
                    worker.give(following)
                else:
                    worker.stop()
                if isinstance(told, Done):
                    deaths = 0
                if shard is not None and not isinstance(told, Ready):
                    yield shard, told
    finally:
        for worker in workers:
            worker.stop()


def _give_up(death: Death, deaths: int, *, started: bool) -> None:
    """GotdError where a death is no shard's fault."""
    if not started:
        raise GotdError(f"a worker could not start: {death.reason}. Pass fewer --workers or --executor inline")
    if deaths == GIVE_UP:
        raise GotdError(
            f"{deaths} workers died one after another, the last: {death.reason}. Run the same command again with "
            "fewer --workers, or where there is more memory: it goes on from here"
        )


def answer(task: Task, shard: Shard) -> Done | Failure | Death:
    """In a worker: what it has to say of a shard. One that got no memory is taken for dead, as if it were killed."""
    try:
        return task(shard)
    except MemoryError:
        return Death("it ran out of memory")
    except BaseException as error:
        trace = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return Failure(GotdError(f"{type(error).__name__}: {error}"), trace)
        return Failure(error, trace)


def cause(status: int) -> str:
    """How a process ended, by its exit status, negative for a signal."""
    if status >= 0:
        return f"it ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"{name} killed it" + (", as the system does for want of memory" if name == "SIGKILL" else "")
