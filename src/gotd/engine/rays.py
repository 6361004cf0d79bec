"""Workers as actors of Ray: of the cluster that RAY_ADDRESS names or that runs on this machine, else one of our own."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from gotd.corpus import Shard
from gotd.engine.crew import NO_MEMORY, Crew, Death, Failed, Failure, Ready, Worker, answer
from gotd.engine.parts import Done, Task
from gotd.engine.threads import available_cores, settle_threads
from gotd.errors import GotdError, MissingExtra


def check_extra() -> None:
    if find_spec("ray") is None:
        raise MissingExtra("--executor ray", "ray", "ray")


@contextmanager
def actors(task: Task, workers: int | None, most: int, *, gpu: bool) -> Iterator[tuple[Crew, int]]:
    """A crew, and how many workers it has: at most `most`; a cluster that was started here ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent home
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a worker of no GPU keeps what it sees
    import ray

    ours = not ray.is_initialized() and _connect(ray, min(workers or available_cores(), most))
    try:
        cluster = ray.cluster_resources()
        count = min(workers or max(1, int(cluster.get("CPU", 1))), most)
        # Whole GPUs while there are enough, else each its part, rounded down so that all fit.
        gpus = min(1.0, math.floor(100 * cluster.get("GPU", 0) / count) / 100) if gpu else 0.0
        yield _Actors(ray, task, gpus), count
    finally:
        if ours:
            ray.shutdown()


def _connect(ray: Any, cpus: int) -> bool:
    """Join a running cluster, or start one; whether it was started."""
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    if os.environ.get("RAY_ADDRESS"):
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as error:
            address = os.environ["RAY_ADDRESS"]
            raise GotdError(f"no Ray cluster at RAY_ADDRESS {address}. Start one, or unset it") from error
        return False
    try:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError:
        ray.init(address="local", num_cpus=cpus, **quiet)
        return True
    return False


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
            told: Ready | Done | Failure = self._ray.get(self.answer)
        except self._ray.exceptions.RayError as error:
            return Death(f"Ray says: {_told(error)}")
        if isinstance(told, Failure):
            self.stop()
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

    def do(self, shard: Shard) -> Done | Failure:
        try:
            return answer(self._task, shard)
        except MemoryError:
            os._exit(NO_MEMORY)


def _told(error: Exception) -> str:
    """Ray's page on a death, as one line: the sentence that says why, if there is one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "exit" in line.lower() or "memory" in line.lower()), lines[0])
