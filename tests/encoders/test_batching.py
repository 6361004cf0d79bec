"""Batches of tokens: every text once, in its place, and tokenised one window ahead."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from gotd import GotdError
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


def drawn(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(chr(97 + sign) for sign in rng.integers(0, 26, size)) for size in rng.integers(0, 20, count)]


def test_a_gpu_has_windows_and_batches_of_its_own(elsewhere: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens go there, vectors come back, window by window; no batch is over the budget of that device."""
    monkeypatch.setattr(batching, "GPU_WINDOW_TEXTS", 9)
    monkeypatch.setattr(batching, "GPU_BATCH_TOKENS", 50)
    sizes: list[int] = []

    def there(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert ids.device == mask.device == elsewhere
        sizes.append(ids.numel())
        return embed(ids, mask)

    texts = drawn(40)
    found = batching.encode(texts, 2, elsewhere, tokenise, there, pad=5)
    assert found.tolist() == [[len(text), sum(map(ord, text))] for text in texts]
    assert 20 < max(sizes) <= 50


def test_a_window_is_fetched_when_the_next_has_been_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "WINDOW_TEXTS", 1)
    order: list[str] = []

    class Fetch:
        def __init__(self, found: torch.Tensor) -> None:
            self.found = found
            order.append("sent")

        def wait(self) -> torch.Tensor:
            order.append("fetched")
            return self.found

    monkeypatch.setattr("gotd.transfers.Fetch", Fetch)
    assert len(batching.encode(["a", "b", "c"], 2, "cpu", tokenise, embed, 0)) == 3
    assert order == ["sent", "sent", "fetched", "sent", "fetched", "fetched"]


def test_where_there_is_no_room_the_batch_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def small(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        tried.append(len(ids))
        if len(ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return embed(ids, mask)

    texts = [text or "x" for text in drawn(13)]
    found = batching.encode(texts, 2, "cpu", tokenise, small, pad=5)
    assert found.tolist() == [[len(text), sum(map(ord, text))] for text in texts]
    assert tried == [13, 6, 3, 3, 7, 3, 4, 2, 2]


def test_a_text_for_which_there_is_no_room_is_told() -> None:
    def full(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(GotdError, match="too little memory for one text of 5 tokens; pass --device cpu, or fewer"):
        batching.encode(["abcde", "abc"], 2, "cpu", tokenise, full, 0)
