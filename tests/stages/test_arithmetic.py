"""The precision that a potential can spare, and where the work is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch

import gotd
from gotd import FitSettings, GotdError, Potential, SettingsError
from gotd.encoders.precomputed import Precomputed
from gotd.encoders.weights import precision, resolve_device, transport_device
from gotd.selection.methods import fit_method
from gotd.stages import arithmetic
from gotd.stages.arithmetic import arithmetic_for, precision_for, priced_with, worker_count
from gotd.stages.fit import fitted

CPU = torch.device("cpu")
SENTENCES, LSA = {"kind": "sentence-transformers"}, {"kind": "lsa"}


@pytest.fixture(scope="module")
def potential() -> Potential:
    """Of few dimensions and a small reg: what a product is off by counts for much."""
    rng = np.random.default_rng(0)
    reference, target = rng.standard_normal((5000, 4)), rng.standard_normal((300, 4)) + 0.3
    return fitted(Precomputed(4), reference.astype(np.float32), target.astype(np.float32), FitSettings(reg=0.02))


def test_the_fastest_that_keeps_the_best_is_taken(potential) -> None:
    """fp16 has ten bits: of 50 documents none changes. bf16 has seven, and here they are too few."""
    found = precision_for(potential, CPU)
    assert (found.products, found.device) == ("fp16", "cpu")
    assert found.agreement["1%"] >= arithmetic.AT_LEAST
    coarse = precision_for(potential, CPU, ("bf16",))
    assert coarse.products == "float32"
    assert coarse.agreement["1%"] >= arithmetic.AT_LEAST


def test_agreement_is_counted_on_the_best_by_float64(potential, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured for bf16 is the share of one list in another, both sorted here."""
    monkeypatch.setattr(arithmetic, "AT_LEAST", 0.0)
    found = precision_for(potential, CPU, ("bf16",))
    points = potential.reference.points.double()
    own, goal = potential.repel, potential.attract
    costs = [0.5 + 0.5 - points @ side.points.double().T for side in (goal, own)]
    phi = [
        -goal.reg * torch.logsumexp((side.g.double() - cost) / goal.reg + side.log_b.double(), 1)
        for side, cost in zip((goal, own), costs)
    ]
    best = set((phi[0] - phi[1]).argsort()[:50].tolist())
    rough = potential.on("cpu", "bf16").phi(potential.reference.points)[0]
    assert found.products == "bf16"
    assert found.agreement["1%"] == len(best & set(rough.argsort()[:50].tolist())) / 50


def test_on_the_cpu_nothing_is_measured_and_nothing_changes(potential) -> None:
    assert arithmetic_for(potential, "cpu") is None
    assert priced_with(potential, "cpu", "fp16") is potential
    assert priced_with(potential, "auto", None) is potential


