"""A second device where there is none: a tensor on it computes on the CPU, and refuses to meet one that is not on it.

What torch refuses on CUDA, two tensors of two devices in one operation, numpy of a tensor that was not fetched, is
refused here, so that code for a GPU can be tested without one. It is called `meta`, since torch makes tensors on that
device without asking for a driver. Views share memory and operations in place change it, as they do anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
_MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Elsewhere(torch.Tensor):
    """A tensor of the pretended device."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Elsewhere:
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), dtype=inner.dtype, device=DEVICE, dispatch_sizes_strides_policy="sizes"
        )
        made.inner = inner
        return made

    def tolist(self) -> Any:
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Tensors that are made on the pretended device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def pretended() -> Iterator[torch.device]:
    """Within the block tensors can be made on the device that is given."""
    with _Factories():
        yield DEVICE


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, torch.Tensor)]
    there = [isinstance(part, Elsewhere) for part in tensors]
    if any(there) and func not in _MOVES:
        for part, is_there in zip(tensors, there):
            # As on CUDA, a number in a tensor of the CPU may meet any tensor.
            if not is_there and part.ndim > 0:
                raise RuntimeError(f"{func}: expected all tensors to be on the same device")
    asked = kwargs.get("device")
    to = any(there) if asked is None else torch.device(asked) == DEVICE
    if func is torch.ops.aten.copy_.default:
        to = there[0]
    given = {**kwargs, "device": torch.device("cpu")} if asked is not None else kwargs
    found = func(*tree_map(_opened, args), **tree_map(_opened, given))
    if func._schema.is_mutable:
        return args[0] if func._schema.name.endswith("_") else kwargs["out"]
    return tree_map(lambda part: Elsewhere(part) if isinstance(part, torch.Tensor) else part, found) if to else found


def _opened(part: Any) -> Any:
    return part.inner if isinstance(part, Elsewhere) else part
