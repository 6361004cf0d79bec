"""The seam between formats and uses: rows with their positions, parsed only when asked for.

Reading parses all rows of a batch, sampling and fetching a few. So a format hands out the
positions of some thousand rows at once, cheap and as an array, and a function for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gotd.corpus.documents import Document, Reject

Item = Document | Reject


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of a file.

    Attributes:
        positions: (rows,) of each row, ascending.
        items: what the rows with these numbers (0-based, ascending) give, one item a row.
    """

    positions: NDArray[np.int64]
    items: Callable[[Iterable[int]], Iterator[Item]]
