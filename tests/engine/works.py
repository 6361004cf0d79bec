"""What workers in other processes do in these tests; they import it by its name."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from gotd.corpus import Shard

THREADS = os.environ.get("OMP_NUM_THREADS")  # as libraries that load now see it


@lru_cache(maxsize=1)
def loaded(log: Path) -> int:
    """As a model is: once a process. Each time leaves a line in `log`."""
    append(log, f"loaded {os.getpid()}")
    return os.getpid()


def append(log: Path, line: str) -> None:
    with log.open("a") as out:
        out.write(f"{line}\n")


@dataclass(frozen=True)
class Work:
    """Writes the shard's number, and a line in `log` for each call.

    Attributes:
        once: shards that kill their worker when they are first tried.
        always: shards that kill it each time.
        hungry: shards that get no memory.
        wrong: shards that raise; a message that begins with `odd` comes with an error that cannot be pickled.
    """

    log: Path
    once: tuple[int, ...] = ()
    always: tuple[int, ...] = ()
    hungry: tuple[int, ...] = ()
    wrong: tuple[tuple[int, str], ...] = ()

    def __call__(self, shard: Shard, stem: Path) -> dict[str, Any]:
        tried = self.log.exists() and f"try {shard.index}" in self.log.read_text().splitlines()
        append(self.log, f"try {shard.index}")
        stem.with_name(f"{stem.name}.out").write_text(str(shard.index))
        loaded(self.log)
        if shard.index in self.always or (shard.index in self.once and not tried):
            os.kill(os.getpid(), signal.SIGKILL)
        if shard.index in self.hungry:
            raise MemoryError
        if message := dict(self.wrong).get(shard.index):
            raise Odd(message, lambda: None) if message.startswith("odd") else KeyError(message)
        return {"read": shard.stop - shard.start}


@dataclass(frozen=True)
class Imports:
    """Says whether its process has imported pandas, once pyarrow had something to convert."""

    def __call__(self, shard: Shard, stem: Path) -> dict[str, Any]:
        return {"length": len(pa.array(["text"])), "pandas": "pandas" in sys.modules, "threads": THREADS}


class Odd(Exception):
    """No function that has no name can be pickled."""


@dataclass(frozen=True)
class Waiting:
    """Says its process's number into a pipe that has a name, and waits until it is killed."""

    pipe: Path

    def __call__(self, shard: Shard, stem: Path) -> dict[str, Any]:
        with self.pipe.open("w") as out:
            out.write(f"{os.getpid()}\n")
            out.flush()
            signal.pause()
        return {}


@dataclass(frozen=True)
class Located:
    """Writes the shard's number; in a cluster, shards 0 and 1 meet, each on a node of its own.

    Attributes:
        meeting: a pipe that has a name; None for no meeting.
        log: where each call leaves the shard and the node.
        doomed: a node that dies, with all that is on it, once they have met.
    """

    meeting: Path | None
    log: Path
    doomed: str | None = None

    def __call__(self, shard: Shard, stem: Path) -> dict[str, Any]:
        if self.meeting is not None:
            import ray

            node = ray.get_runtime_context().get_node_id()
            tried = [line.split()[0] for line in self.log.read_text().splitlines()]
            append(self.log, f"{shard.index} {node}")
            if shard.index in (0, 1) and str(shard.index) not in tried:
                with self.meeting.open("wb" if shard.index else "rb"):
                    pass
                if node == self.doomed:
                    os.kill(os.getppid(), signal.SIGKILL)
                    signal.pause()
        stem.with_name(f"{stem.name}.out").write_text(str(shard.index))
        return {"read": shard.stop - shard.start}
