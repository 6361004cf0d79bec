"""The chosen documents: the text that was scored beside the record that it came from."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest

from gotd import ArtifactError, Selection, select
from gotd.corpus.documents import Unusable
from gotd.export.records import chosen, selector


@pytest.mark.parametrize("format", ["jsonl", "jsonl.zst", "parquet"])
def test_every_format_gives_the_documents_in_the_order_of_their_rank(choose_all, text, format: str) -> None:
    found = choose_all(format, pool=[{"id": f"{i}", "text": text(i, i < 3), "year": i} for i in range(8)])
    table = found.to_arrow().to_pylist()
    documents = list(chosen(found))
    assert [(one.id, one.text, one.score, one.rank) for one in documents] == [
        (row["id"], row["text"], row["score"], row["rank"]) for row in table
    ]
    assert [one.rank for one in documents] == list(range(1, 9))
    assert all(one.record["year"] == int(one.id) for one in documents)


def test_the_text_is_what_was_scored(corpora, write, text, tmp_path: Path) -> None:
    """Of a template, and of pieces of a file: the records have no such field, or another."""
    from gotd import Fields

    pool = write("pool.jsonl", [{"head": f"T{i}", "body": text(i, i % 2 == 0)} for i in range(8)])
    named = {"target_fields": Fields(text="text"), "workers": 1}
    found = select(pool, corpora.target, 3, tmp_path / "a", fields=Fields(text="{head}: {body}"), **named)
    assert all(one.text == f"{one.record['head']}: {one.record['body']}" for one in chosen(found))
    pieces = select(pool, corpora.target, 3, tmp_path / "b", fields=Fields(text="body", chunk_chars=30), **named)
    assert {len(one.text) for one in chosen(pieces)} == {30}


def test_a_chat_is_what_was_scored_and_not_a_field_beside_it(choose_all, chat, text) -> None:
    scored = {"text": text(1, False), **chat(2)}
    found = {one.rank: one for one in chosen(choose_all(pool=[chat(0), scored, {"text": text(3, True)}]))}
    assert sorted((one.is_chat, "text" in one.record) for one in found.values()) == [
        (False, True),
        (False, True),
        (True, False),
    ]


@pytest.mark.parametrize(
    ("turn", "named"),
    [
        ({"role": "assistant", "content": [{"type": "text", "text": "hi"}]}, "whose content is no string"),
        ({"content": "hi"}, "a turn without a role"),
        ({"role": "assistant", "content": "", "tool_calls": [{"function": {}}]}, "a turn with tool_calls"),
    ],
)
def test_a_turn_that_is_more_than_role_and_content_is_refused(choose_all, chat, turn: dict, named: str) -> None:
    """What would be lost is named; other keys of a turn, as dates, go without saying."""
    plain = chat(1)
    plain["messages"][0]["date"] = "today"
    odd = {"messages": [*chat(2)["messages"][:1], turn]}
    found = {len(one.record["messages"][0]): one for one in chosen(choose_all(pool=[plain, odd]))}
    assert [message.keys() for message in found[3].messages] == [{"role", "content"}] * 2
    with pytest.raises(Unusable, match=named):
        _ = found[2].messages


@pytest.mark.parametrize(
    ("stated", "found"),
    [("mit", "mit"), ("  ", None), (None, None), (3, None), (["mit", " cc0-1.0 "], "mit, cc0-1.0"), ([], None)],
)
def test_licence_of_a_record(choose_all, text, stated: object, found: str | None) -> None:
    selection = choose_all(pool=[{"text": text(0, False), "license": stated}, {"text": text(1, True)}])
    assert {one.licence for one in chosen(selection)} == {found, None}


def test_files_that_do_not_belong_together_are_refused(texts: Selection, tmp_path: Path) -> None:
    def damaged(change: object) -> Selection:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(texts.folder, tmp_path / "copy")
        lines = (tmp_path / "copy" / "selected.jsonl").read_bytes().splitlines(keepends=True)
        (tmp_path / "copy" / "selected.jsonl").write_bytes(b"".join(change(lines)))
        return Selection.load(tmp_path / "copy")

    for change, named in (
        (lambda lines: [lines[1], lines[0], *lines[2:]], "row 1 is not"),
        (lambda lines: lines[:-1], "holds 11 records, wanted 12"),
        (lambda lines: [*lines[:-1], lines[-1][:20]], "cannot be read"),
    ):
        with pytest.raises(ArtifactError, match=named):
            list(chosen(damaged(change)))
    (tmp_path / "copy" / "selected.arrow").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"selected\.arrow cannot be read"):
        list(chosen(Selection.load(tmp_path / "copy")))


def test_selector_says_how_the_potential_was_fitted(texts: Selection, tmp_path: Path) -> None:
    found = selector(texts.folder)
    settings = texts.manifest["settings"]
    assert {name: found[name] for name in ("method", "encoder", "cost", "debias")} == {
        name: settings[name] for name in ("method", "encoder", "cost", "debias")
    }
    assert found["reg"] == texts.manifest["quality"]["reg"]
    with pytest.raises(ArtifactError, match=r"potential\.safetensors cannot be read"):
        selector(tmp_path)


def test_other_methods_are_named(corpora, tmp_path: Path) -> None:
    found = select(corpora.pool, corpora.target, 3, tmp_path / "out", method="random", workers=1)
    assert selector(found.folder)["method"] == "random"
    assert orjson.loads((found.folder / "manifest.json").read_bytes())["settings"]["method"] == "random"
