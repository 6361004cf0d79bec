"""Sizes: each budget as `choose` would have it, folds that see what is learnt by heart, the knee."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import gotd
from gotd import FitSettings, Sizes, WarmUp
from gotd.selection.knee import knee
from gotd.stages import size as stage
from gotd.transport import Measure

FAST = WarmUp(learning_rate=1e-2, batch_tokens=100, scale=1.0)


@pytest.fixture(scope="module")
def sizes(scored: Path) -> Sizes:
    return gotd.size(scored, limit=200, budgets=4, folds=3, warm_up=FAST)


def test_budgets_are_even_in_the_logarithm(sizes: Sizes) -> None:
    assert [row.documents for row in sizes.sizes] == [50, 79, 126, 200]
    assert sizes.pool == 300
    assert sizes.target == 60


@pytest.mark.parametrize("place", range(4))
def test_a_budget_does_what_choose_says_it_does(place: int, sizes: Sizes, scored: Path, tmp_path: Path) -> None:
    row = sizes.sizes[place]
    found = gotd.choose(scored, row.documents, tmp_path / "out", mix="auto", warm_up=FAST).manifest
    moved = found["transport"]
    assert row.tokens == found["counts"]["tokens_estimated"]
    assert row.mix == moved["mix"] == pytest.approx(FAST.mix(row.tokens))
    # `choose` takes the value before from the fit, not from a solution that starts there.
    assert row.predicted == pytest.approx(moved["predicted"] - moved["before"], rel=1e-3)
    assert row.solved == pytest.approx(moved["after"] - moved["before"], rel=0.02)


def test_the_knees_are_those_of_the_two_columns(sizes: Sizes) -> None:
    counts = [row.documents for row in sizes.sizes]
    for column, found in (("solved", sizes.knee), ("held_out", sizes.held_out_knee)):
        place = knee(counts, [-getattr(row, column) for row in sizes.sizes])
        assert found == (None if place is None else counts[place])
    assert sizes.knee is not None


def test_one_share_for_all_has_no_knee(scored: Path) -> None:
    """The best documents come first: with as much weight, fifty of them do more than two hundred."""
    found = gotd.size(scored, limit=200, budgets=4, folds=0, mix=0.1)
    assert (found.knee, found.held_out_knee, found.warm_up) == (None, None, None)
    assert {row.mix for row in found.sizes} == {0.1}
    assert [row.held_out for row in found.sizes] == [None] * 4
    assert [row.solved for row in found.sizes] == sorted(row.solved for row in found.sizes)


def test_what_is_learnt_by_heart_shows_in_the_folds(write, tmp_path: Path) -> None:
    """Targets at right angles to one another, and a copy of each in the pool: good for that one, for no other."""
    rng = np.random.default_rng(0)

    def records(name: str, vectors: np.ndarray) -> list[dict[str, object]]:
        return [{"id": f"{name}{i}", "text": f"{name} {i}", "v": row.tolist()} for i, row in enumerate(vectors)]

    target = np.eye(40)[:20]
    pool = np.concatenate([target, np.abs(rng.normal(size=(280, 40))) * (np.arange(40) >= 20)])
    files = write("pool.jsonl", records("p", pool)), write("target.jsonl", records("t", target))
    fields = gotd.Fields(embedding="v")
    gotd.fit(files[1], files[0], tmp_path / "fit", fields=fields, settings=FitSettings(centre=False))
    gotd.score(tmp_path / "fit", files[0], tmp_path / "scores", workers=1)
    found = gotd.size(tmp_path / "scores", limit=16, budgets=2, folds=5, dedup="off", warm_up=FAST)
    by_heart = found.sizes[-1]
    assert by_heart.solved < 0
    assert by_heart.held_out > 0.5 * by_heart.solved


def test_the_folder_of_select_will_do(selected: Path, scored: Path) -> None:
    asked = {"limit": 60, "budgets": 2, "folds": 2}
    found, wanted = gotd.size(selected, **asked), gotd.size(scored, **asked)
    assert dataclasses.replace(found, sizes=()) == dataclasses.replace(wanted, sizes=())
    assert found.sizes == wanted.sizes


def test_folds_hold_each_document_once() -> None:
    target = Measure.of(torch.eye(11), torch.tensor([1.0] * 10 + [0.0]))
    parts = list(stage._folds(target, 3, 0))
    assert sorted(row for _, fold in parts for row in fold.tolist()) == list(range(10))
    assert all(sorted([*kept.tolist(), *fold.tolist()]) == list(range(10)) for kept, fold in parts)
    assert parts[0][1].tolist() != next(stage._folds(target, 3, 1))[1].tolist()


def test_duplicates_are_left_out_and_said(write, text, selector: Path, tmp_path: Path) -> None:
    """Each text stands twice: half of the budget that was asked for is left."""
    pool = write("pool.jsonl", [{"id": f"{i}", "text": text(i // 2, i < 20, 12)} for i in range(80)])
    gotd.score(selector, pool, tmp_path / "scores", workers=1)
    found = gotd.size(tmp_path / "scores", limit=80, budgets=2, folds=0)
    assert (found.sizes[-1].documents, found.wanted) == (40, 80)
    assert gotd.size(tmp_path / "scores", limit=80, budgets=2, folds=0, dedup="off").sizes[-1].documents == 80


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"folds": 31}, "31 folds of (59|60) target documents; wanted 2 to (29|30), or 0"),
        ({"folds": 1}, "1 folds of (59|60) target documents"),
        ({"limit": 301}, "the budget is 301 documents and the pool holds 300"),
        ({"limit": 0}, "limit 0 and 12 budgets; wanted a limit of 1 or more"),
        ({"budgets": 1}, "limit 300 and 1 budgets; wanted .* 2 budgets or more"),
        ({"mix": 1.5}, r"mix is 1\.5; wanted a share above 0 and at most 1, or auto"),
        ({"mix": 0.1, "warm_up": WarmUp()}, r"decide --mix auto; found mix 0\.1"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, object], message: str, scored: Path) -> None:
    with pytest.raises(gotd.SettingsError, match=message):
        gotd.size(scored, **asked)


def test_scores_of_another_method_are_refused(corpora, tmp_path: Path) -> None:
    gotd.fit(corpora.target, corpora.pool, tmp_path / "fit", settings=FitSettings(method="nearest"))
    gotd.score(tmp_path / "fit", corpora.pool, tmp_path / "scores", workers=1)
    with pytest.raises(gotd.SettingsError, match="the scores are of method nearest; wanted gotd's"):
        gotd.size(tmp_path / "scores")


def test_a_target_too_small_for_folds_says_so(write, corpora, tmp_path: Path) -> None:
    gotd.fit(write("one.jsonl", [{"text": "rare1 rare2"}]), corpora.pool, tmp_path / "fit")
    gotd.score(tmp_path / "fit", corpora.pool, tmp_path / "scores", workers=1)
    with pytest.raises(gotd.SettingsError, match="5 folds of 1 target documents; wanted 0 folds, to leave them out"):
        gotd.size(tmp_path / "scores")
