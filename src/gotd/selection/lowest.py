"""The lowest rows of a stream, in memory that grows with what is kept alone.

Rows stream by as keys and numbers. Those that can still be among the lowest are held, and thrown out again as better
ones come: at most twice what is kept, and a slack. What is out is out for good, so the result is that of a full sort:

    beyond `count`, or what `tokens` hold    as many better rows are kept, and only better ones replace them
    beyond `per_source`                      as many better rows of its source are kept, and the same holds

Under `tokens` and `per_source` together a row may give way to a lighter one of its source: what is kept may end
before the tokens do, and is the beginning of the full sort all the same.
Ties go to the row that came first, however the stream is cut into batches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SLACK = 1 << 16


class Lowest:
    """The rows with the lowest keys so far.

    Args:
        count: how many at most; None for no such limit.
        tokens: how many tokens they may have together: the rows up to the first that does not fit; None for no limit.
        per_source: how many of one source at most; None for no limit.

    Attributes:
        ended: whether rows were left out for `count` or `tokens`.
    """

    def __init__(self, count: int | None, tokens: float | None = None, per_source: int | None = None) -> None:
        self._count, self._tokens, self._per_source = count, tokens, per_source
        self._parts: list[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]] = []
        self._kept = 0  # rows after the last cut
        self._held = 0
        self._limit = np.float32(np.inf)  # no row at or above this key can be kept any more
        self._limits = np.zeros(0, np.float32)  # the same of each source
        self._beyond = np.zeros(0, bool)  # whether rows of the source were left out for `per_source`
        self.ended = False

    def add(
        self, keys: NDArray[np.float32], first: int, tokens: NDArray[np.int32], sources: NDArray[np.int32] | None = None
    ) -> None:
        """Look at more rows.

        Args:
            keys: (n,) of each.
            first: number of the first; the others follow.
            tokens: (n,) of each.
            sources: (n,) number of each one's source, where there is a limit to them.
        """
        near = keys < self._limit
        self.ended |= bool(self._limit < np.inf and not near.all())
        codes = np.zeros(len(keys), np.int32)
        if self._per_source is not None and sources is not None:
            codes = sources
            self._know(int(sources.max(initial=-1)) + 1)
            within = keys < self._limits[codes]
            self._beyond[codes[near & ~within]] = True
            near &= within
        rows = np.flatnonzero(near)
        if not len(rows):
            return
        self._parts.append((keys[rows], rows + first, tokens[rows], codes[rows]))
        self._held += len(rows)
        if self._held > 2 * self._kept + _SLACK:
            self._cut()

    def rows(self) -> NDArray[np.int64]:
        """The numbers of the kept rows, lowest key first."""
        return self._cut()[1]

    def keys(self) -> NDArray[np.float32]:
        """The key of each."""
        return self._cut()[0]

    def tokens(self) -> NDArray[np.int32]:
        """The tokens of each."""
        return self._cut()[2]

    def beyond(self) -> list[int]:
        """The sources that have further rows, left out for `per_source`."""
        self._cut()
        sources: list[int] = np.flatnonzero(self._beyond).tolist()
        return sources

    def _know(self, sources: int) -> None:
        new = sources - len(self._limits)
        if new > 0:
            self._limits = np.append(self._limits, np.full(new, np.inf, np.float32))
            self._beyond = np.append(self._beyond, np.zeros(new, bool))

    def _cut(self) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
        if not self._parts:
            return np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32)
        keys, rows, tokens, sources = (np.concatenate(column) for column in zip(*self._parts))
        order = np.argsort(keys, kind="stable")
        if self._per_source is not None:
            order = self._thinned(order, keys, sources, self._per_source)
        end = len(order) if self._count is None else min(self._count, len(order))
        if self._tokens is not None:
            filled = np.cumsum(tokens[order[:end]], dtype=np.int64)
            end = int(np.searchsorted(filled, self._tokens, side="right"))
        if end < len(order):
            self._limit = keys[order[end]]
            self.ended = True
        order = order[:end]
        kept = keys[order], rows[order], tokens[order], sources[order]
        self._parts = [kept]
        self._kept = self._held = len(order)
        return kept

    def _thinned(
        self, order: NDArray[np.int64], keys: NDArray[np.float32], sources: NDArray[np.int32], most: int
    ) -> NDArray[np.int64]:
        """The order without what is beyond `most` of its source; what is now out for good is noted."""
        by_source = order[np.argsort(sources[order], kind="stable")]
        owners = sources[by_source]
        place = np.arange(len(owners)) - np.searchsorted(owners, owners)
        last = by_source[place == most - 1]
        self._limits[sources[last]] = keys[last]
        out = by_source[place >= most]
        self._beyond[sources[out]] = True
        stays = np.ones(len(keys), bool)
        stays[out] = False
        return order[stays[order]]
