"""`model2vec:NAME`: token vectors distilled from a sentence model, averaged; by the library itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.local import load, require
from gotd.encoders.protocol import digest, encodable


@dataclass(frozen=True)
class Model2Vec:
    """A loaded `model2vec.StaticModel`, with its own limit on tokens: 512 unless the model says otherwise."""

    spec: str
    model: Any
    fingerprint: str

    @property
    def dim(self) -> int:
        return int(self.model.dim)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) vectors; all zero for a text without a known token."""
        if not len(texts):
            return np.zeros((0, self.dim), np.float32)
        readable = [encodable(text) for text in texts]
        return np.asarray(self.model.encode(readable, use_multiprocessing=False), np.float32)

    def config(self) -> dict[str, Any]:
        return {"kind": "model2vec", "spec": self.spec, "dim": self.dim, "fingerprint": self.fingerprint}

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {}


def load_model2vec(name: str, spec: str) -> Model2Vec:
    """Load by hub id or from a folder."""
    require(spec, ("model2vec",), "static")
    model = load(name, lambda: _load(name))
    settings = {
        "kind": "model2vec",
        "normalize": model.normalize,
        "max_tokens": model.max_length,
        "tokenizer": json.loads(model.tokenizer.to_str()),
    }
    arrays = (model.embedding, model.weights, model.token_mapping)
    return Model2Vec(spec, model, digest(settings, [array for array in arrays if array is not None]))


def _load(name: str) -> Any:
    from model2vec import StaticModel

    return StaticModel.from_pretrained(name, force_download=False)
