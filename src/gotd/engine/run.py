"""Shards to parts, resumably, by whatever runs the work.

Each shard goes through one function that writes `parts/00012.*` and returns its counts, which go into
`parts/00012.done.json` (see `parts.py`): a run that was stopped goes on where it was, and never trusts a part of
something else. Who calls the function changes no bit of a part: every worker has one thread.

    inline       this process
    processes    as many of this machine; one that dies is replaced
    ray          actors of a Ray cluster; the same
    a share      of the shards, for each of several commands that a batch system starts
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Literal, get_args

from gotd.corpus import Shard
from gotd.engine.crew import supervised
from gotd.engine.parts import Done, Lost, Part, Work
from gotd.engine.threads import available_cores as available_cores
from gotd.engine.threads import one_thread as one_thread
from gotd.errors import SettingsError

Executor = Literal["inline", "processes", "ray"]
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def silent(stage: str, done: int, total: int) -> None:
    """No progress shown."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of the shards.

    Attributes:
        done: those that are finished, in their order.
        lost: those in quarantine, in their order.
    """

    done: list[Done]
    lost: list[Lost]


def run(
    shards: Sequence[Shard],
    work: Work,
    folder: Path,
    key: str,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    gpu: bool = False,
    progress: Progress = silent,
) -> Ran:
    """Do the work for every shard that is not done yet.

    Args:
        folder: where parts go; with Ray, one that every node sees under this path.
        key: digest of the settings; a part made under another key is made again.
        workers: processes; None for one a core, of the cluster with Ray.
        executor: who works; None for processes, or this process where one worker is enough.
        gpu: whether the work is quicker with a GPU, of which Ray then gives each worker its part.
    """
    check_executor(executor)
    check_workers(workers)
    folder.mkdir(parents=True, exist_ok=True)
    part = Part(work, folder, key)
    found: dict[int, Done | Lost] = {}
    for shard in shards:
        finished = part.finished(shard)
        if finished is not None:
            found[shard.index] = finished
    # The largest first, so that no worker is left alone with one at the end.
    waiting = sorted((s for s in shards if s.index not in found), key=size, reverse=True)
    progress("scoring", len(found), len(shards))
    with closing(_outcomes(part, waiting, workers, executor, gpu)) as outcomes:
        for outcome in outcomes:
            found[outcome.shard.index] = outcome
            progress("scoring", len(found), len(shards))
    every = [found[shard.index] for shard in shards]
    return Ran([one for one in every if isinstance(one, Done)], [one for one in every if isinstance(one, Lost)])


def ahead(needed: str, shards: int, workers: int | None, executor: Executor | None) -> AbstractContextManager[None]:
    """Start the processes, if any, with which `run` within the block will do so many shards.

    Args:
        needed: the module of their work, which they import meanwhile.
        workers, executor: see `run`.
    """
    count = _count(workers, shards)
    if not _by_processes(executor, count):
        return nullcontext()
    from gotd.engine import processes

    return processes.ahead(count, needed)


def share(shards: Sequence[Shard], rank: int, world_size: int) -> list[Shard]:
    """What one of several commands is to do, in the order of the pool: shares differ by about a shard in size."""
    return sorted(sorted(shards, key=size, reverse=True)[rank::world_size], key=lambda shard: shard.index)


def check_executor(executor: str | None) -> None:
    """Refuse a misspelt setting, or a missing extra, before any work is done."""
    if executor not in (None, *get_args(Executor)):
        raise SettingsError(f'executor is "{executor}"; wanted {", ".join(get_args(Executor))}')
    if executor == "ray":
        from gotd.engine.rays import check_extra

        check_extra()


def check_workers(workers: int | None) -> None:
    """Refuse a number of processes that can be none."""
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, Integral) or workers < 1):
        raise SettingsError(f"workers is {workers!r}; wanted 1 or more processes, or None for one a core")


def size(shard: Shard) -> int:
    """Bytes to read, about; of Parquet, row groups."""
    if shard.stop < 0:
        return (shard.file.bytes or 0) * (4 if shard.file.compression else 1)
    return shard.stop - shard.start


def _outcomes(
    part: Part, waiting: Sequence[Shard], workers: int | None, executor: Executor | None, gpu: bool
) -> Generator[Done | Lost, None, None]:
    """What becomes of the shards, in the order in which they end."""
    if not waiting:
        return
    count = _count(workers, len(waiting))
    if executor == "ray":
        from gotd.engine.rays import actors

        with actors(part, workers, len(waiting), gpu=gpu) as (crew, count):
            yield from supervised(crew, waiting, count)
    elif _by_processes(executor, count):
        from gotd.engine.processes import Processes

        yield from supervised(Processes(part), waiting, count)
    else:
        with one_thread():
            yield from map(part, waiting)


def _count(workers: int | None, shards: int) -> int:
    """How many processes: one a core where the number is left open, and never more than shards."""
    return min(workers or available_cores(), shards)


def _by_processes(executor: Executor | None, count: int) -> bool:
    """Whether others do the work, on this machine; a daemon, such as those of multiprocessing.Pool, may start none."""
    daemon = multiprocessing.current_process().daemon
    if executor == "processes" and daemon:
        raise SettingsError("executor is processes, and a daemon process may start none; pass inline, or leave it out")
    return executor == "processes" or (executor is None and count > 1 and not daemon)
