"""`static`: against model2vec on the same files, and what a wheel without them says."""

import json
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from gotd.encoders import Encoder, fit_encoder, restore_encoder, static
from gotd.encoders.static import Static
from gotd.errors import ArtifactError, MissingExtra

TEXTS = [
    "The cat sat on the mat.",
    "stock prices fell",
    "",
    "  two  spaces\n\n",
    "naïve 中文 \ud800",
    "word " * 2000,
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return fit_encoder("static", [])


def test_it_is_the_mean_that_model2vec_takes(encoder: Static) -> None:
    """Given no limit of tokens, model2vec pools the same files to the same vectors."""
    from model2vec import StaticModel
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    (vectors,) = load_file(encoder.weights).values()
    tokenizer = Tokenizer.from_file(str(encoder.tokenizer))
    model = StaticModel(vectors.astype(np.float32), tokenizer, max_length=None)
    texts = [text.replace("\ud800", "?") for text in TEXTS]
    np.testing.assert_allclose(encoder.encode(TEXTS), model.encode(texts), atol=1e-4)


def test_vectors_are_finite_256_long_and_zero_for_an_empty_text(encoder: Encoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), encoder.dim) == (len(TEXTS), 256)
    assert np.isfinite(vectors).all()
    assert vectors.any(1).tolist() == [bool(text) for text in TEXTS]
    assert encoder.encode([]).shape == (0, 256)


def test_a_vector_does_not_depend_on_its_batch_bit_for_bit(encoder: Encoder) -> None:
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    many = encoder.encode(TEXTS * 60)
    assert many.tobytes() == np.tile(alone, (60, 1)).tobytes()


def test_restored_from_its_config_it_gives_the_same_bits(encoder: Encoder) -> None:
    restored = restore_encoder(json.loads(json.dumps(encoder.config())), encoder.tensors())
    assert restored.encode(TEXTS).tobytes() == encoder.encode(TEXTS).tobytes()


def test_another_release_of_the_wheel_is_noticed(encoder: Encoder) -> None:
    with pytest.raises(ArtifactError, match="the encoder at static differs from the fitted one"):
        restore_encoder({**encoder.config(), "fingerprint": "0" * 16}, {})


def test_a_changed_file_changes_the_fingerprint(encoder: Static, tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_bytes(encoder.tokenizer.read_bytes())
    assert Static(encoder.weights, tokenizer).fingerprint == encoder.fingerprint
    tokenizer.write_bytes(encoder.tokenizer.read_bytes() + b"\n")
    assert Static(encoder.weights, tokenizer).fingerprint != encoder.fingerprint


def test_without_the_wheel_the_pip_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotd.encoders.local.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"static needs wordllama, tokenizers.* pip install 'gotd\[static\]'"):
        fit_encoder("static", [])


def test_a_wheel_without_the_files_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ModuleSpec("wordllama", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(static, "find_spec", lambda name: found)
    with pytest.raises(ArtifactError, match=f"{tmp_path}: found no weights/l2_supercat_256.safetensors"):
        fit_encoder("static", [])
