"""Which of several commands one is, that score a pool together: as told, or as Slurm says."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gotd.corpus import Shard
from gotd.engine import share
from gotd.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Rank:
    """One of `world_size` commands, counted from 0."""

    rank: int
    world_size: int

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise SettingsError(
                f"rank is {self.rank} and world size {self.world_size}; wanted a rank of 0 to {self.world_size - 1}"
            )

    @classmethod
    def of(cls, rank: int | None, world_size: int | None, environment: Mapping[str, str] = os.environ) -> Rank | None:
        """What `--rank` and `--world-size` mean, the rank as Slurm counts tasks if it is left out; None for neither."""
        if world_size is None:
            if rank is not None:
                raise SettingsError(f"rank is {rank} of an unknown number; pass --world-size too")
            return None
        return cls(_slurm(environment, world_size) if rank is None else rank, world_size)

    def share(self, shards: Sequence[Shard]) -> list[Shard]:
        return share(shards, self.rank, self.world_size)

    def __str__(self) -> str:
        return f"Rank {self.rank} of {self.world_size}"


def _slurm(environment: Mapping[str, str], world_size: int) -> int:
    """The number of an array's task, whatever the array counts from, or of a step's."""
    task, process = environment.get("SLURM_ARRAY_TASK_ID"), environment.get("SLURM_PROCID")
    if task is not None and int(environment.get("SLURM_NTASKS", "1")) > 1:
        raise SettingsError("this is one of several tasks of one of an array's jobs; pass --rank")
    tasks = int(environment.get("SLURM_ARRAY_TASK_COUNT", world_size))
    if task is not None and tasks != world_size:
        # Of a part of an array, as of those tasks that failed, the first number is not that of the whole.
        raise SettingsError(f"this array has {tasks} tasks and the world size is {world_size}; pass --rank")
    if task is not None:
        return int(task) - int(environment.get("SLURM_ARRAY_TASK_MIN", "0"))
    if process is not None:
        return int(process)
    raise SettingsError("neither SLURM_ARRAY_TASK_ID nor SLURM_PROCID is set; pass --rank beside --world-size")
