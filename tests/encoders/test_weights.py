"""Products in bfloat16, where the CPU has instructions for them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gotd.encoders import batching, fit_encoder
from gotd.encoders.weights import products

CPU = torch.device("cpu")


def _able(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


def _in_half(device: torch.device) -> bool:
    with products(device):
        return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx_bf16"])
def test_a_cpu_with_the_instructions_multiplies_in_bfloat16(monkeypatch: pytest.MonkeyPatch, instructions: str) -> None:
    _able(monkeypatch, **{instructions: True})
    assert _in_half(CPU)


def test_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    _able(monkeypatch, avx512_bf16=True)
    assert not _in_half(torch.device("cuda"))
    _able(monkeypatch, avx512_bf16=False, avx512_f=True)
    assert not _in_half(CPU)
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not _in_half(CPU)


def test_vectors_are_those_of_float32_but_for_rounding(monkeypatch: pytest.MonkeyPatch, bert: Path) -> None:
    texts = ["the cat sat on the mat", "a dog ran", "b c d e"]
    encoder = fit_encoder(f"hf:{bert}", [], device="cpu")
    whole = encoder.encode(texts)
    _able(monkeypatch, avx512_bf16=True)
    monkeypatch.setattr(batching, "products", products)
    rounded = encoder.encode(texts)
    assert rounded.dtype == np.float32
    assert np.abs(rounded - whole).max() > 1e-5
    np.testing.assert_allclose(rounded, whole, atol=0.03)
