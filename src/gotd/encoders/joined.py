"""`lsa+static`: the two embedded encoders side by side, each centred and of unit length.

    x(text) = [ unit(lsa(text) - mean lsa), unit(static(text) - mean static) ]        means over the fit texts

LSA knows the words of this very corpus, the static vectors what words mean elsewhere: of a planted source of short
texts both find more than either, but not so in training (docs/choosing.md). It costs the speed of `static`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.lsa import Lsa, fit_lsa, restore_lsa
from gotd.encoders.protocol import digest
from gotd.encoders.static import Static, load_static

# Texts encoded at a time, so that a sample of any size is centred in the same memory.
_WINDOW_TEXTS = 4_096


@dataclass(frozen=True)
class Joined:
    """LSA and static vectors, joined.

    Attributes:
        lsa_mean: (d_lsa,) float32 mean of the fit texts.
        static_mean: (d_static,) float32 the same.
    """

    lsa: Lsa
    static: Static
    lsa_mean: NDArray[np.float32]
    static_mean: NDArray[np.float32]
    spec: str = "lsa+static"

    @property
    def dim(self) -> int:
        return self.lsa.dim + self.static.dim

    @cached_property
    def fingerprint(self) -> str:
        parts = {"kind": "lsa+static", "lsa": self.lsa.fingerprint, "static": self.static.fingerprint}
        return digest(parts, (self.lsa_mean, self.static_mean))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) vectors; a half whose encoder knows nothing of a text is zero."""
        halves = ((self.lsa, self.lsa_mean), (self.static, self.static_mean))
        return np.concatenate([_unit(half.encode(texts), mean) for half, mean in halves], axis=1)

    def config(self) -> dict[str, Any]:
        return {"kind": "lsa+static", "spec": self.spec, "dim": self.dim, "fingerprint": self.fingerprint}

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {**self.lsa.tensors(), "lsa_mean": self.lsa_mean, "static_mean": self.static_mean}


def fit_joined(texts: Sequence[str], *, seed: int = 0) -> Joined:
    """Fit LSA and both means on `texts`."""
    static = load_static()
    lsa = fit_lsa(texts, seed=seed)
    return Joined(lsa, static, _mean(lsa, texts), _mean(static, texts))


def restore_joined(config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Joined:
    lsa = restore_lsa({"spec": "lsa"}, tensors)
    return Joined(lsa, load_static(), tensors["lsa_mean"], tensors["static_mean"], config["spec"])


def _mean(encoder: Lsa | Static, texts: Sequence[str]) -> NDArray[np.float32]:
    total = np.zeros(encoder.dim)
    for start in range(0, len(texts), _WINDOW_TEXTS):
        total += encoder.encode(texts[start : start + _WINDOW_TEXTS]).sum(0, dtype=np.float64)
    return (total / len(texts)).astype(np.float32)


def _unit(vectors: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centred and scaled to unit length; an all-zero row, which says nothing, stays zero."""
    centred = np.where(vectors.any(1, keepdims=True), vectors - mean, np.float32(0))
    lengths = np.sqrt(np.einsum("ij,ij->i", centred, centred))[:, None]
    scaled: NDArray[np.float32] = centred / np.where(lengths > 0, lengths, np.float32(1))
    return scaled
