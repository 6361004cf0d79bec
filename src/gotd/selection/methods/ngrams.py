r"""Text to hashed words and pairs of words, as `data-selection` hashes them, many texts at a time.

    tokens      \w+|[^\w\s]+ of the text in lower case (NLTK's WordPunctTokenizer)
    n-grams     every token, and every two that follow each other, joined by a space
    bucket      sha256(UTF-8 of the n-gram), read as a number, modulo the number of buckets

The package cuts one text after the other and hashes each n-gram of each. Here the texts of a batch are cut at once, as
arrays of code points; a token is known by its polynomial hash modulo 2^64 (`gotd.encoders.hashing`), a pair by those
of its two tokens. By that key its bucket is looked up in a table of one slot a key. A key that is not there is hashed
by SHA-256 and put in its slot: what it drives out will be hashed again when it comes, so the memory stays the same.
Two n-grams of one key would share a bucket; that any two of a hundred million do has a chance of 1 in 3,700.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.hashing import finalised, power_tables

_sha = partial(sha256, usedforsecurity=False)
_TOKENS = re.compile(r"\w+|[^\w\s]+")
_SPACE = re.compile(r"\s")
_SLOT_BITS = 22
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
# A longer text is read in pieces of about so many characters, which bounds the memory for one book.
_PIECE_CHARS = 1 << 20


def tokens_of(text: str) -> list[str]:
    """The tokens of a text."""
    return _TOKENS.findall(text.lower())


class NgramHasher:
    """Texts to the buckets of their n-grams; keeps what it has hashed.

    Args:
        buckets: how many there are.
    """

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets
        self._keys: NDArray[np.uint64] = np.zeros(1 << _SLOT_BITS, np.uint64)
        self._values: NDArray[np.int32] = np.zeros(1 << _SLOT_BITS, np.int32)

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(owner, bucket) of each n-gram: the number of its text; the words of a text in order, then its pairs."""
        owners, buckets = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for ascii in (True, False):
            pieces = [
                piece
                for number, text in enumerate(texts)
                if text.isascii() == ascii
                for piece in _pieces(number, text.lower())
            ]
            if pieces:
                found = _ngrams(pieces, ascii)
                owners.append(found.owner)
                buckets.append(self._looked_up(found))
        return np.concatenate(owners), np.concatenate(buckets)

    def _looked_up(self, found: _Ngrams) -> NDArray[np.int64]:
        slots = (found.keys * _SPREAD) >> np.uint64(64 - _SLOT_BITS)
        buckets: NDArray[np.int64] = self._values[slots].astype(np.int64)
        missing = np.flatnonzero(self._keys[slots] != found.keys)
        if len(missing):
            new, first, inverse = np.unique(found.keys[missing], return_index=True, return_inverse=True)
            digests = b"".join([_sha(said).digest() for said in found.spelled(missing[first])])
            hashed = _remainders(digests, self._buckets)
            buckets[missing] = hashed[inverse]
            # Of several new keys for one slot, one: key and value must be of the same n-gram.
            taken, one = np.unique((new * _SPREAD) >> np.uint64(64 - _SLOT_BITS), return_index=True)
            self._keys[taken], self._values[taken] = new[one], hashed[one]
        return buckets


@dataclass(frozen=True, slots=True)
class _Ngrams:
    """The n-grams of some texts: w words, then p pairs.

    Attributes:
        text: what they are cut from: bytes where all of it is ASCII.
        codes: its code points.
        spans: (2, t) int64 where each token starts and ends in `text`.
        first: (w + p,) int64 the token that each begins with; a pair goes on with the next one.
        words: w.
        owner: (w + p,) int64 number of the text of each.
        keys: (w + p,) uint64, above 0: what an n-gram is known by.
    """

    text: Any
    codes: NDArray[np.uint8] | NDArray[np.uint32]
    spans: NDArray[np.int64]
    first: NDArray[np.int64]
    words: int
    owner: NDArray[np.int64]
    keys: NDArray[np.uint64]

    def spelled(self, rows: NDArray[np.int64]) -> list[bytes]:
        """The n-grams of these rows, as UTF-8."""
        first = self.first[rows]
        last = first + (rows >= self.words)
        (starts, _), (_, ends) = self.spans[:, first], self.spans[:, last]
        said: list[Any] = [self.text[start:end] for start, end in zip(starts.tolist(), ends.tolist())]
        # Most pairs stand in the text with the one space that joins them.
        left, right = self.spans[1, first], self.spans[0, last]
        spaced = (right - left == 1) & (self.codes[left.clip(max=len(self.codes) - 1)] == 0x20)
        space = b" " if isinstance(self.text, bytes) else " "
        for row in np.flatnonzero((last > first) & ~spaced).tolist():
            said[row] = space.join((self.text[starts[row] : left[row]], self.text[right[row] : ends[row]]))
        return said if isinstance(self.text, bytes) else [ngram.encode("utf-8", "surrogatepass") for ngram in said]


