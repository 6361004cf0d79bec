"""Duplicates, caps, rounds and other methods, from the pool to the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import gotd
from gotd import SettingsError
from gotd.cli import main
from gotd.corpus import Document
from gotd.selection.budget import Budget
from gotd.selection.caps import Cap
from gotd.selection.methods import Batch
from gotd.selection.methods.draws import uniform
from gotd.selection.methods.uniform import PURPOSE
from gotd.selection.ranking import Ranking, rank
from gotd.selection.rounds import rounds_needed
from gotd.stages.choose import _picked
from gotd.stages.picking import Choice, PickSettings


def _rows(documents: list[Document], tokens: list[int]) -> pa.RecordBatch:
    """Rows of scores.parquet, best first."""
    count = len(documents)
    columns = {name: np.zeros(count, np.int32) for name in ("file", "position", "piece", "checksum")}
    named = {"id": [d.id for d in documents], "source": [d.source for d in documents]}
    scores = np.arange(count, dtype=np.float32) // 3
    return pa.record_batch({**named, **columns, "score": scores, "tokens": np.array(tokens, np.int32)})


def _outcome(make: Callable[[], Choice]) -> object:
    try:
        choice = make()
    except SettingsError as error:
        return str(error)
    return [document.id for document in choice.documents], choice.pick.full


def ids(found: gotd.Selection) -> list[str]:
    return found.to_arrow()["id"].to_pylist()


@pytest.fixture
def repeated(write, text) -> str:
    """40 records of the rare vocabulary, each three times: as it is, in capitals, and with a word more."""
    records = []
    for i in range(40):
        plain = text(i, True, 30)
        for kind, said in (("plain", plain), ("loud", plain.upper()), ("longer", f"{plain} rare1")):
            records.append({"id": f"{kind}-{i}", "text": said})
    return write("repeated.jsonl", records)


class TestDuplicates:
    @pytest.mark.parametrize(("dedup", "left"), [("near", 40), ("exact", 80), ("off", 120)])
    def test_no_two_of_a_kind(self, dedup: str, left: int, repeated: str, corpora, tmp_path: Path) -> None:
        found = gotd.select(repeated, corpora.target, f"{left}docs", tmp_path / "out", dedup=dedup, workers=1)
        assert len(found) == left
        kinds = Counter(name.partition("-")[2] for name in ids(found))
        assert set(kinds.values()) == {left // 40}
        assert found.manifest["filled"]

    def test_the_better_one_stays_and_is_named(self, repeated: str, corpora, tmp_path: Path) -> None:
        found = gotd.select(repeated, corpora.target, "40docs", tmp_path / "out", workers=1)
        dropped = pq.read_table(found.folder / "duplicates.parquet").to_pylist()
        scores = {row["id"]: row["score"] for row in pq.read_table(found.scores).to_pylist()}
        assert len(dropped) == found.manifest["duplicates"] > 0
        for row in dropped:
            assert row["survivor"] in ids(found)
            assert row["id"].partition("-")[2] == row["survivor"].partition("-")[2]
            assert scores[row["survivor"]] <= scores[row["id"]]
            assert row["similarity"] >= 0.7

    def test_a_budget_that_duplicates_leave_unfilled_is_said(self, repeated: str, corpora, tmp_path: Path) -> None:
        found = gotd.select(repeated, corpora.target, "100docs", tmp_path / "out", workers=1)
        assert len(found) == 40
        assert not found.manifest["filled"]
        counts = found.manifest["counts"]
        assert counts["read"] == counts["selected"] + counts["not_selected"] + counts["rejected"]


class TestCaps:
    def test_a_source_keeps_to_its_share(self, scored: Path, tmp_path: Path) -> None:
        free = gotd.choose(scored, "20docs", tmp_path / "free", dedup="off")
        capped = gotd.choose(scored, "20docs", tmp_path / "capped", dedup="off", max_per_source="50%")
        assert max(Counter(free.to_arrow()["source"].to_pylist()).values()) > 10
        assert Counter(capped.to_arrow()["source"].to_pylist()) == {"first": 10, "second": 10}
        order = capped.to_arrow()["score"].to_numpy()
        assert (np.diff(order) >= 0).all()

    @given(st.data())
    def test_the_choice_is_that_of_a_walk_down_the_whole_pool(self, data: st.DataObject) -> None:
        """Caps and duplicates, budgets in documents and in tokens: what the cap leaves off the list changes nothing."""
        kinds = data.draw(
            st.lists(st.tuples(st.sampled_from("aaab"), st.sampled_from([0, 0, 0, *range(9)])), min_size=9)
        )
        documents = [Document(f"d{i}", f"text {word}", source, i, 0, b"{}") for i, (source, word) in enumerate(kinds)]
        tokens = [1 + i % 4 for i in range(len(kinds))]
        cap = data.draw(st.sampled_from(["3docs", "34%", "60%", "100%"]))
        budget = Budget.parse(data.draw(st.sampled_from(["3docs", "8docs", "12tokens", "30tokens"])))
        how = PickSettings(max_per_source=cap, dedup=data.draw(st.sampled_from(["exact", "off"])))

        def chosen(capped: bool) -> Any:
            def ranked(budget: Budget, *, cap: Cap | None, **how: Any) -> Ranking:
                rows = _rows(documents, tokens)
                return rank(
                    lambda names: iter([rows.select(names)]), budget, len(kinds), cap=cap if capped else None, **how
                )

            scored = SimpleNamespace(manifest={}, ranked=ranked)
            return _outcome(lambda: _picked(scored, budget, how, None, 0))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gotd.stages.choose.fetched", lambda _, picked: [documents[int(i[1:])] for i in picked.id])
            assert chosen(capped=True) == chosen(capped=False)

    def test_a_cap_looks_beyond_a_shortlist_of_one_source(self, write, text, corpora, tmp_path: Path) -> None:
        """The best 30 are of one source; the others' come far below, and only the whole pool has enough of them."""
        near = write("near.jsonl", [{"text": text(i, True)} for i in range(30)])
        far = [write(f"far{n}.jsonl", [{"text": text(100 * n + i, False)} for i in range(30)]) for n in (1, 2, 3)]
        asked = {"dedup": "off", "max_per_source": "25%", "workers": 1, "reference": corpora.other}
        found = gotd.select([near, *far], corpora.target, 20, tmp_path / "out", **asked)
        assert set(Counter(found.to_arrow()["source"].to_pylist()).values()) == {5}

    def test_in_documents_and_under_a_token_budget(self, scored: Path, tmp_path: Path) -> None:
        found = gotd.choose(scored, "400tokens", tmp_path / "out", dedup="off", max_per_source="3docs")
        assert max(Counter(found.to_arrow()["source"].to_pylist()).values()) <= 3
        assert found.manifest["counts"]["tokens_estimated"] <= 400


