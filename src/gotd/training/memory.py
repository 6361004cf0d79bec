"""What memory a training took, and what to say when it runs out: a size that fits, found by trying."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from gotd.errors import SettingsError
from gotd.training.batches import Collate, Items, Loss
from gotd.training.models import arithmetic
from gotd.training.settings import Machine, Recipe
from gotd.training.together import rank, world

_LOOKED_AT = 1_000  # items to find the longest among


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says so, of whatever device."""
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, Exception) and should_reduce_batch_size(error)
    )


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that was held on a GPU since its count began anew; on a CPU, by this process since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def room_for(what: str, remedy: str) -> Iterator[None]:
    """A lack of memory inside becomes one line: with `what` it happened, and the flag to pass."""
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise SettingsError(f"out of memory with {what} at a time. Pass {remedy}") from error


def memory_advice(model: Any, items: Items, collate: Collate, loss: Loss, recipe: Recipe, machine: Machine) -> str:
    """Halve until one forward and backward pass fits, and name that size; of several processes none tries alone."""
    bf16 = arithmetic(machine.device, recipe.precision)[1]
    tried = size = machine.portion(recipe.batch, world())
    if world() > 1 and size > 1:
        smaller = next(part for part in range(size // 2, 0, -1) if size % part == 0)
        return (
            f"process {rank()}: out of memory with {tried} texts on its device at a time. "
            f"Pass --micro-batch {smaller}: the batch stays {recipe.batch}"
        )
    model.zero_grad(set_to_none=True)
    while size > 1:
        size = next(part for part in range(size // 2, 0, -1) if recipe.batch % part == 0)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if _fits(model, items, collate, loss, size, bf16):
            return (
                f"out of memory with {tried} texts on the device at a time; {size} fit. "
                f"Pass --micro-batch {size}: the batch stays {recipe.batch}"
            )
    return (
        "out of memory with one text on the device. Pass --gradient-checkpointing, a shorter --window "
        f"({'now ' + str(recipe.window) if recipe.window else 'such as 512'}), or --lora 16"
    )


def _fits(model: Any, items: Items, collate: Collate, loss: Loss, size: int, bf16: bool) -> bool:
    largest = sorted(range(min(len(items), _LOOKED_AT)), key=lambda i: -len(items[i]["input_ids"]))[:size]
    try:
        batch = {name: part.to(model.device) for name, part in collate([items[i] for i in largest]).items()}
        labels = batch.pop("labels", None)
        model.train()
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
            found = loss(model(**batch), labels, None)
        found.backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        if not out_of_memory(error):
            raise
        return False
    finally:
        model.zero_grad(set_to_none=True)
    return True
