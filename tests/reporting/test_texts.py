"""Texts behind the rows: the right ones, or a line that says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import gotd
from gotd.corpus import Fields, File
from gotd.engine import silent
from gotd.potential import Potential
from gotd.reporting.scored import look
from gotd.reporting.texts import Read, clean, cut, read_rows, read_targets


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain\ttext\nof two lines", "plain\ttext\nof two lines"),
        ("bell \x07 escape \x1b\x7f\x9f", "bell \ufffd escape \ufffd\ufffd\ufffd"),
        ("half \ud83d of a pair \udc00", "half \ufffd of a pair \ufffd"),
        ("a whole pair \U0001f600", "a whole pair \U0001f600"),
        ("DOS\r\nlines", "DOS\nlines"),
        ("<script>alert(1)</script>\u2028", "<script>alert(1)</script>\u2028"),
    ],
)
def test_clean(given: str, shown: str) -> None:
    assert clean(given) == shown


def test_cut_marks_what_was_longer() -> None:
    assert cut("  six words  ", 9) == "six words"
    assert cut("six words and more", 10) == "six words \N{HORIZONTAL ELLIPSIS}"


def read(folder: Path, chars: int = 1000) -> tuple[Read, list[str]]:
    """All candidates, and their ids."""
    selection = gotd.Selection.load(folder)
    rows = look(selection, (), (), 1000, 0).rows
    files = [File(**file) for file in selection.manifest["files"]]
    fields = Fields(**selection.manifest["fields"])
    return read_rows(rows, [chars] * len(rows), files, fields, selection.potential, silent), rows["id"].to_pylist()


@pytest.fixture
def own(text, write, tmp_path: Path) -> Path:
    """Folder of `gotd select` over files that a test may change: `a.jsonl` and `b.jsonl`, 30 documents each."""
    for name in "ab":
        write(f"pool/{name}.jsonl", [{"id": f"{name}{i}", "text": text(i, i % 5 == 0, 9)} for i in range(30)])
    write("target.jsonl", [{"text": text(90 + i, i % 2 == 0)} for i in range(30)])
    return gotd.select(tmp_path / "pool", tmp_path / "target.jsonl", 8, tmp_path / "out", workers=1).folder


def test_texts_and_points_are_those_that_were_scored(selected: Path, corpora, rows) -> None:
    found, ids = read(selected)
    known = {row["id"]: row["text"] for path in corpora.files for row in rows(path)}
    assert found.texts == [known[id] for id in ids]
    assert found.missing == []
    potential = Potential.load(selected)
    scores = potential.priced(torch.from_numpy(found.points)).f.numpy()
    shown = look(gotd.Selection.load(selected), (), (), 1000, 0).rows["score"].to_numpy()
    assert np.allclose(scores, shown, atol=1e-6)


def test_a_file_that_is_gone_is_named_and_the_others_are_read(own: Path) -> None:
    (own.parent / "pool" / "a.jsonl").unlink()
    found, ids = read(own)
    assert [text is not None for text in found.texts] == [id.startswith("b") for id in ids]
    assert np.isnan(found.points).any(1).tolist() == [id.startswith("a") for id in ids]
    assert len(found.missing) == 1
    assert "pool/a.jsonl" in found.missing[0]


def test_a_file_of_another_size_is_not_read(own: Path) -> None:
    path = own.parent / "pool" / "a.jsonl"
    path.write_bytes(path.read_bytes() + b"\n")
    found, ids = read(own)
    assert [text is None for text in found.texts] == [id.startswith("a") for id in ids]
    assert found.missing[0].startswith(f"{path}: ")
    assert "bytes when it was scored" not in found.missing[0]
    assert "when it was scored" in found.missing[0]


def test_a_file_with_other_documents_is_not_believed(own: Path) -> None:
    """The same size and the same places, but other ids."""
    path = own.parent / "pool" / "a.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"a', b'"c'))
    found, ids = read(own)
    assert [text is None for text in found.texts] == [id.startswith("a") for id in ids]
    assert "found c" in found.missing[0]


def test_a_record_that_changed_under_its_id_is_not_believed(own: Path) -> None:
    path = own.parent / "pool" / "a.jsonl"
    path.write_bytes(path.read_bytes().replace(b"common1", b"common2"))
    found, ids = read(own)
    assert None in found.texts
    assert all(id.startswith("a") for id, text in zip(ids, found.texts) if text is None)
    assert "found another record under that id" in found.missing[0]


def test_the_target_is_what_was_fitted_in_its_order(corpora, tmp_path: Path) -> None:
    """A sample of 20 of the 60 documents."""
    potential = gotd.fit(corpora.target, corpora.pool, tmp_path, settings=gotd.FitSettings(target_sample=20, seed=5))
    found = read_targets(potential, 10_000)[0]
    assert found.missing == ""
    assert len(found.texts) == len(found.ids) == 20
    assert torch.allclose(potential.points(found.texts), potential.attract.points, atol=1e-4)
    potential.settings["targets"]["size"] = 60
    assert "other documents" in read_targets(potential, 100)[0].missing


def test_a_target_that_changed_or_is_gone_is_not_shown(own: Path) -> None:
    path = own.parent / "target.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join(lines[::-1]) + b"\n")
    found = read_targets(Potential.load(own), 100)[0]
    assert (found.texts, found.missing) == ([], f"{path} changed since the potential was fitted")
    path.unlink()
    found = read_targets(Potential.load(own), 100)[0]
    assert found.texts == []
    assert "target.jsonl" in found.missing


def test_a_target_of_other_documents_is_not_believed(own: Path) -> None:
    """The files are as they were, but the sample is another."""
    potential = Potential.load(own)
    potential.settings["targets"]["size"] = 10
    assert "other documents" in read_targets(potential, 100)[0].missing
    other = potential.attract.points.flip(0)
    potential.settings["targets"]["size"] = 5000
    assert read_targets(potential, 100)[0].missing == ""
    potential.attract.points.copy_(other)
    assert "other documents" in read_targets(potential, 100)[0].missing


def test_vectors_that_records_carry(write, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [{"id": f"{i}", "text": f"t{i}", "v": rng.normal(size=4).tolist()} for i in range(20)]
    pool, target = write("pool.jsonl", rows), write("target.jsonl", rows[:8])
    fields = gotd.Fields(embedding="v")
    folder = gotd.select(pool, target, 4, tmp_path / "out", fields=fields, workers=1).folder
    found, ids = read(folder)
    assert found.texts == [f"t{id}" for id in ids]
    assert not np.isnan(found.points).any()
    assert read_targets(Potential.load(folder), 10)[0].texts == [f"t{i}" for i in range(8)]
