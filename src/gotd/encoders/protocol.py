"""What every encoder offers, and the digest by which two encoders are told apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Encoder(Protocol):
    """Text to vectors.

    Attributes:
        spec: the encoder as the user wrote it: `lsa`, `static`, `hf:...`.
        dim: d, the length of a vector.
        fingerprint: 16 hex digits of whatever makes the vectors, weights and settings; equal iff they are.
    """

    @property
    def spec(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) float32, finite; neither centred nor of unit length; all zero where nothing is known."""

    def config(self) -> dict[str, Any]:
        """What `restore_encoder` needs beside `tensors`, as JSON."""

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The fitted arrays; empty where the weights live elsewhere."""


def digest(settings: Mapping[str, Any], arrays: Iterable[NDArray[Any]] = ()) -> str:
    """16 hex digits of sha256 over the settings and the arrays: their types, shapes and bytes."""
    sha = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()[:16]


def encodable(text: str) -> str:
    """The text with each lone surrogate read as "?": it has no UTF-8, and tokenizers take no other."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
