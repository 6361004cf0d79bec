"""Random numbers that belong to a document: made from the seed and its id, the same on any shard, in any order.

    h = blake2b(id; key = seed)        u = (top 52 bits of h + 1/2) / 2^52 in (0, 1)        Gumbel = -log(-log u)

Differs from a generator that is drawn from row by row (NumPy in `data-selection`) in that the draw does not depend
on where the document stands; and two documents of one id have one draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


def uniform(seed: int, ids: Sequence[str], purpose: str) -> NDArray[np.float64]:
    """(n,) in (0, 1), independent for two seeds and for two purposes (16 letters at most)."""
    start = blake2b(digest_size=8, key=str(seed).encode(), person=purpose.encode())
    digests = bytearray()
    for id in ids:
        hashed = start.copy()
        hashed.update(id.encode("utf-8", "surrogatepass"))
        digests += hashed.digest()
    steps = (np.frombuffer(bytes(digests), "<u8") >> np.uint64(12)).astype(np.float64)
    # Half a step off both ends: 0 and 1 are never reached, and every value is exact in float64.
    draws: NDArray[np.float64] = (steps + 0.5) / (1 << 52)
    return draws


def gumbel(seed: int, ids: Sequence[str], purpose: str) -> NDArray[np.float64]:
    """(n,) of the standard Gumbel law, between -3.6 and 36.8: the k highest of log w + Gumbel draw k by weight w."""
    return -np.log(-np.log(uniform(seed, ids, purpose)))


def below_one(draws: NDArray[np.float64]) -> NDArray[np.float32]:
    """Draws as float32 in [0, 1). The lowest, which are chosen, keep 24 digits: rounding makes no ties there."""
    held: NDArray[np.float32] = np.minimum(draws.astype(np.float32), np.nextafter(np.float32(1), np.float32(0)))
    return held
