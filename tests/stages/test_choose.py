"""Choosing: budgets, formats, and pools that changed since they were scored."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import zstandard

import gotd
from gotd import ArtifactError, InputError, SettingsError
from gotd.stages import choose as stage


def test_the_folder_stands_alone(selected: Path, scored: Path) -> None:
    """It holds the scores and the potential too, so that the next pool can be scored by it."""
    names = {path.name for path in selected.iterdir()}
    assert names >= {
        "manifest.json",
        "potential.safetensors",
        "rejects.jsonl",
        "scores.parquet",
        "selected.arrow",
        "selected.jsonl",
    }
    assert not any(name.startswith(".") for name in names)
    for name in ("potential.safetensors", "scores.parquet"):
        assert (selected / name).read_bytes() == (scored / name).read_bytes()


@pytest.mark.parametrize(
    ("budget", "count"), [("15docs", 15), (15, 15), ("15", 15), ("5%", 15), ("100%", 300), ("0.1%", 1), ("1doc", 1)]
)
def test_budgets_of_documents(budget: str | int, count: int, scored: Path, tmp_path: Path) -> None:
    """Per cent are of the documents that can be scored."""
    found = gotd.choose(scored, budget, tmp_path / "out", dedup="off")
    assert len(found) == found.manifest["counts"]["selected"] == count
    assert len(found.path.read_bytes().splitlines()) == count


@pytest.mark.parametrize("amount", [40, 400, 2000])
def test_a_token_budget_takes_the_longest_prefix_that_fits(amount: int, scored: Path, rows, tmp_path: Path) -> None:
    found = gotd.choose(scored, f"{amount}tokens", tmp_path / "out", dedup="off")
    table = gotd.Scores.load(scored).to_arrow()
    order = np.argsort(table["score"].to_numpy(), kind="stable")
    filled = np.cumsum(table["tokens"].to_numpy()[order])
    fits = int((filled <= amount).sum())
    assert 0 < fits < 300
    assert [row["id"] for row in rows(found.path)] == table["id"].take(order[:fits]).to_pylist()
    assert found.manifest["counts"]["tokens_estimated"] == filled[fits - 1]


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("301docs", "the budget is 301 documents and the pool holds 300 that can be scored; lower --budget"),
        ("1000000tokens", r"the budget is 1000000tokens and the pool holds \d+ \(estimated\); lower --budget"),
        ("1tokens", "the budget is 1tokens, less than the best document; raise --budget"),
        ("0docs", 'budget is "0docs"; wanted more than nothing'),
        ("101%", 'budget is "101%"; wanted .* at most 100 %'),
        ("some", 'budget is "some"; wanted 5000docs, 5% or 2000000tokens'),
    ],
)
def test_a_budget_that_cannot_be_is_named(budget: str, message: str, scored: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        gotd.choose(scored, budget, tmp_path / "out", dedup="off")
    # The remedy works where the error left off.
    assert len(gotd.choose(scored, "9docs", tmp_path / "out", dedup="off")) == 9


@pytest.mark.parametrize("format", ["jsonl", "jsonl.zst", "parquet"])
def test_the_formats_hold_the_same_records(format: str, scored: Path, rows, tmp_path: Path) -> None:
    found = gotd.choose(scored, "15docs", tmp_path / "out", format=format)
    assert found.path.name == f"selected.{format}"
    content = found.path.read_bytes()
    if format == "parquet":
        records = pq.read_table(io.BytesIO(content)).to_pylist()
    else:
        content = zstandard.ZstdDecompressor().stream_reader(content).read() if format.endswith("zst") else content
        records = [orjson.loads(line) for line in content.splitlines()]
    reference = gotd.choose(scored, "15docs", tmp_path / "jsonl")
    assert records == rows(reference.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 16}, "budget was '15docs' and is now '16docs'"),
        ({"mix": 0.5}, r"mix was 0\.1 and is now 0\.5"),
        ({"format": "parquet"}, "format was 'jsonl' and is now 'parquet'"),
        ({"seed": 3}, "seed was 0 and is now 3"),
        ({"dedup": "off"}, "dedup was 'near' and is now 'off'"),
    ],
)
def test_other_settings_need_another_folder_or_overwrite(change, message: str, scored: Path, tmp_path: Path) -> None:
    asked = {"scores": scored, "budget": 15, "output": tmp_path / "out"}
    gotd.choose(**asked)
    with pytest.raises(ArtifactError, match=message):
        gotd.choose(**{**asked, **change})
    found = gotd.choose(**{**asked, **change}, overwrite=True)
    assert len(found) == change.get("budget", 15)
    assert not (change.get("format") and (tmp_path / "out" / "selected.jsonl").exists())


def test_a_finished_choice_is_returned_at_once(scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = gotd.choose(scored, 15, tmp_path / "out")
    monkeypatch.setattr(stage, "_picked", None)
    again = gotd.choose(scored, "15docs", tmp_path / "out")
    assert again == first


def test_only_scores_can_be_chosen_from(selector: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="was made by `gotd fit`; wanted one made by `gotd score`"):
        gotd.choose(selector, 1, tmp_path / "out")
    with pytest.raises(ArtifactError, match=r"wanted the manifest\.json of `gotd score`; the folder has none"):
        gotd.choose(tmp_path, 1, tmp_path / "out")


def test_a_pool_that_changed_since_is_not_joined_to_old_scores(write, text, selector: Path, tmp_path: Path) -> None:
    """The record at an address must still be the one that was scored."""
    records = [{"id": f"p{i}", "text": text(i, i % 5 == 0)} for i in range(40)]
    pool = write("pool.jsonl", records)
    gotd.score(selector, pool, tmp_path / "scores", workers=1)
    write("pool.jsonl", [{**record, "id": record["id"].replace("p", "q")} for record in records])
    with pytest.raises(
        InputError, match=r"pool\.jsonl changed since it was scored: found q\d+, wanted p\d+\. Score it again"
    ):
        gotd.choose(tmp_path / "scores", 5, tmp_path / "1")
    # The same ids and lengths, so that every address holds: the texts alone are others.
    write("pool.jsonl", [{**record, "text": record["text"].replace("common", "nommoc")} for record in records])
    with pytest.raises(InputError, match=r"found another record under that id, wanted p\d+\. Score it again"):
        gotd.choose(tmp_path / "scores", 40, tmp_path / "1")
    write("pool.jsonl", records[:3])
    with pytest.raises(InputError, match="score it again"):
        gotd.choose(tmp_path / "scores", 5, tmp_path / "2")


def test_the_mix_moves_the_figures_alone(scored: Path, contents, tmp_path: Path) -> None:
    """The share of the selection in what the model has seen: at more of it, the prediction goes further."""
    light = gotd.choose(scored, 15, tmp_path / "light", mix=0.05)
    heavy = gotd.choose(scored, 15, tmp_path / "heavy", mix=0.2)
    assert light.path.read_bytes() == heavy.path.read_bytes()
    before, steps = light.manifest["transport"]["before"], []
    for found in (light, heavy):
        assert found.manifest["transport"]["before"] == before
        steps.append(found.manifest["transport"]["predicted"] - before)
    assert math.isclose(steps[1], 4 * steps[0], rel_tol=1e-9)
    assert steps[0] < 0


def test_the_mix_follows_from_the_tokens_and_the_warm_up(scored: Path, tmp_path: Path) -> None:
    """Three epochs of twice the tokens are six of them."""
    warm = gotd.WarmUp(epochs=3, learning_rate=1e-3, batch_tokens=64)
    found = [gotd.choose(scored, k, tmp_path / str(k), mix="auto", warm_up=warm).manifest for k in (15, 30)]
    tokens = [manifest["counts"]["tokens_estimated"] for manifest in found]
    assert [manifest["transport"]["mix"] for manifest in found] == [warm.mix(count) for count in tokens]
    assert found[0]["settings"]["mix"] == "auto"
    assert found[0]["settings"]["warm_up"]["epochs"] == 3
    usual = gotd.choose(scored, 15, tmp_path / "usual", mix="auto").manifest
    assert usual["transport"]["mix"] == gotd.WarmUp().mix(tokens[0])


def test_rounds_go_up_to_the_mix_that_follows(scored: Path, tmp_path: Path) -> None:
    warm = gotd.WarmUp(learning_rate=1e-2, batch_tokens=64)
    found = gotd.choose(scored, 20, tmp_path / "out", rounds=2, mix="auto", warm_up=warm).manifest
    # Of the twenty lowest scores, which are not quite the twenty that the rounds take.
    assert found["rounds"][-1]["share"] == pytest.approx(found["transport"]["mix"], rel=0.2)
    assert found["rounds"][0]["share"] == pytest.approx(found["rounds"][-1]["share"] / 2)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"mix": "often"}, "mix is 'often'; wanted a share above 0 and at most 1, or auto"),
        ({"mix": 0.2, "warm_up": gotd.WarmUp(epochs=3)}, r"decide --mix auto; found mix 0\.2. Leave out either"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(asked, message: str, scored: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        gotd.choose(scored, 5, tmp_path / "out", **asked)


def test_how_much_a_few_targets_pull_is_in_the_manifest(scored: Path, tmp_path: Path) -> None:
    """2 % of 60 targets is one: the selection's mean of the plan to the one that gets most."""
    found = gotd.choose(scored, 15, tmp_path / "out")
    potential = found.potential
    points = potential.points(found.to_arrow()["text"].to_pylist())
    attract = potential.attract
    logits = attract.log_b + (attract.g - 1 + points @ attract.points.T) / attract.reg
    pulls = logits.softmax(1).mean(0)
    assert found.manifest["quality"]["pull"] == pytest.approx(float(pulls.max()), rel=1e-4)


