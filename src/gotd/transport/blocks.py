"""A function of points, in blocks of one shape.

For few rows BLAS takes other paths, which round otherwise: in blocks of one shape the point and the score of a
document have the same bits whatever its neighbours are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

ROWS = 128


def blocks(points: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """(start, stop, block): the rows start..stop of points (n, ...), filled with zeros to (ROWS, ...)."""
    for start in range(0, len(points), ROWS):
        block = points[start : start + ROWS]
        missing = ROWS - len(block)
        filled = torch.cat([block, block.new_zeros(missing, *points.shape[1:])]) if missing else block
        yield start, start + len(block), filled


def blockwise(points: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """`function` (ROWS, d) -> (ROWS,) over all rows of points (n, d)."""
    values = torch.empty(len(points))
    for start, stop, block in blocks(points):
        values[start:stop] = function(block)[: stop - start]
    return values
