"""What it costs to move a document onto another: squared Euclidean, or cosine.

Both are `C(x, y) = alpha(x) + beta(y) - gamma <x, y>`, so a matrix of costs is one matrix product and two
vectors, and is never stored:

    sqeuclidean   |x|^2 + |y|^2 - 2 <x, y>
    cosine        1 - <x, y>                  for unit vectors: half of the squared Euclidean cost

`reg` is everywhere a fraction of the mean cost between the two measures, so on unit vectors the two costs
give one ranking; only the unit of the potentials differs.
"""

from __future__ import annotations

from enum import Enum

from torch import Tensor


class Cost(str, Enum):
    """The cost between two points (rows of (n, d) tensors)."""

    SQEUCLIDEAN = "sqeuclidean"
    COSINE = "cosine"

    @property
    def gamma(self) -> float:
        return 2.0 if self is Cost.SQEUCLIDEAN else 1.0

    def offset(self, points: Tensor) -> Tensor:
        """The part of the cost that one point owns: (n, d) -> (n,), so that C = offset + offset - gamma <x, y>."""
        if self is Cost.SQEUCLIDEAN:
            return (points * points).sum(1)
        return points.new_full((len(points),), 0.5)

    def mean(self, x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> float:
        """sum_ij a_i b_j C(x_i, y_j), from the two means: O((n + m) d), exact.

        Shapes: x (n, d), a (n,), y (m, d), b (m,); a and b sum to 1.
        """
        a64, b64 = a.double(), b.double()
        inner = (a64 @ x.double()) @ (b64 @ y.double())
        own = a64 @ self.offset(x).double() + b64 @ self.offset(y).double()
        return float(own - self.gamma * inner)
