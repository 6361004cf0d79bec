"""Vectors that the records carry already: only their length is known here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from numpy.typing import NDArray

from gotd.encoders.protocol import digest
from gotd.errors import SettingsError


@dataclass(frozen=True)
class Precomputed:
    """Stands where the vectors come with the records.

    Attributes:
        dim: d, the length of every vector, at least 1.
    """

    dim: int
    spec: str = "precomputed"

    @property
    def fingerprint(self) -> str:
        return digest({"kind": "precomputed", "dim": self.dim})

    def encode(self, texts: Sequence[str]) -> NoReturn:
        raise SettingsError(
            f"the selector was fitted on vectors of the records ({self.dim} numbers each), "
            f"and {len(texts)} texts came without. "
            "Pass --embedding-field with the field that holds them, or fit with --encoder lsa."
        )

    def config(self) -> dict[str, Any]:
        return {"kind": "precomputed", "spec": self.spec, "dim": self.dim, "fingerprint": self.fingerprint}

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {}
