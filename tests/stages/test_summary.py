"""The centroids of the reference: found on the sample, measured on more."""

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
from gotd.stages.summary import centroids_of
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
    monkeypatch.setattr("gotd.stages.summary.share_of_rows", None)
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

    def of(kind: str) -> Measure:
        return centroids_of(
            base,
            Measure.of(space(vectors)),
            find(pool),
            Fields(),
            Refusing(kind),
            space,
            text_mass="docs",
            seed=0,
            on_error="skip",
            progress=silent,
        )

    weights = of("transformer").weights * 60
    torch.testing.assert_close(weights, weights.round(), rtol=0, atol=1e-4)
    with pytest.raises(AssertionError, match="asked for more"):
        of("lsa")
