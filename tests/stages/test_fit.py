"""Fitting: what is read, what is refused, and what the file holds of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import gotd
from gotd import ArtifactError, Fields, FitSettings, InputError, SettingsError
from gotd.artifacts import load_manifest
from gotd.selection.budget import estimated_tokens


def test_the_folder_holds_the_potential_the_rejects_and_what_made_them(selector: Path, corpora) -> None:
    assert sorted(path.name for path in selector.iterdir()) == [
        "manifest.json",
        "potential.safetensors",
        "rejects.jsonl",
    ]
    manifest = load_manifest(selector, "fit")
    assert manifest["counts"] == {
        "target": {"rows": 60, "fitted": 60, "rejected": 0},
        "reference": {"rows": 300, "fitted": 300, "rejected": 0},
    }
    assert manifest["encoder"]["spec"] == "lsa"
    assert manifest["bytes"] == (selector / "potential.safetensors").stat().st_size
    assert [line.rpartition(" ")[0] for line in manifest["inputs"]["reference"]] == corpora.files


def test_a_finished_fit_is_returned_at_once(selector: Path, corpora, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (selector / "potential.safetensors").stat().st_mtime_ns
    monkeypatch.setattr("gotd.stages.fit.fitted_to", None)
    found = gotd.fit(corpora.target, corpora.pool, selector)
    assert np.array_equal(found.score(["rare1"]), gotd.Potential.load(selector).score(["rare1"]))
    assert (selector / "potential.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": FitSettings(reg=0.2)}, r"reg was 0\.1 and is now 0\.2"),
        ({"settings": FitSettings(encoder="static")}, "encoder was 'lsa' and is now 'static'"),
        ({"settings": FitSettings(seed=1)}, "seed was 0 and is now 1"),
        ({"fields": Fields(min_chars=3)}, "made otherwise: min_chars of fields was 0 and is now 3"),
        ({"on_error": "fail"}, "on_error was 'skip' and is now 'fail'"),
    ],
)
def test_other_settings_need_another_folder(change, message: str, selector: Path, corpora) -> None:
    with pytest.raises(ArtifactError, match=message):
        gotd.fit(corpora.target, corpora.pool, selector, **change)


def test_a_file_that_changed_needs_another_folder(write, text, corpora, tmp_path: Path) -> None:
    records = [{"text": text(i, i % 2 == 0)} for i in range(20)]
    target = write("target.jsonl", records)
    gotd.fit(target, corpora.pool, tmp_path / "out")
    write("target.jsonl", records[:-1])
    with pytest.raises(ArtifactError, match="the files of target differ"):
        gotd.fit(target, corpora.pool, tmp_path / "out")
    found = gotd.fit(target, corpora.pool, tmp_path / "out", overwrite=True)
    assert len(found.objective.target) == 19


def test_one_seed_one_potential(corpora, tmp_path: Path) -> None:
    settings = FitSettings(fit_sample=50, target_sample=20)
    for name in ("a", "b"):
        gotd.fit(corpora.target, corpora.pool, tmp_path / name, settings=settings)
    assert (tmp_path / "a/potential.safetensors").read_bytes() == (tmp_path / "b/potential.safetensors").read_bytes()


def test_samples_are_no_larger_than_asked_for(corpora, tmp_path: Path) -> None:
    settings = FitSettings(fit_sample=50, target_sample=20)
    found = gotd.fit(corpora.target, corpora.pool, tmp_path / "out", settings=settings)
    assert (len(found.reference), len(found.objective.target)) == (50, 20)
    counts = load_manifest(tmp_path / "out", "fit")["counts"]
    assert counts["reference"] == {"rows": 300, "fitted": 50, "rejected": 0}


def test_text_mass_tokens_weighs_a_document_by_its_length(write, corpora, tmp_path: Path) -> None:
    """Weights are shares of the estimated tokens, in reference and target."""
    texts = ["common1 rare1 " * (1 + i % 7) for i in range(30)]
    target = write("target.jsonl", [{"text": text} for text in texts])
    settings = FitSettings(text_mass="tokens")
    found = gotd.fit(target, corpora.other, tmp_path / "tokens", settings=settings)
    tokens = torch.tensor([float(estimated_tokens(text)) for text in texts])
    assert torch.allclose(found.objective.target.weights, tokens / tokens.sum())
    assert found.reference.weights.unique().numel() > 1
    even = gotd.fit(target, corpora.other, tmp_path / "docs")
    assert torch.allclose(even.objective.target.weights, torch.full((30,), 1 / 30))


def test_rejects_are_counted_and_named(write, text, corpora, rows, tmp_path: Path) -> None:
    target = write("target.jsonl", [{"text": text(i, i % 2 == 0)} for i in range(9)] + [b"{", {"text": 3}])
    gotd.fit(target, corpora.pool, tmp_path / "out")
    assert load_manifest(tmp_path / "out", "fit")["counts"]["target"] == {"rows": 11, "fitted": 9, "rejected": 2}
    assert [(r["file"], r["row"], r["reason"]) for r in rows(tmp_path / "out" / "rejects.jsonl")] == [
        (target, 10, "malformed-json"),
        (target, 11, "text-not-text"),
    ]
    with pytest.raises(InputError, match=rf"{target}:10: found malformed JSON .* Or pass --on-error skip"):
        gotd.fit(target, corpora.pool, tmp_path / "strict", on_error="fail")


def test_no_document_names_the_side_and_the_first_reject(write, corpora, tmp_path: Path) -> None:
    empty, bad = write("empty.jsonl", []), write("bad.jsonl", [b"{", b"{"])
    with pytest.raises(InputError, match=rf"the target holds no document; {empty} is empty"):
        gotd.fit(empty, corpora.pool, tmp_path / "1")
    with pytest.raises(InputError, match=rf"the reference or pool holds no document; {empty} is empty"):
        gotd.fit(corpora.target, empty, tmp_path / "2")
    with pytest.raises(InputError, match=rf"the target holds no document; {bad}:1: found malformed JSON"):
        gotd.fit(bad, corpora.pool, tmp_path / "3")
    with pytest.raises(InputError, match="the reference or pool holds no document; no file was given"):
        gotd.fit(corpora.target, [], tmp_path / "4")


def test_vectors_on_one_side_alone_are_refused(write, text, corpora, tmp_path: Path) -> None:
    """Encoding the texts instead would leave the vectors unused without a word."""
    pool = write("pool.jsonl", [{"text": text(i, False), "v": [1.0, i]} for i in range(20)])
    with pytest.raises(SettingsError, match="records of the reference alone carry vectors"):
        gotd.fit(corpora.target, pool, tmp_path / "1", fields=Fields(embedding="v"), target_fields=Fields())
    with pytest.raises(SettingsError, match="records of the target alone carry vectors"):
        gotd.fit(pool, corpora.pool, tmp_path / "2", target_fields=Fields(embedding="v"))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_generator_takes(seed: int) -> None:
    with pytest.raises(SettingsError, match=f"seed is {seed}; wanted a whole number from 0 to 4294967295"):
        FitSettings(seed=seed)


@pytest.mark.parametrize("encoder", ["static", "lsa+static"])
def test_other_embedded_encoders_serve(encoder: str, write, rows, tmp_path: Path) -> None:
    """Real words here: these encoders know no others."""
    pool = write(
        "pool.jsonl", [{"text": f"the cat and its {i} kittens"} for i in range(30)] + [{"text": "a ship at sea"}]
    )
    target = write("target.jsonl", [{"text": "the sailor and the boat"}, {"text": "cats and kittens"}] * 3)
    found = gotd.select(pool, target, 1, tmp_path / "out", encoder=encoder, workers=1)
    assert found.manifest["fit"]["encoder"]["spec"] == encoder
    assert rows(found.path)[0]["text"] == "a ship at sea"


def test_trimmed_targets_are_named(write, text, tmp_path: Path) -> None:
    """Two of 52 targets say the same odd thing, and so do three of 300 in the pool: those two pull the most."""
    odd = "odd remark of nobody in particular about nothing at all"
    pool = write("pool.jsonl", [{"text": text(i, i % 4 == 0, 12) if i % 100 else odd} for i in range(300)])
    records = [{"text": text(1000 + i, i % 2 == 0, 12), "id": f"{i}"} for i in range(50)]
    target = write("target.jsonl", [*records[:20], {"text": odd, "id": "a"}, *records[20:], {"text": odd, "id": "b"}])
    fields = Fields(id="id")
    asked = {"settings": FitSettings(trim=0.04), "target_fields": fields}
    potential = gotd.fit(target, pool, tmp_path / "out", **asked)
    found = load_manifest(tmp_path / "out", "fit")["trimmed"]
    assert [(row["id"], row["text"]) for row in found] == [("a", odd), ("b", odd)]
    assert [row["weight"] for row in found] == pytest.approx([1 / 52] * 2)
    weights = potential.objective.target.weights
    assert (weights == 0).nonzero().flatten().tolist() == [20, 51]
    whole = gotd.fit(target, pool, tmp_path / "whole", settings=FitSettings(trim=0), target_fields=fields)
    assert potential.score([odd])[0] > whole.score([odd])[0] + 0.1
    assert load_manifest(tmp_path / "whole", "fit")["trimmed"] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trim": 0.5}, r"trim is 0\.5; wanted a share of the target, from 0 to below 0\.5"),
        ({"trim": -0.1}, r"trim is -0\.1; wanted"),
        ({"trim": float("nan")}, "trim is nan; wanted"),
        ({"trim": "2%"}, "trim is '2%'; wanted a number, without quotes or a unit"),
        ({"reg": "0.1"}, "reg is '0.1'; wanted a number"),
        ({"fit_sample": None}, "fit_sample is None; wanted a number"),
        ({"seed": True}, "seed is True; wanted a number"),
        ({"seed": 1.5}, "seed is 1.5; wanted a whole number"),
        ({"remove_top": 1.5}, "remove_top is 1.5; wanted a whole number"),
        ({"fit_sample": float("nan")}, "fit_sample is nan; wanted a whole number"),
        ({"encoder": None}, 'encoder is None; wanted a name such as "lsa"'),
        ({"centre": False, "whiten": 0.5}, "whiten and remove_top need centred vectors; pass --centre"),
        ({"centre": False, "remove_top": 1}, "whiten and remove_top need centred vectors; pass --centre"),
        ({"method": None}, 'no method "None"; known: gotd'),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        FitSettings(**settings)


def test_an_encoder_that_was_fitted_anew_makes_another_fit(write, text, corpora, tmp_path: Path) -> None:
    """The folder of a selector has the same name afterwards, and other vectors."""
    first, other = corpora.target, write("other.jsonl", [{"text": text(i, False)} for i in range(30)])
    how = {"settings": FitSettings(encoder=str(tmp_path / "lsa"))}
    gotd.fit(first, corpora.pool, tmp_path / "lsa")
    gotd.fit(first, corpora.pool, tmp_path / "fit", **how)
    chosen = {"encoder": tmp_path / "lsa", "output": tmp_path / "out", "workers": 1}
    gotd.select(corpora.pool, first, "5docs", **chosen)
    gotd.fit(first, corpora.pool, tmp_path / "fit", **how)  # the same again is finished

    gotd.fit(other, corpora.pool, tmp_path / "lsa", overwrite=True)

    with pytest.raises(ArtifactError, match=r"was made otherwise: .*lsa of encoder_files was '.*' and is now '"):
        gotd.fit(first, corpora.pool, tmp_path / "fit", **how)
    with pytest.raises(ArtifactError, match=r"was made otherwise: .*lsa of encoder_files was '.*' and is now '"):
        gotd.select(corpora.pool, first, "5docs", **chosen)
