"""Passes of a potential over the shards of a pool, until its certificate asks for no more.

The potential of each is in `parts/pass-0`, `parts/pass-1` and so on: a run that was stopped goes on with the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gotd.artifacts import Artifact
from gotd.corpus import Shard
from gotd.engine import Executor, Progress, Ran, run
from gotd.potential import Potential
from gotd.potential_file import FILE_NAME
from gotd.stages.arithmetic import on_gpu, worker_count
from gotd.stages.embeddings import FOLDER, collect
from gotd.stages.merging import given_up
from gotd.stages.ranks import Rank
from gotd.stages.scores import Scores
from gotd.stages.shard_scorer import ShardScorer, forget

ASK_AT = 0.03  # below it the best 1 % change by about one in a hundred (docs/log.md)


@dataclass(frozen=True, slots=True)
class Last:
    """The pass that stands.

    Attributes:
        ran: what came of its shards.
        potential: that it was made by.
        errors: the marginal error of each target, and of what is to be left; empty where no mass was counted.
        steps: how many came before it, each with a correction.
    """

    ran: Ran
    potential: Potential
    errors: list[float]
    steps: int

    @property
    def certificate(self) -> dict[str, Any]:
        """For the manifest."""
        each = {} if self.potential.plain else {"marginal_errors": self.errors}
        return {"marginal_error": max(self.errors, default=None), **each}


def over_shards(
    scorer: ShardScorer,
    potential: Potential,
    shards: Sequence[Shard],
    folder: Path,
    key: str,
    *,
    workers: int | None,
    executor: Executor | None,
    progress: Progress,
) -> Ran:
    """One pass, by a scorer and the potential that it reads; nothing that another run has read serves it.

    Args:
        folder, key, workers, executor: see `run`.
    """
    forget()
    try:
        return run(
            shards,
            scorer,
            folder,
            key,
            workers=worker_count(workers, executor, scorer.device, potential),
            executor=executor,
            gpu=on_gpu(scorer.device, potential.encoder),
            progress=progress,
        )
    finally:
        forget()


@dataclass(frozen=True, slots=True)
class Passes:
    """Passes over the shards of one pool, into one artifact."""

    artifact: Artifact
    scorer: ShardScorer
    shards: Sequence[Shard]
    workers: int | None
    executor: Executor | None
    progress: Progress

    def all(self, fitted: Potential, polish: int) -> Last:
        """Score, and step and score again while the certificate asks for it: of several targets, the worst of theirs.

        Args:
            polish: further passes, at most.
        """
        step, fitted = self._begun(fitted)
        while True:
            ran = self._run(self.shards, step, fitted)
            if self.scorer.keep_embeddings and step == 0:
                collect(ran, self.artifact.folder, fitted.encoder)
            masses = [torch.from_numpy(np.load(part.stem.with_name(f"{part.stem.name}.mass.npy"))) for part in ran.done]
            col = torch.stack([fitted.no_mass(), *masses]).sum(0)
            errors = fitted.marginal_errors(col) if float(col.sum()) > 0 else []
            # Without the rows in quarantine the pool is not the reference: no step is taken by the others' mass.
            if ran.lost or max(errors, default=0.0) <= ASK_AT or step >= polish:
                return Last(ran, fitted, errors, step)
            step, fitted = step + 1, fitted.stepped(col)
            self._save(step, fitted)

    def shared(self, fitted: Potential, rank: Rank) -> Scores:
        """One share of the pass that is under way."""
        mine = rank.share(self.shards)
        step, fitted = self._begun(fitted)
        ran = self._run(mine, step, fitted)
        self.artifact.release()
        shards = {"done": len(ran.done), "of": len(mine), "pool": len(self.shards)}
        return Scores(self.artifact.folder, {"shards": shards, "quarantined": given_up(ran.lost)})

    def potential(self, step: int) -> Path:
        """The file of the potential of a pass."""
        return self._parts / f"pass-{step}" / FILE_NAME

    def _run(self, shards: Sequence[Shard], step: int, fitted: Potential) -> Ran:
        scorer = replace(self.scorer, potential=self.potential(step))
        if step and scorer.keep_embeddings:
            # No pass embeds what the first has embedded.
            scorer = replace(scorer, embeddings=self.artifact.folder / FOLDER, keep_embeddings=False)
        return over_shards(
            scorer,
            fitted,
            shards,
            self._parts,
            f"{self.artifact.key}:{step}",
            workers=self.workers,
            executor=self.executor,
            progress=self.progress,
        )

    def _begun(self, fitted: Potential) -> tuple[int, Potential]:
        """The pass that a stopped run was at, and its potential."""
        step = max((int(path.parent.name[5:]) for path in self._parts.glob(f"pass-*/{FILE_NAME}")), default=0)
        if step == 0:
            self._save(0, fitted)
            return 0, fitted
        return step, Potential.load(self.potential(step), device=self.scorer.device)

    def _save(self, step: int, fitted: Potential) -> None:
        """Put a potential where the workers of its pass find it."""
        folder = self.potential(step).parent
        folder.mkdir(parents=True, exist_ok=True)
        fitted.save(folder)

    @property
    def _parts(self) -> Path:
        """Where shards leave their files."""
        return self.artifact.folder / "parts"
