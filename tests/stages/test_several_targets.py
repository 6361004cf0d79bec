"""Several targets, and targets to leave, from files to the manifest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import torch

import gotd
from gotd import ArtifactError, Fields, InputError, Potential, SettingsError, Target
from gotd.artifacts import load_manifest
from gotd.selection.methods import Batch

DIM = 16
CENTRES = np.eye(DIM)[:4]
CENTRES[2] += CENTRES[0]  # c lies near a
POOL = {"a": 30, "b": 30, "c": 30, "d": 210}
FIELDS = Fields(embedding="v", source="kind")


@pytest.fixture
def files(write) -> dict[str, str]:
    """A pool of four clusters, mostly d, and a target of each: records that carry their vectors."""

    def records(kind: str, count: int, seed: int) -> list[dict[str, Any]]:
        rng = np.random.default_rng([seed, ord(kind)])
        centre = CENTRES["abcd".index(kind)]
        vectors = centre / np.linalg.norm(centre) + rng.normal(0, 0.1, (count, DIM))
        return [
            {"id": f"{kind}{seed}-{i}", "text": f"{kind} {seed} {i}", "kind": kind, "v": row.tolist()}
            for i, row in enumerate(vectors)
        ]

    pool = write("pool.jsonl", [record for kind, count in POOL.items() for record in records(kind, count, 0)])
    return {"pool": pool, **{kind: write(f"{kind}.jsonl", records(kind, 40, 1)) for kind in POOL}}


@pytest.fixture
def select(files, tmp_path: Path):
    """select(target, budget, **settings) -> the selection, each in another folder."""
    made = iter(range(99))

    def run(target: object, budget: object = 30, **settings: Any) -> gotd.Selection:
        asked = {"fields": FIELDS, "workers": 1, "dedup": "off", **settings}
        return gotd.select(files["pool"], target, budget, tmp_path / f"out{next(made)}", **asked)

    return run


def sources(found: gotd.Selection) -> dict[str, int]:
    return dict(Counter(found.to_arrow()["source"].to_pylist()))


def table(found: gotd.Selection) -> Any:
    return pq.read_table(found.scores)


def vectors(path: str, rows) -> np.ndarray:
    return np.array([record["v"] for record in rows(path)], dtype=np.float32)


def test_a_weight_alone_changes_nothing(selected: Path, corpora, contents, tmp_path: Path) -> None:
    """Scores, files and manifest of one target are those without a weight, to the bit."""
    gotd.select(corpora.pool, [Target(corpora.target, 5)], "15docs", tmp_path / "out", workers=1)
    assert contents(tmp_path / "out") == contents(selected)
    assert table(gotd.Selection.load(selected)).column_names[-1] == "checksum"


def test_paths_in_a_list_are_one_target(files, select) -> None:
    pooled = select([files["a"], files["b"]])
    assert pooled.potential.plain
    assert len(pooled.potential.attract.g) == 80
    assert pooled.manifest["fit"]["counts"]["target"]["fitted"] == 80


def test_the_heavier_target_is_chosen_first(files, select) -> None:
    for weights, first in (((3, 1), "a"), ((1, 3), "b")):
        found = select([Target(files["a"], weights[0]), Target(files["b"], weights[1])], 25)
        assert sources(found) == {first: 25}


def test_what_is_to_be_left_is_left(files, select) -> None:
    assert sources(select(files["a"], 60)) == {"a": 30, "c": 30}
    assert "c" not in sources(select(files["a"], 60, avoid=files["c"]))
    assert sources(select(files["a"], 30, avoid=Target(files["c"], 0.5))) == {"a": 30}
    none = select(files["a"], 5, avoid=files["a"])
    assert not table(none)["score"].to_numpy().any()


def test_each_of_several_has_a_column(files, select, rows) -> None:
    """As if it were the only one, what is to be left counted in; saved and loaded, to the bit."""
    found = select([Target(files["a"], 2), Target(files["b"], name="other")], avoid=files["c"])
    scores = table(found)
    assert scores.column_names[-2:] == ["score_a", "score_other"]
    priced = found.potential.priced(found.potential.points(vectors(files["pool"], rows)))
    assert np.array_equal(scores["score"].to_numpy(), priced.f.numpy())
    assert np.array_equal(scores["score_a"].to_numpy(), priced.own[0].numpy())
    assert np.array_equal(scores["score_other"].to_numpy(), priced.own[1].numpy())
    alone = table(select(files["a"], 5, avoid=Target(files["c"], 0.5)))["score"].to_numpy()
    assert np.corrcoef(alone, scores["score_a"].to_numpy())[0, 1] > 0.9999
    assert table(select(files["a"], 5, avoid=files["c"])).column_names[-1] == "checksum"


def test_shards_of_any_size_give_the_same_bits(files, contents, small_shards, tmp_path: Path) -> None:
    asked = {"target": [Target(files["a"], 2), Target(files["b"])], "avoid": files["c"], "fields": FIELDS}
    for name in ("one", "many"):
        gotd.select(files["pool"], budget=20, output=tmp_path / name, workers=1, **asked)
        small_shards(9_000)
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_the_manifest_says_what_each_came_to(files, select) -> None:
    """Predicted is to first order from phi of each; solved again nears what is wanted and leaves what is not."""
    found = select([Target(files["a"], 3), Target(files["b"], 1)], 40, avoid=Target(files["c"], 1))
    moved, potential = found.manifest["transport"], found.potential
    assert [(row["name"], row["weight"], row["avoid"]) for row in moved["targets"]] == [
        ("a", 3, False),
        ("b", 1, False),
        ("c", 1, True),
    ]
    texts = set(found.to_arrow()["id"].to_pylist())
    picked = torch.tensor([id in texts for id in table(found)["id"].to_pylist()])
    every = [orjson.loads(line)["v"] for line in Path(files["pool"]).read_bytes().splitlines()]
    phi = potential.phi(potential.points(np.array(every, dtype=np.float32)))
    for row, term, prices in zip(moved["targets"], potential.terms, phi):
        assert row["before"] == term.quality.value
        assert row["predicted"] - row["before"] == pytest.approx(
            0.1 * float(prices[picked].mean() - prices.mean()), abs=1e-5
        )
        assert row["after"] - row["before"] == pytest.approx(row["predicted"] - row["before"], abs=0.02)
    factors = {"a": 3 / 5, "b": 1 / 5, "c": -1 / 5}
    for figure in ("before", "predicted", "after", "random"):
        whole = sum(
            factors[row["name"]] * row[figure] / term.spread for row, term in zip(moved["targets"], potential.terms)
        )
        assert moved[figure] == pytest.approx(whole, abs=1e-4)
    assert moved["targets"][0]["after"] < moved["targets"][0]["random"]
    assert moved["after"] < moved["random"]
    quality = found.manifest["quality"]["targets"]
    assert [row["name"] for row in quality] == ["a", "b", "c"]
    assert all(row["stability"].keys() == {"1%", "5%", "10%"} for row in quality)
    assert found.manifest["inputs"].keys() == {"candidates", "target", "avoid"}
    counts = found.manifest["fit"]["counts"]
    assert {name: row["fitted"] for name, row in counts.items()} == {"target": 80, "avoid": 40, "reference": 300}


def test_another_weight_needs_another_folder(files, tmp_path: Path) -> None:
    asked = {"reference": files["pool"], "output": tmp_path / "out", "fields": FIELDS}
    gotd.fit([Target(files["a"]), Target(files["b"])], **asked)
    before = load_manifest(tmp_path / "out", "fit")
    gotd.fit([Target(files["a"]), Target(files["b"])], **asked)
    assert load_manifest(tmp_path / "out", "fit") == before
    for other in ([Target(files["a"], 2), Target(files["b"])], [files["a"], files["b"]]):
        with pytest.raises(ArtifactError, match=r"targets was .* and is now"):
            gotd.fit(other, **asked)


def test_what_is_saved_comes_back(files, tmp_path: Path, rows) -> None:
    folder = tmp_path / "fit"
    found = gotd.fit(
        [Target(files["a"], 2), Target(files["b"])], files["pool"], folder, avoid=files["c"], fields=FIELDS
    )
    first = (folder / "potential.safetensors").read_bytes()
    again = Potential.load(folder)
    again.save(folder)
    assert (folder / "potential.safetensors").read_bytes() == first
    points = vectors(files["pool"], rows)
    assert np.array_equal(again.score(points), found.score(points))
    assert [(term.name, term.weight) for term in again.terms] == [("a", 2), ("b", 1), ("c", -1)]
    assert again.owners == ["a", "b"]
    for part in ("attract", "objective", "only"):
        with pytest.raises(SettingsError, match="fitted on a, b, c; this needs one fitted on a single target"):
            getattr(again, part)


def test_polishing_steps_every_target(files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each certificate falls, and the score stays centred on the reference."""
    monkeypatch.setattr("gotd.stages.passes.ASK_AT", 1e-6)
    settings = gotd.FitSettings(fit_sample=60)
    gotd.fit(
        [Target(files["a"]), Target(files["b"])],
        files["pool"],
        tmp_path / "fit",
        avoid=files["c"],
        fields=FIELDS,
        settings=settings,
    )
    errors = []
    for polish in (0, 1, 2):
        found = gotd.score(tmp_path / "fit", files["pool"], tmp_path / f"{polish}", polish=polish, workers=1)
        assert found.manifest["polish_steps"] == polish
        assert found.manifest["marginal_error"] == max(found.manifest["marginal_errors"])
        errors.append(found.manifest["marginal_errors"])
    for none, one, two in zip(*errors):
        assert none > one > two
    polished = Potential.load(tmp_path / "2")
    mean = float(polished.reference.weights @ polished.priced(polished.reference.points).f)
    assert mean == pytest.approx(polished.level, abs=1e-6) == 0


