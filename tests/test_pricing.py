"""Pricing on a device: the scores of the CPU, in blocks of any size, from points, vectors and halves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gotd import FitSettings, GotdError, InputError, Potential, SettingsError
from gotd.encoders.precomputed import Precomputed
from gotd.pricing import Pricer
from gotd.selection.several import Wanted
from gotd.stages.fit import fitted, fitted_to
from gotd.transport import Measure, Space, recentred, summarised

DIM = 8


def drawn(count: int, seed: int, shift: float = 0.0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal((count, DIM)) + shift).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return drawn(1000, 3)


@pytest.fixture(scope="module")
def potential() -> Potential:
    return fitted(Precomputed(DIM), drawn(1500, 0), drawn(200, 1, 0.7), FitSettings(whiten=0.3))


@pytest.fixture(scope="module")
def several() -> Potential:
    space = FitSettings().space(drawn(1500, 0))
    names = [("first", 2.0, 0.7), ("second", 1.0, -0.7), ("left", -1.0, 2.0)]
    wanted = [
        Wanted(name, weight, Measure.of(space(drawn(100, i, shift)))) for i, (name, weight, shift) in enumerate(names)
    ]
    return fitted_to(Precomputed(DIM), space, Measure.of(space(drawn(1500, 0))), wanted, FitSettings())


def moved(potential: Potential, device: torch.device, rows: int) -> Potential:
    """`on`, for a device that has no name."""
    attracts = tuple(term.attract for term in potential.terms)
    return replace(potential, pricer=Pricer.of(potential.space, attracts, potential.repel, device, rows=rows))


@pytest.mark.parametrize("rows", [1, 300, 999, 1000, 5000])
def test_a_device_gives_the_scores_of_the_cpu(potential, vectors, elsewhere, rows) -> None:
    there = moved(potential, elsewhere, rows)
    weights = torch.rand(len(vectors), generator=torch.Generator().manual_seed(0))
    some = slice(0, 40) if rows == 1 else slice(None)
    found, wanted = (each.priced(potential.points(vectors[some]), weights[some]) for each in (there, potential))
    torch.testing.assert_close(found.f, wanted.f, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.col, wanted.col, rtol=1e-5, atol=1e-9)
    assert type(found.f) is torch.Tensor
    np.testing.assert_allclose(there.score(vectors[some]), potential.score(vectors[some]), rtol=0, atol=2e-6)
    assert there.score(vectors[some]).dtype == np.float32


def test_several_targets_have_their_own_scores_there(several, vectors, elsewhere) -> None:
    there = moved(several, elsewhere, 300)
    found, wanted = (each.priced(several.points(vectors), torch.ones(len(vectors))) for each in (there, several))
    torch.testing.assert_close(found.own, wanted.own, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.f, wanted.f, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.col, wanted.col, rtol=1e-5, atol=1e-9)


def test_a_fit_on_a_device_is_the_fit_of_the_cpu(potential, elsewhere) -> None:
    """To the bit, for it computes on the CPU: what is shown is that nothing on the way mixes devices."""
    there = fitted(Precomputed(DIM), drawn(1500, 0), drawn(200, 1, 0.7), FitSettings(whiten=0.3), device=elsewhere)
    assert torch.equal(there.attract.g, potential.attract.g)
    assert torch.equal(there.repel.g, potential.repel.g)
    assert there.quality == potential.quality
    assert all(
        type(part) is torch.Tensor for part in (there.attract.g, there.repel.g, there.only.objective.target.points)
    )


def test_centroids_are_measured_on_a_device_as_on_the_cpu(elsewhere) -> None:
    source, whole = (Measure.of(torch.from_numpy(drawn(n, n))) for n in (400, 3000))
    few = summarised(source)
    found = recentred(few.to(elsewhere), whole)
    assert found.points.device == elsewhere
    assert torch.equal(found.points.cpu(), recentred(few, whole).points)


def test_half_precision_vectors_are_taken_as_they_are(potential, vectors, elsewhere) -> None:
    found = moved(potential, elsewhere, 300).score(vectors.astype(np.float16))
    np.testing.assert_allclose(found, potential.score(vectors.astype(np.float16).astype(np.float32)), rtol=0, atol=2e-6)


def test_vectors_that_may_only_be_read_are_read(potential, vectors) -> None:
    read_only = vectors.copy()
    read_only.flags.writeable = False
    assert potential.on("cpu", "fp16").score(read_only).shape == (1000,)


def test_a_vector_that_is_not_finite_is_named(potential, vectors, elsewhere) -> None:
    broken = vectors.copy()
    broken[321, 2] = np.nan
    with pytest.raises(InputError, match="vector 321 of 1000 holds NaN"):
        moved(potential, elsewhere, 100).score(broken)


def test_nothing_at_all_is_priced_too(potential, elsewhere) -> None:
    assert moved(potential, elsewhere, 100).score(drawn(0, 0)).shape == (0,)


def test_the_cpu_in_float32_prices_as_ever(potential) -> None:
    assert potential.on("cpu").pricer is None
    assert potential.on("cpu", "fp16").on("cpu").pricer is None


def test_a_step_of_the_potential_leaves_the_old_pricer(potential, vectors) -> None:
    there = potential.on("cpu", "fp16")
    col = there.priced(there.points(vectors), torch.ones(len(vectors))).col
    assert there.stepped(col).pricer is None


def test_another_length_is_refused_on_a_device_too(potential) -> None:
    with pytest.raises(InputError, match=r"vectors have 5 dimensions, .*it was fitted with, precomputed"):
        potential.on("cpu", "fp16").score(np.ones((3, 5), np.float32))


def test_too_little_memory_names_a_smaller_block(potential, vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> Iterator[None]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("gotd.pricing.streamed", full)
    with pytest.raises(GotdError, match=r"block of 800 documents; pass fewer --workers.*rows=100\)"):
        potential.on("cpu", "fp16", rows=800).score(vectors)


def test_a_device_without_float64_is_refused(potential, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotd.potential.resolve_device", torch.device)
    with pytest.raises(SettingsError, match="device mps: documents are priced on cpu or cuda"):
        potential.on("mps")
    with pytest.raises(SettingsError, match="rows is 0"):
        potential.on("cpu", "fp16", rows=0)
    monkeypatch.setattr("gotd.potential.resolve_device", lambda device: torch.device("mps"))
    assert potential.on("auto").pricer is None


def test_a_space_on_a_device_is_the_same_space(vectors, elsewhere) -> None:
    space = Space.fit(vectors, centre=True, whiten=0.5)
    found = space.to(elsewhere).placed(torch.from_numpy(vectors).to(elsewhere))
    assert torch.equal(found.cpu(), space(vectors))


def test_a_selector_prices_texts_in_less_precision(selector: Path) -> None:
    potential = Potential.load(selector)
    texts = ["common1 common2", "rare1 rare2", "rare5 common7"]
    np.testing.assert_allclose(potential.on("cpu", "fp16").score(texts), potential.score(texts), atol=0.01)
