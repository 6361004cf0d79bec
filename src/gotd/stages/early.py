"""Workers that start before there is anything to score, and are up by then.

Each imports torch, which takes a second: the time in which `gotd score` imports it too, or `select` fits. Nothing here
imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gotd.artifacts import MANIFEST
from gotd.corpus import Fields, File, plan
from gotd.engine import Executor, ahead

_SCORER = "gotd.stages.shard_scorer"  # what their tasks are made of


@contextmanager
def early_workers(
    files: Sequence[File], fields: Fields, output: Path, workers: int | None, executor: Executor | None
) -> Iterator[None]:
    """Start the processes that will score these files within the block; none where `output` is finished already.

    Args:
        files: the pool. A share of it, or one that is half done, may need fewer: the others end with the block.
        output: the folder of `score`.
        fields, workers, executor: see `score`.
    """
    finished = (output / MANIFEST).exists()
    with ahead(_SCORER, 0 if finished else _shards(files, fields), workers, executor):
        yield


def _shards(files: Sequence[File], fields: Fields) -> int:
    """How many shards there will be; at least so many where files are remote, and a look into each would take long."""
    return len(files) if any("://" in file.path for file in files) else len(plan(files, fields))
