"""`all-target`: the target itself within the budget, nothing of the pool, and every row of both accounted for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import gotd
from gotd import InputError, SettingsError
from gotd.cli import main
from gotd.selection.methods.all_target import AllTarget

ASKED = {"method": "all-target", "workers": 1}


@given(st.integers(0, 100), st.integers(1, 50))
def test_target_documents_come_before_every_candidate_in_an_order_of_their_own(seed: int, count: int) -> None:
    ids = [f"t{i}" for i in range(count)]
    scores = AllTarget(seed).of_target(ids)
    assert ((scores >= 0) & (scores < 1)).all()
    np.testing.assert_array_equal(AllTarget(seed).of_target(ids[::-1]), scores[::-1])


def test_the_target_is_chosen_whole_where_the_budget_holds_it(corpora, rows, tmp_path: Path) -> None:
    found = gotd.select(corpora.pool, corpora.target, "100docs", tmp_path / "out", dedup="off", **ASKED)
    chosen = rows(found.path)
    assert sorted(row["text"] for row in chosen) == sorted(row["text"] for row in rows(corpora.target))
    assert len(found) == len(found.to_arrow()) == 60
    assert not found.manifest["filled"]
    scores = [row["gotd"]["score"] for row in chosen]
    assert scores == sorted(scores)
    assert found.manifest["from_target"] == {"read": 60, "selected": 60, "not_selected": 0, "rejected": 0}
    counts = found.manifest["counts"]
    assert (counts["read"], counts["selected"], counts["not_selected"], counts["rejected"]) == (300, 0, 300, 0)
    assert [row["selected"] for row in found.manifest["sources"].values()] == [0, 0]
    # The target is as near to itself as anything can be: nearer than a random choice brings the reference.
    assert found.manifest["transport"]["after"] < found.manifest["transport"]["random"]


def test_a_budget_takes_a_sample_that_a_larger_one_holds_too(corpora, rows, tmp_path: Path) -> None:
    texts = {}
    for name, budget in (("few", "10docs"), ("many", "20docs"), ("share", "5%"), ("tokens", "200tokens")):
        found = gotd.select(corpora.pool, corpora.target, budget, tmp_path / name, dedup="off", **ASKED)
        texts[name] = [row["text"] for row in rows(found.path)]
        assert found.manifest["filled"]
    assert texts["few"] == texts["many"][:10] == texts["share"][:10]
    assert (len(texts["many"]), len(texts["share"])) == (20, 15)
    # Four bytes a token, rounded up: the next document would not fit.
    tokens = np.cumsum([-(-len(text) // 4) for text in texts["many"]])
    fits = int((tokens <= 200).sum())
    assert texts["tokens"] == texts["many"][:fits]
    assert found.manifest["counts"]["tokens_estimated"] == tokens[fits - 1]
    other = gotd.select(corpora.pool, corpora.target, "10docs", tmp_path / "seed", dedup="off", seed=1, **ASKED)
    assert [row["text"] for row in rows(other.path)] != texts["few"]


def test_it_goes_by_halves(corpora, rows, tmp_path: Path) -> None:
    whole = gotd.select(corpora.pool, corpora.target, "10docs", tmp_path / "whole", **ASKED)
    gotd.fit(corpora.target, corpora.pool, tmp_path / "fit", settings=gotd.FitSettings(method="all-target"))
    gotd.score(tmp_path / "fit", corpora.pool, tmp_path / "scores", workers=1)
    assert set(gotd.Scores.load(tmp_path / "scores").to_arrow()["score"].to_pylist()) == {1.0}
    found = gotd.choose(tmp_path / "scores", "10docs", tmp_path / "halves")
    assert found.path.read_bytes() == whole.path.read_bytes()


def test_repeats_and_bad_rows_of_the_target_are_left_out_and_told(write, text, corpora, rows, tmp_path: Path) -> None:
    good = [{"id": f"t{i}", "text": text(i, i % 2 == 0, 12)} for i in range(20)]
    target = write("task.jsonl", [*good, {"id": "again", "text": good[3]["text"]}, {"id": "null", "text": None}])
    asked = ["select", "--candidates", corpora.pool, "-t", target, "-k", "30docs", "--method", "all-target"]
    shown = CliRunner().invoke(main, [*asked, "-o", str(tmp_path / "out")])
    found = gotd.Selection.load(tmp_path / "out")
    assert found.manifest["from_target"] == {"read": 22, "selected": 20, "not_selected": 1, "rejected": 1}
    assert found.manifest["duplicates"] == 1
    assert [(row["file"], row["row"]) for row in rows(found.folder / "rejects.jsonl")] == [(target, 22)]
    assert "0 of 300 documents, and 20 documents of the target itself" in shown.stdout
    assert "The budget is not full: duplicates and caps left nothing more to choose; add to the target." in shown.stdout


def test_a_target_that_changed_since_the_fit_is_refused(write, text, corpora, tmp_path: Path) -> None:
    target = write("task.jsonl", [{"text": text(i, True)} for i in range(20)])
    gotd.fit(target, corpora.pool, tmp_path / "fit", settings=gotd.FitSettings(method="all-target"))
    gotd.score(tmp_path / "fit", corpora.pool, tmp_path / "scores", workers=1)
    write("task.jsonl", [{"text": text(i, False)} for i in range(20)])
    with pytest.raises(InputError, match=r"task\.jsonl changed since the selector was fitted on it\. Fit it again"):
        gotd.choose(tmp_path / "scores", "10docs", tmp_path / "out")


def test_a_budget_below_the_first_document_of_the_target_is_refused(write, text, tmp_path: Path) -> None:
    pool = write("short.jsonl", [{"id": str(i), "text": f"common{i}"} for i in range(40)])
    target = write("long.jsonl", [{"text": text(i, True, 60)} for i in range(10)])
    with pytest.raises(SettingsError, match="the budget is 20tokens, less than the first document to take"):
        gotd.select(pool, target, "20tokens", tmp_path / "out", **ASKED)
