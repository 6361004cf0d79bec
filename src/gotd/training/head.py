"""The last layer of a masked language model, computed for the hidden tokens alone.

A loss asks for one token in seven, and the last layer, a logit for each word of the vocabulary, is half of the
arithmetic of a small model and most of its memory. While the context is open the layer gives its input back, and the
loss applies it where there is something to guess: the same sum over the same tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional

from gotd.training.batches import Loss, mean_loss
from gotd.training.windows import IGNORED

# Families whose logits are what `get_output_embeddings` gives and nothing after.
_PLAIN = ("bert", "camembert", "distilbert", "roberta", "xlm-roberta")


@contextmanager
def sparing(model: Any, loss: Loss) -> Iterator[Loss]:
    """A loss like `loss` of a masked model, that computes what it needs; `loss` itself for a family not known here."""
    layer = model.get_output_embeddings()
    if model.config.model_type not in _PLAIN or type(layer) is not torch.nn.Linear:
        yield loss
        return

    def hidden_tokens(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        asked = labels != IGNORED
        states = outputs["logits"][asked]  # in bf16 where the arithmetic was, autocast or not
        bias = None if layer.bias is None else layer.bias.to(states.dtype)
        logits = functional.linear(states, layer.weight.to(states.dtype), bias)
        return mean_loss(logits, labels[asked], num_items_in_batch)

    # Of this object alone: its weights and their names stay, and checkpoints with them.
    layer.forward = lambda states: states  # type: ignore[method-assign,assignment]
    try:
        yield hidden_tokens
    finally:
        del layer.forward