def test_one_document_is_a_pool(write, selector: Path, rows, tmp_path: Path) -> None:
    """Calibrated, it is at the mean of the others, of which there are none."""
    pool = write("pool.jsonl", [{"text": "rare1"}])
    gotd.score(selector, pool, tmp_path / "scores", workers=1)
    found = gotd.choose(tmp_path / "scores", 1, tmp_path / "out")
    assert rows(found.path)[0]["gotd"]["calibrated"] == 0


def test_a_selection_is_loaded_from_what_either_command_made(selected: Path, scored: Path, tmp_path: Path) -> None:
    gotd.choose(scored, 3, tmp_path / "out")
    assert gotd.Selection.load(tmp_path / "out").manifest["kind"] == "choose"
    assert gotd.Selection.load(selected).manifest["kind"] == "select"
    with pytest.raises(ArtifactError, match="was made by `gotd score`; wanted one made by `gotd choose`"):
        gotd.Selection.load(scored)


@pytest.mark.parametrize("text_mass", ["docs", "tokens"])
def test_the_last_round_ends_where_the_selection_does(text_mass: str, corpora, tmp_path: Path) -> None:
    """What is weighed by its tokens is so in the rounds too: both solve the same problem."""
    how = {"text_mass": text_mass, "rounds": 3, "mix": 0.4, "workers": 1}
    found = gotd.select(corpora.pool, corpora.target, "30docs", tmp_path / "out", **how).manifest
    assert found["rounds"][-1]["solved"] == pytest.approx(found["transport"]["after"], abs=1e-5)


@pytest.mark.parametrize("budget", ["3docs", "30docs"])
def test_a_small_share_of_few_documents_does_what_is_predicted(budget: str, scored: Path, tmp_path: Path) -> None:
    """A few are cut into one region: that their centroid stands for them moves the objective by itself no more."""
    found = gotd.choose(scored, budget, tmp_path / "out", mix=0.001).manifest["transport"]
    predicted, after = found["predicted"] - found["before"], found["after"] - found["before"]
    assert predicted < 0
    assert after == pytest.approx(predicted, rel=0.02)
    assert found["rounds_needed"] == 1
