"""`sentence-transformers/NAME`, or a folder with `modules.json`: the model's own modules, pooling among them.

Differs from the library's own `encode` in this point: batches hold a number of tokens, not of texts, and the next are
tokenised meanwhile (`batching`). A model to which that gives other vectors, for it has a prompt, takes no tokens or
lowers the case itself, is left to the library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gotd.encoders import batching
from gotd.encoders.local import load, require, without_bars
from gotd.encoders.protocol import encodable
from gotd.encoders.transformer import MAX_TOKENS
from gotd.encoders.weights import precision, resolve_device, weights_digest

if TYPE_CHECKING:
    import torch


# Texts that a prompt, a change of case or padding would tell apart.
_TRIAL = ["A", "The Cat sat on\nthe mat. ", "three short words", "word " * 40]
_ALIKE = 0.999  # cosine; half precision rounds


@dataclass(frozen=True)
class SentenceEncoder:
    """A loaded SentenceTransformer.

    Attributes:
        by_tokens: whether it is given batches of tokens; else the library has the texts.
    """

    spec: str
    model: Any
    dim: int
    fingerprint: str
    by_tokens: bool = False

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) vectors."""
        if not len(texts):
            return np.zeros((0, self.dim), np.float32)
        if self.by_tokens:
            device = self.model.device
            return batching.encode(texts, self.dim, device, self.tokens, self.embed, self.model.tokenizer.pad_token_id)
        readable = [encodable(text) for text in texts]
        vectors = self.model.encode(readable, batch_size=64, convert_to_tensor=True, show_progress_bar=False)
        return np.asarray(vectors.float().cpu().numpy(), np.float32)

    def tokens(self, texts: list[str]) -> batching.Tokens:
        """The tokens of each text, cut where the model ends."""
        limit = self.model.max_seq_length
        found: batching.Tokens = self.model.tokenizer(texts, truncation=True, max_length=limit)["input_ids"]
        return found

    def embed(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Vectors (k, d) of tokens (k, t) and their mask (k, t), all on the model's device."""
        found: torch.Tensor = self.model({"input_ids": ids, "attention_mask": mask})["sentence_embedding"]
        return found

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
    found = SentenceEncoder(spec, model, len(vector), fingerprint)
    return replace(found, by_tokens=_takes_tokens(found))


def _takes_tokens(encoder: SentenceEncoder) -> bool:
    """Whether batches of tokens give the vectors that the library gives."""
    expected = encoder.encode(_TRIAL)
    try:
        found = replace(encoder, by_tokens=True).encode(_TRIAL)
    # Whatever a model of another kind meets on the way means the same: it takes no tokens.
    except Exception:
        return False
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return bool(((found * expected).sum(1) >= _ALIKE * lengths).all())


def _load(spec: str) -> Any:
    from sentence_transformers import SentenceTransformer

    with without_bars():
        return SentenceTransformer(spec, device="cpu", trust_remote_code=False)