def test_rounds_go_down_all_of_them(files, select) -> None:
    """Where the selection weighs much, eight rounds end lower than one step, and the account ends where they do."""
    asked = {"target": [Target(files["a"]), Target(files["d"])], "avoid": Target(files["c"], 0.3), "mix": 0.9}
    one, many = (select(budget=60, rounds=rounds, **asked) for rounds in (1, 8))
    after = many.manifest["transport"]["after"]
    assert after < one.manifest["transport"]["after"] - 0.02
    assert many.manifest["rounds"][-1]["solved"] == pytest.approx(after, abs=1e-3)
    assert "a" in sources(many)


class TestShares:
    def test_each_takes_its_share(self, files, select, rows) -> None:
        """Whatever the weights say; what took each record is in the record."""
        target = [Target(files["a"], 9), Target(files["b"])]
        found = select(target, 25, target_shares="60,40")
        assert sources(found) == {"a": 15, "b": 10}
        assert [(row["name"], row["selected"]) for row in found.manifest["target_shares"]] == [("a", 15), ("b", 10)]
        scores = {row["id"]: row for row in table(found).to_pylist()}
        marks = [record["gotd"] for record in rows(found.path)]
        assert len({mark["id"] for mark in marks}) == 25
        for mark in marks:
            assert mark["target"] == mark["source"]
            assert mark["target_score"] == scores[mark["id"]][f"score_{mark['target']}"]
            assert mark["score"] == scores[mark["id"]]["score"]
        chosen = found.to_arrow()
        assert chosen["target"].to_pylist() == [mark["target"] for mark in marks]
        for name, count in (("a", 15), ("b", 10)):
            own = [mark["target_score"] for mark in marks if mark["target"] == name]
            assert own == np.sort(table(found)[f"score_{name}"].to_numpy())[:count].tolist()
        assert found.manifest["filled"]

    def test_what_is_to_be_left_is_left_by_each(self, files, select) -> None:
        found = select([Target(files["a"]), Target(files["b"])], 60, avoid=files["c"], target_shares="50%,50%")
        assert "c" not in sources(found)

    def test_copies_of_a_target_fill_their_shares_with_what_there_is(self, files, select) -> None:
        """Both want the same: lists are made longer until the whole pool is taken, none twice."""
        found = select([Target(files["a"]), Target(files["a"])], 300, target_shares="30,70")
        assert [row["selected"] for row in found.manifest["target_shares"]] == [90, 210]
        assert len(set(found.to_arrow()["id"].to_pylist())) == 300

    def test_duplicates_and_caps_hold_across_targets(self, files, select) -> None:
        target = [Target(files["a"]), Target(files["b"])]
        found = select(target, 40, target_shares="50,50", max_per_source="25%", dedup="near")
        assert max(sources(found).values()) == 10
        assert sum(sources(found).values()) == 40

    def test_a_token_budget_is_shared(self, files, select) -> None:
        found = select([Target(files["a"]), Target(files["b"])], "60tokens", target_shares="75,25")
        a, b = found.manifest["target_shares"]
        assert (43 <= a["tokens_estimated"] <= 45, 13 <= b["tokens_estimated"] <= 15) == (True, True)

    def test_choose_needs_a_potential_of_several(self, scored: Path, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="wanted several targets to share among, found target alone"):
            gotd.choose(scored, 9, tmp_path / "out", target_shares="60,40")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"target_shares": "60,30"}, "adds up to 90"),
            ({"target_shares": "50,30,20"}, "for 3 targets; there are 2: a, b"),
            ({"target_shares": "60,40", "rounds": 2}, "2 rounds go down one objective"),
            ({"target_shares": "60,40", "method": "mmd"}, "which method mmd has not"),
        ],
    )
    def test_what_cannot_be_is_said_before_anything_is_read(self, change, message, files, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=message):
            gotd.select(files["pool"], [Target(files["a"]), Target(files["b"])], 30, tmp_path / "out", **change)
        assert not (tmp_path / "out").exists()


