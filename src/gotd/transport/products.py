"""Inner products in less than float32: operands are rounded, sums are float32.

              bits of the mantissa
    float32   23
    tf32      10    on CUDA by tensor cores
    fp16      10    twice as fast there; what is below 6e-8 is lost, which coordinates of unit vectors can spare
    bf16       7

Rounded operands give the same products everywhere, up to the order of float32 sums; where no unit of the device takes
them as they are, the product is one of float32 numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Products = Literal["float32", "tf32", "fp16", "bf16"]
_HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}
_DROPPED = 13  # of float32's 23 bits tf32 keeps 10


def rounded(points: Tensor, products: Products) -> Tensor:
    """Points (n, d) as an operand of `product`; as they are for float32."""
    if products in _HALVES:
        return points.to(_HALVES[products])
    if products == "tf32" and not points.is_cuda:
        # To the nearest, as tensor cores are given them; the sign and exponent stand above the mantissa.
        bits = points.float().view(torch.int32) + (1 << (_DROPPED - 1))
        return (bits & -(1 << _DROPPED)).view(torch.float32)
    return points


def product(x: Tensor, y: Tensor, products: Products) -> Tensor:
    """x y^T (n, m) of rounded operands (n, d) and (m, d); float32 unless the operands are float64."""
    if products in _HALVES:
        if _wide_sums(x.device.type, x.dtype):
            return torch.mm(x, y.T, out_dtype=torch.float32)
        return x.float() @ y.float().T
    if products == "tf32" and x.is_cuda:
        with _tf32():
            return x @ y.T
    return x @ y.T


@lru_cache
def _wide_sums(device: str, dtype: torch.dtype) -> bool:
    """Whether the device multiplies halves to float32; torch before 2.8 does so nowhere, the CPU not in 2.13."""
    if device != "cuda":
        return False
    some = torch.ones(16, 16, dtype=dtype, device=device)
    try:
        return torch.mm(some, some, out_dtype=torch.float32).dtype == torch.float32
    except (TypeError, RuntimeError):
        return False


@contextmanager
def _tf32() -> Iterator[None]:
    """Tensor cores for float32 products; the setting is torch's, for the whole process."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
