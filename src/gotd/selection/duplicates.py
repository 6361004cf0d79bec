"""Drop exact and near duplicates from a stream of texts, best first, so that the best of each kind stays.

    exact   the same text once compatibility forms and case are folded and whitespace is
    near    the same sets of 5 words in a row, up to a threshold of the Jaccard similarity |A & B| / |A | B|

Near duplicates are found by MinHash (Broder 1997): for a random order h of all shingles, min h(A) = min h(B) has
probability J(A, B). Signatures of `bands * rows` such minima share a whole band of `rows` with probability

    1 - (1 - J^rows)^bands        (Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.4)

and the two numbers are set so that a pair at the threshold is missed once in ten thousand; more similar ones, less.
What shares a band is compared exactly, by the 64-bit hashes of all shingles: nothing below the threshold is dropped.
A band that many texts share is boilerplate: the best 65 stand for it, so that the time for one text has a bound, and
what is alike beyond the boilerplate meets in other bands. A text of fewer than 5 words is one shingle, the set of its
words; one without a word has only exact duplicates.

Differs from datasketch's `MinHashLSH` in these points: bands and rows are set by the recall at the threshold, not by
an equal weight of both errors; candidates are compared exactly; the whole takes half the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.hashing import finalised
from gotd.errors import SettingsError
from gotd.selection.words import Words, folded, words_of

Mode = Literal["exact", "near", "off"]
SHINGLE = 5  # words
THRESHOLD = 0.7
MISSED = 1e-4
_MOST_ROWS = 16
_FULL = 64  # texts of a band, beside its first
_CHUNK = 1 << 12  # shingles that meet the hash functions at a time


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A text that is dropped.

    Attributes:
        id: of the text.
        survivor: id of the text that stays, the most similar one; of equals, the first.
        similarity: Jaccard similarity of the two, 1 for exact duplicates.
    """

    id: str
    survivor: str
    similarity: float


class Deduplicator:
    """Takes texts one by one, best first; keeps of each what later ones are compared with.

    A text is compared with those that stayed only: where A ~ B ~ C and A is best, B goes, and C stays unless A ~ C.

    Args:
        mode: `exact`, `near` or `off`.
        threshold: Jaccard similarity, from 0.1 to 1, at and above which two texts are near duplicates.
    """

    def __init__(self, mode: Mode = "near", threshold: float = THRESHOLD) -> None:
        if mode not in get_args(Mode):
            raise SettingsError(f'duplicates are "{mode}"; wanted {", ".join(get_args(Mode))}')
        if not 0.1 <= threshold <= 1:
            raise SettingsError(f"the threshold of near duplicates is {threshold}; wanted 0.1 to 1")
        self._mode = mode
        self._ids: list[str] = []
        self._digests: dict[bytes, int] = {}
        self._near = _Near(threshold) if mode == "near" else None

    def offer(self, id: str, text: str) -> Duplicate | None:
        """What the text duplicates; None if it stays, to be compared with all that follow."""
        number = len(self._ids)
        if self._mode != "off":
            digest = _digest(text)
            if digest in self._digests:
                return Duplicate(id, self._ids[self._digests[digest]], 1.0)
            if self._near is not None:
                found = self._near.offer(shingles(words_of([text])))
                if found is not None:
                    return Duplicate(id, self._ids[found[0]], found[1])
            self._digests[digest] = number
        self._ids.append(id)
        return None


def _digest(text: str) -> bytes:
    plain = " ".join(folded(text).split())
    return blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def shingles(words: Words) -> NDArray[np.uint64]:
    """(s,) the distinct hashes of 5 words in a row, ascending; of fewer words, one hash of their set."""
    if 0 < len(words.hashes) < SHINGLE:
        return finalised(_distinct(words.hashes).sum(keepdims=True, dtype=np.uint64))
    return _distinct(words.runs(SHINGLE))


def _distinct(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    ordered = np.sort(hashes)
    distinct: NDArray[np.uint64] = ordered[np.diff(ordered, prepend=~ordered[:1]) != 0]
    return distinct


def banding(threshold: float) -> tuple[int, int]:
    """Bands and rows: one candidate in three at the threshold a band, and so many that one in 10,000 is missed."""
    if threshold == 1:
        return 1, 1
    rows = min(max(round(math.log(1 / 3) / math.log(threshold)), 1), _MOST_ROWS)
    return math.ceil(math.log(MISSED) / math.log1p(-(threshold**rows))), rows


class _Near:
    """The sets of shingles that stayed, and their bands."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        bands, rows = banding(threshold)
        hashes = bands * rows
        random = finalised(np.arange(1, 2 * hashes + bands + rows + 1, dtype=np.uint64))
        # h(x) = a x + b modulo 2^32, a odd: every value once, so that h is an order.
        a, b, self._salt, self._mix = np.split(random, np.cumsum([hashes, hashes, bands]))
        self._a = (a >> np.uint64(32)).astype(np.uint32)[:, None] | np.uint32(1)
        self._b = (b >> np.uint64(32)).astype(np.uint32)[:, None]
        self._sets: list[NDArray[np.uint64]] = []
        self._first: dict[int, int] = {}  # by band
        self._others: dict[int, list[int]] = {}

    def offer(self, new: NDArray[np.uint64]) -> tuple[int, float] | None:
        """Which set is most similar, and how much; None if none is similar, and the new one is kept."""
        keys = self._keys(new) if len(new) else []
        best = self._most_similar(new, keys)
        if best is not None:
            return best
        number = len(self._sets)
        for key in keys:
            if self._first.setdefault(key, number) != number:
                others = self._others.setdefault(key, [])
                if len(others) < _FULL:
                    others.append(number)
        self._sets.append(new)
        return None

    def _keys(self, new: NDArray[np.uint64]) -> list[int]:
        """The key of each band of the signature."""
        heads = (new >> np.uint64(32)).astype(np.uint32)
        chunks = (heads[start : start + _CHUNK] for start in range(0, len(heads), _CHUNK))
        minima = np.stack([(chunk * self._a + self._b).min(1) for chunk in chunks]).min(0)
        rows = minima.reshape(len(self._salt), -1).astype(np.uint64)
        keys: list[int] = finalised((rows * self._mix).sum(1) + self._salt).tolist()
        return keys

    def _most_similar(self, new: NDArray[np.uint64], keys: list[int]) -> tuple[int, float] | None:
        numbers: set[int] = set()
        for key in keys:
            if key in self._first:
                numbers.add(self._first[key])
                numbers.update(self._others.get(key, ()))
        candidates = np.array(sorted(numbers), np.int64)
        sizes = np.array([len(self._sets[number]) for number in candidates.tolist()], np.int64)
        # |A & B| / |A | B| <= min(|A|, |B|) / max(|A|, |B|)
        near = np.minimum(sizes, len(new)) / np.maximum(sizes, len(new)) >= self._threshold
        if not near.any():
            return None
        candidates, sizes = candidates[near], sizes[near]
        values = np.concatenate([self._sets[number] for number in candidates.tolist()])
        at = np.minimum(np.searchsorted(new, values), len(new) - 1)
        shared = np.add.reduceat(new[at] == values, np.cumsum(sizes) - sizes, dtype=np.int64)
        similarity = shared / (len(new) + sizes - shared)
        best = int(similarity.argmax())
        return (int(candidates[best]), float(similarity[best])) if similarity[best] >= self._threshold else None
