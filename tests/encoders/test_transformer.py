"""Models on torch: masked means by hand, batches, restore, and what a broken folder says."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gotd.encoders import batching, fit_encoder, restore_encoder
from gotd.encoders.transformer import masked_mean
from gotd.errors import ArtifactError, InputError, SettingsError

TEXTS = ["cat", "the cat sat on the mat", "", "dog ran a b c d e f g h", "zebra \ud800"]
KINDS = ["hf:bert", "bert", "hf:gpt2", "sentence", "model2vec:model2vec", "model2vec"]


@pytest.fixture
def spec(request: pytest.FixtureRequest, bert: Path, gpt2: Path, sentence_folder: Path, model2vec_folder: Path) -> str:
    kind, colon, name = request.param.rpartition(":")
    folders = {"bert": bert, "gpt2": gpt2, "sentence": sentence_folder, "model2vec": model2vec_folder}
    return f"{kind}{colon}{folders[name]}"


@pytest.mark.parametrize("spec", KINDS, indirect=True)
def test_a_text_has_one_vector_whatever_stands_beside_it(spec: str) -> None:
    """Padding is never averaged in: alone there is none, together there is much."""
    encoder = fit_encoder(spec, [], device="cpu")
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert together.dtype == np.float32
    assert together.shape == (len(TEXTS), encoder.dim)
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len(np.unique(together[[0, 1, 3]].round(3), axis=0)) == 3
    assert encoder.encode([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("spec", KINDS, indirect=True)
def test_restored_from_its_config_it_gives_the_same_bits(spec: str) -> None:
    encoder = fit_encoder(spec, [], device="cpu")
    config = json.loads(json.dumps(encoder.config()))
    restored = restore_encoder(config, encoder.tensors(), device="cpu")
    assert restored.encode(TEXTS).tobytes() == encoder.encode(TEXTS).tobytes()
    assert (restored.spec, restored.dim) == (spec, encoder.dim)


@pytest.mark.parametrize("spec", KINDS, indirect=True)
def test_a_model_that_changed_in_its_place_is_noticed(spec: str, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    kind, colon, folder = spec.rpartition(":")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    encoder = fit_encoder(f"{kind}{colon}{copy}", [], device="cpu")
    assert encoder.fingerprint == fit_encoder(spec, [], device="cpu").fingerprint
    weights = load_file(copy / "model.safetensors")
    weights[sorted(weights)[0]] = weights[sorted(weights)[0]] + np.float32(1)
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ArtifactError, match=f"the encoder at .*{copy} differs from the fitted one"):
        restore_encoder(encoder.config(), {}, device="cpu")


def test_no_bar_of_the_library_shows(bert: Path, sentence_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for folder in (bert, sentence_folder):
        fit_encoder(str(folder), [])
    assert capfd.readouterr() == ("", "")


def test_a_folder_tells_by_itself_what_it_holds(bert: Path, sentence_folder: Path, model2vec_folder: Path) -> None:
    folders = {"transformer": bert, "sentence-transformers": sentence_folder, "model2vec": model2vec_folder}
    for kind, folder in folders.items():
        assert fit_encoder(str(folder), [], device="cpu").config()["kind"] == kind


def test_the_mean_is_over_the_tokens_of_the_text(bert: Path) -> None:
    """The same mean by hand, without batch or padding."""
    from transformers import AutoModel, AutoTokenizer

    text = "the cat sat"
    with torch.inference_mode():
        tokens = AutoTokenizer.from_pretrained(bert)(text, return_tensors="pt")["input_ids"]
        expected = AutoModel.from_pretrained(bert).eval()(tokens).last_hidden_state[0].mean(0).numpy()
    vectors = fit_encoder(f"hf:{bert}", [], device="cpu").encode([text, "dog ran a b c d e f g h"])
    np.testing.assert_allclose(vectors[0], expected, atol=1e-6)


def test_what_stands_in_the_padding_is_never_seen() -> None:
    hidden = torch.tensor([[[1.0, 3.0], [3.0, 5.0], [torch.nan, torch.inf]], [[2.0, 2.0], [9.0, 9.0], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert masked_mean(hidden, mask).tolist() == [[2.0, 4.0], [2.0, 2.0]]
    assert masked_mean(hidden, torch.zeros_like(mask)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_half_precision_is_averaged_in_float32() -> None:
    hidden = torch.ones(1, 3000, 1, dtype=torch.bfloat16) * 1.5
    assert masked_mean(hidden, torch.ones(1, 3000)).tolist() == [[1.5]]


def test_small_token_budgets_and_windows_change_nothing(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = fit_encoder(f"hf:{bert}", [], device="cpu")
    texts = [*TEXTS, *(text + " cat" for text in TEXTS)] * 3
    expected = encoder.encode(texts)
    monkeypatch.setattr(batching, "BATCH_TOKENS", 20)
    monkeypatch.setattr(batching, "WINDOW_TEXTS", 4)
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-5)


def test_batches_are_of_like_length_and_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(0, 256, 3000).tolist()
    runs = [[lengths[row] for row in rows] for rows in batching.by_length(lengths, 4096)]
    assert sorted(length for run in runs for length in run) == sorted(length for length in lengths if length)
    assert all(max(run) * len(run) <= 4096 for run in runs)
    padded = sum(max(run) * len(run) for run in runs)
    assert padded < 1.02 * sum(lengths)


def test_long_texts_are_cut_where_the_model_ends(bert: Path) -> None:
    """This model has 32 positions: 30 words between [CLS] and [SEP]."""
    encoder = fit_encoder(f"hf:{bert}", [], device="cpu")
    cut, longer = encoder.encode(["cat " * 30, "cat " * 30 + "dog " * 300])
    np.testing.assert_allclose(longer, cut, atol=1e-6)


def test_an_empty_text_is_zero_where_the_tokenizer_adds_nothing(gpt2: Path) -> None:
    assert not fit_encoder(f"hf:{gpt2}", [], device="cpu").encode([""]).any()


@pytest.mark.parametrize(
    ("file", "prefix", "message"),
    [
        ("tokenizer.json", "", "found no tokenizer"),
        ("model.safetensors", "", "no model could be loaded from this folder"),
        ("config.json", "", "no config.json or modules.json; found model.safetensors"),
        ("config.json", "hf:", "no model could be loaded from this folder"),
    ],
)
def test_a_folder_that_lacks_a_file_says_so(bert: Path, tmp_path: Path, file: str, prefix: str, message: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(bert, folder)
    for path in [*folder.glob("tokenizer*")] if "tokenizer" in file else [folder / file]:
        path.unlink()
    with pytest.raises(SettingsError) as caught:
        fit_encoder(f"{prefix}{folder}", [], device="cpu")
    assert str(caught.value).startswith(f"{folder}: {message}")


def test_a_checkpoint_with_missing_weights_is_refused(bert: Path, tmp_path: Path) -> None:
    """The library would fill them with random numbers, other ones at each load."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "partial"
    shutil.copytree(bert, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SettingsError, match=r"lacks 1 weights, encoder.layer.1.output.dense.weight first"):
        fit_encoder(str(folder), [], device="cpu")


