"""Optimal transport between weighted points: the part of gotd that knows no text."""

from gotd.transport.cost import Cost
from gotd.transport.divergence import CENTROIDS, SymmetricSolution, recentred, solve_symmetric, summarised
from gotd.transport.kernel import Kernel, Pass
from gotd.transport.potential import SoftMin
from gotd.transport.problem import Measure, Problem
from gotd.transport.products import Products
from gotd.transport.solver import Solution, solve
from gotd.transport.space import Space

__all__ = [
    "CENTROIDS",
    "Cost",
    "Kernel",
    "Measure",
    "Pass",
    "Problem",
    "Products",
    "SoftMin",
    "Solution",
    "Space",
    "SymmetricSolution",
    "recentred",
    "solve",
    "solve_symmetric",
    "summarised",
]
