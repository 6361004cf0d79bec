"""What a shortlist holds of the best: exact where all is known, and an interval that covers where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from gotd.selection.kept_share import bounds, kept_share


def pool(seed: int, size: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Fine and coarse scores (n,) of a pool; the coarse ones are the fine ones with noise."""
    rng = np.random.default_rng(seed)
    fine = rng.normal(size=size).astype(np.float32)
    return fine, fine + noise * rng.normal(size=size).astype(np.float32)


def split(fine: np.ndarray, coarse: np.ndarray, length: int, best: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The shortlist's fine scores, the others', and the true share of the best."""
    order = np.argsort(coarse, kind="stable")
    inside, outside = order[:length], order[length:]
    top = np.argsort(fine, kind="stable")[:best]
    return fine[inside], fine[outside], float(np.isin(top, inside).mean())


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0, 5.0, 100.0])
@pytest.mark.parametrize("seed", range(5))
def test_where_all_others_were_probed_it_is_the_share(noise: float, seed: int) -> None:
    inside, outside, truth = split(*pool(seed, 500, noise), 100, 20)
    found = kept_share(inside, outside, len(outside), 20)
    assert (found.share, found.low, found.high) == (truth, truth, truth)


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_the_interval_covers_as_often_as_it_says(noise: float) -> None:
    """95 % of 400 draws are 380; it may cover more often, for the bound is exact from one side only."""
    inside, outside, truth = split(*pool(0, 4000, noise), 400, 50)
    rng = np.random.default_rng(1)
    found = [kept_share(inside, rng.choice(outside, 300, replace=False), len(outside), 50) for _ in range(400)]
    assert sum(one.low <= truth <= one.high for one in found) >= 380
    assert all(one.low <= one.share <= one.high for one in found)
    assert abs(np.mean([one.share for one in found]) - truth) < 0.05


def test_a_probe_that_finds_nothing_does_not_say_all() -> None:
    """None of 1000 probed: the rule of three, 3.7 of a thousand at this level, of 20,000 others."""
    found = kept_share(np.arange(500, dtype=np.float32), np.full(1000, 999, np.float32), 20_000, 100)
    assert (found.share, found.high) == (1.0, 1.0)
    assert found.low == 0.26  # 1 - 20,000 (1 - 0.025 ** (1 / 1000)) / 100, rounded down to a document


def test_without_a_probe_nothing_is_known() -> None:
    found = kept_share(np.arange(50, dtype=np.float32), np.zeros(0, np.float32), 1000, 10)
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_bounds_are_clopper_and_pearson() -> None:
    """Against the closed form at none and at all of them, and a value of their table: 5 of 10."""
    low, high = bounds(np.array([0, 5, 10]), 10)
    np.testing.assert_allclose(low, [0, 0.18709, 0.025**0.1], atol=1e-5)
    np.testing.assert_allclose(high, [1 - 0.025**0.1, 0.81291, 1], atol=1e-5)


def test_a_tie_from_outside_takes_no_place() -> None:
    found = kept_share(np.array([0, 1, 2], np.float32), np.array([1, 1], np.float32), 2, 2)
    assert found.share == 1.0
