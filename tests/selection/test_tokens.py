"""Tokens as the tokenizer counts them: all of a text's, and no others."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
from tokenizers import Tokenizer as Made
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

import gotd
from gotd import MissingExtra, SettingsError
from gotd.selection.tokens import identity, load_tokenizer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A token is a word; the file asks for marks at both ends, for two tokens at most, and for padding to nine."""
    made = Made(WordLevel({"[UNK]": 0, "[END]": 1, "a": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = WhitespaceSplit()
    made.post_processor = TemplateProcessing(single="[END] $A [END]", special_tokens=[("[END]", 1)])
    made.enable_truncation(2)
    made.enable_padding(length=9)
    path = tmp_path / "model" / "tokenizer.json"
    path.parent.mkdir()
    made.save(str(path))
    return path


def test_words_are_counted_without_marks_cuts_and_padding(file: Path) -> None:
    for name in (file, file.parent):
        counts = load_tokenizer(str(name)).count(["a b c", "", "\ud800 a", "a " * 1000])
        assert counts.dtype == np.int32
        assert counts.tolist() == [3, 0, 2, 1000]


def test_its_identity_is_its_content(file: Path, tmp_path: Path) -> None:
    first = identity(str(file))
    assert first is not None
    assert first["name"] == str(file)
    assert identity(file) == first  # a path from Python, and in the manifest its text
    copy = tmp_path / "copy.json"
    copy.write_bytes(file.read_bytes())
    assert identity(str(copy)) == {**first, "name": str(copy)}
    copy.write_bytes(file.read_bytes().replace(b'"a"', b'"b"'))
    assert identity(str(copy)) != {**first, "name": str(copy)}
    assert identity(None) is None


def test_what_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"absent\.json: no such file; wanted a tokenizer\.json"):
        load_tokenizer(str(tmp_path / "absent.json"))
    with pytest.raises(SettingsError, match=r"tokenizer\.json: no such file"):
        load_tokenizer(str(tmp_path))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(SettingsError, match=r"bad\.json\" could not be loaded: .*Write it again"):
        load_tokenizer(str(tmp_path / "bad.json"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SettingsError, match=r'the tokenizer "some/model" could not be loaded: .*Check the id and the'):
        load_tokenizer("some/model")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.setattr("gotd.encoders.local.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"--tokenizer a needs tokenizers, .* pip install 'gotd\[tokenizer\]'"):
        load_tokenizer("a")


def test_a_token_budget_is_exact_to_one_document(file: Path, corpora, rows, tmp_path: Path) -> None:
    """Of words: the next best document would not fit. The manifest names the tokenizer."""
    asked = {"tokenizer": str(file), "dedup": "off", "workers": 1}
    found = gotd.select(corpora.pool, corpora.target, "100tokens", tmp_path / "out", **asked)
    words = {row["id"]: len(row["text"].split()) for path in corpora.files for row in rows(path)}
    table = gotd.Scores(found.folder, found.manifest).to_arrow()
    assert dict(zip(table["id"].to_pylist(), table["tokens"].to_pylist())) == words
    order = np.argsort(table["score"].to_numpy(), kind="stable")
    following = table["id"][int(order[len(found)])].as_py()
    taken = sum(words[row["gotd"]["id"]] for row in rows(found.path))
    assert found.manifest["counts"]["tokens"] == taken <= 100 < taken + words[following]
    assert found.manifest["tokenizer"] == identity(str(file))
    assert "tokens_estimated" not in found.manifest["counts"]
    total = sum(words.values())
    with pytest.raises(SettingsError, match=rf"the budget is {total + 1}tokens and the pool holds {total}; lower"):
        gotd.select(corpora.pool, corpora.target, f"{total + 1}tokens", tmp_path / "more", **asked)


def test_another_tokenizer_needs_another_folder(file: Path, corpora, selector: Path, tmp_path: Path) -> None:
    asked = {"potential": selector, "pool": corpora.pool, "output": tmp_path / "out", "workers": 1}
    gotd.score(**asked, tokenizer=str(file))
    file.write_bytes(file.read_bytes().replace(b'"a"', b'"b"'))
    with pytest.raises(gotd.ArtifactError, match=r"tokenizer was .* and is now"):
        gotd.score(**asked, tokenizer=str(file))


def test_the_flag(file: Path, corpora, selector: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from gotd.cli import main

    asked = ["score", str(selector), corpora.pool, "-o", str(tmp_path / "out"), "--workers", "1", "--json"]
    found = orjson.loads(CliRunner().invoke(main, [*asked, "--tokenizer", str(file)]).stdout)
    assert found["settings"]["tokenizer"] == identity(str(file))
