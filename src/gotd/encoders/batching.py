"""Texts to vectors through a model of tokens: texts of like length side by side, so that little padding is computed.

    window of texts -> tokens -> runs of like length, BATCH_TOKENS tokens at most, padding among them -> vectors

While the device works on one window, a thread tokenises and pads the next: the tokenizers of Hugging Face run without
Python's lock. Vectors are fetched once a window, and a GPU is not waited for until it has the next to work on. Where a
GPU has no room for a batch, the batch is halved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.protocol import encodable
from gotd.encoders.weights import products
from gotd.errors import GotdError

if TYPE_CHECKING:
    import torch

    from gotd.transfers import Fetch

Tokens = list[list[int]]
# On a CPU a batch should stay in its caches; a GPU wants enough work to be worth starting, of short texts too.
WINDOW_TEXTS, BATCH_TOKENS = 1_024, 4_096
GPU_WINDOW_TEXTS, GPU_BATCH_TOKENS = 4_096, 65_536


@dataclass(frozen=True, slots=True)
class _Window:
    """Rows (n,) of texts in their order of length, and batches of their tokens (k, t) and masks (k, t)."""

    rows: NDArray[np.int64]
    batches: list[tuple[torch.Tensor, torch.Tensor]]


def encode(
    texts: Sequence[str],
    dim: int,
    device: torch.device | str,
    tokenise: Callable[[list[str]], Tokens],
    embed: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    pad: int,
) -> NDArray[np.float32]:
    """(n, d) vectors; all zero for a text without a token.

    Args:
        device: where the model is.
        tokenise: texts to the tokens of each.
        embed: tokens (k, t) int64 and their mask (k, t), 1 where there is a token of the text, both on the device, to
            vectors (k, d).
        pad: the token to pad with.

    Raises:
        GotdError: the device has too little memory for a single text.
    """
    import torch

    from gotd.transfers import Fetch, sent

    vectors = np.zeros((len(texts), dim), np.float32)
    where = torch.device(device)

    def embedded(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return embed(sent(ids, where), sent(mask, where))

    behind: tuple[NDArray[np.int64], Fetch] | None = None
    with torch.inference_mode(), products(where):
        for window in _windows(texts, tokenise, where.type, pad):
            found = [_with_room(embedded, ids, mask) for ids, mask in window.batches]
            if not found:
                continue
            now = window.rows, Fetch(torch.cat(found).float())
            if behind is not None:
                vectors[behind[0]] = behind[1].wait().numpy()
            behind = now
        if behind is not None:
            vectors[behind[0]] = behind[1].wait().numpy()
    return vectors


def _with_room(
    embed: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], ids: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Vectors (k, d) of tokens (k, t) and their mask; in halves where there is no memory for all."""
    import torch

    try:
        return embed(ids, mask)
    except torch.OutOfMemoryError as error:
        if len(ids) == 1:
            raise GotdError(
                f"the device has too little memory for one text of {ids.shape[1]} tokens; pass --device cpu, or fewer "
                "--workers, of which each holds the model"
            ) from error
    # Outside of the except block: the error holds what the attempt had allocated.
    half = len(ids) // 2
    return torch.cat([_with_room(embed, ids[part], mask[part]) for part in (slice(half), slice(half, None))])


def _windows(texts: Sequence[str], tokenise: Callable[[list[str]], Tokens], device: str, pad: int) -> Iterator[_Window]:
    """The windows of the texts, each made while the one before is worked on."""
    size, most = (WINDOW_TEXTS, BATCH_TOKENS) if device == "cpu" else (GPU_WINDOW_TEXTS, GPU_BATCH_TOKENS)
    starts = range(0, len(texts), size)

    def read(start: int) -> _Window:
        tokens = tokenise([encodable(text) for text in texts[start : start + size]])
        runs = list(by_length([len(text) for text in tokens], most))
        rows = start + np.concatenate([np.zeros(0, np.int64), *runs])
        return _Window(rows, [padded([tokens[row] for row in run], pad) for run in runs])

    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(read, 0) if texts else None
        for start in starts:
            assert ahead is not None
            window = ahead.result()
            if start + size < len(texts):
                ahead = thread.submit(read, start + size)
            yield window


def by_length(lengths: Sequence[int], most: int) -> Iterator[NDArray[np.int64]]:
    """Rows in runs of like length, longest first, within `most` tokens; rows without a token are left out."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    order = order[np.asarray(lengths)[order] > 0]
    while len(order):
        size = max(1, most // lengths[order[0]])
        yield order[:size]
        order = order[size:]


def padded(tokens: Tokens, pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (k, t) int64, each text padded to the longest, and their mask (k, t)."""
    import torch

    lengths = np.array([len(text) for text in tokens])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad, np.int64)
    ids[mask] = np.concatenate([np.asarray(text, np.int64) for text in tokens])
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))
