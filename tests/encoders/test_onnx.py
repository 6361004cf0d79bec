"""Exported encoders: near the model they come from, the same wherever they are restored, and whole in the selector."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gotd.encoders import Encoder, fit_encoder, restore_encoder
from gotd.errors import MissingExtra, SettingsError

pytest.importorskip("onnxruntime")
TEXTS = ["cat", "the cat sat on the mat", "dog ran a b c d e f g h", "zebra \ud800", "the dog sat " * 30, ""]


@pytest.fixture(scope="module")
def exported(sentence_folder: Path) -> Encoder:
    return fit_encoder(f"onnx:{sentence_folder}", [])


def test_it_is_near_the_model(exported: Encoder, sentence_folder: Path) -> None:
    """Unit vectors of the model's own pooling; 8 bits move them by a few degrees at most."""
    plain = fit_encoder(str(sentence_folder), [], device="cpu")
    found, expected = exported.encode(TEXTS), plain.encode(TEXTS)
    assert found.shape == (len(TEXTS), plain.dim)
    assert ((found * expected).sum(1) > 0.99).all()
    assert not np.array_equal(found, expected)


def test_a_text_is_near_itself_whatever_stands_beside_it(exported: Encoder) -> None:
    """What comes in is rounded by the largest of a batch, so only nearly."""
    alone = np.concatenate([exported.encode([text]) for text in TEXTS])
    assert ((exported.encode(TEXTS) * alone).sum(1) > 0.99).all()


def test_restored_it_gives_the_same_bits_without_the_model(exported: Encoder) -> None:
    config = json.loads(json.dumps(exported.config()))
    assert config["spec"].startswith("onnx:")
    restored = restore_encoder({**config, "spec": "onnx:gone"}, exported.tensors())
    assert restored.encode(TEXTS).tobytes() == exported.encode(TEXTS).tobytes()


def test_any_hugging_face_model_is_another_encoder(exported: Encoder, bert: Path) -> None:
    """Its own masked mean is exported with it; vectors kept by one encoder never serve the other."""
    found, plain = fit_encoder(f"onnx:hf:{bert}", []), fit_encoder(f"hf:{bert}", [], device="cpu")
    ours, expected = found.encode(TEXTS[:4]), plain.encode(TEXTS[:4])
    cosine = (ours * expected).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(expected, axis=1)
    assert (cosine > 0.99).all()
    assert len({found.fingerprint, exported.fingerprint, plain.fingerprint}) == 3


def test_an_encoder_without_tokens_is_refused(model2vec_folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"onnx:static: static takes no batches of tokens; leave out onnx:"):
        fit_encoder("onnx:static", [])


def test_without_the_extra_the_pip_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from gotd.encoders import local

    plain = local.find_spec
    monkeypatch.setattr(local, "find_spec", lambda name: None if name == "onnxscript" else plain(name))
    with pytest.raises(
        MissingExtra, match=r"needs onnxscript, which is not installed. Run: pip install 'gotd\[onnx\]'"
    ):
        fit_encoder("onnx:static", [])
