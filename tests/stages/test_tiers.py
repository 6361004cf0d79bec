"""Two tiers: the dear encoder decides among the best of the cheap one, and the manifest says what that cost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import gotd
from gotd import SettingsError
from gotd.cli import main
from gotd.corpus import Shard
from gotd.stages.shard_scorer import ShardScorer
from gotd.stages.tiers import check_tiers

GIVEN: dict[str, Any] = {"coarse": "static", "fine": "lsa", "shortlist": 4, "workers": 1}


@pytest.fixture(scope="module")
def chosen(corpora, tmp_path_factory: pytest.TempPathFactory) -> gotd.Selection:
    """12 of 300 documents: static looks at all, lsa at 48 and at 30 others."""
    folder = tmp_path_factory.mktemp("tiers")
    return gotd.select(corpora.pool, corpora.target, 12, folder, probe=30, dedup="off", **GIVEN)


@pytest.fixture(scope="module")
def everything(chosen: gotd.Selection, corpora, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """The score of each document by the dear encoder alone."""
    folder = tmp_path_factory.mktemp("all")
    gotd.score(chosen.folder, corpora.pool, folder, polish=0, workers=1)
    return scores(folder / "scores.parquet")


def scores(path: Path) -> dict[str, float]:
    table = pq.read_table(path)
    return dict(zip(table["id"].to_pylist(), table["score"].to_pylist()))


def best(found: dict[str, float], size: int) -> set[str]:
    return set(sorted(found, key=found.__getitem__)[:size])


def test_the_shortlist_is_the_best_of_the_coarse_scores(chosen: gotd.Selection) -> None:
    coarse = scores(chosen.folder / "coarse.parquet")
    assert len(coarse) == 300
    assert set(scores(chosen.scores)) == best(coarse, 48)


def test_what_the_fine_encoder_scores_it_scores_as_ever(chosen: gotd.Selection, everything: dict[str, float]) -> None:
    for name, size in (("scores", 48), ("probe", 30)):
        found = scores(chosen.folder / f"{name}.parquet")
        assert len(found) == size
        assert all(everything[id] == score for id, score in found.items())
    assert not set(scores(chosen.scores)) & set(scores(chosen.folder / "probe.parquet"))


def test_the_choice_is_the_best_of_the_shortlist_by_the_fine_encoder(chosen: gotd.Selection) -> None:
    assert set(chosen.to_arrow()["id"].to_pylist()) == best(scores(chosen.scores), 12)
    assert chosen.potential.encoder.spec == "lsa"


def test_every_row_is_accounted_for(chosen: gotd.Selection) -> None:
    counts = chosen.manifest["counts"]
    assert {name: counts[name] for name in ("read", "selected", "not_selected", "rejected")} == {
        "read": 300,
        "selected": 12,
        "not_selected": 288,
        "rejected": 0,
    }
    assert sum(source["pool"] for source in chosen.manifest["sources"].values()) == 300


def test_the_share_that_is_kept_is_told_with_its_interval(chosen: gotd.Selection, everything: dict[str, float]) -> None:
    told = chosen.manifest["tiers"]
    assert {name: told[name] for name in ("best", "shortlist", "outside", "probed")} == {
        "best": 12,
        "shortlist": 48,
        "outside": 252,
        "probed": 30,
    }
    truth = len(best(everything, 12) & set(scores(chosen.scores))) / 12
    assert told["low"] <= truth <= told["high"]


def test_with_all_others_probed_it_is_the_share(corpora, tmp_path: Path, everything: dict[str, float]) -> None:
    """A coarse encoder that sees little else than length, and a shortlist that is too short."""
    given = GIVEN | {"shortlist": 2, "probe": 300}
    found = gotd.select(corpora.pool, corpora.target, "4%", tmp_path, dedup="off", **given)
    truth = len(best(everything, 12) & set(scores(found.scores))) / 12
    told = found.manifest["tiers"]
    assert (told["share"], told["low"], told["high"]) == (truth, truth, truth)
    assert (told["budget"], found.manifest["settings"]["budget"]) == ("12docs", "4%")
    assert len(found) == 12
    probe = scores(found.folder / "probe.parquet")
    worst = sorted(probe, key=probe.__getitem__)[-5:][::-1]
    assert [row["id"] for row in found.manifest["worst"]] == worst
    both = np.array([*probe.values(), *scores(found.scores).values()], np.float64)
    table = found.to_arrow()
    np.testing.assert_allclose(
        table["calibrated"].to_numpy(), (table["score"].to_numpy() - both.mean()) * 300 / 299, atol=1e-6
    )


def test_a_token_budget(corpora, tmp_path: Path) -> None:
    found = gotd.select(corpora.pool, corpora.target, "500tokens", tmp_path, **GIVEN)
    assert 0 < found.manifest["counts"]["tokens_estimated"] <= 500
    table = pq.read_table(found.scores)
    tokens = table["tokens"].to_numpy()[np.argsort(table["score"].to_numpy(), kind="stable")]
    assert found.manifest["tiers"]["best"] == (np.cumsum(tokens) <= 500).sum()
    assert 500 * 4 - tokens.max() < tokens.sum() <= 500 * 4


def test_a_run_stopped_in_its_second_tier_goes_on_there(
    corpora, tmp_path: Path, chosen: gotd.Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"probe": 30, "dedup": "off", **GIVEN}
    plain, calls = ShardScorer.__call__, []

    def watched(self: ShardScorer, shard: Shard, stem: Path) -> dict[str, Any]:
        calls.append(self.wanted is not None)
        if calls == [False, False, True, True]:
            raise KeyboardInterrupt
        return plain(self, shard, stem)

    monkeypatch.setattr(ShardScorer, "__call__", watched)
    with pytest.raises(KeyboardInterrupt):
        gotd.select(corpora.pool, corpora.target, 12, tmp_path, **given)
    again = gotd.select(corpora.pool, corpora.target, 12, tmp_path, **given)
    assert calls == [False, False, True, True, True]
    assert again.path.read_bytes() == chosen.path.read_bytes()
    assert again.manifest["tiers"] == chosen.manifest["tiers"]


def test_the_steps_of_a_polished_first_tier_are_told(corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitted on so small a sample that the pool asks for steps; in one tier or two, the manifest says how many."""
    monkeypatch.setattr("gotd.stages.passes.ASK_AT", 1e-6)
    given = {"fit_sample": 40, "polish": 2, "dedup": "off"}
    for name, tiers in (("one", {"encoder": "static", "workers": 1}), ("two", GIVEN)):
        found = gotd.select(corpora.pool, corpora.target, 12, tmp_path / name, **given, **tiers)
        assert found.manifest["quality"]["polish_steps"] == 2


