"""`hf:NAME`: the masked mean of the last hidden states of any Hugging Face encoder or decoder.

    x(text) = sum_t m_t h_t / sum_t m_t        m_t = 1 for a token of the text, 0 for padding

Differs from the paper's published code, and from plain `feature-extraction` pipelines, in this point: padding
is never averaged in, so a text has one vector (up to rounding) whatever stands beside it in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gotd.encoders import batching
from gotd.encoders.local import load, require, without_bars
from gotd.encoders.weights import precision, resolve_device, weights_digest
from gotd.errors import SettingsError

if TYPE_CHECKING:
    import torch

MAX_TOKENS = 256
TOKENIZER_FILES = ("tokenizer*", "vocab*", "*.model", "*.tiktoken", "tekken.json")


@dataclass(frozen=True)
class Transformer:
    """A loaded model with masked mean pooling.

    Attributes:
        model: gives `last_hidden_state` (n, t, d); in evaluation mode, on its device.
        tokenizer: its Hugging Face tokenizer.
        max_tokens: a text is cut to so many tokens, special ones among them.
    """

    spec: str
    model: Any
    tokenizer: Any
    max_tokens: int
    dim: int
    fingerprint: str

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) vectors; all zero for a text without a token, as "" is to a decoder."""
        # The model's own pad token where it has one: RoBERTa counts its positions by it.
        pad = self.tokenizer.pad_token_id or 0
        return batching.encode(texts, self.dim, self.model.device, self.tokens, self.embed, pad)

    def tokens(self, texts: list[str]) -> batching.Tokens:
        """The tokens of each text, cut at `max_tokens`."""
        found: batching.Tokens = self.tokenizer(texts, truncation=True, max_length=self.max_tokens)["input_ids"]
        return found

    def embed(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Vectors (k, d) of tokens (k, t) and their mask (k, t), all on the model's device."""
        return masked_mean(self.model(input_ids=ids, attention_mask=mask).last_hidden_state, mask)

    def config(self) -> dict[str, Any]:
        return {
            "kind": "transformer",
            "spec": self.spec,
            "dim": self.dim,
            "max_tokens": self.max_tokens,
            "fingerprint": self.fingerprint,
        }

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {}


def masked_mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(n, d) float32 mean of (n, t, d) over the tokens whose mask (n, t) is 1."""
    # Not a product with the mask: a padded position may hold inf or NaN, and 0 * NaN is NaN.
    kept = hidden.float().masked_fill(mask.unsqueeze(-1) == 0, 0.0)
    return kept.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def load_transformer(name: str, spec: str, device: str = "auto") -> Transformer:
    """Load model and tokenizer by hub id or from a folder."""
    require(spec, ("transformers",), "transformers")
    where = resolve_device(device)
    tokenizer, model = load(name, lambda: _load(name))
    config = model.config
    if getattr(config, "is_encoder_decoder", False):
        model = model.get_encoder()
    longest = getattr(config, "max_position_embeddings", None) or MAX_TOKENS
    max_tokens = min(MAX_TOKENS, tokenizer.model_max_length, longest)
    settings = {"kind": "transformer", "pooling": "masked mean", "max_tokens": max_tokens}
    fingerprint = weights_digest(settings, model.state_dict(), tokenizer)
    model = model.to(device=where, dtype=precision(where)).eval()
    return Transformer(spec, model, tokenizer, max_tokens, int(config.hidden_size), fingerprint)


def check_tokenizer(name: str) -> None:
    """SettingsError where a folder has none: the library would make up an empty one, to which every word is unknown."""
    folder = Path(name)
    if folder.is_dir() and not any(any(folder.glob(pattern)) for pattern in TOKENIZER_FILES):
        raise SettingsError(f"{name}: found no tokenizer. Save it into this folder with save_pretrained.")


def _load(name: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    check_tokenizer(name)
    tokenizer = AutoTokenizer.from_pretrained(name)
    with without_bars():
        model, info = AutoModel.from_pretrained(name, output_loading_info=True)
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    if missing:
        raise SettingsError(
            f"{name}: the checkpoint lacks {len(missing)} weights, {missing[0]} first; they would be random. "
            "Pass a complete model."
        )
    return tokenizer, model
