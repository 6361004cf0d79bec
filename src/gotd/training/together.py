"""Several processes that train one model: each runs the same command on the same data, and has a part of each batch.

Rank 0 owns the output folder: it opens, locks and writes it. The others wait for what it found, and write nothing but
their part of a checkpoint. In a process by itself each of these functions does its work and no more.

Wherever they meet, each first says whether it failed on the way there: so all end together, and one of them says why.
Between two meetings of a training they talk by gradients alone; a rank that fails there says so itself, and the
launcher ends the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from gotd.artifacts import Artifact
from gotd.encoders.weights import resolve_device
from gotd.errors import FailedElsewhere, SettingsError
from gotd.launched import processes
from gotd.training.settings import Machine

if TYPE_CHECKING:
    import torch

P = ParamSpec("P")
T = TypeVar("T")
WAIT = timedelta(hours=1)  # of the others while the first writes a large model
_GONE = "Connection closed by peer"  # gloo's; under NCCL the launcher is there first
_out_of_reach = False


def together(run: Callable[P, T]) -> Callable[P, T]:
    """A training that takes a `machine`, on all the processes that a launcher started; what fails on one ends all.

    Raises:
        FailedElsewhere: on all ranks but the one whose error it is, or the first of several.
    """

    @wraps(run)
    def joined(*args: P.args, **named: P.kwargs) -> T:
        global _out_of_reach
        _out_of_reach = False
        machine = named.get("machine")
        device = machine.device if isinstance(machine, Machine) else Machine().device
        _join(device)
        try:
            _check_device(device)
            return run(*args, **named)
        except FailedElsewhere:
            raise
        except Exception as error:
            if _GONE in str(error):
                raise FailedElsewhere("another process ended") from error
            if not _out_of_reach:
                meet(error)
            raise

    return joined


def world() -> int:
    """How many processes train together."""
    import torch

    return torch.distributed.get_world_size() if _joined() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    import torch

    return torch.distributed.get_rank() if _joined() else 0


def meet(failed: Exception | None = None) -> None:
    """Wait for the others, and end where another has failed; who passes its own error on may raise it after this."""
    if world() == 1:
        return
    import torch

    said: list[str | None] = [None] * world()
    torch.distributed.all_gather_object(said, None if failed is None else str(failed))
    speaker = next((i for i, what in enumerate(said) if what is not None), None)
    if speaker not in (None, rank()):
        raise FailedElsewhere(f"process {speaker}: {said[speaker]}")


def first(work: Callable[[], T]) -> T:
    """Rank 0 does the work; all have what it found."""
    if world() == 1:
        return work()
    import torch

    found = [work() if rank() == 0 else None]
    meet()
    torch.distributed.broadcast_object_list(found, src=0)
    return found[0]  # type: ignore[return-value]  # what was sent is what was found


def first_opens(work: Callable[[], Artifact]) -> Artifact:
    """An output folder, opened and locked by rank 0; the others know where it is."""
    held: list[Artifact] = []

    def opened() -> Artifact:
        held.append(work())
        return replace(held[0], lock=None)

    shared = first(opened)
    return held[0] if held else shared


def sharded() -> bool:
    """Whether each process holds a part of the weights: FSDP, asked for by accelerate's configuration."""
    return "LOCAL_RANK" in os.environ and _flag("ACCELERATE_USE_FSDP")


@contextmanager
def out_of_reach() -> Iterator[None]:
    """In here the ranks exchange gradients and weights: one that fails cannot tell the others."""
    global _out_of_reach
    _out_of_reach = True
    yield
    _out_of_reach = False


def added(values: torch.Tensor) -> torch.Tensor:
    """The sum over all ranks."""
    if world() == 1:
        return values
    import torch

    total = values.detach().clone()
    torch.distributed.all_reduce(total)
    return total


def leave() -> None:
    """Part from the others, when all is done."""
    if _joined():
        import torch

        torch.distributed.destroy_process_group()


def _joined() -> bool:
    import torch

    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _flag(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("true", "1")


def _join(device: str) -> None:
    if processes() == 1 or _joined():
        return
    from accelerate import PartialState

    try:
        cpu = resolve_device(device).type != "cuda"
    except SettingsError:
        cpu = True  # `_check_device` says so once they have met
    PartialState(cpu=cpu, timeout=WAIT)


def _check_device(device: str) -> None:
    """Refuse a device that is not there, before any work, and what a launcher's processes cannot train on."""
    import torch

    where = resolve_device(device)
    if "LOCAL_RANK" not in os.environ:
        return
    if _flag("ACCELERATE_USE_DEEPSPEED"):
        raise SettingsError("gotd does not train by DeepSpeed; take FSDP in the configuration of accelerate")
    if sharded() and where.type == "cpu":
        raise SettingsError("accelerate shards weights on GPUs alone; take FSDP out of its configuration")
    if world() == 1:
        return
    if where.type not in ("cpu", "cuda"):
        raise SettingsError(f"{world()} processes cannot train together on {where.type}; pass --device cpu")
    if where.index is not None:
        raise SettingsError(f"device {device}: each of {world()} processes has its own; pass --device {where.type}")
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if where.type == "cuda" and here > gpus:
        raise SettingsError(f"{here} processes on a machine with {gpus} GPUs; start as many as there are GPUs")