class TestRounds:
    def test_the_account_of_each_round(self, scored: Path, tmp_path: Path) -> None:
        found = gotd.choose(scored, "40docs", tmp_path / "out", rounds=4, mix=0.4, dedup="off", shortlist=5)
        rounds = found.manifest["rounds"]
        assert [step["taken"] for step in rounds] == [10, 10, 10, 10]
        assert [step["share"] for step in rounds] == pytest.approx([0.1, 0.2, 0.3, 0.4])
        assert len(set(ids(found))) == 40
        assert rounds[-1]["solved"] == pytest.approx(found.manifest["transport"]["after"], abs=1e-3)

    def test_one_round_is_the_plain_choice_and_many_bring_the_reference_closer(
        self, scored: Path, tmp_path: Path
    ) -> None:
        plain = gotd.choose(scored, "40docs", tmp_path / "plain", mix=0.6, dedup="off")
        many = gotd.choose(scored, "40docs", tmp_path / "many", mix=0.6, dedup="off", rounds=8)
        assert ids(plain)[:5] == ids(many)[:5]
        assert plain.manifest["rounds"] == []
        assert many.manifest["transport"]["after"] < plain.manifest["transport"]["after"]
        found = plain.manifest["transport"]
        assert found["rounds_needed"] == rounds_needed(found["before"], found["predicted"], found["after"])

    def test_tokens_are_shared_among_rounds(self, scored: Path, tmp_path: Path) -> None:
        found = gotd.choose(scored, "300tokens", tmp_path / "out", rounds=3, dedup="off")
        tokens = found.manifest["counts"]["tokens_estimated"]
        assert 270 < tokens <= 300  # the next, of 14 words at most, did not fit
        assert len(found.manifest["rounds"]) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounds": 0}, "rounds is 0"),
        ({"dedup": "some"}, 'dedup is "some"'),
        ({"shortlist": 0.5}, "shortlist is 0.5"),
        ({"max_per_source": "lots"}, 'the cap of a source is "lots"'),
        ({"max_per_source": "1%"}, "less than one document"),
        ({"mix": 0}, "mix is 0"),
        ({"mix": "0.1"}, "mix is '0.1'; wanted a share"),
        ({"shortlist": "10x"}, "shortlist is '10x'; wanted a number"),
        ({"rounds": 2.5}, "rounds is 2.5; wanted a whole number"),
        ({"mix": None}, "mix is None; wanted a number"),
        ({"keep": 1.5}, "keep is 1.5; wanted a whole number"),
        ({"polish": 1.5}, "polish is 1.5; wanted a whole number"),
        ({"coarse": "lsa", "fine": "static", "probe": 1.5}, "probe is 1.5; wanted a whole number"),
    ],
)
def test_bad_settings_are_named_before_anything_is_read(change, message: str, corpora, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        gotd.select(corpora.pool, corpora.target, "10docs", tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()


class TestMethods:
    @pytest.mark.parametrize("method", ["random", "nearest", "mmd", "dsir", "knn-kde"])
    def test_each_goes_through_the_same_stages(self, method: str, corpora, tmp_path: Path) -> None:
        found = gotd.select(
            corpora.pool, corpora.target, "15docs", tmp_path / "out", method=method, dedup="off", workers=1
        )
        assert found.manifest["settings"]["method"] == method
        assert found.manifest["quality"]["marginal_error_pool"] is None
        potential, table = found.potential, found.to_arrow()
        assert potential.method is not None
        columns = [table[name].to_pylist() for name in ("text", "id", "source")]
        wanted = potential.method.score(Batch(*columns, potential.points(columns[0])))
        assert np.array_equal(table["score"].to_numpy(), wanted)
        everything = pq.read_table(found.scores)["score"].to_numpy()
        assert np.array_equal(np.sort(wanted), np.sort(everything)[:15])
        predicted = potential.score(columns[0]).mean() - potential.level
        transport = found.manifest["transport"]
        assert transport["predicted"] - transport["before"] == pytest.approx(0.1 * predicted, abs=1e-6)

    def test_in_domain_is_random_within_the_nearest_sources(self, corpora, tmp_path: Path) -> None:
        found = gotd.select(
            corpora.pool, corpora.target, "15docs", tmp_path / "out", method="in-domain", keep=1, dedup="off", workers=1
        )
        assert len(found.manifest["kept_sources"]) == 1
        assert set(found.to_arrow()["source"].to_pylist()) == set(found.manifest["kept_sources"])
        kept = pq.read_table(found.scores)["id"].to_pylist()
        assert ids(found) == [kept[i] for i in np.argsort(uniform(0, kept, PURPOSE))[:15]]

    @pytest.mark.parametrize("kind", ["min", "mean"])
    def test_options_reach_the_method(self, kind: str, corpora, tmp_path: Path) -> None:
        """As a person types them, by way of a file of settings; `min` and `mean` are other distances."""
        asked = [
            "select",
            "--candidates",
            corpora.pool,
            "-t",
            corpora.target,
            "-k",
            "15docs",
            "-o",
            str(tmp_path / "out"),
        ]
        asked += ["--dedup", "off", "--workers", "1", "--method", "nearest", "--method-option", f"kind={kind}"]
        settings = tmp_path / "settings.yaml"
        settings.write_text(CliRunner().invoke(main, [*asked, "--print-config"]).stdout)
        assert CliRunner().invoke(main, ["select", "--config", str(settings)]).exit_code == 0
        found = gotd.Selection.load(tmp_path / "out")
        assert found.manifest["settings"]["method_options"] == {"kind": kind}
        potential, table = found.potential, found.to_arrow()
        costs = 1 - potential.points(table["text"].to_pylist()) @ potential.objective.target.points.T
        wanted = costs.amin(1) if kind == "min" else costs.mean(1)
        assert np.allclose(table["score"].to_numpy(), wanted.numpy(), rtol=0, atol=1e-6)

    @pytest.mark.parametrize(
        ("method", "option", "said"),
        [
            ("nearest", "kin=min", 'nearest has no option "kin"; known: kind. Did you mean kind?'),
            ("dsir", "noise=maybe", "dsir: noise is 'maybe'; wanted bool"),
            ("gotd", "kind=min", 'gotd has no option "kind"; it takes none'),
            ("nearest", "kind", '--method-option is "kind"; wanted NAME=VALUE'),
        ],
    )
    def test_an_option_that_does_not_fit_is_named_before_anything_is_read(
        self, method: str, option: str, said: str, tmp_path: Path
    ) -> None:
        asked = ["select", "--candidates", "absent", "-t", "absent", "-k", "1", "-o", str(tmp_path / "out")]
        assert said in CliRunner().invoke(main, [*asked, "--method", method, "--method-option", option]).stderr

    def test_rounds_need_the_gradient(self, corpora, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="2 rounds go down the gradient, which method dsir has not"):
            gotd.select(corpora.pool, corpora.target, "15docs", tmp_path / "out", method="dsir", rounds=2)

    def test_an_unknown_method_names_those_there_are(self, corpora, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"known: gotd, random, .*Did you mean dsir"):
            gotd.select(corpora.pool, corpora.target, "15docs", tmp_path / "out", method="dsri")
