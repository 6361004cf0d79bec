"""A language model to judge, and how likely it finds tokens: what the evaluations of language models share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from gotd.encoders.batching import padded
from gotd.encoders.weights import precision, resolve_device
from gotd.errors import SettingsError
from gotd.training.language import check_vocabulary
from gotd.training.models import kind_of, load_language_model, load_tokenizer, quiet, window_of
from gotd.training.settings import Kind

UNSCORED = -100  # among labels


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A language model that is judged.

    Attributes:
        kind: `causal` or `masked`.
        model: on its device.
        tokenizer: of the model.
        window: tokens at once.
    """

    kind: Kind
    model: Any
    tokenizer: Any
    window: int


def language_model(name: str, device: str, window: int | None = None, *, causal: bool = False) -> LanguageModel:
    """Load a language model for reading.

    Args:
        name: folder or hub name.
        window: tokens at once; left out, what the model takes up to 1024.
        causal: refuse a masked model.

    Raises:
        SettingsError: it is no such model, lacks weights, or takes fewer tokens.
    """
    where = resolve_device(device)
    with quiet():
        kind = kind_of(name)
        if causal:
            check_causal(name, kind)
        tokenizer = load_tokenizer(name)
        model = load_language_model(name, kind, precision(where)).to(where).eval()
    check_vocabulary(model, tokenizer, name)
    return LanguageModel(kind, model, tokenizer, window_of(model, tokenizer, window))


def check_causal(name: str, kind: Kind) -> None:
    """SettingsError unless the model can go on from a prompt."""
    if kind != "causal":
        raise SettingsError(f"{name}: a masked model does not continue a prompt; pass a causal one, or fine-tune")


def start_token(tokenizer: Any) -> int:
    """What stands before a document's first token."""
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if first is None:
        raise SettingsError(
            "the tokenizer has neither BOS nor EOS, so nothing stands before a document's first token; "
            "set tokenizer.eos_token and save it again"
        )
    return int(first)


@torch.inference_mode()
def nats_of(model: Any, rows: Sequence[list[int]], scored: Sequence[int]) -> list[float]:
    """-log p of the last `scored` tokens of each row, each given all that stands before it."""
    ids, mask = (part.to(model.device) for part in padded(list(rows), 0))
    labels, _ = padded(
        [[UNSCORED] * (len(row) - count) + row[len(row) - count :] for row, count in zip(rows, scored)], UNSCORED
    )
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
    wanted = labels[:, 1:].to(model.device)
    nats = functional.cross_entropy(logits.transpose(1, 2), wanted, ignore_index=UNSCORED, reduction="none")
    found: list[float] = nats.double().sum(1).tolist()
    return found
