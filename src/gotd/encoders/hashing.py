"""Text to counts of hashed words, many texts at a time, in NumPy.

The texts of a batch are laid end to end as one array of code points c_0 c_1 ..., each with a class
(separator, letter of a word, sign of a script without spaces). With S_k = sum_{i<k} c_i B^i modulo 2^64, the
polynomial hash of the word at [s, t) is

    h = (S_t - S_s) B^-s = sum_{s<=i<t} c_i B^(i-s)    modulo 2^64, B odd and so invertible,

the same wherever the word stands. A 64-bit finaliser spreads h, and its top bits name the feature.

Differs from scikit-learn's `HashingVectorizer` in these points: four to five times faster; combining marks
belong to their word, so that Hindi and decomposed accents stay whole; `_` separates; Chinese, Japanese, Thai,
Lao, Khmer and Burmese give single characters and pairs; compatibility forms (ligatures, full-width letters)
are folded by NFKC.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BITS = 16
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_MIX = np.uint64(0xD6E8FEB86659FD93)

_WORD, _SPACELESS = 1, 2
# First and last code point of the scripts that write no space between words.
_SPACELESS_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # hiragana, katakana
    (0x31F0, 0x31FF),  # katakana, extensions
    (0x3400, 0x4DBF),  # Chinese ideographs, extension A
    (0x4E00, 0x9FFF),  # Chinese ideographs
    (0xF900, 0xFAFF),  # Chinese ideographs, compatibility
    (0xA9E0, 0xA9FF),  # Burmese, extended
    (0xAA60, 0xAA7F),  # Burmese, extended
    (0x1AFF0, 0x1B16F),  # kana, extended
)

# So many texts of 1000 characters keep the arrays in the second-level cache.
BATCH_TEXTS = 128
BATCH_CHARS = 1 << 20
# A longer text is read in pieces of this many characters, which bounds the memory of one book or one log
# file.
PIECE_CHARS = 1 << 20


@dataclass(frozen=True, slots=True)
class Counts:
    """Sparse rows: text i holds feature `features[k]` `counts[k]` times, for k in starts[i]:starts[i + 1].

    Attributes:
        starts: (n + 1,) int64.
        features: (nnz,) int32, ascending within a text, in 0 .. 2^BITS - 1.
        counts: (nnz,) int32, at least 1.
    """

    starts: NDArray[np.int64]
    features: NDArray[np.int32]
    counts: NDArray[np.int32]


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut `texts` into runs of at most BATCH_TEXTS texts and about BATCH_CHARS characters."""
    start = size = 0
    for end, text in enumerate(texts):
        if end > start and (end - start >= BATCH_TEXTS or size + len(text) > BATCH_CHARS):
            yield texts[start:end]
            start, size = end, 0
        size += len(text)
    if start < len(texts):
        yield texts[start:]


def count_words(texts: Sequence[str]) -> Counts:
    """Count the hashed words of each text; a text without letters or digits has none."""
    ascii_texts: list[tuple[int, str]] = []
    other_texts: list[tuple[int, str]] = []
    parts: list[NDArray[np.uint64]] = []
    for number, text in enumerate(texts):
        if len(text) <= PIECE_CHARS:
            (ascii_texts if text.isascii() else other_texts).append((number, text))
        else:
            pieces = (text[i : i + PIECE_CHARS] for i in range(0, len(text), PIECE_CHARS))
            parts.extend(_keys([(number, piece)]) for piece in pieces)
    keys = np.concatenate([*parts, _keys(ascii_texts), _keys(other_texts)])
    keys.sort()
    first = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
    found = keys[first]
    return Counts(
        starts=np.searchsorted(found, np.arange(len(texts) + 1, dtype=np.uint64) << np.uint64(BITS)),
        features=(found & np.uint64((1 << BITS) - 1)).astype(np.int32),
        counts=np.diff(first, append=len(keys)).astype(np.int32),
    )


def _codes(texts: Sequence[str]) -> tuple[NDArray[np.uint8] | NDArray[np.uint32], NDArray[np.int64]]:
    """The code points of the texts in lower case, a separator between two; and the length of each."""
    if all(map(str.isascii, texts)):
        # A byte is a code point here: a quarter of the memory, and faster.
        data = "\n".join(texts).lower().encode("ascii")
        return np.frombuffer(data, np.uint8), np.fromiter(map(len, texts), np.int64, len(texts))
    folded = [unicodedata.normalize("NFKC", text).lower() for text in texts]
    # A lone surrogate is a code point of no class, and so separates.
    data = "\n".join(folded).encode("utf-32-le", "surrogatepass")
    return np.frombuffer(data, np.dtype("<u4")), np.fromiter(map(len, folded), np.int64, len(folded))


def _keys(numbered: Sequence[tuple[int, str]]) -> NDArray[np.uint64]:
    """`number << BITS | feature` of each word of the texts."""
    codes, lengths = _codes([text for _, text in numbered])
    if not len(codes):
        return np.empty(0, np.uint64)
    classes = character_classes()[codes]
    edges = np.flatnonzero(np.diff(classes == _WORD, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    powers, inverses = power_tables(len(codes))
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * powers, out=sums[1:])
    hashes = (sums[ends] - sums[starts]) * inverses[starts]

    signs = np.flatnonzero(classes == _SPACELESS) if codes.itemsize > 1 else starts[:0]
    if len(signs):
        single = codes[signs].astype(np.uint64)
        pairs = np.flatnonzero(np.diff(signs) == 1)
        double = single[pairs] + single[pairs + 1] * np.uint64(_BASE)
        hashes = np.concatenate([hashes, single, double])
        starts = np.concatenate([starts, signs, signs[pairs]])

    owner = np.searchsorted(np.cumsum(lengths + 1), starts, side="right")
    numbers = np.fromiter((number for number, _ in numbered), np.uint64, len(numbered))
    keys: NDArray[np.uint64] = numbers[owner] << np.uint64(BITS)
    keys |= finalised(hashes) >> np.uint64(64 - BITS)
    return keys


def finalised(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over every other: xor-shift and multiply, twice."""
    for _ in range(2):
        hashes = hashes ^ (hashes >> np.uint64(32))
        hashes *= _MIX
    hashes ^= hashes >> np.uint64(32)
    return hashes


@lru_cache(maxsize=1)
def character_classes() -> NDArray[np.uint8]:
    """(0x110000,) class of each code point: letters, marks and numbers make words; made once, in 10 ms."""
    classes = np.zeros(0x110000, np.uint8)
    classes[:0x20000] = [unicodedata.category(chr(i))[0] in "LMN" for i in range(0x20000)]
    for first, last in _SPACELESS_RANGES:
        classes[first : last + 1] *= _SPACELESS
    # The planes of the rarer ideographs, whole: new ones are added at times, and need no new Python here.
    classes[0x20000:0x40000] = _SPACELESS
    return classes


_power_tables: list[NDArray[np.uint64]] = [np.ones(1, np.uint64), np.ones(1, np.uint64)]


def power_tables(n: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """(n,) powers B^0 .. B^(n-1) modulo 2^64, and the same of 1/B; kept, doubled for a longer batch."""
    if len(_power_tables[0]) < n:
        size = 1 << (n - 1).bit_length()
        for table, base in enumerate((_BASE, _INVERSE)):
            powers = np.full(size, base, np.uint64)
            powers[0] = 1
            _power_tables[table] = np.multiply.accumulate(powers)
    return _power_tables[0][:n], _power_tables[1][:n]
