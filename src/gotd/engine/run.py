"""Shards to parts, resumably.

Each shard goes through one function that writes `parts/00012.*` and returns its counts. The counts go into
`parts/00012.done.json`, written last and keyed by the shard's input and the settings, so that a run that was
stopped goes on where it was and never trusts a part of something else. Workers are processes with one thread each:
two threads a core are slower than one, and a fixed thread count makes the result the same to the bit however many
workers there are.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gotd.artifacts import digest, read_json, write_json
from gotd.corpus import Shard
from gotd.errors import ArtifactError, GotdError

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def silent(stage: str, done: int, total: int) -> None:
    """No progress shown."""


class Work(Protocol):
    """A picklable function from a shard to the files `stem.*` and the counts of what went in and out."""

    def __call__(self, shard: Shard, stem: Path) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Done:
    """A finished shard.

    Attributes:
        shard: what was read.
        stem: path of its files, without suffix.
        counts: what the work returned.
    """

    shard: Shard
    stem: Path
    counts: dict[str, Any]


def run(
    shards: Sequence[Shard],
    work: Work,
    folder: Path,
    key: str,
    *,
    workers: int | None = None,
    progress: Progress = silent,
) -> list[Done]:
    """Do the work for every shard that is not done yet; the results in the order of the shards.

    Args:
        folder: where parts go.
        key: digest of the settings; a part made under another key is made again.
        workers: processes; None for one a core, 1 to stay in this process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done: dict[int, Done] = {}
    for shard in shards:
        found = _finished(shard, folder, key)
        if found is not None:
            done[shard.index] = found
    # The largest first, so that no worker is left alone with one at the end.
    waiting = sorted((s for s in shards if s.index not in done), key=_size, reverse=True)
    count = min(workers or available_cores(), len(waiting))
    progress("scoring", len(done), len(shards))
    for finished in _inline(waiting, work, folder, key) if count <= 1 else _pool(waiting, work, folder, key, count):
        done[finished.shard.index] = finished
        progress("scoring", len(done), len(shards))
    return [done[shard.index] for shard in shards]


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for the numerical libraries within the block, as in every worker."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _inline(shards: Sequence[Shard], work: Work, folder: Path, key: str) -> Iterator[Done]:
    with one_thread():
        for shard in shards:
            yield _do(shard, work, folder, key)


def _pool(shards: Sequence[Shard], work: Work, folder: Path, key: str, count: int) -> Iterator[Done]:
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=spawn, initializer=_settle)
    try:
        futures = [pool.submit(_do, shard, work, folder, key) for shard in shards]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise GotdError(
            "a worker died, most often for want of memory. Run the same command again to go on from here, with "
            "fewer --workers. From a script, call gotd under `if __name__ == '__main__':`"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _settle() -> None:
    """In a new worker: one thread for good."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


def _do(shard: Shard, work: Work, folder: Path, key: str) -> Done:
    stem = folder / f"{shard.index:05d}"
    try:
        counts = work(shard, stem)
        write_json(_marker(stem), {"key": _shard_key(shard, key), "counts": counts})
    except OSError as error:
        raise ArtifactError(f"cannot write {stem}: {error.strerror}. Make room and run the command again") from error
    return Done(shard, stem, counts)


def _finished(shard: Shard, folder: Path, key: str) -> Done | None:
    stem = folder / f"{shard.index:05d}"
    if not _marker(stem).exists():
        return None
    found = read_json(_marker(stem))
    return Done(shard, stem, found["counts"]) if found.get("key") == _shard_key(shard, key) else None


def _marker(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.done.json")


def _shard_key(shard: Shard, key: str) -> str:
    return digest([key, shard.file.path, shard.file.digest, shard.start, shard.stop])


def _size(shard: Shard) -> int:
    if shard.stop < 0:
        return (shard.file.bytes or 0) * (4 if shard.file.compression else 1)
    return shard.stop - shard.start
