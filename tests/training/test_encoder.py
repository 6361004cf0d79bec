"""Tuned encoders: distances before and after, and that a selection takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gotd
from gotd.encoders import fit_encoder
from gotd.errors import InputError, SettingsError
from gotd.training.encoder import Pooled, tune_encoder
from gotd.training.settings import Machine

QUICK: dict[str, Any] = {"lr": 3e-3, "batch": 8, "machine": Machine(device="cpu")}


@pytest.fixture
def task(write, text) -> str:
    return write("task.jsonl", [{"text": text(i, i % 2 == 0, 8), "y": i % 2} for i in range(48)])


def separation(folder: Path | str, text: Any) -> float:
    """Cosine within the two vocabularies less that between them, of texts that nothing was tuned on."""
    encoder = fit_encoder(str(folder), [], device="cpu")
    vectors = encoder.encode([text(500 + i, i < 8, 8) for i in range(16)])
    vectors = vectors - vectors.mean(0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = vectors @ vectors.T
    within = (likeness[:8, :8].sum() + likeness[8:, 8:].sum() - 16) / 112
    return float(within - likeness[:8, 8:].mean())


def test_labels_draw_a_class_together(mlm: Path, task: str, text, tmp_path: Path) -> None:
    found = tune_encoder(str(mlm), task, tmp_path / "encoder", label_field="y", epochs=4.0, **QUICK).manifest
    assert found["dev"]["after"]["accuracy"] == 1.0
    assert found["counts"] == {"train": 43, "dev": 5}
    assert separation(tmp_path / "encoder", text) > separation(mlm, text) + 0.5


def test_without_labels_a_text_is_told_from_the_others(mlm: Path, task: str, text, tmp_path: Path) -> None:
    """The loss falls from about log 8 of a batch of eight; texts of no common word part."""
    found = tune_encoder(str(mlm), task, tmp_path / "encoder", epochs=3.0, **QUICK).manifest
    assert found["objective"] == "contrastive"
    assert found["training"]["last"] < found["training"]["first"] - 0.1
    assert separation(tmp_path / "encoder", text) > separation(mlm, text)


def test_the_contrast_by_hand(mlm: Path) -> None:
    """Without dropout both readings are the same: ones on the diagonal, over the temperature of 0.05."""
    from transformers import AutoModel

    model = Pooled(AutoModel.from_pretrained(mlm), 0).eval()
    ids = torch.tensor([[2, 6, 7, 3, 0], [2, 50, 51, 52, 3]])
    mask = (ids != 0).long()
    with torch.no_grad():
        logits = model(ids, mask)["logits"]
        hidden = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    first, second = hidden[0, :4].mean(0), hidden[1].mean(0)
    cosine = float(torch.cosine_similarity(first, second, dim=0))
    expected = torch.tensor([[20.0, 20 * cosine], [20 * cosine, 20.0]])
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=0)


def test_a_selection_takes_the_encoder(mlm: Path, task: str, corpora, tmp_path: Path) -> None:
    """The half of the target that the pool has little of is found with it too."""
    tune_encoder(str(mlm), task, tmp_path / "encoder", label_field="y", epochs=2.0, **QUICK)
    encoder = str(tmp_path / "encoder")
    chosen = gotd.select(
        corpora.pool, corpora.target, "10docs", tmp_path / "out", encoder=encoder, workers=1, device="cpu"
    )
    assert chosen.manifest["fit"]["encoder"]["spec"] == encoder
    assert sum("rare" in text for text in chosen.to_arrow()["text"].to_pylist()) == 10


def test_the_same_command_twice_and_after_a_stop(mlm: Path, task: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    asked = {**QUICK, "label_field": "y", "epochs": 2.0}

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "tuning" and done == total - 1:
            raise KeyboardInterrupt

    whole = tune_encoder(str(mlm), task, tmp_path / "whole", **asked)
    with pytest.raises(KeyboardInterrupt):
        tune_encoder(str(mlm), task, tmp_path / "halves", progress=stop, **asked)
    halves = tune_encoder(str(mlm), task, tmp_path / "halves", **asked)
    first, second = (load_file(found.folder / "model.safetensors") for found in (whole, halves))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_less_than_a_text_is_two_texts(mlm: Path, task: str, tmp_path: Path) -> None:
    """One has nothing to be told from."""
    assert tune_encoder(str(mlm), task, tmp_path / "encoder", epochs=0.01, **QUICK).manifest["steps"]["taken"] == 1


def test_what_is_refused(mlm: Path, task: str, write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match='no label in "label"'):
        tune_encoder(str(mlm), task, tmp_path / "e", label_field="label", **QUICK)
    with pytest.raises(InputError, match="one text, and nothing to tell it from"):
        tune_encoder(str(mlm), write("one.jsonl", [{"text": "common1"}]), tmp_path / "e", **QUICK)
    with pytest.raises(SettingsError, match=r"would change the task\. Pass --batch-size 4"):
        tune_encoder(str(mlm), task, tmp_path / "e", **{**QUICK, "machine": Machine("cpu", 4)})
    with pytest.raises(SettingsError, match="a batch of 1 has none; pass --batch-size 2 or more"):
        tune_encoder(str(mlm), task, tmp_path / "e", **{**QUICK, "batch": 1})
    with pytest.raises(SettingsError, match="a checkpoint is chosen on what was not trained"):
        tune_encoder(str(mlm), task, tmp_path / "e", label_field="y", dev=task, **QUICK)
    with pytest.raises(SettingsError, match="pass --label-field, or leave --dev out"):
        tune_encoder(str(mlm), task, tmp_path / "e", dev=task, **QUICK)
    with pytest.raises(SettingsError, match="leave --lora out"):
        tune_encoder(str(mlm), task, tmp_path / "e", lora=4, **QUICK)
