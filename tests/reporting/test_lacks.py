"""What the model lacks: the rare half of the task, which no document of the reference has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gotd.reporting.account import Account, gather
from gotd.reporting.lacks import Lack, costs, lacks
from gotd.transport import Cost

POINTS = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=1)


@pytest.fixture(scope="module")
def account(lacking: Path) -> Account:
    return gather(lacking, points=1000, projection="pca", seed=0)


@pytest.mark.parametrize("cost", list(Cost))
def test_costs_are_those_of_the_definition(cost: Cost) -> None:
    x, y = POINTS[:4], POINTS[4:]
    expected = 1 - x @ y.T if cost is Cost.COSINE else torch.cdist(x, y) ** 2
    assert torch.allclose(costs(x, y, cost), expected, atol=1e-5)


def test_what_is_lacked_is_rare_and_answered_by_what_is_rare(account: Account) -> None:
    texts = account.dots.table["text"].to_pylist()
    assert account.lacks
    for lack in account.lacks:
        assert texts[lack.dot].startswith("rare")
        assert all(texts[dot].startswith("rare") for dot, _ in lack.answers)
        assert lack.answered
        assert lack.reference > 0.9 > lack.selection == lack.answers[0][1]


def test_prices_fall_and_answers_grow_dearer(account: Account) -> None:
    prices = [lack.price for lack in account.lacks]
    assert prices == sorted(prices, reverse=True)
    attract = account.potential.attract
    g, weights = attract.g.double(), attract.log_b.double().exp()
    assert prices[0] == pytest.approx(float(g[weights > 0].max() - weights @ g), abs=1e-5)
    for lack in account.lacks:
        assert [cost for _, cost in lack.answers] == sorted(cost for _, cost in lack.answers)


def test_what_says_the_same_is_shown_once(account: Account) -> None:
    """With every target document in one place, one stands for all."""
    points = account.dots.points.copy()
    target = account.dots.rows("target")
    points[target] = points[target[0]]
    dots = type(account.dots)(account.dots.table, points, account.dots.plane)
    assert [lack.dot for lack in lacks(dots, account.potential)] == [target[0]]
    assert len(account.lacks) > 1


def test_nearest_of_each_role(account: Account) -> None:
    dots, cost = account.dots, account.potential.attract.cost
    chosen, target = dots.rows("selected"), dots.rows("target")
    between = costs(torch.from_numpy(dots.points[chosen]), torch.from_numpy(dots.points[target]), cost).numpy()
    assert [account.near[dot] for dot in chosen] == target[between.argmin(1)].tolist()
    assert [account.near[dot] for dot in target] == chosen[between.argmin(0)].tolist()
    assert account.near.keys() == {*chosen.tolist(), *target.tolist()}


@pytest.mark.parametrize(("selection", "answered"), [(0.3, True), (0.6, False), (0.595, False), (np.nan, False)])
def test_answered_means_nearer_than_the_reference(selection: float, answered: bool) -> None:
    assert Lack(0, 1.0, 0.6, selection, []).answered is answered
