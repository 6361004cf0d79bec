"""The one pass that fitting and scoring share: a blocked soft-minimum over the target.

For a block of rows x_i and the target's h_j = (g_j - beta_j) / reg + log b_j,

    z_ij = h_j + gamma <x_i, y_j> / reg         p_ij = softmax_j z_ij
    f_i  = alpha_i - reg * logsumexp_j z_ij     col_j = sum_i a_i p_ij

One matrix product gives the potential f, the column marginal of the plan (its difference to b is the gradient of
the semi-dual) and so the error, while only a block of z is ever held. When many passes over the same rows are to
come, the products <x_i, y_j> are kept in bfloat16, which leaves the ranking of the fitted potential unchanged
(docs/log.md) at half the memory. On a GPU products that are not kept may be of rounded operands (`products.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gotd.transport.cost import Cost
from gotd.transport.products import Products, product, rounded

CACHE_BYTES = 512 << 20
# A fixed number: were it a share of what is free, the bits of a fit would depend on who else uses the GPU.
_CACHE_BYTES_GPU = 2 << 30


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass returns: f (n,) in units of the cost, and col (m,) float64, the mass each target receives."""

    f: Tensor
    col: Tensor


class Kernel:
    """The costs between two sets of points, seen block by block.

    Args:
        x: (n, d) rows.
        y: (m, d) columns.
        cost: the ground cost.
        passes: how many passes are expected: with more than one, products are kept if they fit in CACHE_BYTES.
        products: of what precision, where they are not kept.
    """

    def __init__(self, x: Tensor, y: Tensor, cost: Cost, *, passes: int = 1, products: Products = "float32") -> None:
        self.x, self.y, self.cost, self.products = x, y, cost, products
        self.alpha, self.beta = cost.offset(x), cost.offset(y)
        # A block of z that stays in the processor's cache is worth more than a large matrix product. A GPU wants work
        # enough to be worth a start, and holds about four blocks at a time: 256 MB each.
        entries = (64 << 20) if x.is_cuda else (1 << 20)
        self.rows = max(16, min(len(x), entries // max(1, len(y))))
        kept_type = torch.bfloat16 if x.dtype == torch.float32 else x.dtype
        kept_bytes = len(x) * len(y) * kept_type.itemsize
        self._kept: Tensor | None = None
        if passes > 1 and kept_bytes <= (_CACHE_BYTES_GPU if x.is_cuda else CACHE_BYTES):
            self._kept = self._products(kept_type)

    def every(self, step: int) -> Kernel:
        """This kernel on every `step`-th row; what is kept is shared."""
        if step == 1:
            return self
        part = Kernel(self.x[::step], self.y, self.cost, products=self.products)
        part._kept = self._kept[::step] if self._kept is not None else part._kept
        return part

    def _products(self, kept_type: torch.dtype) -> Tensor:
        kept = torch.empty((len(self.x), len(self.y)), dtype=kept_type, device=self.x.device)
        return torch.mm(self.x.to(kept_type), self.y.to(kept_type).T, out=kept)

    def _logits(self, h: Tensor, reg: float) -> Iterator[tuple[int, int, Tensor]]:
        scale = self.cost.gamma / reg
        kept, y = self._kept, rounded(self.y, self.products)
        for start in range(0, len(self.x), self.rows):
            stop = min(start + self.rows, len(self.x))
            if kept is None:
                found = product(rounded(self.x[start:stop], self.products), y, self.products)
            else:
                found = kept[start:stop]
            yield start, stop, torch.add(h, found, alpha=scale)

    def softmin(self, g: Tensor, log_b: Tensor, reg: float) -> Tensor:
        """f (n,) = -reg log sum_j exp((g_j - C_ij) / reg + log b_j), in units of the cost."""
        return self.plan_pass(g, log_b, reg, None).f

    def plan_pass(self, g: Tensor, log_b: Tensor, reg: float, a: Tensor | None) -> Pass:
        """One pass: f, and with row weights a (n,) also the column marginal.

        Args:
            g: (m,) potential of the columns, in units of the cost.
            log_b: (m,) log weights of the columns.
            reg: entropy strength, in units of the cost.
            a: (n,) weights of the rows, or None if marginals are not wanted.
        """
        h = (g - self.beta) / reg + log_b
        f = torch.empty_like(self.alpha)
        col = torch.zeros(len(self.y), dtype=torch.float64, device=self.x.device)
        for start, stop, z in self._logits(h, reg):
            highest = z.amax(1)
            plan = torch.softmax(z, 1)
            # log-sum-exp of a row is its highest logit less the log of that entry's softmax: one exp, not two.
            f[start:stop] = self.alpha[start:stop] - reg * (highest - plan.amax(1).log())
            if a is not None:
                col += (a[start:stop] @ plan).double()
        return Pass(f, col)
