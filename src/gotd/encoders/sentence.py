"""`sentence-transformers/NAME`, or a folder with `modules.json`: the model's own pooling, by the library
itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.local import load, require
from gotd.encoders.protocol import encodable
from gotd.encoders.transformer import MAX_TOKENS
from gotd.encoders.weights import precision, resolve_device, weights_digest


@dataclass(frozen=True)
class SentenceEncoder:
    """A loaded SentenceTransformer; it sorts by length and masks padding itself."""

    spec: str
    model: Any
    dim: int
    fingerprint: str

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) vectors."""
        if not len(texts):
            return np.zeros((0, self.dim), np.float32)
        readable = [encodable(text) for text in texts]
        vectors = self.model.encode(readable, batch_size=64, convert_to_tensor=True, show_progress_bar=False)
        return np.asarray(vectors.float().cpu().numpy(), np.float32)

    def config(self) -> dict[str, Any]:
        return {
            "kind": "sentence-transformers",
            "spec": self.spec,
            "dim": self.dim,
            "fingerprint": self.fingerprint,
        }

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {}


def load_sentence_transformer(spec: str, device: str = "auto") -> SentenceEncoder:
    """Load by hub id or from a folder; code that a model brings along is not run."""
    require(spec, ("sentence_transformers",), "transformers")
    where = resolve_device(device)
    model = load(spec, lambda: _load(spec))
    max_tokens = model.max_seq_length
    # A model of static token vectors has no limit, infinite as the library says it, and takes none.
    if max_tokens != math.inf:
        model.max_seq_length = max_tokens = min(MAX_TOKENS, max_tokens or MAX_TOKENS)
    modules = [(type(module).__name__, str(getattr(module, "get_config_dict", dict)())) for module in model]
    settings = {"kind": "sentence-transformers", "modules": modules, "max_tokens": max_tokens}
    fingerprint = weights_digest(settings, model.state_dict(), model.tokenizer)
    model = model.to(device=where, dtype=precision(where)).eval()
    # The method that tells the dimension changes its name between versions; a vector always has it.
    (vector,) = model.encode(["a"], show_progress_bar=False, convert_to_tensor=True)
    return SentenceEncoder(spec, model, len(vector), fingerprint)


def _load(spec: str) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(spec, device="cpu", trust_remote_code=False)
