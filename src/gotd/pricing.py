"""The price of many documents on a device, block by block: host memory -> points -> phi -> host memory.

Blocks travel while the device works on the one before, and the host waits once, at the end. On the CPU in float32
`Potential` prices by itself, in blocks that give a document the same bits whatever its neighbours are; here they are
as large as a GPU likes, and the last digits are those of the block.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gotd.errors import SettingsError
from gotd.transfers import Fetch, enough_memory, sent, streamed
from gotd.transport import Products, SoftMin, Space

ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Pricer:
    """phi_t = f_PT - f_PP of each of t targets; what it holds is on the device.

    Attributes:
        space: vectors to points.
        attracts: f_PT of each target.
        repel: f_PP, or None where the fit was not debiased.
        device: where.
        products: of what precision.
        rows: documents on the device at a time, at most.
    """

    space: Space
    attracts: tuple[SoftMin, ...]
    repel: SoftMin | None
    device: torch.device
    products: Products = "float32"
    rows: int = ROWS

    @classmethod
    def of(
        cls,
        space: Space,
        attracts: tuple[SoftMin, ...],
        repel: SoftMin | None,
        device: torch.device,
        products: Products = "float32",
        rows: int = ROWS,
    ) -> Pricer:
        """From parts that lie anywhere."""
        if not rows >= 1:
            raise SettingsError(f"rows is {rows}; wanted 1 or more")
        moved = tuple(attract.to(device) for attract in attracts)
        return cls(space.to(device), moved, None if repel is None else repel.to(device), device, products, rows)

    def points(self, points: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """phi (t, n) of points (n, d), and with weights (n,) the mass (m,) float64 that the targets receive."""
        phi, col, _ = self._passed(points, weights, raw=False)
        return phi, col

    def vectors(self, vectors: NDArray[Any]) -> Tensor:
        """phi (t, n) of raw vectors (n, d), float16 or float32.

        Raises:
            InputError: one holds NaN or infinity.
        """
        if vectors.dtype not in (np.float16, np.float32):
            vectors = vectors.astype(np.float32)
        with warnings.catch_warnings():
            # torch warns of arrays that may only be read, such as a mapped file; nothing here writes to them.
            warnings.simplefilter("ignore", UserWarning)
            host = torch.from_numpy(np.ascontiguousarray(vectors))
        phi, _, finite = self._passed(host, None, raw=True)
        if not finite:
            Space()(vectors)  # says which
        return phi

    def _passed(self, host: Tensor, weights: Tensor | None, *, raw: bool) -> tuple[Tensor, Tensor, bool]:
        dtype, where = self.attracts[0].points.dtype, self.device
        smaller = max(1, min(self.rows, len(host)) // 8)
        with enough_memory(
            f"a block of {min(self.rows, len(host)):,} documents",
            f"pass fewer --workers, each of which holds one, or --device cpu; from Python on(..., rows={smaller})",
        ):
            phi = torch.empty(len(self.attracts), len(host), dtype=dtype, device=where)
            cols = [torch.zeros(len(part.g), dtype=torch.float64, device=where) for part in self.attracts]
            finite = torch.ones((), dtype=torch.bool, device=where)
            mass = None if weights is None else sent(weights, where)
            for start, block in streamed(host, self.rows, where):
                rows = slice(start, start + len(block))
                x = block.to(dtype)
                if raw:
                    finite &= torch.isfinite(x).all()
                    x = self.space.placed(x)
                own = None if self.repel is None else self.repel(x, products=self.products)
                for row, attract in enumerate(self.attracts):
                    found = attract.plan_pass(x, None if mass is None else mass[rows], products=self.products)
                    phi[row, rows] = found.f if own is None else found.f - own
                    cols[row] += found.col
            fetched = [Fetch(phi), Fetch(torch.cat(cols)), Fetch(finite)]
        found_phi, col, all_finite = (one.wait() for one in fetched)
        return found_phi, col, bool(all_finite)
