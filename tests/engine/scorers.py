"""A scorer for workers in other processes that counts what it loads; apart from `works`, which needs no torch."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from works import append

from gotd.corpus import Shard
from gotd.potential import Potential
from gotd.stages.shard_scorer import ShardScorer

plainly = Potential.load


@dataclass(frozen=True, kw_only=True)
class CountedScorer(ShardScorer):
    """A scorer that leaves its process's number in `log` each time that a potential is read."""

    log: Path

    def __call__(self, shard: Shard, stem: Path) -> dict[str, Any]:
        def load(path: Path, *, device: str) -> Potential:
            append(self.log, str(os.getpid()))
            return plainly(path, device=device)

        Potential.load = load
        try:
            return ShardScorer.__call__(self, shard, stem)
        finally:
            Potential.load = plainly


@dataclass(frozen=True, kw_only=True)
class MortalScorer(ShardScorer):
    """A scorer whose process is killed by some shards, as long as the file `poison` is there.

    Attributes:
        tried: a file that gets a line for each shard that is tried.
    """

    poison: Path
    tried: Path
    deadly: tuple[int, ...]

    def __call__(self, shard: Shard, stem: Path) -> dict[str, Any]:
        append(self.tried, str(shard.index))
        if shard.index in self.deadly and self.poison.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return ShardScorer.__call__(self, shard, stem)
