"""The cost between two points, written as offsets and one product."""

from __future__ import annotations

import pytest
import torch

from gotd.transport import Cost, Problem


@pytest.mark.parametrize("cost", Cost)
def test_mean_is_that_of_the_dense_matrix(draw, costs, cost):
    """sum_ij a_i b_j C(x_i, y_j), without the matrix."""
    x, y = draw(40, 1), draw(15, 2, shift=1.0)
    dense = float(x.weights @ costs(Problem(x, y, 1.0, cost)) @ y.weights)
    assert cost.mean(x.points, x.weights, y.points, y.weights) == pytest.approx(dense, abs=1e-12)


def test_squared_euclidean_needs_no_unit_vectors(costs, draw):
    x, y = draw(20, 3), draw(10, 4)
    x, y = type(x).of(5 * x.points + 1, x.weights), type(y).of(3 * y.points, y.weights)
    problem = Problem(x, y, 1.0, Cost.SQEUCLIDEAN)
    dense = float(x.weights @ costs(problem) @ y.weights)
    assert Cost.SQEUCLIDEAN.mean(x.points, x.weights, y.points, y.weights) == pytest.approx(dense)


@pytest.mark.parametrize("cost", Cost)
def test_offsets_and_product_make_the_matrix(draw, costs, cost):
    """C(x, y) = alpha(x) + beta(y) - gamma <x, y>."""
    x, y = draw(20, 5), draw(10, 6)
    matrix = cost.offset(x.points)[:, None] + cost.offset(y.points)[None] - cost.gamma * x.points @ y.points.T
    torch.testing.assert_close(matrix, costs(Problem(x, y, 1.0, cost)))
