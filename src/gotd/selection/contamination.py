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

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.hashing import _classes, _finalise, _powers, batches
from gotd.errors import SettingsError

N = 13
SHORTEST = 5  # words; what is shorter is a phrase that anyone may write

_DROPPED, _LETTER, _SIGN, _SPACE = range(4)
_PIECE_CHARS = 1 << 20
_ASCII_TO = bytes(0x20 if chr(i).isspace() else ord(chr(i).lower()) for i in range(128)) + bytes(128)
_ASCII_DROPPED = bytes(i for i in range(128) if not (chr(i).isspace() or chr(i).isalnum()))
_FLAGS_PER_RUN, _MOST_FLAG_BITS = 16, 28


@dataclass(frozen=True, slots=True)
class Words:
    """The words of some texts, in order.

    Attributes:
        codes: code points of the texts, folded, punctuation dropped.
        spans: (2, w) int64 where each word starts and ends in `codes`.
        hashes: (w,) uint64.
        bounds: (n + 1,) int64; text i has the words bounds[i]:bounds[i + 1].
    """

    codes: NDArray[np.uint8] | NDArray[np.uint32]
    spans: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    bounds: NDArray[np.int64]

    def spelled(self, first: int, count: int) -> str:
        """`count` words from the word `first` on, a space between two."""
        spans = self.spans[:, first : first + count].T
        return " ".join("".join(map(chr, self.codes[start:end].tolist())) for start, end in spans.tolist())

    def runs(self, n: int) -> NDArray[np.uint64]:
        """(max(w - n + 1, 0),) the hash of n words from each word on, with no regard to where a text ends."""
        powers, inverses = _powers(len(self.hashes) + 1)
        sums = np.zeros(len(self.hashes) + 1, np.uint64)
        np.cumsum(self.hashes * powers[:-1], out=sums[1:])
        return _finalise((sums[n:] - sums[:-n]) * inverses[: max(len(sums) - n, 0)])


def words_of(texts: Sequence[str]) -> Words:
    """Find the words of texts; a word that fills a whole piece of a million characters is cut there."""
    pieces: list[str] = []
    last = [0]
    for text in texts:
        pieces.extend(_pieces(text))
        last.append(len(pieces))
    ascii = all(map(str.isascii, pieces))
    found = (_ascii_words if ascii else _other_words)(pieces)
    return Words(found.codes, found.spans, found.hashes, found.bounds[last])


def _pieces(text: str) -> Iterator[str]:
    """Cut a long text at whitespace, which bounds the tables of powers."""
    start = 0
    while len(text) - start > _PIECE_CHARS:
        space = max(text.rfind(space, start, start + _PIECE_CHARS) for space in " \n")
        end = space if space > start else start + _PIECE_CHARS
        yield text[start:end]
        start = end
    yield text[start:]


def _ascii_words(texts: Sequence[str]) -> Words:
    parts = [text.encode("ascii").translate(_ASCII_TO, _ASCII_DROPPED) for text in texts]
    codes = np.frombuffer(b" ".join([*parts, b""]), np.uint8)
    edges = np.flatnonzero(np.diff(codes != 0x20, prepend=False, append=False))
    sizes = np.fromiter(map(len, parts), np.int64, len(parts)) + 1
    return _words(codes, edges[::2], edges[1::2], sizes)


def _other_words(texts: Sequence[str]) -> Words:
    parts = [folded(text).encode("utf-32-le", "surrogatepass") for text in texts]
    codes = np.frombuffer(" ".encode("utf-32-le").join([*parts, b""]), np.dtype("<u4"))
    classes = _spaced_classes()[codes]
    sizes = np.fromiter(map(len, parts), np.int64, len(parts)) // 4 + 1
    kept = classes != _DROPPED
    if len(sizes):
        sizes = np.add.reduceat(kept, np.cumsum(sizes) - sizes, dtype=np.int64)
    codes, classes = codes[kept], classes[kept]
    signs, letters = classes == _SIGN, np.pad(classes == _LETTER, 1)
    starts = np.flatnonzero(signs | (letters[1:-1] & ~letters[:-2]))
    ends = np.flatnonzero(signs | (letters[1:-1] & ~letters[2:])) + 1
    return _words(codes, starts, ends, sizes)


def _words(
    codes: NDArray[np.uint8] | NDArray[np.uint32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> Words:
    """Hash the words codes[start:end], as gotd.encoders.hashing does; `sizes` (n,) of the texts in codes."""
    powers, inverses = _powers(len(codes) + 1)
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * powers[:-1], out=sums[1:])
    hashes = _finalise((sums[ends] - sums[starts]) * inverses[starts])
    bounds = np.searchsorted(starts, np.concatenate([[0], np.cumsum(sizes)]))
    return Words(codes, np.stack([starts, ends]), hashes, bounds)


def folded(text: str) -> str:
    """The text with its compatibility forms (ligatures, full-width letters) and its case folded."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


@lru_cache(maxsize=1)
def _spaced_classes() -> NDArray[np.uint8]:
    """(0x110000,) class of each code point: dropped, of a word, a word by itself, or a space."""
    classes: NDArray[np.uint8] = _classes().copy()
    classes[[i for i in range(0x3001) if chr(i).isspace()]] = _SPACE
    return classes


class Contamination:
    """Which texts share n words in a row with a held-out text.

    Args:
        held_out: the texts, kept in memory.
        n: words in a row; at least 5.

    Attributes:
        unchecked: held-out texts of fewer than 5 words, which nothing is compared with.
    """

    def __init__(self, held_out: Iterable[str], n: int = N) -> None:
        if not n >= SHORTEST:
            raise SettingsError(f"n is {n}; wanted at least {SHORTEST} words in a row")
        self._texts = list(held_out)
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
