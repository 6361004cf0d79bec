"""Helpers that every test of transport needs: draw a measure, write its costs and its plan out in full."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gotd.transport import Cost, Measure, Problem

Draw = Callable[..., Measure]
Matrix = Callable[[Problem], Tensor]
Plan = Callable[[Problem, Tensor, Tensor], Tensor]


@pytest.fixture(scope="session")
def draw() -> Draw:
    """draw(n, seed) -> n random unit vectors with skewed random weights, in float64."""

    def measure(
        n: int, seed: int = 0, *, dim: int = 6, shift: float = 0.0, uniform: bool = False, dtype=torch.float64
    ) -> Measure:
        generator = torch.Generator().manual_seed(seed)
        points = torch.randn(n, dim, dtype=torch.float64, generator=generator)
        points[:, 0] += shift
        points = points / points.norm(dim=1, keepdim=True)
        weights = None if uniform else torch.rand(n, dtype=torch.float64, generator=generator) ** 2 + 0.01
        return Measure.of(points.to(dtype), weights)

    return measure


@pytest.fixture(scope="session")
def costs() -> Matrix:
    """costs(problem) -> the (n, m) matrix of costs by its definition, not by its expansion."""

    def matrix(problem: Problem) -> Tensor:
        x, y = problem.reference.points, problem.target.points
        if problem.cost is Cost.SQEUCLIDEAN:
            return ((x[:, None] - y[None]) ** 2).sum(2)
        return 1 - (x[:, None] * y[None]).sum(2)

    return matrix


@pytest.fixture(scope="session")
def plan(costs: Matrix) -> Plan:
    """plan(problem, f, g) -> a b^T exp((f + g - C) / reg), (n, m)."""

    def matrix(problem: Problem, f: Tensor, g: Tensor) -> Tensor:
        a, b = problem.reference.weights, problem.target.weights
        return a[:, None] * b[None] * torch.exp((f[:, None] + g[None] - costs(problem)) / problem.reg)

    return matrix
