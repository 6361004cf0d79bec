"""The knee of curves whose knee is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gotd.selection.knee import knee

BUDGETS = [50 * 1.6**i for i in range(12)]


def found(gain, budgets=BUDGETS):
    place = knee(budgets, [gain(k) for k in budgets])
    return None if place is None else budgets[place]


@pytest.mark.parametrize("place", range(11))
def test_a_bend_is_the_knee(place: int) -> None:
    """A gain of 1 a document up to the bend, of a twentieth after it."""
    bend = BUDGETS[place]
    assert found(lambda k: min(k, bend) + 0.05 * max(0, k - bend)) == bend


@pytest.mark.parametrize("after", [0.2, 0, -0.3])
def test_a_bend_is_the_knee_however_it_goes_on(after: float) -> None:
    bend = BUDGETS[6]
    assert found(lambda k: min(k, bend) + after * max(0, k - bend)) == bend


def test_a_bend_that_is_still_worth_a_quarter_is_none() -> None:
    assert found(lambda k: min(k, BUDGETS[6]) + 0.3 * max(0, k - BUDGETS[6])) is None


@pytest.mark.parametrize("scale", [100, 400, 1500])
def test_what_saturates_has_its_knee_where_the_slope_is_a_quarter(scale: float) -> None:
    """1 - exp(-k / scale) has the slope exp(-k / scale) of the first: a quarter at scale log 4. To one budget."""
    wanted = scale * math.log(4)
    near = found(lambda k: 1 - math.exp(-k / scale))
    assert wanted / 1.7 < near < wanted * 1.7


def test_the_largest_budget_tried_does_not_move_it() -> None:
    gain = lambda k: 1 - math.exp(-k / 300)  # noqa: E731
    assert found(gain) == found(gain, BUDGETS[:10]) == found(gain, [*BUDGETS, 1e5])


def test_a_dip_on_the_way_is_no_knee() -> None:
    """Less is gained at one budget than at the one before; the majorant passes over it."""
    gains = [float(k) for k in BUDGETS]
    gains[4] *= 0.5
    gains[9:] = [gains[8]] * 3
    assert knee(BUDGETS, gains) == 8


def test_noise_moves_it_by_a_budget_at_most() -> None:
    rng = np.random.default_rng(0)
    exact = BUDGETS.index(found(lambda k: 1 - math.exp(-k / 300)))
    for _ in range(20):
        noisy = [1 - math.exp(-k / 300) + 0.01 * rng.normal() for k in BUDGETS]
        assert abs(knee(BUDGETS, noisy) - exact) <= 1


@pytest.mark.parametrize("gains", [[-1.0, -2.0, -3.0], [0.0, 0.0, 0.0], [math.nan] * 3, [1.0, 2.0, 4.0]])
def test_no_knee_where_nothing_is_gained_or_ever_more(gains: list[float]) -> None:
    assert knee([1, 2, 3], gains) is None


def test_the_first_budget_may_be_it() -> None:
    assert knee([50, 100, 200], [1.0, 1.0, 0.5]) == 0
