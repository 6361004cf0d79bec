"""Batches of tokens: every text once, in its place, and tokenised one window ahead."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from gotd.encoders import batching


def tokenise(texts: list[str]) -> batching.Tokens:
    """A token a character."""
    return [[ord(sign) for sign in text] for text in texts]


def embed(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """How many tokens, and their sum."""
    return torch.stack([mask.sum(1), (ids * mask).sum(1)], 1).double()


def test_every_text_has_its_own_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "WINDOW_TEXTS", 7)
    monkeypatch.setattr(batching, "BATCH_TOKENS", 12)
    rng = np.random.default_rng(0)
    texts = ["".join(chr(97 + sign) for sign in rng.integers(0, 26, size)) for size in rng.integers(0, 20, 40)]
    found = batching.encode(texts, 2, "cpu", tokenise, embed, pad=5)
    assert found.dtype == np.float32
    assert found.tolist() == [[len(text), sum(map(ord, text))] for text in texts]
    assert batching.encode([], 2, "cpu", tokenise, embed, 0).shape == (0, 2)


def test_padding_is_masked_and_behind_the_text() -> None:
    ids, mask = batching.padded([[7, 8, 9], [4]], pad=1)
    assert ids.tolist() == [[7, 8, 9], [4, 1, 1]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_the_next_window_is_tokenised_while_this_one_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first window is only done once the second has its tokens: in one thread that would wait for ever."""
    monkeypatch.setattr(batching, "WINDOW_TEXTS", 1)
    second = threading.Event()

    def reading(texts: list[str]) -> batching.Tokens:
        if texts == ["b"]:
            second.set()
        return tokenise(texts)

    def waiting(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert second.wait(60)
        return embed(ids, mask)

    assert batching.encode(["a", "b"], 2, "cpu", reading, waiting, 0).tolist() == [[1, 97], [1, 98]]


def test_a_tokenizer_that_fails_is_heard() -> None:
    def failing(texts: list[str]) -> batching.Tokens:
        raise ValueError("no such sign")

    with pytest.raises(ValueError, match="no such sign"):
        batching.encode(["a"], 2, "cpu", failing, embed, 0)
