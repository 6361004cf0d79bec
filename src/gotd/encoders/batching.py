"""Texts to vectors through a model of tokens: texts of like length side by side, so that little padding is computed.

    window of texts -> tokens -> runs of like length, BATCH_TOKENS tokens at most, padding among them -> vectors

While the device works on one window, a thread tokenises the next: the tokenizers of Hugging Face run without Python's
lock. Vectors stay on the device until their window is done, so that a GPU is not waited for after every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.protocol import encodable

if TYPE_CHECKING:
    import torch

Tokens = list[list[int]]
WINDOW_TEXTS = 1_024
# On a CPU a batch should stay in its caches; a GPU wants enough work to be worth starting.
BATCH_TOKENS = {"cpu": 4_096}
_BATCH_TOKENS_GPU = 65_536


def encode(
    texts: Sequence[str],
    dim: int,
    device: str,
    tokenise: Callable[[list[str]], Tokens],
    embed: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    pad: int,
) -> NDArray[np.float32]:
    """(n, d) vectors; all zero for a text without a token.

    Args:
        device: its type, `cpu`, `cuda` or `mps`.
        tokenise: texts to the tokens of each.
        embed: tokens (k, t) int64 and their mask (k, t), 1 where there is a token of the text, to vectors (k, d).
        pad: the token to pad with.
    """
    import torch

    vectors = np.zeros((len(texts), dim), np.float32)
    most = BATCH_TOKENS.get(device, _BATCH_TOKENS_GPU)
    with torch.inference_mode():
        for start, tokens in _tokenised(texts, tokenise):
            runs = list(by_length([len(text) for text in tokens], most))
            found = [embed(*padded([tokens[row] for row in rows], pad)) for rows in runs]
            if found:
                vectors[start + np.concatenate(runs)] = torch.cat(found).float().cpu().numpy()
    return vectors


def _tokenised(texts: Sequence[str], tokenise: Callable[[list[str]], Tokens]) -> Iterator[tuple[int, Tokens]]:
    """Each window's first text and tokens, made one window ahead."""
    starts = range(0, len(texts), WINDOW_TEXTS)

    def read(start: int) -> Tokens:
        return tokenise([encodable(text) for text in texts[start : start + WINDOW_TEXTS]])

    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(read, 0) if texts else None
        for start in starts:
            assert ahead is not None
            tokens = ahead.result()
            if start + WINDOW_TEXTS < len(texts):
                ahead = thread.submit(read, start + WINDOW_TEXTS)
            yield start, tokens


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
