"""Runs in processes that are killed at a point of their own, for test_kills.py; imported by them by name."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import gotd
from gotd.corpus import Shard, plan
from gotd.stages import score
from gotd.stages.shard_scorer import ShardScorer

ON_DISK = {"fsync", "replace", "rename", "unlink", "mkdir", "rmdir", "open", "write", "truncate", "scandir"}
_HERE = str(Path(gotd.__file__).parent)


class Points:
    """Moments of a run, counted: calls within gotd, and calls of the system that change files; the n-th is the last.

    Args:
        at: `anywhere` or `on disk`, and how many of those are lived to see; None lives for ever.
    """

    def __init__(self, at: tuple[str, int] | None) -> None:
        self.seen = {"anywhere": 0, "on disk": 0}
        self._at = at

    def __call__(self, frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__ in ON_DISK:
            self._count("on disk")
        elif event == "call" and frame.f_code.co_filename.startswith(_HERE):
            self._count("anywhere")

    def _count(self, kind: str) -> None:
        self.seen[kind] += 1
        if self._at == (kind, self.seen[kind]):
            os.kill(os.getpid(), signal.SIGKILL)


def select(pool: str, target: str, output: Path, log: Path, at: tuple[str, int] | None) -> None:
    """One run in shards of 2000 bytes; the shards scored, and the points seen, go to `log`."""
    plain = ShardScorer.__call__

    def logged(self: ShardScorer, shard: Shard, stem: Path) -> dict[str, Any]:
        with log.open("a") as out:
            out.write(f"shard {shard.index}\n")
        return plain(self, shard, stem)

    ShardScorer.__call__ = logged
    score.plan = lambda files, fields: plan(files, fields, 2000)
    points = Points(at)
    sys.setprofile(points)
    gotd.select(pool, target, "15docs", output, executor="inline")
    sys.setprofile(None)
    with log.open("a") as out:
        out.writelines(f"{kind}: {seen}\n" for kind, seen in points.seen.items())