class TestOtherMethods:
    def test_avoid_is_refused(self, files, tmp_path: Path) -> None:
        asked = {"target": files["a"], "avoid": files["c"]}
        for method in ("random", "nearest", "mmd", "dsir", "knn-kde"):
            with pytest.raises(SettingsError, match=f"method {method} knows no --avoid"):
                gotd.select(files["pool"], budget=9, output=tmp_path / "out", method=method, **asked)
            settings = gotd.FitSettings(method=method)
            with pytest.raises(SettingsError, match=f"method {method} knows no --avoid"):
                gotd.fit(reference=files["pool"], output=tmp_path / "out", settings=settings, **asked)
        assert not (tmp_path / "out").exists()

    def test_mmd_goes_to_the_mean_by_weight(self, files, select) -> None:
        """mean of the reference - sum_t w_t / W mean of target t; transport is judged for each as with gotd."""
        found = select([Target(files["a"], 3), Target(files["b"])], method="mmd")
        potential = found.potential
        means = [term.objective.target.points.double().mean(0) for term in potential.terms]
        wanted = potential.reference.points.double().mean(0) - (0.75 * means[0] + 0.25 * means[1])
        torch.testing.assert_close(potential.method.difference, wanted.float(), rtol=0, atol=1e-5)
        assert table(found).column_names[-1] == "checksum"
        assert [row["name"] for row in found.manifest["transport"]["targets"]] == ["a", "b"]
        assert found.manifest["quality"]["marginal_error_pool"] is None

    def test_dsir_takes_shares_of_words_by_weight(self, write, corpora, tmp_path: Path) -> None:
        """However many texts a target has, and however long they are."""
        few, many = write("few.jsonl", [{"text": "x"}]), write("many.jsonl", [{"text": "y " * 50}] * 30)
        fitted = [
            gotd.fit(target, corpora.pool, tmp_path / name, settings=gotd.FitSettings(method="dsir", encoder="lsa"))
            for name, target in (("few", few), ("many", many), ("both", [Target(few, 3), Target(many, 1)]))
        ]
        ratios = [found.method.log_ratio.exp() for found in fitted]
        torch.testing.assert_close(ratios[2], 0.75 * ratios[0] + 0.25 * ratios[1])

    def test_nearest_takes_the_nearest_of_any(self, files, select) -> None:
        found = select([Target(files["a"]), Target(files["b"])], 50, method="nearest")
        potential, chosen = found.potential, found.to_arrow()
        assert len(potential.method.targets) == 80
        assert set(sources(found)) == {"a", "b"}
        texts = chosen["text"].to_pylist()
        assert potential.method.score(Batch(texts, texts, texts, torch.zeros(50, DIM))).shape == (50,)


