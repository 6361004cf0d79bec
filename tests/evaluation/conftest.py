"""Models whose every probability is known."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

Changed = Callable[..., Path]


def _changed(model: Path, folder: Path, **tensors: torch.Tensor | float) -> Path:
    shutil.copytree(model, folder)
    weights = load_file(model / "model.safetensors")
    for name, value in tensors.items():
        key = name.replace("__", ".")
        weights[key] = torch.full_like(weights[key], value) if isinstance(value, float) else value.clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def changed() -> Changed:
    """changed(model, folder, **tensors): a copy with some weights replaced; double underscores stand for dots."""
    return _changed


@pytest.fixture
def unigram(gpt: Path, tmp_path: Path) -> Callable[[torch.Tensor], Path]:
    """unigram(logs): a GPT-2 that gives each token its log-probability in `logs`, (vocabulary,), whatever went before.

    The last norm gives (1, 0, ..., 0) for any input, so the logits are column 0 of the embedding.
    """

    def make(logs: torch.Tensor) -> Path:
        size = load_file(gpt / "model.safetensors")["transformer.wte.weight"].shape
        embedding, unit = torch.zeros(size), torch.zeros(size[1])
        embedding[:, 0], unit[0] = logs, 1.0
        given = {"transformer__wte__weight": embedding, "transformer__ln_f__weight": 0.0}
        return _changed(gpt, tmp_path / "unigram", **given, transformer__ln_f__bias=unit)

    return make


@pytest.fixture(scope="session")
def vocabulary(gpt: Path) -> int:
    """Tokens of the model."""
    return int(load_file(gpt / "model.safetensors")["transformer.wte.weight"].shape[0])
