"""Workers that start before there is anything to score, and are up by then.

Each imports torch, which takes a second: the time in which `gotd score` imports it too, or `select` fits. Nothing here
imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gotd.artifacts import MANIFEST
from gotd.corpus import Shard
from gotd.engine import Executor, ahead

_SCORER = "gotd.stages.shard_scorer"  # what their tasks are made of


@contextmanager
def early_workers(
    shards: Sequence[Shard], output: Path, workers: int | None, executor: Executor | None
) -> Iterator[None]:
    """Start the processes that will score these shards within the block; none where `output` is finished already.

    Args:
        shards: of the pool. A share of it, or one that is half done, may need fewer: the others end with the block.
        output: the folder of `score`.
        workers, executor: see `score`.
    """
    finished = (output / MANIFEST).exists()
    with ahead(_SCORER, 0 if finished else len(shards), workers, executor):
        yield
