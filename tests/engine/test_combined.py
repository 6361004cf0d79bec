"""Workers that die where vectors are kept or taken, and where two encoders score: lifted, it ends as if none had."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import gotd
from gotd import GotdError
from gotd.corpus import plan
from gotd.encoders.lsa import Lsa

DEADLY = 3
TIERS: dict[str, Any] = {"coarse": "static", "fine": "lsa", "shortlist": 4, "probe": 30}
DEADLY_WORKERS: dict[str, Any] = {"executor": "processes", "workers": 2}


@pytest.fixture
def poison(works, forked, small_shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """poison(stage): a file that, while it is there, lets each worker of that stage die of the shard DEADLY."""
    from scorers import MortalScorer

    small_shards(6000)
    monkeypatch.setattr("gotd.stages.tiers.plan", lambda files, fields: plan(files, fields, 6000))
    monkeypatch.setattr("gotd.engine.processes._SPAWN", forked)

    def laid(stage: str) -> Path:
        path = tmp_path / "poison"
        path.touch()
        scorer = partial(MortalScorer, poison=path, tried=tmp_path / "tried", deadly=(DEADLY,))
        monkeypatch.setattr(f"gotd.stages.{stage}.ShardScorer", scorer)
        return path

    return laid


def files(folder: Path, contents: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """All files of a folder, and those of its kept vectors, which are moved away."""
    vectors = {path.name: path.read_bytes() for path in (folder / "embeddings").glob("*")}
    (folder / "embeddings").rename(folder.with_name(f"{folder.name}-embeddings"))
    return {**contents(folder), "embeddings": vectors}


def test_vectors_are_kept_of_what_is_not_in_quarantine_and_then_of_all(
    corpora, selector: Path, poison, contents, tmp_path: Path
) -> None:
    out, laid = tmp_path / "out", poison("score")
    first = gotd.score(selector, corpora.pool, out, keep_embeddings=True, **DEADLY_WORKERS)
    (lost,) = first.manifest["quarantined"]
    kept = [pq.ParquetFile(path).metadata.num_rows for path in (out / "embeddings").glob("*.parquet")]
    assert sum(kept) == first.manifest["counts"]["scored"] == 300 - lost["rows"]
    laid.unlink()
    gotd.score(selector, corpora.pool, out, keep_embeddings=True, **DEADLY_WORKERS)
    gotd.score(selector, corpora.pool, tmp_path / "undisturbed", keep_embeddings=True, workers=1)
    assert files(out, contents) == files(tmp_path / "undisturbed", contents)


def test_what_was_in_quarantine_when_vectors_were_kept_is_embedded_with_the_next_target(
    corpora, selector: Path, poison, tmp_path: Path
) -> None:
    laid = poison("score")
    kept = tmp_path / "kept"
    first = gotd.score(selector, corpora.pool, kept, keep_embeddings=True, **DEADLY_WORKERS)
    laid.unlink()
    rows = first.manifest["quarantined"][0]["rows"]
    found = gotd.score(selector, corpora.pool, tmp_path / "out", embeddings=kept, workers=1)
    assert found.manifest["embeddings"] == {"from": str(kept / "embeddings"), "taken": 300 - rows, "embedded": rows}
    assert found.manifest["counts"]["scored"] == 300


def test_a_shard_that_dies_over_kept_vectors_is_lifted_too(
    corpora, selector: Path, poison, contents, tmp_path: Path
) -> None:
    gotd.score(selector, corpora.pool, tmp_path / "kept", keep_embeddings=True, executor="inline")
    laid = poison("score")
    given = {"embeddings": tmp_path / "kept", **DEADLY_WORKERS}
    first = gotd.score(selector, corpora.pool, tmp_path / "out", **given)
    (lost,) = first.manifest["quarantined"]
    assert first.manifest["embeddings"]["taken"] == 300 - lost["rows"]
    laid.unlink()
    gotd.score(selector, corpora.pool, tmp_path / "out", **given)
    gotd.score(selector, corpora.pool, tmp_path / "undisturbed", embeddings=tmp_path / "kept", workers=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_a_further_pass_takes_the_vectors_too(corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are another folder's: no pass embeds anything, and the second steps as the first said."""
    monkeypatch.setattr("gotd.stages.passes.ASK_AT", 1e-6)
    gotd.fit(corpora.target, corpora.pool, tmp_path / "fit", settings=gotd.FitSettings(fit_sample=40))
    gotd.score(tmp_path / "fit", corpora.pool, tmp_path / "kept", polish=0, keep_embeddings=True, workers=1)

    def none(self: Lsa, texts: object) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr(Lsa, "encode", none)
    found = gotd.score(tmp_path / "fit", corpora.pool, tmp_path / "out", embeddings=tmp_path / "kept", workers=1)
    assert found.manifest["polish_steps"] > 0
    assert found.manifest["embeddings"]["taken"] == 300
    plain = gotd.score(
        tmp_path / "fit", corpora.pool, tmp_path / "one", polish=0, embeddings=tmp_path / "kept", workers=1
    )
    assert found.manifest["marginal_error"] < plain.manifest["marginal_error"]


