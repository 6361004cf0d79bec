"""`round-robin` end to end: the choice that the whole matrix of costs gives, on any shards, and lists too short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import gotd
from gotd.cli import main
from gotd.selection.methods.round_robin import RoundRobin


def in_turn(folder: Path, pool: list[dict]) -> list[str]:
    """Ids in the order in which the targets take them, from all n x m costs."""
    potential = gotd.Potential.load(folder)
    assert isinstance(potential.method, RoundRobin)
    costs = (1 - potential.points([record["text"] for record in pool]) @ potential.method.targets.T).clamp_min(0)
    left, order = list(range(len(pool))), []
    while left:
        for target in range(costs.shape[1]):
            if left:
                row = min(left, key=lambda row, target=target: (float(costs[row, target]), row))
                left.remove(row)
                order.append(pool[row]["id"])
    return order


@pytest.fixture
def pool(corpora, rows) -> list[dict]:
    return [record for path in corpora.files for record in rows(path)]


def test_each_target_in_turn_takes_its_nearest(corpora, pool, rows, tmp_path: Path) -> None:
    asked = {"method": "round-robin", "dedup": "off", "workers": 1}
    found = gotd.select(corpora.pool, corpora.target, "150docs", tmp_path / "out", **asked)
    expected = in_turn(found.folder, pool)
    chosen = rows(found.path)
    assert [row["gotd"]["id"] for row in chosen] == expected[:150]
    # Of 300 taken in all, the first has the lowest score.
    assert [row["gotd"]["score"] for row in chosen] == list(range(-300, -150))
    told = {"taken": 300, "exact": 300, "length": (1 << 21) // 60, "advice": "", "used": 150}
    assert found.manifest["turns"] == told
    counts = found.manifest["counts"]
    assert counts["read"] == counts["selected"] + counts["not_selected"] + counts["rejected"] == 300


def test_shards_processes_and_halves_change_nothing(corpora, contents, small_shards, tmp_path: Path) -> None:
    options = {"method": "round-robin", "method_options": {"length": 20}}
    gotd.select(corpora.pool, corpora.target, "30docs", tmp_path / "whole", **options, workers=1)
    whole = contents(tmp_path / "whole")
    for size, workers in ((700, 1), (5000, 2)):
        small_shards(size)
        gotd.select(corpora.pool, corpora.target, "30docs", tmp_path / f"{size}", **options, workers=workers)
        assert contents(tmp_path / f"{size}") == whole
    gotd.fit(corpora.target, corpora.pool, tmp_path / "fit", settings=gotd.FitSettings(**options))
    gotd.score(tmp_path / "fit", corpora.pool, tmp_path / "scores", workers=1)
    gotd.choose(tmp_path / "scores", "30docs", tmp_path / "halves")
    halves = contents(tmp_path / "halves")
    assert {n: c for n, c in whole.items() if n != "manifest.json"} == {
        n: c for n, c in halves.items() if n != "manifest.json"
    }


def test_batches_and_bad_rows_move_no_row(
    write, corpora, pool, rows, small_shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are counted by what is scored: what is rejected, in this shard or an earlier one, has no number."""
    monkeypatch.setattr("gotd.stages.shard_scorer._BATCH", 7)
    small_shards(3000)
    dirty = write("pool.jsonl", [row for record in pool for row in (b"{", record)])
    asked = {"method": "round-robin", "dedup": "off", "workers": 1}
    found = gotd.select(dirty, corpora.target, "300docs", tmp_path / "out", **asked)
    assert [row["gotd"]["id"] for row in rows(found.path)] == in_turn(found.folder, pool)


def test_an_id_that_was_there_before_takes_no_turn(write, corpora, pool, rows, small_shards, tmp_path: Path) -> None:
    """The later of two records with one id is rejected, not listed; in one shard or in another."""
    again = [{"id": pool[i]["id"], "text": pool[i + 1]["text"]} for i in range(0, 300, 7)]
    doubled = write("pool.jsonl", [*pool, *again])
    for name, size in (("one", 1 << 20), ("many", 2000)):
        small_shards(size)
        asked = {"method": "round-robin", "dedup": "off", "workers": 1}
        found = gotd.select(doubled, corpora.target, "300docs", tmp_path / name, **asked)
        assert [row["gotd"]["id"] for row in rows(found.path)] == in_turn(found.folder, pool)
        assert found.manifest["counts"]["rejected"] == len(again)


def test_lists_too_short_for_the_budget_are_told(corpora, pool, rows, tmp_path: Path) -> None:
    """What is exact is as by the matrix; what no list holds follows by its distance to the target."""
    asked = ["select", "--candidates", corpora.pool, "-t", corpora.target, "--dedup", "off", "--workers", "1"]
    asked += ["--method", "round-robin", "--method-option", "length=3"]
    shown = CliRunner().invoke(main, [*asked, "-k", "300docs", "-o", str(tmp_path / "out")]).stdout
    found = gotd.Selection.load(tmp_path / "out")
    turns = found.manifest["turns"]
    assert found.manifest["settings"]["method_options"] == {"length": 3}
    assert 0 < turns["exact"] < turns["taken"] < 300 == turns["used"]
    assert turns["length"] == 3
    assert f"Not all in turn: {turns['advice']}." in shown
    chosen = rows(found.path)
    expected = in_turn(found.folder, pool)
    assert [row["gotd"]["id"] for row in chosen[: turns["exact"]]] == expected[: turns["exact"]]
    rest = [row["gotd"]["score"] for row in chosen[turns["taken"] :]]
    points = found.potential.points([row["text"] for row in chosen[turns["taken"] :]])
    assert rest == sorted(rest)
    nearest = (1 - points @ found.potential.method.targets.T).amin(1).numpy()
    np.testing.assert_allclose(rest, nearest.clip(0), rtol=0, atol=1e-6)
    few = CliRunner().invoke(main, [*asked, "-k", str(turns["exact"]), "-o", str(tmp_path / "few")]).stdout
    assert "Wrote" in few
    assert "Not all in turn" not in few


def test_duplicates_and_caps_are_passed_over(corpora, rows, tmp_path: Path) -> None:
    """A target whose document is passed over waits for its next turn."""
    asked = {"method": "round-robin", "max_per_source": "50%", "workers": 1}
    found = gotd.select(corpora.pool, corpora.target, "50docs", tmp_path / "out", **asked)
    scores = [row["gotd"]["score"] for row in rows(found.path)]
    assert scores == sorted(scores)
    assert found.manifest["sources"]["first"]["selected"] <= 25
    assert found.manifest["turns"]["used"] > 50
