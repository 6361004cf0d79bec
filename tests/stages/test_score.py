"""Scoring: all of a pool, by a potential that fits it, corrected where the certificate asks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import gotd
from gotd import ArtifactError, Fields, FitSettings, InputError, Potential, SettingsError
from gotd.selection.gradient import marginal_error
from gotd.stages.shard_scorer import ShardScorer


def test_the_folder_holds_all_that_choose_needs(scored: Path) -> None:
    assert sorted(path.name for path in scored.iterdir()) == [
        "manifest.json",
        "potential.safetensors",
        "rejects.jsonl",
        "scores.parquet",
    ]
    table = gotd.Scores.load(scored).to_arrow()
    assert table.column_names == ["id", "source", "score", "tokens", "file", "position", "piece", "checksum"]
    assert len(table) == 300
    assert sum(len(batch) for batch in gotd.Scores.load(scored).batches()) == 300
    assert [file.source for file in gotd.Scores.load(scored).files] == ["first", "second"]


def test_the_potential_of_the_fit_is_passed_on(scored: Path, selector: Path) -> None:
    name = "potential.safetensors"
    assert (scored / name).read_bytes() == (selector / name).read_bytes()


def test_a_finished_scoring_is_returned_at_once(
    scored: Path, selector: Path, corpora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShardScorer, "__call__", None)
    found = gotd.score(selector, corpora.pool, scored, workers=1)
    assert found.manifest["counts"]["scored"] == 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"polish": 1}, "polish was 3 and is now 1"),
        ({"sources": ["first"]}, r"sources was None and is now \['first'\]"),
        ({"on_error": "fail"}, "on_error was 'skip' and is now 'fail'"),
        ({"pool": "target"}, "the files of pool differ"),
    ],
)
def test_other_settings_need_another_folder(change, message: str, scored: Path, selector: Path, corpora) -> None:
    pool = corpora.target if change.pop("pool", None) else corpora.pool
    with pytest.raises(ArtifactError, match=message):
        gotd.score(selector, pool, scored, workers=1, **change)


def test_another_potential_needs_another_folder(scored: Path, corpora, tmp_path: Path) -> None:
    gotd.fit(corpora.target, corpora.pool, tmp_path / "fit", settings=FitSettings(reg=0.3))
    with pytest.raises(ArtifactError, match=r"potential was '.*' and is now '.*'"):
        gotd.score(tmp_path / "fit", corpora.pool, scored, workers=1)


def test_fields_are_those_of_the_fit(write, text, corpora, tmp_path: Path) -> None:
    """A pool that comes later is read as the reference was, unless told otherwise."""
    reference = write("reference.jsonl", [{"body": text(i, False)} for i in range(40)])
    fields = Fields(text="body")
    gotd.fit(corpora.target, reference, tmp_path / "fit", fields=fields, target_fields=Fields())
    found = gotd.score(tmp_path / "fit", reference, tmp_path / "1", workers=1)
    assert found.manifest["counts"]["scored"] == 40
    other = gotd.score(tmp_path / "fit", corpora.pool, tmp_path / "2", fields=Fields(), workers=1)
    assert other.manifest["counts"]["scored"] == 300


def test_an_empty_pool_is_named(write, selector: Path, tmp_path: Path) -> None:
    pool = write("empty.jsonl", [])
    with pytest.raises(InputError, match="no document could be read, of 0 rows; the files are empty"):
        gotd.score(selector, pool, tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_where_every_row_is_bad_the_first_is_named(write, selector: Path, rows, tmp_path: Path) -> None:
    pool = write("bad.jsonl", [{"text": None}, b"{", {"text": ""}])
    with pytest.raises(
        InputError, match=rf'no document could be read, of 3 rows; the first: {pool}:1: found null in "text"'
    ):
        gotd.score(selector, pool, tmp_path / "out", workers=1)
    assert [r["row"] for r in rows(tmp_path / "out" / "rejects.jsonl")] == [1, 2, 3]


def test_on_error_fail_stops_at_the_first(write, selector: Path, tmp_path: Path) -> None:
    pool = write("pool.jsonl", [{"id": "a", "text": "common1"}, {"id": "a", "text": "rare1"}, b"{"])
    with pytest.raises(InputError, match=rf"{pool}:3: found malformed JSON .* Or pass --on-error skip"):
        gotd.score(selector, pool, tmp_path / "1", on_error="fail", workers=1)
    pool = write("pool.jsonl", [{"id": "a", "text": "common1"}, {"id": "a", "text": "rare1"}])
    with pytest.raises(InputError, match=rf'{pool}:2: id "a" was there before'):
        gotd.score(selector, pool, tmp_path / "2", on_error="fail", workers=1)


def test_of_one_id_the_first_document_stays(write, selector: Path, tmp_path: Path) -> None:
    files = [
        write("pool/b.jsonl", [{"id": "x", "text": "rare1"}, {"id": "y", "text": "rare2"}]),
        write("pool/a.jsonl", [{"id": "x", "text": "common1"}, {"id": "x", "text": "common2"}]),
    ]
    found = gotd.score(selector, files, tmp_path / "out", workers=1)
    assert [(row["id"], row["source"]) for row in found.to_arrow().to_pylist()] == [("x", "a"), ("y", "b")]
    assert found.manifest["counts"] == {"read": 4, "scored": 2, "outside": 0, "rejected": 2}
    assert found.manifest["sources"] == {"a": 1, "b": 1}


def test_only_the_sources_asked_for(selector: Path, corpora, tmp_path: Path) -> None:
    found = gotd.score(selector, corpora.pool, tmp_path / "out", sources=["second"], workers=1)
    assert found.manifest["counts"] == {"read": 300, "scored": 100, "outside": 200, "rejected": 0}
    assert set(found.to_arrow()["source"].to_pylist()) == {"second"}
    for number, sources in enumerate((["secnod"], [])):
        with pytest.raises(InputError, match="none of 300 documents is from the sources"):
            gotd.score(selector, corpora.pool, tmp_path / f"{number}", sources=sources, workers=1)


def test_the_certificate_weighs_documents_as_the_fit_did(corpora, rows, tmp_path: Path) -> None:
    """|sum_i w_i P_ij - b_j|_1 with w_i = 1, or the tokens of document i."""
    texts = [record["text"] for path in corpora.files for record in rows(path)]
    for mass in ("docs", "tokens"):
        settings = FitSettings(text_mass=mass, fit_sample=60)
        potential = gotd.fit(corpora.target, corpora.pool, tmp_path / mass, settings=settings)
        found = gotd.score(tmp_path / mass, corpora.pool, tmp_path / f"{mass}-scores", polish=0, workers=1)
        tokens = torch.tensor(found.to_arrow()["tokens"].to_pylist(), dtype=torch.float32)
        weights = tokens if mass == "tokens" else torch.ones(300)
        col = potential.priced(potential.points(texts), weights).col
        expected = marginal_error(col, potential.objective.target)
        assert math.isclose(found.manifest["marginal_error"], expected, rel_tol=1e-5)
        assert expected > 0.01


@pytest.fixture
def coarse(corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A potential fitted on so small a sample that the pool asks for polishing."""
    monkeypatch.setattr("gotd.stages.passes.ASK_AT", 1e-6)
    gotd.fit(corpora.target, corpora.pool, tmp_path / "coarse", settings=FitSettings(fit_sample=40))
    return tmp_path / "coarse"