def test_two_tiers_leave_out_what_the_first_has_in_quarantine(corpora, poison, contents, tmp_path: Path) -> None:
    """In both tiers, and in every count; lifted, both score it."""
    out, laid = tmp_path / "out", poison("score")
    first = gotd.select(corpora.pool, corpora.target, 12, out, **TIERS, **DEADLY_WORKERS)
    (lost,) = first.manifest["quarantined"]
    counts, tiers = first.manifest["counts"], first.manifest["tiers"]
    assert counts["read"] == 300 - lost["rows"] == counts["selected"] + counts["not_selected"] + counts["rejected"]
    assert (tiers["shortlist"], tiers["outside"]) == (48, 300 - lost["rows"] - 48)
    laid.unlink()
    gotd.select(corpora.pool, corpora.target, 12, out, **TIERS, **DEADLY_WORKERS)
    gotd.select(corpora.pool, corpora.target, 12, tmp_path / "undisturbed", **TIERS, executor="inline")
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_a_death_in_the_second_tier_is_an_error_and_the_same_command_goes_on(
    corpora, poison, contents, tmp_path: Path
) -> None:
    """A shortlist that lacks its best documents would be a wrong choice, not a smaller one."""
    out, laid = tmp_path / "out", poison("tiers")
    with pytest.raises(GotdError, match=r"bytes 18,000 to .*: its worker died twice \(SIGKILL killed it") as caught:
        gotd.select(corpora.pool, corpora.target, 12, out, **TIERS, **DEADLY_WORKERS)
    assert "the shortlist is not whole. Run the same command again" in str(caught.value)
    tried = (tmp_path / "tried").read_text().split()
    laid.unlink()
    gotd.select(corpora.pool, corpora.target, 12, out, **TIERS, **DEADLY_WORKERS)
    assert (tmp_path / "tried").read_text().split() == [*tried, str(DEADLY)]
    gotd.select(corpora.pool, corpora.target, 12, tmp_path / "undisturbed", **TIERS, executor="inline")
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_two_tiers_polish_the_first(corpora, contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cheap scores are those of the corrected potential; the dear ones are of the pool's shortlist, as fitted."""
    monkeypatch.setattr("gotd.stages.passes.ASK_AT", 1e-6)
    coarse = {}
    for polish in (0, 1):
        found = gotd.select(corpora.pool, corpora.target, 12, tmp_path / f"{polish}", **TIERS, polish=polish, workers=1)
        coarse[polish] = pq.read_table(found.folder / "coarse.parquet")["score"].to_numpy()
        assert len(found) == 12
    assert (coarse[0] != coarse[1]).any()
