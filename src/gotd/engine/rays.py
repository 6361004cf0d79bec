"""Workers as actors of Ray: of the cluster that RAY_ADDRESS names or that runs on this machine, else one of our own."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from gotd.corpus import Shard
from gotd.engine.crew import Crew, Death, Failed, Failure, Ready, Worker, answer
from gotd.engine.parts import Done, Task
from gotd.engine.threads import available_cores, settle_threads
from gotd.errors import GotdError, MissingExtra


def check_extra() -> None:
    if find_spec("ray") is None:
        raise MissingExtra("--executor ray", "ray", "ray")


@contextmanager
def actors(task: Task, workers: int | None, most: int, *, gpu: bool) -> Iterator[tuple[Crew, int]]:
    """A crew, and how many workers it has, at most `most`; a cluster that is started here ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent home
    import ray

    ours = not ray.is_initialized()
    if ours:
        connect(min(workers or available_cores(), most))
    try:
        cluster = ray.cluster_resources()
        count = min(workers or max(1, int(cluster.get("CPU", 1))), most)
        yield _Actors(ray, task, gpu_share(cluster.get("GPU", 0.0), count) if gpu else 0.0), count
    finally:
        if ours:
            ray.shutdown()


def connect(cpus: int) -> None:
    """Join the cluster that RAY_ADDRESS names, or that runs on this machine; where there is none, start one."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError as error:
        if address := os.environ.get("RAY_ADDRESS"):
            raise GotdError(f"no Ray cluster at {address}. Start it, or unset RAY_ADDRESS") from error
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)


def gpu_share(gpus: float, workers: int) -> float:
    """A whole GPU for each worker while there are enough, else its part, rounded down so that all fit."""
    return min(1.0, math.floor(100 * gpus / workers) / 100)


class _Actors:
    """A crew of actors that do `task`, each with one CPU and so much of a GPU."""

    def __init__(self, ray: Any, task: Task, gpus: float) -> None:
        self._ray = ray
        self._kind = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(_Serving)
        self._task = task

    def start(self) -> Worker:
        return _Actor(self._ray, self._kind.remote(self._task))

    def wait(self, workers: Sequence[Worker]) -> Sequence[Worker]:
        by_answer = {worker.answer: worker for worker in workers if isinstance(worker, _Actor)}
        heard, _ = self._ray.wait(list(by_answer), num_returns=1)
        return [by_answer[answer] for answer in heard]


class _Actor:
    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self.answer = actor.ready.remote()

    def give(self, shard: Shard) -> None:
        self.answer = self._actor.do.remote(shard)

    def hear(self) -> Ready | Done | Death:
        try:
            told: Ready | Done | Failure | Death = self._ray.get(self.answer)
        except self._ray.exceptions.RayError as error:
            return Death(f"Ray says: {_told(error)}")
        if isinstance(told, Failure | Death):
            self.stop()
        if isinstance(told, Failure):
            raise told.error from Failed(told.trace)
        return told

    def stop(self) -> None:
        self._ray.kill(self._actor)


class _Serving:
    """The actor: a worker's process."""

    def __init__(self, task: Task) -> None:
        settle_threads()
        self._task = task

    def ready(self) -> Ready:
        return Ready()

    def do(self, shard: Shard) -> Done | Failure | Death:
        return answer(self._task, shard)


def _told(error: Exception) -> str:
    """Of Ray's page on a death, the sentence that says why."""
    page = str(error).strip()
    detail = re.search(r"exit detail: (.*?)\.?(?: Some common causes|$)", page, re.MULTILINE)
    return detail[1] if detail else page.splitlines()[-1]