def test_polishing_lowers_the_certificate(coarse: Path, corpora, tmp_path: Path) -> None:
    """Over the reference itself each Sinkhorn step brings the marginals nearer."""
    errors = []
    for polish in (0, 1, 2):
        found = gotd.score(coarse, corpora.pool, tmp_path / f"{polish}", polish=polish, workers=1)
        assert found.manifest["polish_steps"] == polish
        errors.append(found.manifest["marginal_error"])
    assert errors[0] > errors[1] > errors[2]


def test_what_is_saved_is_the_polished_potential(coarse: Path, corpora, rows, tmp_path: Path) -> None:
    """Its scores are those of scores.parquet, and its level is their mean over the reference it keeps."""
    found = gotd.score(coarse, corpora.pool, tmp_path / "out", workers=1)
    polished = Potential.load(found.folder)
    texts = [record["text"] for path in corpora.files for record in rows(path)]
    saved = found.to_arrow()["score"].to_numpy()
    assert np.array_equal(polished.score(texts), saved)
    assert not np.array_equal(Potential.load(coarse).score(texts), saved)
    phi = polished.priced(polished.reference.points).f.double()
    assert polished.level == pytest.approx(float(polished.reference.weights.double() @ phi), abs=1e-9)
    assert polished.level != Potential.load(coarse).level


