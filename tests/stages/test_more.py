"""More of the reference than the sample: centroids are measured on it, and f_PT takes a step by it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gotd
from gotd import Fields, FitSettings
from gotd.corpus import find, sample
from gotd.encoders.precomputed import Precomputed
from gotd.engine import silent
from gotd.stages.fit import fitted
from gotd.stages.more import more_of
from gotd.transport import Measure

FIELDS = Fields(embedding="v")


@pytest.fixture
def pool(write) -> str:
    rng = np.random.default_rng(0)
    return str(write("pool.jsonl", [{"text": f"text {i}", "v": rng.normal(0, 1, 4).tolist()} for i in range(250)]))


def fit(pool: str, output: Path, size: int = 60) -> gotd.Potential:
    return gotd.fit(pool, pool, output, settings=FitSettings(fit_sample=size), fields=FIELDS)


def test_each_row_of_the_pool_stands_behind_a_centroid(pool: str, tmp_path: Path) -> None:
    """A sample of 60 gives 3 centroids; they weigh what all 250 rows say, not those 60 alone."""
    found = fit(pool, tmp_path / "out")
    weights = found.repel.log_b.double().exp() * 250
    assert len(weights) == 3
    torch.testing.assert_close(weights, weights.round(), rtol=0, atol=1e-4)
    assert float(weights.sum()) == pytest.approx(250)
    every = found.space(np.stack([document.vector for document in sample(find(pool), FIELDS, None, 0).documents]))
    mean = (weights[:, None] / 250 * found.repel.points).sum(0)
    torch.testing.assert_close(mean.float(), every.mean(0), rtol=0, atol=1e-3)


def test_it_is_what_vectors_in_hand_give(pool: str, tmp_path: Path) -> None:
    drawn, every = (np.stack([d.vector for d in sample(find(pool), FIELDS, size, 0).documents]) for size in (60, None))
    direct = fitted(Precomputed(4), drawn, every, FitSettings(), more=every)
    torch.testing.assert_close(direct.repel.points, fit(pool, tmp_path / "out").repel.points, rtol=0, atol=1e-3)


def test_a_sample_that_is_the_whole_pool_is_read_once(pool: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("gotd.stages.more.share_of_rows", None)
    assert len(fit(pool, tmp_path / "out", 250).repel.points) == 12


@dataclass(frozen=True, slots=True)
class Refusing:
    """An encoder of some kind that gives no vector."""

    kind: str
    spec: str = "any"
    dim: int = 4
    fingerprint: str = "0" * 16

    def encode(self, texts: Any) -> Any:
        raise AssertionError("asked for more vectors")

    def config(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def tensors(self) -> dict[str, Any]:
        return {}


def test_a_transformer_reads_no_more_than_the_sample(pool: str) -> None:
    base = sample(find(pool), Fields(), 60, 0)
    vectors = np.random.default_rng(1).normal(0, 1, (60, 4)).astype(np.float32)
    space = FitSettings().space(vectors)

    def of(kind: str) -> Measure | None:
        how: dict[str, Any] = {"text_mass": "docs", "seed": 0, "on_error": "skip", "progress": silent}
        return more_of(base, find(pool), Fields(), Refusing(kind), space, **how)

    assert of("transformer") is None
    with pytest.raises(AssertionError, match="asked for more"):
        of("lsa")


def test_a_step_by_more_of_the_reference_serves_the_targets_better() -> None:
    """The certificate over all of it falls; with the whole for `more` it is one more Sinkhorn step."""
    rng = np.random.default_rng(2)
    every, goals = (rng.normal(0, 1, (count, 8)).astype(np.float32) for count in (4000, 100))
    settings = FitSettings(trim=0)
    small, corrected = (fitted(Precomputed(8), every[:200], goals, settings, more=more) for more in (None, every))
    points = small.space(every)
    before, after = (each.priced(points, torch.full((4000,), 1 / 4000)).col for each in (small, corrected))
    assert small.marginal_errors(before)[0] > 2 * corrected.marginal_errors(after)[0]
    torch.testing.assert_close(corrected.attract.g, small.stepped(before).attract.g, rtol=0, atol=1e-5)


def test_what_is_not_debiased_is_fitted_on_its_sample_alone() -> None:
    rng = np.random.default_rng(4)
    every, goals = (rng.normal(0, 1, (count, 8)).astype(np.float32) for count in (400, 30))
    settings = FitSettings(debias=False)
    small, more = (fitted(Precomputed(8), every[:100], goals, settings, more=given) for given in (None, every))
    assert torch.equal(small.attract.g, more.attract.g)


def test_mass_is_received_in_parts_as_at_once() -> None:
    rng = np.random.default_rng(3)
    potential = fitted(Precomputed(4), *(rng.normal(0, 1, (n, 4)).astype(np.float32) for n in (50, 20)), FitSettings())
    points, weights = torch.from_numpy(rng.normal(0, 1, (20_000, 4))).float(), torch.rand(20_000)
    whole = Measure.of(points, weights)
    col = potential.attract.received(Measure(points.half(), whole.weights))
    torch.testing.assert_close(col, potential.attract.plan_pass(points, whole.weights).col, rtol=1e-3, atol=1e-6)
    assert float(col.sum()) == pytest.approx(1, abs=1e-5)