_Piece = tuple[int, str, bool]  # the text's number, the piece, and whether it begins with the last token of another


def _pieces(number: int, text: str) -> Iterator[_Piece]:
    """Cut a long text at whitespace; the last token before a cut stands again after it, for the pair across."""
    start, last = 0, ""
    while True:
        space = _SPACE.search(text, start + _PIECE_CHARS)
        piece = text[start : space.start() if space else len(text)]
        yield number, f"{last} {piece}" if last else piece, bool(last)
        if space is None:
            return
        start = space.start()
        last = next(iter(_TOKENS.findall("".join(piece.rsplit(None, 1)[-1:]))[-1:]), last)


def _ngrams(pieces: Sequence[_Piece], ascii: bool) -> _Ngrams:
    """The n-grams of pieces in lower case."""
    joined = "\n".join([piece for _, piece, _ in pieces])
    codes: NDArray[np.uint8] | NDArray[np.uint32]
    text: str | bytes = joined
    if ascii:
        # A byte is a code point here: a quarter of the memory, and faster.
        text = joined.encode("ascii")
        codes = np.frombuffer(text, np.uint8)
    else:
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
    classes = np.pad(_classes(0x80 if ascii else 0x110000)[codes], 1)
    edges = np.flatnonzero(classes[1:] != classes[:-1])
    starts, ends = edges[classes[edges + 1] != 0], edges[classes[edges] != 0]
    powers, inverses = power_tables(len(codes) + 1)
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * powers[:-1], out=sums[1:])
    words = finalised((sums[ends] - sums[starts]) * inverses[starts])

    lengths = np.fromiter((len(piece) for _, piece, _ in pieces), np.int64, len(pieces))
    piece = np.searchsorted(np.cumsum(lengths + 1), starts, side="right")
    pairs = np.flatnonzero(piece[1:] == piece[:-1])
    # The first token of a piece that goes on with a text was counted in the piece before.
    again = np.array([some for _, _, some in pieces])[piece] & (np.diff(piece, prepend=-1) > 0)
    counted = np.flatnonzero(~again)
    keys = np.concatenate([words[counted], finalised(words[pairs] * _SPREAD + words[pairs + 1])])
    first = np.concatenate([counted, pairs])
    owner = np.array([number for number, _, _ in pieces])[piece[first]]
    return _Ngrams(text, codes, np.stack([starts, ends]), first, len(counted), owner, np.maximum(keys, np.uint64(1)))


@lru_cache(maxsize=2)
def _classes(count: int) -> NDArray[np.uint8]:
    """(count,) class of each code point: 0 space, 1 of a word, 2 any other sign, as Python's `re` has them."""
    signs = map(chr, range(count))
    return np.array([0 if c.isspace() else 1 if c.isalnum() or c == "_" else 2 for c in signs], np.uint8)


def _remainders(digests: bytes, buckets: int) -> NDArray[np.int64]:
    """(k,) each 32 bytes as a number, big end first, modulo the buckets (below 2^31, so that nothing overflows)."""
    left = np.zeros(len(digests) // 32, np.uint64)
    # Horner's rule in digits of 32 bits: what is left and one digit fit 64 bits.
    for digit in np.frombuffer(digests, ">u4").reshape(-1, 8).T.astype(np.uint64):
        left = ((left << np.uint64(32)) + digit) % np.uint64(buckets)
    return left.astype(np.int64)
