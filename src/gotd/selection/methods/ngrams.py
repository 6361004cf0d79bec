"""Text to hashed words and pairs of words, as `data-selection` hashes them, many texts at a time.

    tokens      \\w+|[^\\w\\s]+ of the text in lower case (NLTK's WordPunctTokenizer)
    n-grams     every token, and every two that follow each other, joined by a space
    bucket      sha256(UTF-8 of the n-gram), read as a number, modulo the number of buckets

The package hashes each n-gram of each text. Here a token is hashed once and then has a number; two numbers make the
key of a pair, which is looked up for the whole batch at once in a table of one slot a key. A key that is not there
is hashed and put in its slot: what it drives out will be hashed again when it comes, so the memory stays the same.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from hashlib import sha256
from itertools import chain

import numpy as np
from numpy.typing import NDArray

_TOKENS = re.compile(r"\w+|[^\w\s]+")
_SLOT_BITS = 21
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
# The vocabulary starts afresh beyond these: web text never stops bringing new words.
_WORDS_AT_MOST = 1 << 20
_CHARS_AT_MOST = 1 << 25


def tokens_of(text: str) -> list[str]:
    """The tokens of a text."""
    return _TOKENS.findall(text.lower())


def bucket_of(ngram: str, buckets: int) -> int:
    """The bucket of an n-gram."""
    return int.from_bytes(sha256(ngram.encode("utf-8", "surrogatepass")).digest(), "big") % buckets


class NgramHasher:
    """Texts to the buckets of their n-grams; keeps what it has hashed.

    Args:
        buckets: how many there are.
    """

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets
        self._vocabulary = _Vocabulary(buckets)
        self._keys: NDArray[np.int64] = np.full(1 << _SLOT_BITS, -1)
        self._values: NDArray[np.int32] = np.zeros(1 << _SLOT_BITS, np.int32)

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(owner, bucket) of each n-gram: the number of its text, ascending for words and then for pairs."""
        if len(self._vocabulary) > _WORDS_AT_MOST or self._vocabulary.chars > _CHARS_AT_MOST:
            self._vocabulary = _Vocabulary(self._buckets)
            self._keys.fill(-1)
        tokens = [tokens_of(text) for text in texts]
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        owner = np.repeat(np.arange(len(tokens)), lengths)
        number = np.fromiter(map(self._vocabulary.__getitem__, chain.from_iterable(tokens)), np.int64, len(owner))
        words = np.frombuffer(self._vocabulary.hashes, np.int64)[number] if len(number) else number
        inside = owner[1:] == owner[:-1]
        pairs = self._pairs((number[:-1] << 32 | number[1:])[inside])
        return np.concatenate([owner, owner[1:][inside]]), np.concatenate([words, pairs])

    def _pairs(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Buckets of pairs, each `first << 32 | second` by number."""
        slots = (keys.view(np.uint64) * _SPREAD) >> np.uint64(64 - _SLOT_BITS)
        found: NDArray[np.int64] = self._values[slots].astype(np.int64)
        missing = self._keys[slots] != keys
        if missing.any():
            new, inverse = np.unique(keys[missing], return_inverse=True)
            words = self._vocabulary.words
            firsts, seconds = (new >> 32).tolist(), (new & 0xFFFFFFFF).tolist()
            digests = b"".join([sha256(words[a] + b" " + words[b]).digest() for a, b in zip(firsts, seconds)])
            hashed = _remainders(digests, self._buckets)
            found[missing] = hashed[inverse]
            # Of several new keys for one slot, one: key and value must be of the same pair.
            taken, first = np.unique(
                (new.view(np.uint64) * _SPREAD) >> np.uint64(64 - _SLOT_BITS),
                return_index=True,
            )
            self._keys[taken], self._values[taken] = new[first], hashed[first]
        return found


def _remainders(digests: bytes, buckets: int) -> NDArray[np.int64]:
    """(k,) each 32 bytes as a number, big end first, modulo the buckets (below 2^31, so that nothing overflows)."""
    left = np.zeros(len(digests) // 32, np.uint64)
    # Horner's rule in digits of 32 bits: what is left and one digit fit 64 bits.
    for digit in np.frombuffer(digests, ">u4").reshape(-1, 8).T.astype(np.uint64):
        left = ((left << np.uint64(32)) + digit) % np.uint64(buckets)
    return left.astype(np.int64)


class _Vocabulary(dict[str, int]):
    """Token -> number; a new token gets the next one, and its bucket is kept."""

    def __init__(self, buckets: int) -> None:
        super().__init__()
        self.words: list[bytes] = []
        self.hashes = array("q")
        self.chars = 0
        self._buckets = buckets

    def __missing__(self, token: str) -> int:
        number = len(self.words)
        self[token] = number
        self.words.append(token.encode("utf-8", "surrogatepass"))
        self.hashes.append(bucket_of(token, self._buckets))
        self.chars += len(token)
        return number
