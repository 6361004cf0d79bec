"""A fitted potential as a function of any point.

    f(x) = -reg log sum_j b_j exp((g_j - C(x, y_j)) / reg)

All that was learnt of the reference is in the m numbers g, so a sample of the reference suffices to fit it, and
any pool can be scored in one pass with constant memory. At the points of the fit, f equals the fitted potential.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gotd.errors import InputError
from gotd.transport.cost import Cost
from gotd.transport.kernel import Kernel, Pass
from gotd.transport.problem import Measure
from gotd.transport.products import Products

_ROWS = 8192


@dataclass(frozen=True, slots=True)
class SoftMin:
    """One potential of entropic OT, extended to any point.

    Attributes:
        points: (m, d) float32 or float64.
        g: (m,) their potential, in units of the cost.
        log_b: (m,) log of their weights; exp sums to 1.
        reg: entropy strength, in units of the cost, > 0.
        cost: the ground cost.
    """

    points: Tensor
    g: Tensor
    log_b: Tensor
    reg: float
    cost: Cost = Cost.COSINE

    def __call__(self, x: Tensor, *, products: Products = "float32") -> Tensor:
        """f (n,) at points x (n, d), in units of the cost."""
        return self.plan_pass(x, None, products=products).f

    def plan_pass(self, x: Tensor, a: Tensor | None, *, products: Products = "float32") -> Pass:
        """f (n,) and, with weights a (n,), the mass (m,) that each target receives from x: the certificate."""
        if x.shape[1] != self.points.shape[1]:
            raise InputError(
                f"vectors have {x.shape[1]} dimensions; the potential was fitted on {self.points.shape[1]}. "
                "Embed them with the encoder it was fitted with"
            )
        kernel = Kernel(x.to(self.points), self.points, self.cost, products=products)
        return kernel.plan_pass(self.g, self.log_b, self.reg, a)

    def received(self, whole: Measure) -> Tensor:
        """The mass (m,) float64 that each target receives from a measure, which may lie in half precision."""
        col = torch.zeros(len(self.g), dtype=torch.float64, device=self.g.device)
        for start in range(0, len(whole), _ROWS):
            points, weights = (part[start : start + _ROWS].to(self.points) for part in (whole.points, whole.weights))
            col += self.plan_pass(points, weights).col
        return col

    def to(self, device: torch.device | str) -> SoftMin:
        """The same potential on another device."""
        return SoftMin(self.points.to(device), self.g.to(device), self.log_b.to(device), self.reg, self.cost)
