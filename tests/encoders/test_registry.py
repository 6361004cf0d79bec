"""From a word to an encoder: what is known, what is near, what is missing, and what is loaded by whom."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import gotd.encoders
from gotd.encoders import Encoder, fit_encoder, restore_encoder
from gotd.encoders.precomputed import Precomputed
from gotd.errors import ArtifactError, MissingExtra, SettingsError


def test_the_public_list_is_complete() -> None:
    assert gotd.encoders.__all__ == ["KNOWN_SPECS", "Encoder", "fit_encoder", "restore_encoder"]


@pytest.mark.parametrize(
    ("code", "kept_out"),
    [
        ("import gotd.encoders", "torch sklearn scipy transformers wordllama"),
        (
            "from gotd.encoders import fit_encoder; fit_encoder('static', []).encode(['a'])",
            "wordllama model2vec",
        ),
        (
            "from gotd.encoders import fit_encoder; fit_encoder('lsa', ['a']).encode(['a'])",
            "transformers wordllama",
        ),
    ],
    ids=["import", "static", "lsa"],
)
def test_what_is_not_used_is_not_loaded(code: str, kept_out: str) -> None:
    """In a process of its own."""
    probe = f"{code}; import sys; print(*[m for m in {kept_out!r}.split() if m in sys.modules])"
    path = str(Path(gotd.encoders.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("spec", "guess"),
    [
        ("las", "lsa"),
        ("Static", "static"),
        ("sentence-transformer/all-MiniLM-L6-v2", "sentence-transformers/"),
        ("model2vec", "model2vec:"),
        ("hf:", "hf:"),
        ("BAAI/bge-small-en", "hf:BAAI/bge-small-en"),
        ("", "lsa"),
        ("wholly else", "lsa"),
    ],
)
def test_an_unknown_encoder_names_the_known_and_the_nearest(spec: str, guess: str) -> None:
    with pytest.raises(SettingsError) as caught:
        fit_encoder(spec, ["a text"])
    message = str(caught.value)
    assert f'no encoder "{spec}"' in message
    assert all(known in message for known in gotd.encoders.KNOWN_SPECS)
    assert message.endswith(f"Did you mean {guess}?")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("model2vec:some/model", "needs model2vec, .* 'gotd\\[static\\]'"),
        ("hf:some/model", "needs transformers, .* 'gotd\\[transformers\\]'"),
        ("sentence-transformers/some", "needs sentence-transformers, .* 'gotd\\[transformers\\]'"),
    ],
)
def test_a_missing_extra_names_its_pip_line(spec: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotd.encoders.local.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=f"{spec} {line}"):
        fit_encoder(spec, [])


def test_an_empty_folder_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"{tmp_path}: no config.json or modules.json; found nothing"):
        fit_encoder(str(tmp_path), [])


def test_precomputed_vectors_come_with_the_records() -> None:
    encoder = Precomputed(384)
    restored = restore_encoder(json.loads(json.dumps(encoder.config())), {})
    assert isinstance(encoder, Encoder)
    assert (restored.spec, restored.dim, restored.fingerprint) == ("precomputed", 384, encoder.fingerprint)
    assert encoder.fingerprint != Precomputed(256).fingerprint
    with pytest.raises(SettingsError, match=r"\(384 numbers each\), and 2 texts came without\. Pass --embedding-field"):
        restored.encode(["a", "b"])
    with pytest.raises(SettingsError, match=r"takes its vectors from the records. Pass --embedding-field"):
        fit_encoder("precomputed", ["a"])


def test_a_config_of_other_dimensions_is_noticed() -> None:
    with pytest.raises(ArtifactError, match="the encoder at precomputed differs from the fitted one"):
        restore_encoder({**Precomputed(3).config(), "dim": 4}, {})
