"""A run that was stopped goes on from what is finished, and ends as if it had never been stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import gotd
from gotd import ArtifactError, FitSettings, artifacts
from gotd.corpus import Shard
from gotd.stages.shard_scorer import ShardScorer


class Stopped(BaseException):
    """As if the process had been killed."""


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[int]]:
    """watched(n) -> the shards scored from here on, filled as it goes; the n-th is cut short."""
    plain = ShardScorer.__call__

    def start(stop_at: int | None = None) -> list[int]:
        calls: list[int] = []

        def call(self: ShardScorer, shard: Shard, stem: Path) -> dict[str, int]:
            calls.append(shard.index)
            if len(calls) == stop_at:
                # Half a part is left behind, as a kill would.
                stem.with_name(f"{stem.name}.parquet").write_bytes(b"PAR1")
                raise Stopped
            return plain(self, shard, stem)

        monkeypatch.setattr(ShardScorer, "__call__", call)
        return calls

    return start


@pytest.fixture
def run(corpora, tmp_path: Path) -> Callable[..., gotd.Selection]:
    """The run of the `selected` fixture, in a folder of its own."""

    def select(**settings: object) -> gotd.Selection:
        return gotd.select(corpora.pool, corpora.target, "15docs", tmp_path / "out", workers=1, **settings)

    return select


def test_finished_shards_are_not_scored_again(
    run, watched, small_shards, selected: Path, contents, tmp_path: Path
) -> None:
    small_shards(5000)
    calls = watched(4)
    with pytest.raises(Stopped):
        run()
    stopped = list(calls)
    assert len(stopped) == 4
    again = watched()
    run()
    assert not set(again) & set(stopped[:-1])
    assert stopped[-1] in again
    assert sorted(again + stopped[:-1]) == list(range(len(again) + 3))
    assert contents(tmp_path / "out") == contents(selected)


STEPS = {  # and whether the shards are still to be scored then
    "before the fit is saved": ("gotd.potential.Potential.save", True),
    "at the end of the fit": ("gotd.stages.fit.RejectWriter", True),
    "before scoring": ("gotd.stages.score.plan", True),
    "in joining parts": ("gotd.stages.score.merge", False),
    "before choosing": ("gotd.stages.choose._picked", False),
    "in writing the choice": ("gotd.stages.choose.write_arrow", False),
    "at the end of choosing": ("gotd.stages.choose.transport", False),
    "before the files are moved": ("gotd.pipeline._add_rejects", False),
}


@pytest.mark.parametrize(("where", "unscored"), STEPS.values(), ids=STEPS)
def test_stopped_anywhere_it_ends_the_same(
    where: str, unscored: bool, run, watched, selected: Path, contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object, **others: object) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(where, stop)
        with pytest.raises(Stopped):
            run()
    assert not (tmp_path / "out" / "manifest.json").exists()
    calls = watched()
    run()
    assert calls == ([0, 1] if unscored else [])
    assert contents(tmp_path / "out") == contents(selected)


@pytest.mark.parametrize("name", ["potential.safetensors", "scores.parquet", "selected.jsonl"])
def test_stopped_between_two_files_it_ends_the_same(
    name: str, run, selected: Path, contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files go to their place one by one."""
    plain = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if Path(target) == tmp_path / "out" / name:
            raise Stopped
        return plain(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(Stopped):
            run()
    run()
    assert contents(tmp_path / "out") == contents(selected)
    assert not (tmp_path / "out" / ".work").exists()


def test_stopped_after_the_manifest_what_the_work_left_goes(
    run, watched, selected: Path, contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is whole then; nothing is done again but to clear up."""
    plain = artifacts._tidy

    def stop(folder: Path, manifest: dict[str, object]) -> None:
        if folder == tmp_path / "out":
            raise Stopped
        plain(folder, manifest)

    with monkeypatch.context() as patch:
        patch.setattr("gotd.artifacts._tidy", stop)
        with pytest.raises(Stopped):
            run()
    assert {".work", "manifest.json", "started.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    calls = watched()
    run()
    assert calls == []
    assert contents(tmp_path / "out") == contents(selected)


def test_a_finished_run_is_returned_at_once(run, watched, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run()
    calls = watched()
    for stage in ("fit", "score", "choose"):
        monkeypatch.setattr(f"gotd.pipeline.{stage}", None)
    assert run() == first
    assert calls == []


def test_a_potential_that_was_stepped_since_is_another(corpora, selector: Path, scored: Path, tmp_path: Path) -> None:
    """As one that was corrected by the pass over a pool: what the fitted one scored is not its own."""
    fitted = gotd.Potential.load(selector)
    fitted.stepped(fitted.no_mass() + torch.arange(1.0, len(fitted.no_mass()) + 1)).save(tmp_path)
    with pytest.raises(
        ArtifactError, match=r"potential was '\w{16}' and is now '\w{16}'\. Pass --overwrite, or another"
    ):
        gotd.score(tmp_path, corpora.pool, scored, workers=1)


def test_an_encoder_that_was_made_anew_in_its_folder_is_another(corpora, selector: Path, tmp_path: Path) -> None:
    """Its name is the same: what the one before has chosen is not taken for its choice."""
    encoder, asked = tmp_path / "encoder", (corpora.pool, corpora.target, 5, tmp_path / "out")
    shutil.copytree(selector, encoder)
    first = gotd.select(*asked, encoder=str(encoder), workers=1)
    assert gotd.select(*asked, encoder=str(encoder)) == first
    gotd.fit(corpora.target, corpora.other, encoder, overwrite=True)
    with pytest.raises(ArtifactError, match=r"encoder of encoder_files was '\w{16}' and is now '\w{16}'"):
        gotd.select(*asked, encoder=str(encoder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reg": 0.5}, r"reg was 0\.1 and is now 0\.5\. Pass --overwrite, or another --output"),
        ({"encoder": "static"}, "encoder was 'lsa' and is now 'static'"),
        ({"paper": True}, r"reg was 0\.1 and is now 0\.01"),
        ({"keep": 1}, "keep was None and is now 1"),
        ({"reference": "other"}, "the files of reference differ"),
    ],
)
def test_other_settings_need_another_folder_or_overwrite(change, message: str, run, corpora) -> None:
    if "reference" in change:
        change = {"reference": corpora.other}
    first = run()
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    with pytest.raises(ArtifactError, match=message):
        run(**change)
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before
    if "encoder" not in change:
        again = run(**change, overwrite=True)
        assert again.manifest["counts"]["selected"] == 15
        assert again.manifest != first.manifest


def test_settings_that_change_midway_are_refused_by_what_is_finished(run, watched, small_shards) -> None:
    """A stopped run holds a finished fit: it is not mixed with another's scores."""
    small_shards(5000)
    watched(2)
    with pytest.raises(Stopped):
        run()
    watched()
    with pytest.raises(ArtifactError, match=r"selector was made otherwise: reg was 0\.1 and is now 0\.5"):
        run(reg=0.5)
    with pytest.raises(ArtifactError, match="selector was made otherwise: on_error was 'skip' and is now 'fail'"):
        run(on_error="fail")


def test_a_foreign_folder_is_left_alone(run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("my own")
    for overwrite in (False, True):
        with pytest.raises(ArtifactError, match="holds files that gotd did not make"):
            run(overwrite=overwrite)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_run_stopped_in_polishing_ends_the_same(
    corpora, watched, contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second pass scores by another potential under the same name: the first must not be done with it."""
    monkeypatch.setattr("gotd.stages.passes.ASK_AT", 1e-6)
    gotd.fit(corpora.target, corpora.pool, tmp_path / "fit", settings=FitSettings(fit_sample=40))
    asked = {"potential": tmp_path / "fit", "pool": corpora.pool, "polish": 1, "workers": 1}
    gotd.score(output=tmp_path / "undisturbed", **asked)
    watched(4)  # of two shards in each of two passes
    with pytest.raises(Stopped):
        gotd.score(output=tmp_path / "out", **asked)
    again = watched()
    gotd.score(output=tmp_path / "out", **asked)
    assert len(again) == 1
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_another_potential_in_the_same_place_is_read_anew(corpora, watched, contents, tmp_path: Path) -> None:
    """After a stopped run in this process, too."""
    for name, reg in (("one", 0.1), ("two", 1.0)):
        gotd.fit(corpora.target, corpora.pool, tmp_path / name, settings=FitSettings(reg=reg))
    watched(2)
    with pytest.raises(Stopped):
        gotd.score(tmp_path / "one", corpora.pool, tmp_path / "out", workers=1)
    watched()
    gotd.score(tmp_path / "two", corpora.pool, tmp_path / "out", workers=1, overwrite=True)
    fresh = tmp_path / "fresh"
    gotd.score(tmp_path / "two", corpora.pool, fresh, workers=1)
    assert contents(tmp_path / "out") == contents(fresh)


def test_a_selection_can_be_moved(run, corpora, tmp_path: Path) -> None:
    """Its folder needs nothing outside itself but the pool."""
    first = run()
    moved = tmp_path / "elsewhere"
    shutil.move(first.folder, moved)
    assert gotd.Selection.load(moved).potential.score(["rare1"]).shape == (1,)
    assert len(gotd.Selection.load(moved).to_arrow()) == 15
