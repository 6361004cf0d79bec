"""Candidates that give away the test: those that share a run of n words with a held-out text.

A word is what whitespace leaves once case is folded and punctuation dropped, so that `Don't stop-gap!` is
`dont stopgap`; in scripts that write no spaces each sign is a word. 13 such words in a row are what GPT-3
(Brown et al. 2020, appendix C) took for overlap of training text with a benchmark, and what most have taken since.

Differs from GPT-3's cleaning in these points: the whole candidate is reported, where GPT-3 cut 200 characters to
each side of the overlap; runs that many documents share are not forgiven; a held-out text of 5 to n - 1 words counts
whole, where GPT-3 lowered n to the test's 5th percentile, at least 8. Shorter texts are left unchecked and counted.

With w_i the hash of word i, the run of n from i hashes to

    h_i = ((W_{i+n} - W_i) B^-i) modulo 2^64,    W_k = sum_{j<k} w_j B^j,

whatever n is. A table of flags answers for nearly all runs, a sorted array for the rest, and a hit counts only where
the words themselves agree: there are no false positives, and no missed ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.hashing import batches
from gotd.errors import SettingsError
from gotd.selection.words import Words, words_of

N = 13
SHORTEST = 5  # words; what is shorter is a phrase that anyone may write

_FLAGS_PER_RUN, _MOST_FLAG_BITS = 16, 28


class Contamination:
    """Which texts share n words in a row with a held-out text.

    Args:
        held_out: the texts, kept in memory.
        n: words in a row; at least 5.

    Attributes:
        texts: how many held-out texts there are.
        unchecked: those of fewer than 5 words, which nothing is compared with.
    """

    def __init__(self, held_out: Iterable[str], n: int = N) -> None:
        if not n >= SHORTEST:
            raise SettingsError(f"n is {n}; wanted at least {SHORTEST} words in a row")
        self._texts = list(held_out)
        self.texts = len(self._texts)
        self._runs: dict[int, _Runs] = {}
        self.unchecked = 0
        parts: dict[int, list[tuple[NDArray[np.uint64], NDArray[np.int32]]]] = {}
        for number, text in enumerate(self._texts):
            words = words_of([text])
            size = min(n, len(words.hashes))
            if size < SHORTEST:
                self.unchecked += 1
                continue
            hashes = words.runs(size)
            places = np.stack([np.full(len(hashes), number), np.arange(len(hashes))]).astype(np.int32)
            parts.setdefault(size, []).append((hashes, places))
        for size, found in sorted(parts.items(), reverse=True):
            self._runs[size] = _Runs.of(
                np.concatenate([hashes for hashes, _ in found]), np.concatenate([at for _, at in found], axis=1)
            )

    def check(self, texts: Sequence[str]) -> list[str | None]:
        """For each text the first run of words that it shares with a held-out text, spelled out, or None."""
        shared: list[str | None] = [None] * len(texts)
        for ascii in (True, False):
            rows = [row for row, text in enumerate(texts) if text.isascii() == ascii]
            start = 0
            for batch in batches([texts[row] for row in rows]):
                for number, run in self._first(words_of(batch)).items():
                    shared[rows[start + number]] = run
                start += len(batch)
        return shared

    def _first(self, words: Words) -> dict[int, str]:
        """The first shared run of each text that has one; of runs from one word, the longest."""
        first: dict[int, tuple[int, str]] = {}
        for size, runs in self._runs.items():
            hashes = words.runs(size)
            hits = runs.among(hashes)
            owners = np.searchsorted(words.bounds, hits, side="right") - 1
            inside = hits + size <= words.bounds[owners + 1]
            for owner, hit in zip(owners[inside].tolist(), hits[inside].tolist()):
                if owner in first and first[owner][0] <= hit:
                    continue
                run = words.spelled(hit, size)
                if any(run == self._spelled(text, word, size) for text, word in runs.places_of(hashes[hit])):
                    first[owner] = hit, run
        return {owner: run for owner, (_, run) in first.items()}

    def _spelled(self, number: int, word: int, size: int) -> str:
        return _words_of_one(self._texts[number]).spelled(word, size)


@lru_cache(maxsize=4)
def _words_of_one(text: str) -> Words:
    """Kept for the next hit, which is likely in the same text."""
    return words_of([text])


@dataclass(frozen=True, slots=True)
class _Runs:
    """Held-out runs of one length.

    Attributes:
        hashes: (r,) uint64, ascending.
        places: (2, r) int32 the held-out text of each, and its first word there.
        table: (2^k,) bool, whether a hash begins with these k bits.
    """

    hashes: NDArray[np.uint64]
    places: NDArray[np.int32]
    table: NDArray[np.bool_]

    @classmethod
    def of(cls, hashes: NDArray[np.uint64], places: NDArray[np.int32]) -> _Runs:
        order = np.argsort(hashes, kind="stable")
        table = np.zeros(1 << min((_FLAGS_PER_RUN * len(hashes)).bit_length(), _MOST_FLAG_BITS), np.bool_)
        found = cls(hashes[order], places[:, order], table)
        table[found._heads(hashes)] = True
        return found

    def _heads(self, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        heads: NDArray[np.uint64] = hashes >> np.uint64(65 - len(self.table).bit_length())
        return heads

    def among(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Which of the hashes are held-out ones: their indices, ascending."""
        likely = np.flatnonzero(self.table[self._heads(hashes)])
        nearest = np.minimum(np.searchsorted(self.hashes, hashes[likely]), len(self.hashes) - 1)
        sure: NDArray[np.int64] = likely[self.hashes[nearest] == hashes[likely]]
        return sure

    def places_of(self, hash: np.uint64) -> list[list[int]]:
        """[held-out text, first word there] of every run with the hash."""
        first, last = (int(np.searchsorted(self.hashes, hash, side=side)) for side in ("left", "right"))
        places: list[list[int]] = self.places[:, first:last].T.tolist()
        return places
