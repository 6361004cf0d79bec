"""Texts as words in order: what duplicates and contamination are found by.

A word is what whitespace leaves once case is folded and punctuation dropped; in scripts that write no spaces each
sign is a word. The run of n words from i hashes to ((W_{i+n} - W_i) B^-i) modulo 2^64, W_k = sum_{j<k} w_j B^j.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.hashing import character_classes, finalised, power_tables

_DROPPED, _LETTER, _SIGN, _SPACE = range(4)
_PIECE_CHARS = 1 << 20
_ASCII_TO = bytes(0x20 if chr(i).isspace() else ord(chr(i).lower()) for i in range(128)) + bytes(128)
_ASCII_DROPPED = bytes(i for i in range(128) if not (chr(i).isspace() or chr(i).isalnum()))


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
        powers, inverses = power_tables(len(self.hashes) + 1)
        sums = np.zeros(len(self.hashes) + 1, np.uint64)
        np.cumsum(self.hashes * powers[:-1], out=sums[1:])
        return finalised((sums[n:] - sums[:-n]) * inverses[: max(len(sums) - n, 0)])


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
    powers, inverses = power_tables(len(codes) + 1)
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * powers[:-1], out=sums[1:])
    hashes = finalised((sums[ends] - sums[starts]) * inverses[starts])
    bounds = np.searchsorted(starts, np.concatenate([[0], np.cumsum(sizes)]))
    return Words(codes, np.stack([starts, ends]), hashes, bounds)


def folded(text: str) -> str:
    """The text with its compatibility forms (ligatures, full-width letters) and its case folded."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


@lru_cache(maxsize=1)
def _spaced_classes() -> NDArray[np.uint8]:
    """(0x110000,) class of each code point: dropped, of a word, a word by itself, or a space."""
    classes: NDArray[np.uint8] = character_classes().copy()
    classes[[i for i in range(0x3001) if chr(i).isspace()]] = _SPACE
    return classes