def test_sources_are_kept_by_the_mean_distance(files, tmp_path: Path) -> None:
    a, b, both = (
        {found.source: found.distance for found in gotd.domains(files["pool"], target, fields=FIELDS)}
        for target in (files["a"], files["b"], [Target(files["a"], 3), Target(files["b"])])
    )
    for source, distance in both.items():
        assert distance == pytest.approx(0.75 * a[source] + 0.25 * b[source], abs=0.02)
    assert min(both, key=both.get) == "a"


def test_the_encoder_knows_the_words_of_all(write, text, corpora, tmp_path: Path) -> None:
    """Of what is to be left too: a word that stands nowhere else has a vector."""
    odd = write("odd.jsonl", [{"text": f"odd{i % 3} odd{(i + 1) % 3}"} for i in range(30)])
    with_it = gotd.fit(corpora.target, corpora.pool, tmp_path / "with", avoid=odd)
    without = gotd.fit(corpora.target, corpora.pool, tmp_path / "without")
    assert with_it.encoder.encode(["odd1 odd2"]).any()
    assert not without.encoder.encode(["odd1 odd2"]).any()
    assert with_it.score(["odd1 odd2"])[0] > with_it.score(["common1 common2"])[0]


def test_rejects_and_empty_targets_are_named(write, text, corpora, rows, tmp_path: Path) -> None:
    bad = write("toxic.jsonl", [{"text": text(i, False)} for i in range(20)] + [{"text": None}])
    found = gotd.select(corpora.pool, corpora.target, 5, tmp_path / "out", avoid=bad, workers=1)
    assert [(r["file"], r["row"]) for r in rows(found.folder / "rejects.jsonl")] == [(bad, 21)]
    assert found.manifest["counts"]["rejected"] == 0
    empty = write("empty.jsonl", [])
    with pytest.raises(InputError, match=f"the target to avoid empty holds no document; {empty} is empty"):
        gotd.fit(corpora.target, corpora.pool, tmp_path / "1", avoid=empty)
    with pytest.raises(InputError, match=f"the target empty holds no document; {empty} is empty"):
        gotd.fit([Target(corpora.target), Target(empty)], corpora.pool, tmp_path / "2")


def test_vectors_of_one_of_several_alone_are_refused(files, write, tmp_path: Path) -> None:
    longer = write("longer.jsonl", [{"text": "x", "v": [1.0] * 5}] * 9)
    with pytest.raises(InputError, match="target to avoid longer vectors have 5 numbers, reference vectors 16"):
        gotd.fit(files["a"], files["pool"], tmp_path / "1", avoid=longer, fields=FIELDS)
