"""The verdict in plain words, for every way that a selection can turn out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gotd
from gotd.reporting.verdict import Check, checks, headline

NEARER = "1,500 documents bring the reference 25% nearer to the target"


def told(before: float, after: float, random: float) -> str:
    moved = {"before": before, "after": after, "random": random}
    return headline({"counts": {"selected": 1500}, "from_target": None, "transport": moved})


@pytest.mark.parametrize(
    ("before", "after", "random", "said"),
    [
        (0.2, 0.15, 0.2001, f"{NEARER}; as many at random, no nearer."),
        (0.2, 0.15, 0.18, f"{NEARER}; as many at random, 10%."),
        (0.2, 0.15, 0.22, f"{NEARER}; as many at random, 10% further away."),
        (0.2, 0.15, 0.15, "The choice of 1,500 documents is no better than as many at random."),
        (0.2, 0.199, 0.21, "The choice of 1,500 documents brings the reference no nearer to the target."),
        (0.2, 0.25, 0.21, "The choice of 1,500 documents brings the reference no nearer to the target."),
        (
            0.2,
            -0.01,
            0.2,
            "1,500 documents bring the reference as near to the target as samples of this size can tell; "
            "as many at random, no nearer.",
        ),
        (-0.01, -0.04, -0.02, "1,500 documents lower the distance by 0.0300; as many at random, by 0.0100."),
        (float("nan"), 0.1, 0.2, "The choice of 1,500 documents brings the reference no nearer to the target."),
    ],
)
def test_headline(before: float, after: float, random: float, said: str) -> None:
    assert told(before, after, random) == said


def test_where_something_is_to_be_left_there_is_no_share_of_the_way() -> None:
    aims = [{"avoid": False}, {"avoid": True}]
    moved = {"before": 0.2, "after": 0.15, "random": 0.19, "targets": aims}
    counts = {"counts": {"selected": 1500}, "from_target": None}
    assert headline({**counts, "transport": moved}) == (
        "1,500 documents lower the distance by 0.0500; as many at random, by 0.0100."
    )
    said = headline({**counts, "transport": {**moved, "targets": aims[:1]}})
    assert said == "1,500 documents bring the reference 25% nearer to the targets; as many at random, 5%."


def test_one_document_is_one() -> None:
    moved = {"before": 0.2, "after": 0.1, "random": 0.2}
    said = headline({"counts": {"selected": 1}, "from_target": None, "transport": moved})
    assert said == "1 document brings the reference 50% nearer to the target; as many at random, no nearer."


@pytest.fixture
def manifest(selected: Path) -> dict[str, Any]:
    return gotd.Selection.load(selected).manifest


def looked(manifest: dict[str, Any], selected: Path, missing: int = 0) -> dict[str, Check]:
    return {check.title: check for check in checks(manifest, gotd.Selection.load(selected).potential, missing)}


def test_a_sound_selection_passes(manifest: dict[str, Any], selected: Path) -> None:
    manifest["quality"]["stability"] = {"1%": 0.1, "5%": 0.9, "10%": 0.2}
    manifest["transport"] |= {"before": 0.3, "predicted": 0.2, "after": 0.2, "random": 0.3, "rounds_needed": 1}
    found = looked(manifest, selected)
    assert [check.title for check in found.values() if not check.good] == []
    assert found["Stable"].said == (
        "Two halves of the target agree on 90% of the best 5% of the reference (15 of 300 documents)."
    )
    assert found["Every row accounted for"].said == "300 read = 15 selected + 285 not selected + 0 rejected."
    assert found["The budget is full"].said.startswith("15 documents, about ")
    assert "over the whole pool" in found["Solved, on the whole pool"].said


@pytest.mark.parametrize(
    ("part", "change", "title", "said"),
    [
        ("transport", {"random": -9.0}, "Not better than random", "a random choice comes to -9.0000"),
        ("transport", {"rounds_needed": 3}, "One step goes too far", "Try `--rounds 3`."),
        ("transport", {"before": -0.01}, "Samples too small to give a scale", "below zero"),
        ("quality", {"stability": {"5%": 0.7}}, "Depends on the examples", "70% of the best 5%"),
        ("quality", {"stability": {}}, "Stability unknown", "fewer than 4"),
        ("quality", {"converged": False, "advice": "raise reg"}, "Not converged", "raise reg."),
        ("quality", {"marginal_error_pool": 0.2}, "Solved on the sample alone", "0.2000. Raise `--polish`"),
        ("counts", {"rejected": 30, "not_selected": 255}, "Many rows could not be read", "30 rejected: see"),
        ("counts", {"read": 301}, "Rows are missing", "does not add up"),
    ],
)
def test_what_is_wrong_is_said(
    manifest: dict[str, Any], selected: Path, part: str, change: dict[str, Any], title: str, said: str
) -> None:
    manifest[part] |= change
    found = looked(manifest, selected)
    assert not found[title].good
    assert said in found[title].said


def test_a_budget_that_is_not_full(manifest: dict[str, Any], selected: Path) -> None:
    manifest["filled"] = False
    assert not looked(manifest, selected)["The budget is not full"].good


def test_inputs_that_are_gone(manifest: dict[str, Any], selected: Path) -> None:
    assert looked(manifest, selected)["Inputs unchanged"].good
    assert not looked(manifest, selected, missing=1)["Inputs are gone or changed"].good


def test_rounds_that_were_enough(manifest: dict[str, Any], selected: Path) -> None:
    manifest["transport"]["rounds_needed"], manifest["rounds"] = 2, [{}, {}]
    assert looked(manifest, selected)["Rounds enough"].said.endswith("; 2 rounds were taken.")


def test_the_certificate_counts_only_where_the_pool_is_the_reference(lacking: Path) -> None:
    found = looked(gotd.Selection.load(lacking).manifest, lacking)
    assert found["Solved"].good
    assert "whole pool" not in found["Solved"].said


def test_another_method_is_named(corpora, tmp_path: Path) -> None:
    chosen = gotd.select(corpora.pool, corpora.target, 10, tmp_path, method="nearest", workers=1)
    first = checks(chosen.manifest, chosen.potential, 0)[0]
    assert (first.good, first.title) == (False, "Chosen by nearest")
