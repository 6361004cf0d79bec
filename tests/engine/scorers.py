"""A scorer for workers in other processes that counts what it loads; apart from `works`, which needs no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from works import append

from gotd.corpus import Shard
from gotd.potential import Potential
from gotd.stages.score import ShardScorer

plainly = Potential.load


@dataclass(frozen=True)
class CountedScorer(ShardScorer):
    """A scorer that leaves a line in the file `loads`, beside the pool, each time that a potential is read."""

    def __call__(self, shard: Shard, stem: Path) -> dict[str, Any]:
        log = Path(shard.file.path).with_name("loads")

        def load(path: Path, *, device: str) -> Potential:
            append(log, f"{os.getpid()}")
            return plainly(path, device=device)

        Potential.load = load
        return ShardScorer.__call__(self, shard, stem)
