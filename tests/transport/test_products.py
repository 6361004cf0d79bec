"""Products of rounded operands: the rounding is that of the format, the sum is float32."""

from __future__ import annotations

import pytest
import torch

from gotd.transport.cost import Cost
from gotd.transport.kernel import Kernel
from gotd.transport.products import product, rounded

BITS = {"tf32": 10, "fp16": 10, "bf16": 7}


@pytest.mark.parametrize("products", BITS)
def test_operands_keep_the_bits_of_their_format(products) -> None:
    """1 + 2^-b stays, of half of that above it nothing is left; what is nearer to the next number goes there."""
    last = 2.0 ** -BITS[products]
    given = torch.tensor([[1 + last, 1 + last / 4, 1 + 0.75 * last, -1 - 0.75 * last, 0.0]])
    wanted = [1 + last, 1.0, 1 + last, -1 - last, 0.0]
    assert rounded(given, products).float().tolist() == [wanted]


def test_float32_is_left_alone() -> None:
    given = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    assert rounded(given, "float32") is given


@pytest.mark.parametrize("products", BITS)
def test_sums_are_float32(products) -> None:
    """4097 times 2^-12 is 1 + 2^-12 in float32; a sum in the operands' own format would have lost the fraction."""
    x, y = torch.full((1, 4097), 2.0**-6), torch.full((1, 4097), 2.0**-6)
    found = product(rounded(x, products), rounded(y, products), products)
    assert found.dtype == torch.float32
    assert float(found) == 1 + 2.0**-12


@pytest.mark.parametrize("products", BITS)
def test_a_kernel_takes_them_and_comes_as_near_as_they_allow(draw, products) -> None:
    x, y = (draw(n, n, dim=64, dtype=torch.float32) for n in (300, 40))
    g, reg = torch.zeros(40), 0.05
    exact = Kernel(x.points.double(), y.points.double(), Cost.COSINE).softmin(g.double(), y.log_weights.double(), reg)
    found = Kernel(x.points, y.points, Cost.COSINE, products=products).softmin(g, y.log_weights, reg)
    error = float((found.double() - exact).abs().max())
    # |<x, y> - <x', y'>| <= 2 * 2^-(b + 1) |x| |y|, and f moves by no more than the costs do.
    assert 1e-6 < error <= 1.01 * 2.0 ** -BITS[products]
