"""The folder of an export: which records, which left out, and that it is an artifact like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gotd import ArtifactError, InputError, Selection, SettingsError
from gotd.cli import exporting, main
from gotd.export import TRAINERS, export_selection
from gotd.export.records import chosen

every_trainer = pytest.mark.parametrize("to", list(TRAINERS))


def records(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_the_command_knows_the_trainers_of_the_table() -> None:
    assert tuple(TRAINERS) == exporting.TRAINERS


@every_trainer
def test_texts_are_there_in_order_and_whole(texts: Selection, tmp_path: Path, to: str) -> None:
    found = export_selection(texts, to, tmp_path / "out", licences=["web=odc-by"])
    rows = records(found.path)
    wanted = list(chosen(texts))
    assert [(row["text"], row["id"], row["source"], row["rank"]) for row in rows] == [
        (one.text, one.id, one.source, one.rank) for one in wanted
    ]
    assert [row["license"] for row in rows] == [one.licence or {"web": "odc-by"}[one.source] for one in wanted]
    assert found.manifest["counts"] == {"selected": 12, "exported": 12, "rejected": 0}
    assert (found.folder / "rejects.jsonl").read_bytes() == b""
    assert all((found.folder / name).is_file() for name in found.manifest["files"])


@every_trainer
def test_chats_stay_chats_where_the_trainer_reads_them(chats: Selection, tmp_path: Path, to: str) -> None:
    rows = records(export_selection(chats, to, tmp_path / "out").path)
    wanted = list(chosen(chats))
    if TRAINERS[to].chats:
        assert [row["messages"] for row in rows] == [one.record["messages"] for one in wanted]
        assert not any("text" in row for row in rows)
    else:
        assert [row["text"] for row in rows] == [one.text for one in wanted]


def test_chats_as_texts_if_that_is_asked_for(chats: Selection, tmp_path: Path) -> None:
    rows = records(export_selection(chats, "trl", tmp_path / "out", chat=False).path)
    assert [row["text"] for row in rows] == [one.text for one in chosen(chats)]


def test_one_record_that_is_no_chat_makes_all_texts(choose_all, chat, text, tmp_path: Path) -> None:
    found = export_selection(choose_all(pool=[chat(0), chat(1), {"text": text(5, True)}]), "trl", tmp_path / "out")
    assert found.manifest["shape"] == "text"
    assert len(found) == 3


def test_what_cannot_be_written_is_named_and_counted(choose_all, chat, text, tmp_path: Path) -> None:
    """selected = exported + rejected, and each reject says which document it was."""
    turns = ("user", "assistant", "user")
    selection = choose_all(pool=[chat(0), chat(1, *turns), chat(2, "user", "tool"), {"text": text(5, True)}])
    found = export_selection(selection, "llama-factory", tmp_path / "out", chat=True)
    assert found.manifest["counts"] == {"selected": 4, "exported": 1, "rejected": 3}
    rejects = records(found.folder / "rejects.jsonl")
    assert sorted(reject["reason"] for reject in rejects) == ["chat-not-in-turn", "chat-not-in-turn", "no-chat"]
    by_rank = {one.rank: one for one in chosen(selection)}
    for reject in rejects:
        assert by_rank[reject["row"]].text.startswith(reject["excerpt"][:40])
        assert reject["message"].startswith(f"{selection.path}:{reject['row']}: found ")
    assert "3 of the chosen left out" in (found.folder / "README.md").read_text()


def test_nothing_to_write_is_an_error_and_no_manifest(texts: Selection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of 12 records is a chat that trl reads\. Pass --text"):
        export_selection(texts, "trl", tmp_path / "out", chat=True)
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert export_selection(texts, "trl", tmp_path / "out").manifest["counts"]["exported"] == 12


def test_settings_that_cannot_be(texts: Selection, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match='trainer is "unsloth"; wanted trl, llama-factory'):
        export_selection(texts, "unsloth", tmp_path / "out")
    with pytest.raises(SettingsError, match="Megatron-LM reads texts alone"):
        export_selection(texts, "megatron", tmp_path / "out", chat=True)
    with pytest.raises(SettingsError, match='the source "wed"'):
        export_selection(texts, "trl", tmp_path / "out", licences=["wed=mit"])
    assert not (tmp_path / "out").exists()


def test_only_a_finished_selection_can_be_exported(selector: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="was made by `gotd fit`"):
        export_selection(selector, "trl", tmp_path / "out")
    with pytest.raises(ArtifactError, match="the folder has none"):
        export_selection(tmp_path, "trl", tmp_path / "out")


def test_the_same_again_changes_nothing_and_another_is_refused(texts: Selection, tmp_path: Path) -> None:
    first = export_selection(texts, "trl", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    export_selection(texts, "trl", tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")} == before
    with pytest.raises(ArtifactError, match="to was 'trl' and is now 'axolotl'"):
        export_selection(texts, "axolotl", tmp_path / "out")
    export_selection(texts, "axolotl", tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "sft.yaml").exists()


def test_the_command(texts: Selection, tmp_path: Path) -> None:
    def run(*flags: str) -> str:
        asked = ["export", str(texts.folder), "--to", "axolotl", "-o", str(tmp_path / "out"), *flags]
        found = CliRunner().invoke(main, asked)
        assert (found.exit_code, found.stderr) == (0, "")
        return found.stdout

    shown = run("--license", "books=gpl-3.0", "--model", "some/model")
    assert f"Wrote {tmp_path}/out/data/train.jsonl (12 texts)" in shown
    assert "Licence not stated for web" in shown
    assert "--license was not needed for books" in shown
    assert f"cd {tmp_path}/out && axolotl train config.yaml" in shown
    assert "base_model: some/model" in (tmp_path / "out" / "config.yaml").read_text()
    flags = ("--license", "web=odc-by", "--license", "books=mit", "--text", "--overwrite")
    manifest = orjson.loads(run(*flags, "--json"))
    assert manifest["licences"] == {"books": "mit", "web": "odc-by (5), CC-BY-4.0 (1)"}