def test_who_works_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """auto moves the transport beside an encoder on CUDA; asked for by name it goes there anyhow; never to MPS."""
    for cuda, mps, device, config, wanted in [
        (True, False, "auto", SENTENCES, "cuda"),
        (True, False, "auto", LSA, "cpu"),
        (True, False, "cuda", LSA, "cuda"),
        (True, False, "cuda:1", SENTENCES, "cuda:1"),
        (True, False, "cpu", SENTENCES, "cpu"),
        (False, True, "auto", SENTENCES, "cpu"),
        (False, True, "mps", LSA, "cpu"),
        (False, False, "auto", SENTENCES, "cpu"),
    ]:
        monkeypatch.setattr("torch.cuda.is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        monkeypatch.setattr("torch.backends.mps.is_available", lambda mps=mps: mps)
        assert str(transport_device(device, config)) == wanted, (cuda, mps, device, config)


def test_a_gpu_is_shared_by_two(potential, monkeypatch: pytest.MonkeyPatch) -> None:
    """By no more unless they are asked for; where nothing of the work is done there, by as many as there are cores."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    sides = {"reference": potential.reference, "target": potential.objective.target}
    other = replace(potential, method=fit_method("random", reference_texts=[], target_texts=[], **sides))
    assert worker_count(None, None, "cuda", potential) == 2
    assert worker_count(5, None, "cuda", potential) == 5
    assert worker_count(None, "ray", "cuda", potential) is None
    assert worker_count(None, None, "auto", potential) is None
    assert worker_count(None, None, "cuda", other) is None


def test_too_little_memory_for_a_fit_is_told(corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("gotd.stages.fit.fitted_to", full)
    with pytest.raises(GotdError, match="too little memory for the fit; pass a smaller --fit-sample"):
        gotd.fit(corpora.target, corpora.pool, tmp_path / "there")


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(SettingsError, match="device cuda:2: the last here is cuda:1"):
        resolve_device("cuda:2")
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(SettingsError, match="device mps: this torch finds no MPS"):
        resolve_device("mps")
    # torch knows these, and gotd runs on none of them.
    for name in ("meta", "xpu", "vulkan", "nonsense", ""):
        with pytest.raises(SettingsError, match=f'no device "{name}". Pass auto, cpu, cuda, cuda:1 or mps'):
            resolve_device(name)
    with pytest.raises(SettingsError, match="device cpu:7: there is one cpu alone"):
        resolve_device("cpu:7")
    assert resolve_device("cpu:0").type == "cpu"


def test_bfloat16_wants_units_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card of compute capability 7 can hold bfloat16 and says so."""
    for capability, wanted in [((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]:
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda device, found=capability: found)
        assert precision(torch.device("cuda")) == wanted


@pytest.mark.parametrize("products", ["fp16", "tf32"])
def test_a_pass_in_less_precision_scores_alike_and_says_so(
    corpora, selector: Path, scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, products: str
) -> None:
    """The whole stage with a CPU that is taken for a GPU: the ranking is that of float32, and the manifest tells."""
    there = lambda potential, *given: replace(precision_for(potential, CPU, (products,)))  # noqa: E731
    monkeypatch.setattr("gotd.stages.score.arithmetic_for", there)
    used = []

    def on(potential: Potential, device: str, precision: str | None) -> Potential:
        used.append(precision)
        return potential.on("cpu", precision)

    monkeypatch.setattr("gotd.stages.shard_scorer.priced_with", on)
    found = gotd.score(selector, corpora.pool, tmp_path / "scores", workers=1)
    assert used[0] == products
    assert found.manifest["arithmetic"]["products"] == products
    assert found.manifest["arithmetic"]["agreement"]["1%"] >= 0.99
    wanted = gotd.Scores.load(scored)
    assert "arithmetic" not in wanted.manifest
    assert found.manifest["marginal_error"] == pytest.approx(wanted.manifest["marginal_error"], abs=1e-3)
    ranks = [np.argsort(each.to_arrow()["score"].to_numpy(), kind="stable")[:15] for each in (found, wanted)]
    assert len(set(ranks[0]) & set(ranks[1])) >= 14


def test_a_fit_is_solved_on_the_device_and_says_so(
    corpora, selector: Path, tmp_path: Path, elsewhere: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole stage, with the transport on another device: its file is that of the CPU."""
    monkeypatch.setattr("gotd.stages.fit.transport_device", lambda device, encoder: elsewhere)
    gotd.fit(corpora.target, corpora.pool, tmp_path / "there")
    files = [(folder / "potential.safetensors").read_bytes() for folder in (selector, tmp_path / "there")]
    assert files[0] == files[1]
    told = [orjson.loads((folder / "manifest.json").read_bytes()) for folder in (selector, tmp_path / "there")]
    assert [one.get("solved_on") for one in told] == [None, str(elsewhere)]


def test_a_dry_run_says_where(corpora, elsewhere: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    from gotd.dry_run import dry_run, rates

    for name, value in {"_LEAST": 0, "_SMALL": (100, 25), "_LARGE": (200, 50), "_SCORED_GPU": 200}.items():
        monkeypatch.setattr(rates, name, value)
    monkeypatch.setattr(rates, "_starting", lambda: 0.0)
    monkeypatch.setattr(rates, "transport_device", lambda device, encoder: elsewhere)
    found = dry_run(corpora.pool, corpora.target, "15docs")
    assert found.as_json()["transport"] == {"device": str(elsewhere)}
    assert found.as_json()["encoder"]["device"] == "cpu"
    assert f"solves   and prices on {elsewhere}" in "\n".join(found.lines())
    assert found.job.workers == 2