@pytest.mark.parametrize("text", ["{not json", "[]"])
def test_a_damaged_config_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json: .* Save the model again"):
        fit_encoder(str(tmp_path), [])


def test_a_sentence_model_of_static_vectors_reads_whole_texts(tmp_path: Path, model2vec_folder: Path) -> None:
    """It has no limit of tokens, and offers none to set."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    module = StaticEmbedding.from_model2vec(str(model2vec_folder))
    SentenceTransformer(modules=[module], device="cpu").save_pretrained(str(tmp_path))
    encoder = fit_encoder(str(tmp_path), [], device="cpu")
    json.dumps(encoder.config(), allow_nan=False)
    cut, longer = encoder.encode(["cat " * 300, "cat " * 300 + "dog " * 300])
    assert np.abs(longer - cut).max() > 0.1


def test_an_unknown_device_is_told(bert: Path) -> None:
    with pytest.raises(SettingsError, match=r'no device "gpu". Pass auto, cpu, cuda'):
        fit_encoder(f"hf:{bert}", [], device="gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none_is_told(bert: Path) -> None:
    with pytest.raises(SettingsError, match="this torch finds no CUDA"):
        fit_encoder(f"hf:{bert}", [], device="cuda")


@pytest.mark.parametrize(
    ("spec", "target"),
    [
        ("hf:someone/model", "transformers.AutoTokenizer"),
        ("model2vec:someone/model", "model2vec.StaticModel"),
    ],
)
def test_an_id_that_the_hub_does_not_give_says_what_to_do(
    spec: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect to 'https://huggingface.co'\nto load the files" + " and more" * 99)

    monkeypatch.setattr(f"{target}.from_pretrained", offline)
    whole = r'no folder "someone/model" here, .* could not be loaded: .* …\. Check .* pass a local folder'
    with pytest.raises(SettingsError, match=whole):
        fit_encoder(spec, [])


def test_a_sentence_transformers_id_goes_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def offline(name: str, **options: object) -> None:
        asked.append((name, options))
        raise OSError("offline")

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", offline)
    with pytest.raises(SettingsError, match=r'"sentence-transformers/some-model" could not be loaded: .*offline'):
        fit_encoder("sentence-transformers/some-model", [])
    assert asked == [("sentence-transformers/some-model", {"device": "cpu", "trust_remote_code": False})]


def test_a_sentence_model_is_given_tokens_and_agrees_with_the_library(sentence_folder: Path) -> None:
    encoder = fit_encoder(str(sentence_folder), [], device="cpu")
    assert encoder.by_tokens
    np.testing.assert_allclose(encoder.encode(TEXTS), replace(encoder, by_tokens=False).encode(TEXTS), atol=1e-6)


def test_a_sentence_model_with_a_prompt_is_left_to_the_library(sentence_folder: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(sentence_folder), device="cpu")
    model.prompts, model.default_prompt_name = {"query": "dog dog dog dog"}, "query"
    model.save_pretrained(str(tmp_path))
    assert not fit_encoder(str(tmp_path), [], device="cpu").by_tokens
