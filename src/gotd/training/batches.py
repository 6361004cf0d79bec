"""Items become batches, and outputs a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional

from gotd.training.windows import IGNORED

Item = Mapping[str, Any]
"""`input_ids` (t,), and `labels`: (t,) of tokens, or one of the whole text."""
Collate = Callable[[Sequence[Item]], dict[str, torch.Tensor]]
Loss = Callable[..., torch.Tensor]
"""(outputs, labels, number of labels in the step or None) -> mean loss."""


class Items(Protocol):
    """What is trained on, in the order of training."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int) -> Item: ...


def collator(pad: int) -> Collate:
    """Pad `input_ids` and token `labels` to the longest of a batch; labels of whole texts are stacked."""

    def collate(items: Sequence[Item]) -> dict[str, torch.Tensor]:
        longest = max(len(item["input_ids"]) for item in items)
        ids = torch.full((len(items), longest), pad)
        mask, segments = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, item in enumerate(items):
            size = len(item["input_ids"])
            ids[row, :size] = torch.as_tensor(item["input_ids"])
            mask[row, :size] = 1
            segments[row, :size] = torch.as_tensor(item.get("token_type_ids", 0))
        batch = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in items[0]:
            batch["token_type_ids"] = segments
        if "labels" not in items[0]:
            return batch
        if np.ndim(items[0]["labels"]):
            labels = torch.full_like(ids, IGNORED)
            for row, item in enumerate(items):
                labels[row, : len(item["labels"])] = torch.as_tensor(item["labels"])
        else:
            labels = torch.tensor([int(item["labels"]) for item in items])
        batch["labels"] = labels
        return batch

    return collate


def mean_loss(logits: torch.Tensor, labels: torch.Tensor, count: torch.Tensor | int | None) -> torch.Tensor:
    """Cross-entropy in nats, summed over the labels that are not ignored and divided by `count`, or by their number."""
    total = functional.cross_entropy(
        logits.float().flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / (count if count is not None else (labels != IGNORED).sum())