def test_no_polishing_where_the_certificate_is_good(coarse: Path, corpora, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("gotd.stages.passes.ASK_AT", 2.0)
    found = gotd.score(coarse, corpora.pool, tmp_path / "out", workers=1)
    assert found.manifest["polish_steps"] == 0


def test_no_polishing_by_what_is_not_the_reference(coarse: Path, corpora, tmp_path: Path) -> None:
    """Another pool, or some sources of the reference only, say nothing of the reference's marginals."""
    for name, asked in {
        "part": {"pool": corpora.files[:1]},
        "other": {"pool": corpora.other},
        "sources": {"pool": corpora.pool, "sources": ["first"]},
    }.items():
        found = gotd.score(coarse, output=tmp_path / name, workers=1, **asked)
        assert found.manifest["polish_steps"] == 0
        assert found.manifest["marginal_error"] > 1e-6


def test_the_reference_may_lie_elsewhere(coarse: Path, corpora, tmp_path: Path) -> None:
    """It is known by its content."""
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in corpora.files:
        (moved / Path(path).name).write_bytes(Path(path).read_bytes())
    assert gotd.score(coarse, str(moved), tmp_path / "out", workers=1).manifest["polish_steps"] == 3


def test_polish_is_a_number_of_passes(selector: Path, corpora, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="polish is -1; wanted 0 or more"):
        gotd.score(selector, corpora.pool, tmp_path, polish=-1)


def test_a_folder_of_another_kind_is_no_selector(scored: Path, corpora, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no potential\.safetensors there"):
        gotd.score(corpora.pool, corpora.pool, tmp_path / "out")
    found = gotd.score(scored, corpora.target, tmp_path / "out", workers=1)
    assert found.manifest["counts"]["scored"] == 60


def test_the_encoder_runs_where_it_is_told_to(corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fitting and in scoring; only the choice does not need to ask."""
    import gotd.potential

    seen = []
    restore = gotd.potential_file.restore_encoder

    def watched(config, tensors, *, device):
        seen.append(device)
        return restore(config, tensors, device=device)

    monkeypatch.setattr("gotd.potential_file.restore_encoder", watched)
    gotd.fit(corpora.target, corpora.pool, tmp_path / "fit", device="cpu")
    gotd.score(tmp_path / "fit", corpora.pool, tmp_path / "out", device="cpu", workers=1)
    assert set(seen) == {"cpu"}


def test_progress_is_told(selector: Path, corpora, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    gotd.score(selector, corpora.pool, tmp_path / "out", workers=1, progress=lambda *step: told.append(step))
    assert told == [("scoring", 0, 2), ("scoring", 1, 2), ("scoring", 2, 2)]


def test_parts_are_gone_when_all_is_done(scored: Path) -> None:
    assert not (scored / "parts").exists()
    assert pq.read_schema(scored / "scores.parquet").names[-1] == "checksum"


def test_candidates_that_give_away_the_test_are_rejected(corpora, write, rows, tmp_path: Path) -> None:
    """13 words in a row in common, whatever the case; 12 are not enough."""
    run = " ".join(f"secret{i}" for i in range(13))
    test = write("test.jsonl", [{"text": f"Question: {run.upper()}?"}, {"text": "Yes."}])
    short = run.rpartition(" ")[0]
    fine = [{"id": f"fine-{i}", "text": f"common{i} rare{i} words of its own number {i}"} for i in range(30)]
    pool = write("pool.jsonl", [*fine, {"id": "leak", "text": f"common1 {run} common2"}, {"id": "near", "text": short}])
    found = gotd.select(pool, corpora.target, "31docs", tmp_path / "out", held_out=test, dedup="off", workers=1)
    (reject,) = rows(found.folder / "rejects.jsonl")
    assert reject["reason"] == "contaminated"
    assert reject["row"] == 31
    assert reject["message"] == f'{pool}:31: id "leak" shares "{run}" with a held-out text. It is left out.'
    assert "near" in found.to_arrow()["id"].to_pylist()
    counts = found.manifest["counts"]
    assert counts["read"] == 32 == counts["selected"] + counts["not_selected"] + counts["rejected"]
    assert found.manifest["inputs"]["held_out"]
    assert found.manifest["contamination"] == {"texts": 2, "unchecked": 1}


def test_files_that_changed_since_the_last_run_are_read_again(write, selector: Path, tmp_path: Path) -> None:
    """In one process, as in a notebook: what the last run had read of them is not this one's."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    text = " ".join(f"common{i}" for i in range(14))
    pool, tokenizer = write("pool.jsonl", [{"text": text}, {"text": "common1 common2"}]), tmp_path / "tokenizer.json"
    for run, (held_out, rejects, tokens) in enumerate([("other words", {}, [1, 1]), (text, {"contaminated": 1}, [2])]):
        test = write("test.jsonl", [{"text": held_out}])
        made = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
        if run:
            made.pre_tokenizer = pre_tokenizers.Whitespace()
        made.save(str(tokenizer))
        how = {"held_out": test, "tokenizer": str(tokenizer), "executor": "inline"}
        found = gotd.score(selector, pool, tmp_path / str(run), **how)
        assert (found.manifest["rejects"], found.to_arrow()["tokens"].to_pylist()) == (rejects, tokens)


def test_a_held_out_row_that_cannot_be_read_is_named(corpora, write, tmp_path: Path) -> None:
    """To skip it, as a bad candidate is, would leave it out of the test without a word."""
    test = write("test.jsonl", [{"text": "fine words of a test"}, {"text": " "}])
    with pytest.raises(InputError) as error:
        gotd.select(corpora.pool, corpora.target, "5docs", tmp_path / "out", held_out=test, workers=1)
    assert str(error.value).startswith(f"{test}:2: found a blank text")
    assert "--on-error" not in str(error.value)


def test_a_held_out_file_that_is_one_text_is_read_as_one(selector: Path, write, tmp_path: Path) -> None:
    """A run of 13 words goes on across its lines, of which none is long enough to be looked for alone."""
    lines = [f"say{i} it{i} in{i} few{i}" for i in range(5)]
    test = write("test.txt", [*(line.encode() for line in lines[:3]), b"", *(line.encode() for line in lines[3:])])
    leak = tmp_path / "pool" / "leak.txt"
    leak.parent.mkdir()
    leak.write_text("Before. " + " ".join(lines))
    (tmp_path / "pool" / "other.txt").write_text("common1 common2\n\nrare3")
    found = gotd.score(selector, leak.parent, tmp_path / "out", held_out=test, fields={"text_per": "file"}, workers=1)
    assert found.manifest["rejects"] == {"contaminated": 1}
    assert found.manifest["contamination"] == {"texts": 1, "unchecked": 0}
