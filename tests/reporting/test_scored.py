"""What the page shows of scores.parquet, against the table as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gotd
from gotd.reporting import scored
from gotd.reporting.scored import BINS, SHOWN, Scored, look


def seen(folder: Path, points: int = 20_000, named: tuple[str, ...] = (), repeats: tuple[str, ...] = ()) -> Scored:
    return look(gotd.Selection.load(folder), named, repeats, points, seed=0)


def everything(folder: Path) -> pa.Table:
    return pq.read_table(folder / "scores.parquet")


def test_every_candidate_and_every_choice_is_in_one_bin(selected: Path) -> None:
    found = seen(selected)
    assert (found.pool.sum(), found.chosen.sum(), found.total) == (300, 15, 300)
    scores = everything(selected)["score"].to_numpy()
    assert (found.low, found.high) == (scores.min(), scores.max())
    assert found.edges[0] <= scores.min()
    assert found.edges[-1] > scores.max()
    assert len(found.pool) <= BINS + 2
    assert np.allclose(np.diff(found.edges), (scores.max() - scores.min()) / BINS)


def test_the_cut_falls_between_two_bins(selected: Path) -> None:
    """What is chosen is left of it, and all that is left of it is chosen: no duplicates here."""
    found = seen(selected)
    assert found.cut == gotd.Selection.load(selected).to_arrow()["score"].to_numpy().max()
    left = found.edges[1:] <= np.nextafter(np.float32(found.cut), np.float32(1))
    assert found.chosen[left].sum() == found.pool[left].sum() == 15
    assert found.chosen[~left].sum() == 0


def test_there_is_no_one_cut_after_rounds_or_under_a_cap(scored: Path, tmp_path: Path) -> None:
    gotd.choose(scored, 12, tmp_path / "rounds", rounds=2)
    gotd.choose(scored, 12, tmp_path / "cap", max_per_source="50%")
    assert seen(tmp_path / "rounds").cut is None
    assert seen(tmp_path / "cap").cut is None


def test_one_score_for_all_is_one_bin(scored: Path, tmp_path: Path) -> None:
    folder = gotd.choose(scored, 3, tmp_path / "out").folder
    table = everything(folder)
    same = pa.array(np.full(len(table), 0.5, dtype=np.float32))
    pq.write_table(table.set_column(table.schema.get_field_index("score"), "score", same), folder / "scores.parquet")
    found = seen(folder)
    assert found.pool.tolist()[:1] == [300]
    assert found.pool.sum() == 300


def test_rows_are_the_selection_by_rank_then_candidates_by_score(selected: Path) -> None:
    rows = seen(selected).rows
    ids = gotd.Selection.load(selected).to_arrow()["id"].to_pylist()
    assert rows["id"].to_pylist()[:15] == ids
    assert rows["rank"].to_pylist() == [*range(1, 16), *[None] * 285]
    assert (np.diff(rows["score"].to_numpy()[15:]) >= 0).all()
    assert sorted(rows["id"].to_pylist()) == sorted(everything(selected)["id"].to_pylist())


def test_ranks_are_those_of_the_choice_where_rounds_do_not_follow_the_scores(scored: Path, tmp_path: Path) -> None:
    chosen = gotd.choose(scored, 12, tmp_path, rounds=3).to_arrow()
    assert (np.diff(chosen["score"].to_numpy()) < 0).any()
    assert seen(tmp_path).rows["id"].to_pylist()[:12] == chosen["id"].to_pylist()


def test_a_sample_holds_the_selection_what_is_named_and_what_just_missed(selected: Path) -> None:
    far = everything(selected).sort_by([("score", "descending")])["id"][0].as_py()
    found = seen(selected, points=40, named=(far,))
    ids = set(found.rows["id"].to_pylist())
    assert len(found.rows) == len(ids) == 40
    assert ids >= {far, *found.outside, *gotd.Selection.load(selected).to_arrow()["id"].to_pylist()}
    assert found.pool.sum() == 300
    assert seen(selected, points=40, named=(far,)).rows.equals(found.rows)
    assert len(seen(selected, points=1).rows) == 15 + SHOWN


def test_the_sample_is_uniform(selected: Path) -> None:
    """Over many seeds, each of the 280 candidates that need not be drawn is drawn alike."""
    drawn: list[str] = []
    for seed in range(100):
        rows = look(gotd.Selection.load(selected), (), (), 160, seed).rows
        drawn += rows["id"].to_pylist()[15:]
    counts = np.sort(np.unique(drawn, return_counts=True)[1])[:-SHOWN]
    assert len(counts) == 280
    assert counts.min() >= 30
    assert counts.max() <= 70


def test_what_just_missed_repeats_nothing_that_was_chosen(selected: Path) -> None:
    order = everything(selected).sort_by([("score", "ascending")])["id"].to_pylist()
    assert seen(selected).outside == order[15 : 15 + SHOWN]
    assert seen(selected, repeats=(order[16],)).outside == [order[15], *order[17 : 17 + SHOWN - 1]]


def test_of_a_selection_too_large_to_draw_a_sample_is_drawn(selected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scored, "MOST", 7)
    rows = seen(selected, points=5).rows
    assert len(rows) - rows["rank"].null_count == 7
