"""The dataset card: what it states, and that the Hub's own library reads its front matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from gotd import Selection, choose, select
from gotd.cli import main
from gotd.export import export_selection


def front(card: str) -> dict[str, Any]:
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def readme(texts: Selection, tmp_path_factory: pytest.TempPathFactory) -> str:
    found = export_selection(texts, "trl", tmp_path_factory.mktemp("card") / "out", licences=["web=odc-by"])
    return (found.folder / "README.md").read_text(encoding="utf-8")


def test_front_matter_is_what_the_hub_documents(readme: str) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.DatasetCard(readme).data.to_dict()
    assert data == front(readme)
    assert data["license"] == ["cc-by-4.0", "mit", "odc-by"]
    assert data["size_categories"] == ["n<1K"]
    assert data["configs"][0]["data_files"] == [{"split": "train", "path": "data/train.jsonl"}]


def test_it_states_sources_counts_settings_and_licences(readme: str, texts: Selection) -> None:
    assert "| books | 6 | 6 | mit |" in readme
    assert "| web | 6 | 6 | odc-by (5), CC-BY-4.0 (1) |" in readme
    assert "- 12 rows read: 12 chosen, 0 not chosen, 0 rejected" in readme
    assert yaml.safe_load(readme.split("Settings of `gotd select`:\n\n```yaml\n")[1].split("```")[0]) == {
        **texts.manifest["settings"]
    }
    for digest in [line.rpartition(" ")[2] for lines in texts.manifest["inputs"].values() for line in lines]:
        assert digest in readme
    assert f"{texts.manifest['transport']['after']:.4f}" in readme
    assert "arXiv:2405.02774" in readme


def test_it_names_no_folder_of_this_machine(readme: str, texts: Selection) -> None:
    assert str(texts.folder.parent) not in readme
    assert "`books.jsonl` sha256:" in readme


def test_a_licence_that_nobody_stated_is_said_to_be_so(texts: Selection, tmp_path: Path) -> None:
    found = export_selection(texts, "trl", tmp_path / "out")
    card = (found.folder / "README.md").read_text()
    assert "| web | 6 | 6 | not stated (5), CC-BY-4.0 (1) |" in card
    assert front(card)["license"] == "unknown"


def test_a_source_cannot_break_the_table(choose_all, text, tmp_path: Path) -> None:
    found = choose_all(**{"a|b <i> `x`": [{"text": text(i, i % 2 == 0)} for i in range(4)]})
    card = (export_selection(found, "trl", tmp_path / "out").folder / "README.md").read_text()
    assert r"| a\|b \<i\> \`x\` | 4 | 4 | not stated |" in card


def test_the_folder_of_an_encoder_is_left_out(corpora, selector: Path, tmp_path: Path) -> None:
    """The settings name it, and what it holds by its name."""
    found = select(corpora.pool, corpora.target, 3, tmp_path / "sel", encoder=str(selector), workers=1)
    assert str(selector) in found.manifest["settings"]["encoder_files"]
    card = (export_selection(found, "trl", tmp_path / "out").folder / "README.md").read_text()
    assert str(selector) not in card
    assert f"encoder: {selector.name}" in card


def test_another_method_is_not_called_transport(corpora, tmp_path: Path) -> None:
    found = select(corpora.pool, corpora.target, 3, tmp_path / "sel", method="random", workers=1)
    card = (export_selection(found, "trl", tmp_path / "out").folder / "README.md").read_text()
    assert "ranked by `random`" in card
    assert "Method: gradients" not in card


def test_a_selection_of_the_target_itself_is_said_to_be_one(corpora, tmp_path: Path) -> None:
    """And tokens that a tokenizer counted are not called estimated."""
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.save(str(tmp_path / "tokenizer.json"))
    asked = {"method": "all-target", "tokenizer": str(tmp_path / "tokenizer.json"), "workers": 1}
    found = select(corpora.pool, corpora.target, 3, tmp_path / "sel", **asked)
    card = (export_selection(found, "trl", tmp_path / "out").folder / "README.md").read_text()
    assert "- chosen from the target itself: 3 of its 60 rows" in card
    words = sum(len(text.split()) for text in found.to_arrow()["text"].to_pylist())
    assert f"- {words} tokens chosen, as its tokenizer counts them" in card


def test_a_selection_of_choose_has_a_card_too(scored: Path, tmp_path: Path) -> None:
    found = choose(scored, "5docs", tmp_path / "sel")
    out = export_selection(found, "trl", tmp_path / "out").folder
    card = (out / "README.md").read_text()
    assert "Settings of `gotd choose`" in card
    assert "candidates: `first.jsonl` sha256:" in card
    assert str(scored.parent) not in card
    assert not (out / "select.yaml").exists()


def test_the_command_in_the_card_makes_the_selection_again(
    corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed with absolute paths: the card's file names the files, which then lie in the working folder."""
    typed = ["select", "--candidates", *corpora.files[:1], "-t", corpora.target, "-k", "5docs", "--seed", "2"]
    first = CliRunner().invoke(main, [*typed, "-o", str(tmp_path / "sel"), "--workers", "1"])
    assert first.exit_code == 0, first.stderr
    out = export_selection(tmp_path / "sel", "trl", tmp_path / "out").folder
    again = yaml.safe_load((out / "select.yaml").read_text())
    assert (again["candidates"], again["target"]) == (["first.jsonl"], ["target.jsonl"])
    assert not again.keys() & {"output", "workers", "device", "json", "overwrite"}
    work = tmp_path / "work"
    work.mkdir()
    for path in (corpora.files[0], corpora.target):
        (work / Path(path).name).write_bytes(Path(path).read_bytes())
    monkeypatch.chdir(work)
    card = (out / "README.md").read_text()
    command = next(line for line in card.splitlines() if line.startswith("gotd select"))
    words = command.replace("select.yaml", str(out / "select.yaml")).split()[1:]
    second = CliRunner().invoke(main, [*words, "--workers", "1"])
    assert second.exit_code == 0, second.stderr
    assert (work / "runs/again/selected.jsonl").read_bytes() == (tmp_path / "sel/selected.jsonl").read_bytes()
