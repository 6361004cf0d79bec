"""A pool scored by one process, by several, and by several commands: the same to the bit."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

import gotd
from gotd import ArtifactError, SettingsError
from gotd.locks import Lock
from gotd.stages.ranks import Rank


@pytest.fixture(autouse=True)
def shards(small_shards) -> None:
    """Twelve in two files."""
    small_shards(6000)


@pytest.fixture
def whole(corpora, selector: Path, contents, tmp_path: Path) -> dict[str, Any]:
    """What one process makes of the pool."""
    return certified(gotd.score(selector, corpora.pool, tmp_path / "whole", executor="inline"), contents)


def certified(found: gotd.Scores, contents) -> dict[str, Any]:
    """The files of a scoring, and its certificate to the last bit: the shards are the same, in the same order."""
    return {**contents(found.folder), "certificate": found.manifest["marginal_error"]}


@pytest.fixture
def coarse(corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A potential fitted on so small a sample that the pool asks for further passes."""
    monkeypatch.setattr("gotd.stages.passes.ASK_AT", 1e-6)
    gotd.fit(corpora.target, corpora.pool, tmp_path / "coarse", settings=gotd.FitSettings(fit_sample=40))
    return tmp_path / "coarse"


def test_processes_score_the_same_to_the_bit(corpora, selector: Path, whole, counted, contents, tmp_path: Path) -> None:
    """And each reads the potential once."""
    found = gotd.score(selector, corpora.pool, tmp_path / "out", executor="processes", workers=2)
    assert certified(found, contents) == whole
    loads = counted.read_text().split()
    assert 1 <= len(loads) == len(set(loads)) <= 2  # the first may have done all before the second was up
    assert str(os.getpid()) not in loads


def test_ranks_score_the_same_to_the_bit(corpora, selector: Path, whole, counted, contents, tmp_path: Path) -> None:
    """In any order; the call without a rank has nothing left to score."""
    out = tmp_path / "out"
    told = [
        gotd.score(selector, corpora.pool, out, rank=Rank(rank, 3), workers=1).manifest["shards"] for rank in (2, 0, 1)
    ]
    assert [(shards["done"], shards["of"]) for shards in told] == [(4, 4)] * 3
    assert {shards["pool"] for shards in told} == {12}
    assert not (out / "manifest.json").exists()
    before = counted.read_text()
    found = gotd.score(selector, corpora.pool, out, workers=1)
    assert counted.read_text() == before
    assert certified(found, contents) == whole


def test_what_a_rank_left_is_scored_by_the_call_without_one(
    corpora, selector: Path, whole, contents, tmp_path: Path
) -> None:
    gotd.score(selector, corpora.pool, tmp_path / "out", rank=Rank(1, 3), workers=1)
    assert certified(gotd.score(selector, corpora.pool, tmp_path / "out", workers=1), contents) == whole


def test_a_rank_after_the_end_has_nothing_to_do(corpora, selector: Path, scored: Path, counted) -> None:
    found = gotd.score(selector, corpora.pool, scored, rank=Rank(0, 3), workers=1)
    assert found.manifest["counts"]["scored"] == 300
    assert not counted.exists()


def test_ranks_share_a_further_pass_too(corpora, coarse: Path, contents, tmp_path: Path, monkeypatch) -> None:
    """A call without a rank that is stopped in a further pass leaves the rest of it to whoever comes."""
    gotd.score(coarse, corpora.pool, tmp_path / "undisturbed", polish=1, workers=1)
    out = tmp_path / "out"
    for rank in (0, 1):
        gotd.score(coarse, corpora.pool, out, polish=1, rank=Rank(rank, 2), workers=1)
    with monkeypatch.context() as patch:

        def stop(*step: object) -> None:
            if (out / "parts" / "pass-1").exists():
                raise KeyboardInterrupt

        patch.setattr("gotd.stages.score.Potential.save", saved_and(stop))
        with pytest.raises(KeyboardInterrupt):
            gotd.score(coarse, corpora.pool, out, polish=1, workers=1)
    for rank in (0, 1):
        shards = gotd.score(coarse, corpora.pool, out, polish=1, rank=Rank(rank, 2), workers=1).manifest["shards"]
        assert shards["done"] == shards["of"]
    gotd.score(coarse, corpora.pool, out, polish=1, workers=1)
    assert contents(out) == contents(tmp_path / "undisturbed")


def saved_and(then):
    """`Potential.save`, and then something else."""
    plain = gotd.Potential.save

    def save(self: gotd.Potential, folder: Path) -> Path:
        found = plain(self, folder)
        then()
        return found

    return save


def test_ranks_exclude_their_like_and_a_run_alone(corpora, selector: Path, tmp_path: Path, monkeypatch) -> None:
    """Ranks of one world share the folder: a second of the same number, or a run without, is refused by name."""
    out = tmp_path / "out"
    out.mkdir()
    held = Lock(out, 1)
    gotd.score(selector, corpora.pool, out, rank=Rank(0, 2), workers=1)
    held._owner = threading.Thread()  # as if it were another run's
    for rank in (Rank(1, 2), None):
        with pytest.raises(ArtifactError, match=r"out is being written by another run \(process \d+ on "):
            gotd.score(selector, corpora.pool, out, rank=rank, workers=1)
    held.release()
    gotd.score(selector, corpora.pool, out, rank=Rank(1, 2), workers=1)


def test_a_rank_deletes_nothing_of_the_others(corpora, selector: Path, tmp_path: Path) -> None:
    gotd.score(selector, corpora.pool, tmp_path, rank=Rank(0, 2), workers=1)
    done = sorted((tmp_path / "parts").iterdir())
    with pytest.raises(SettingsError, match="--overwrite would delete what other ranks have scored"):
        gotd.score(selector, corpora.pool, tmp_path, rank=Rank(1, 2), workers=1, overwrite=True)
    assert sorted((tmp_path / "parts").iterdir()) == done


@pytest.mark.parametrize(
    ("told", "environment", "rank"),
    [
        ((None, None), {"SLURM_PROCID": "0", "SLURM_ARRAY_TASK_ID": "3"}, None),
        ((2, 4), {"SLURM_PROCID": "0", "SLURM_ARRAY_TASK_ID": "3"}, Rank(2, 4)),
        ((None, 4), {"SLURM_PROCID": "0", "SLURM_ARRAY_TASK_ID": "3"}, Rank(3, 4)),
        ((None, 4), {"SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_NTASKS": "1"}, Rank(3, 4)),
        ((None, 4), {"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, Rank(2, 4)),
    ],
)
def test_the_rank_is_told_or_slurms(told, environment, rank) -> None:
    """Slurm is asked only where a world size is given: a job of its own is no rank."""
    assert Rank.of(*told, environment) == rank


@pytest.mark.parametrize(
    ("told", "environment", "message"),
    [
        ((3, None), {}, "rank is 3 of an unknown number; pass --world-size too"),
        ((4, 4), {}, "rank is 4 and world size 4; wanted a rank of 0 to 3"),
        ((None, 2), {"SLURM_ARRAY_TASK_ID": "2"}, "rank is 2 and world size 2; wanted a rank of 0 to 1"),
        ((None, 4), {}, "neither SLURM_ARRAY_TASK_ID nor SLURM_PROCID is set; pass --rank"),
        ((None, 4), {"SLURM_ARRAY_TASK_ID": "1", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, "pass --rank"),
        (
            (None, 16),
            {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_COUNT": "2"},
            "this array has 2 tasks and the world size is 16; pass --rank",
        ),
    ],
)
def test_a_rank_that_cannot_be_is_refused(told, environment, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Rank.of(*told, environment)