def test_the_command_says_what_the_shortlist_holds(corpora, tmp_path: Path) -> None:
    flags = ["--coarse", "static", "--fine", "lsa", "--shortlist", "4x", "--probe", "252", "--workers", "1"]
    given = ["--candidates", corpora.pool, "--target", corpora.target, "--budget", "12docs", "-o", str(tmp_path / "o")]
    shown = CliRunner().invoke(main, ["select", *given, *flags])
    assert shown.exit_code == 0, shown.output
    assert re.search(r"The shortlist of 48 holds about (\d+)% of --fine's best 12 \(\1% to \1% at 95%", shown.stdout)
    dry = CliRunner().invoke(main, ["select", *given, *flags, "--dry-run"])
    assert "gotd: --dry-run knows one encoder" in dry.stderr


def test_the_page_is_made_of_the_shortlist_and_says_so(chosen: gotd.Selection, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    page = gotd.report(chosen.folder, tmp_path / "page.html")
    assert "Two encoders" in Path(page).read_text()


def test_sizes_want_the_whole_pool(chosen: gotd.Selection) -> None:
    with pytest.raises(SettingsError, match=r"scored a shortlist of 48 alone; score the pool with .* first"):
        gotd.size(chosen.folder)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("static", None, 10, None, "lsa", None), "found --coarse alone"),
        ((None, "lsa", 10, None, "lsa", None), "found --fine alone"),
        ((None, None, 10, 5, "lsa", None), "--probe is of two tiers"),
        (("static", "lsa", 10, None, "static", None), "encoder static beside --coarse"),
        (("static", "static", 10, None, "lsa", None), "coarse and fine are both static"),
        (("static", "lsa", 10, -1, "lsa", None), "probe is -1; wanted 0 or more"),
        (("static", "lsa", 10, None, "lsa", "method mmd"), "two tiers do not go with method mmd"),
    ],
)
def test_what_does_not_go_together_is_refused(given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        check_tiers(*given)


def test_refusals_come_before_any_work(corpora, tmp_path: Path) -> None:
    for given, message in (
        ({"method": "mmd"}, "two tiers do not go with method mmd"),
        ({"keep_embeddings": True}, "two tiers do not go with kept embeddings"),
        ({"fields": {"embedding": "v"}}, "two tiers do not go with --embedding-field"),
        ({"shortlist": 1}, "shortlist is 1; two tiers want 2 budgets or more"),
    ):
        with pytest.raises(SettingsError, match=message):
            gotd.select(corpora.pool, corpora.target, 9, tmp_path / "out", **(GIVEN | given))
    assert not (tmp_path / "out").exists()
