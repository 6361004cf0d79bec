"""`nearest` and `mmd`, by hand on the unit circle and against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gotd.selection.methods import Batch, fit_method
from gotd.transport import Measure, SoftMin


def circle(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], 1).float()


def batch(points: torch.Tensor) -> Batch:
    blank = [""] * len(points)
    return Batch(blank, blank, blank, points)


def fitted(name: str, reference: Measure, target: Measure, **options):
    return fit_method(name, reference_texts=[], target_texts=[], reference=reference, target=target, options=options)


def drawn(n: int, seed: int, shift: float = 0.0) -> Measure:
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(n, 5, generator=generator)
    points[:, 0] += shift
    return Measure.of(points / points.norm(dim=1, keepdim=True), torch.rand(n, generator=generator) + 0.1)


class TestNearest:
    reference = Measure.of(circle(0))

    def test_min_is_the_cosine_cost_to_the_nearest(self) -> None:
        """From 30 and 100 degrees to targets at 0 and 90: 30 and 10 degrees."""
        method = fitted("nearest", self.reference, Measure.of(circle(0, 90)))
        expected = [1 - math.cos(math.radians(angle)) for angle in (30, 10)]
        assert method.score(batch(circle(30, 100))).tolist() == pytest.approx(expected, abs=1e-7)

    def test_mean_weighs_every_target(self) -> None:
        """From 30 degrees to 0 and 90, three to one: 1 - (3/4 cos 30 + 1/4 cos 60)."""
        target = Measure.of(circle(0, 90), torch.tensor([3.0, 1.0]))
        expected = 1 - (0.75 * math.sqrt(3) / 2 + 0.25 / 2)
        method = fitted("nearest", self.reference, target, kind="mean")
        assert method.score(batch(circle(30))).tolist() == pytest.approx([expected], abs=1e-7)

    def test_a_target_of_weight_0_is_near_to_nobody(self) -> None:
        target = Measure.of(circle(0, 90), torch.tensor([1.0, 0.0]))
        method = fitted("nearest", self.reference, target)
        assert method.score(batch(circle(90))).tolist() == pytest.approx([1], abs=1e-6)

    def test_min_is_the_potential_without_prices(self) -> None:
        """f of plain OT, the soft minimum at reg 1e-3 of it, with g = 0."""
        target, pool = drawn(30, 1), drawn(50, 2)
        plain = SoftMin(target.points, torch.zeros(30), torch.full((30,), -math.log(30)), 1e-3)
        found = fitted("nearest", self.reference, target).score(batch(pool.points))
        np.testing.assert_allclose(found, plain(pool.points).numpy(), atol=1e-3 * math.log(30) + 1e-6)


class TestMMD:
    def test_linear_is_the_product_with_the_difference_of_means(self) -> None:
        """Reference at 0 degrees, target at 90: <x, (1, -1)>."""
        method = fitted("mmd", Measure.of(circle(0)), Measure.of(circle(90)))
        assert method.score(batch(circle(0, 90, 45, 225))).tolist() == pytest.approx([1, -1, 0, 0], abs=1e-6)

    def test_gaussian_by_hand(self) -> None:
        """One point each, at distance sqrt 2, which is the median: the kernel between them is exp(-1/2)."""
        method = fitted("mmd", Measure.of(circle(0)), Measure.of(circle(90)), kernel="gaussian")
        drop = 1 - math.exp(-0.5)
        assert method.score(batch(circle(0, 90, 45))).tolist() == pytest.approx([drop, -drop, 0], abs=1e-6)

    @pytest.mark.parametrize("kernel", ["linear", "gaussian"])
    def test_it_is_half_the_gradient_of_the_squared_discrepancy(self, kernel) -> None:
        """d/dl MMD^2((1 - l) P + l U, T) at 0 = 2 (mean_U score - mean_P score)."""
        reference, target, selection = drawn(40, 3), drawn(15, 4, 1.5), drawn(6, 5, 1.0)
        method = fitted("mmd", reference, target, kernel=kernel)

        def gram(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            if kernel == "linear":
                return x.double() @ y.double().T
            return torch.exp(-(torch.cdist(x.double(), y.double()) ** 2) / (2 * method.width**2))

        def discrepancy(share: float) -> float:
            points = torch.cat([reference.points, selection.points, target.points])
            signed = torch.cat([(1 - share) * reference.weights, share * selection.weights, -target.weights]).double()
            return float(signed @ gram(points, points) @ signed)

        slope = (discrepancy(1e-4) - discrepancy(-1e-4)) / 2e-4
        means = [float(side.weights.numpy() @ method.score(batch(side.points))) for side in (selection, reference)]
        assert abs(slope) > 0.01
        assert 2 * (means[0] - means[1]) == pytest.approx(slope, abs=1e-4)

    def test_no_more_of_the_reference_is_held_than_sample(self) -> None:
        reference, target = drawn(400, 6), drawn(20, 7)
        method = fitted("mmd", reference, target, kernel="gaussian", sample=100)
        assert method.points.shape == (120, 5)
        assert float(method.signed[:100].sum()) == pytest.approx(1, abs=1e-5)
        whole = fitted("mmd", reference, target, kernel="gaussian")
        found, exact = (each.score(batch(drawn(50, 8).points)) for each in (method, whole))
        assert np.abs(found - exact).max() < 0.1  # the kernel is below 1, so 1 / sqrt(100) at most is one deviation

    def test_points_of_no_weight_take_no_place_in_the_sample(self) -> None:
        reference = Measure.of(circle(*range(50)), torch.tensor([1.0] * 5 + [0.0] * 45))
        method = fitted("mmd", reference, Measure.of(circle(90)), kernel="gaussian", sample=5)
        assert method.signed[:5].tolist() == pytest.approx([0.2] * 5)

    def test_equal_points_leave_a_width(self) -> None:
        both = Measure.of(circle(10, 10, 10))
        method = fitted("mmd", both, both, kernel="gaussian")
        assert method.width == 1
        assert method.score(batch(circle(10, 50))).tolist() == pytest.approx([0, 0], abs=1e-6)

    @given(st.integers(0, 1000))
    def test_between_equal_samples_there_is_nothing_to_gain(self, seed) -> None:
        both = drawn(20, seed)
        for kernel in ("linear", "gaussian"):
            scores = fitted("mmd", both, both, kernel=kernel).score(batch(drawn(10, seed + 1).points))
            np.testing.assert_allclose(scores, 0, atol=1e-6)
