"""A measure against itself, its summary by centroids, and the Sinkhorn divergence against geomloss."""

from __future__ import annotations

import math

import pytest
import torch
from geomloss import SamplesLoss

from gotd.errors import SettingsError
from gotd.transport import (
    Cost,
    Kernel,
    Measure,
    Problem,
    SoftMin,
    divergence,
    recentred,
    solve,
    solve_symmetric,
    summarised,
)

REG = 0.05


def symmetric(measure: Measure, reg: float = REG, cost: Cost = Cost.COSINE):
    return solve_symmetric(measure, reg, cost, tolerance=1e-12)


@pytest.mark.parametrize("cost", Cost)
@pytest.mark.parametrize("reg", [1.0, 0.1, 0.01])
def test_f_is_the_fixed_point(draw, costs, reg, cost):
    """f(x) = -reg log sum_i a_i exp((f_i - C(x, x_i)) / reg)."""
    measure = draw(60, 1)
    found = symmetric(measure, reg, cost)
    matrix = costs(Problem(measure, measure, reg, cost))
    image = -reg * torch.logsumexp((found.f - matrix) / reg + measure.log_weights, 1)
    assert found.converged
    torch.testing.assert_close(found.f, image, rtol=0, atol=1e-10)


def test_value_is_transport_to_itself(draw):
    """OT_reg(P, P) = 2 <a, f>, and f is half of the sum of the two potentials of the general solver."""
    measure = draw(50, 2)
    found, general = symmetric(measure, 0.3), solve(Problem(measure, measure, 0.3), tolerance=1e-11)
    assert found.value == pytest.approx(general.value, abs=1e-9)
    assert found.value == pytest.approx(2 * float(measure.weights @ found.f))
    torch.testing.assert_close(found.f, (general.f + general.g) / 2, rtol=0, atol=1e-7)


def test_averaged_steps_halve_the_error(draw):
    """The step's Jacobian is (1 - P) / 2, P positive: the error halves, so 20 passes give 1e-6."""
    found = solve_symmetric(draw(60, 3), 0.01, tolerance=1e-6)
    assert found.converged
    assert found.passes <= 25


def test_error_is_that_of_the_dense_plan_one_step_before(draw, plan):
    """One pass from f = 0: sum_i |row mass of a a^T exp(-C / reg) - a_i|."""
    measure = draw(40, 4)
    found = solve_symmetric(measure, REG, max_passes=1)
    zero = torch.zeros(40, dtype=torch.float64)
    mass = plan(Problem(measure, measure, REG), zero, zero).sum(1)
    assert not found.converged
    assert found.passes == 1
    assert found.error == pytest.approx(float((mass - measure.weights).abs().sum()), abs=1e-12)


def test_a_weight_of_zero_takes_a_point_out(draw):
    whole = draw(40, 5)
    kept = torch.arange(40) % 3 != 0
    zeros = symmetric(Measure.of(whole.points, whole.weights * kept))
    without = symmetric(Measure.of(whole.points[kept], whole.weights[kept]))
    assert zeros.value == pytest.approx(without.value, abs=1e-10)
    torch.testing.assert_close(zeros.f[kept], without.f, rtol=0, atol=1e-10)


def test_an_exponential_that_overflows_does_not_stop_the_fit(draw):
    """Long vectors have cosine costs far below zero: the first error is infinite, never NaN."""
    long = draw(40, 6, dtype=torch.float32)
    long = Measure.of(20 * long.points, long.weights * (torch.arange(40) % 2))
    assert solve_symmetric(long, 1e-3, max_passes=1).error == math.inf
    found = solve_symmetric(long, 1e-3)
    assert found.passes > 1
    assert math.isfinite(found.error)
    assert found.f.isfinite().all()


@pytest.mark.parametrize("reg", [0.3, 0.1])
def test_divergence_and_its_potentials_are_those_of_geomloss(draw, reg):
    """geomloss' cost is |x - y|^2 / 2 (the cosine cost on unit vectors), its blur the root of reg.

    Its debiased potentials are f_PT - f_PP and g_PT - g_TT. It anneals blur by `scaling` and stops there, so
    its potentials lag by about 2 (1 - scaling), its values by the square.
    """
    reference, target = draw(40, 7), draw(25, 8, shift=0.7)
    a, b = reference.weights, target.weights
    cross = solve(Problem(reference, target, reg), tolerance=1e-11)
    own, other = symmetric(reference, reg), symmetric(target, reg)
    settings = {"p": 2, "blur": math.sqrt(reg), "scaling": 0.999, "backend": "tensorized"}
    args = (a, reference.points, b, target.points)
    loss = SamplesLoss("sinkhorn", debias=True, **settings)
    assert cross.value - (own.value + other.value) / 2 == pytest.approx(float(loss(*args)), abs=1e-5)
    biased = SamplesLoss("sinkhorn", debias=False, **settings)
    assert cross.value == pytest.approx(float(biased(*args)), abs=1e-5)
    F, G = (each.flatten() for each in SamplesLoss("sinkhorn", debias=True, potentials=True, **settings)(*args))
    f, g = cross.f - own.f, cross.g - other.f
    constant = float(a @ (f - F))
    torch.testing.assert_close(f, F + constant, rtol=0, atol=3e-3)
    torch.testing.assert_close(g, G - constant, rtol=0, atol=3e-3)


def test_the_new_geomloss_takes_the_whole_square_and_keeps_the_two_potentials_apart(draw):
    """geomloss.ot: cost |x - y|^2, value the divergence, potential_a = f_PT and potential_aa = f_PP."""
    geomloss_ot = pytest.importorskip("geomloss.ot")
    reference, target, reg = draw(40, 7), draw(25, 8, shift=0.7), 0.4
    cross = solve(Problem(reference, target, reg, Cost.SQEUCLIDEAN), tolerance=1e-11)
    own, other = (symmetric(each, reg, Cost.SQEUCLIDEAN) for each in (reference, target))
    settings = {"a": reference.weights, "b": target.weights, "debias": True, "reg": reg, "max_iter": 1000}
    theirs = geomloss_ot.solve_sample(reference.points, target.points, **settings)
    assert cross.value - (own.value + other.value) / 2 == pytest.approx(float(theirs.value), abs=1e-4)
    torch.testing.assert_close(own.f, theirs.potential_aa.flatten(), rtol=0, atol=1e-3)
    f = theirs.potential_a.flatten()
    constant = float(reference.weights @ (cross.f - f))
    torch.testing.assert_close(cross.f, f + constant, rtol=0, atol=1e-2)


@pytest.mark.parametrize("cost", Cost)
def test_divergence_is_zero_at_the_target_and_positive_elsewhere(draw, cost):
    """S(P, P) = 0, its gradient f_PT - f_PP is constant there; else S > 0 (Feydy et al. 2019)."""
    measure, other, reg = draw(40, 9), draw(40, 10, shift=0.3), 0.3 * cost.gamma
    own = symmetric(measure, reg, cost)
    cross = solve(Problem(measure, measure, reg, cost), tolerance=1e-11)
    assert cross.value - own.value == pytest.approx(0, abs=1e-9)
    gradient = cross.f - own.f
    torch.testing.assert_close(gradient, gradient.mean().expand(40), rtol=0, atol=1e-7)
    apart = solve(Problem(measure, other, reg, cost), tolerance=1e-11).value
    assert apart - (own.value + symmetric(other, reg, cost).value) / 2 > 1e-3


class TestSummarised:
    def test_mass_and_mean_are_preserved(self, draw):
        measure = draw(400, 11)
        summary = summarised(measure)
        assert len(summary) == 400 // 20
        assert float(summary.weights.sum()) == pytest.approx(1)
        torch.testing.assert_close(
            summary.weights @ summary.points, measure.weights @ measure.points, rtol=0, atol=1e-12
        )

    def test_cost_to_a_centroid_is_the_mean_cost_to_its_documents(self, draw):
        """With c = sum_i w_i y_i, 1 - <x, c> = sum_i w_i (1 - <x, y_i>): linear in y."""
        measure, x = draw(100, 12), draw(5, 13).points
        kernel = Kernel(x, summarised(measure, centroids=1).points, Cost.COSINE)
        to_centroid = kernel.softmin(torch.zeros(1).double(), torch.zeros(1).double(), 1.0)
        torch.testing.assert_close(to_centroid, (1 - x @ measure.points.T) @ measure.weights, rtol=0, atol=1e-12)

    def test_transport_between_centroids_is_an_upper_bound(self, draw):
        """A plan between centroids, spread over their documents, keeps its cosine cost and its KL."""
        measure = draw(200, 23)
        whole = symmetric(measure).value
        values = [symmetric(summarised(measure, centroids=count)).value for count in (10, 5, 1)]
        assert all(value > whole for value in values)
        assert values[-1] == pytest.approx(
            Cost.COSINE.mean(measure.points, measure.weights, measure.points, measure.weights)
        )

    def test_centroids_are_not_brought_to_unit_length(self, draw):
        assert float(summarised(draw(400, 14)).points.norm(dim=1).max()) < 0.99

    @pytest.mark.parametrize(("n", "centroids", "wanted"), [(10, 1000, 1), (100, 1000, 5), (400, 3, 3)])
    def test_one_centroid_for_twenty_documents_and_no_more_than_asked(self, draw, n, centroids, wanted):
        assert len(summarised(draw(n, 15), centroids=centroids)) == wanted

    def test_as_many_centroids_as_points_are_the_points(self, draw, monkeypatch):
        monkeypatch.setattr(divergence, "_DOCUMENTS_PER_CENTROID", 1)
        measure = draw(30, 16)
        summary = summarised(measure)
        nearest = torch.cdist(measure.points, summary.points).argmin(1)
        assert sorted(nearest.tolist()) == list(range(30))
        torch.testing.assert_close(summary.points[nearest], measure.points)
        torch.testing.assert_close(summary.weights[nearest], measure.weights)

    def test_a_seed_gives_the_same_bits(self, draw):
        measure = draw(400, 17, dtype=torch.float32)
        first, second = summarised(measure, seed=5), summarised(measure, seed=5)
        assert torch.equal(first.points, second.points)
        assert torch.equal(first.weights, second.weights)
        assert first.points.dtype == torch.float32
        assert not torch.equal(first.points, summarised(measure, seed=6).points)

    def test_points_without_mass_take_no_part(self, draw):
        whole = draw(200, 18)
        kept = torch.arange(200) < 6
        summary = summarised(Measure.of(whole.points, whole.weights * kept))
        assert len(summary) == 1
        mean = whole.weights[kept] @ whole.points[kept] / whole.weights[kept].sum()
        torch.testing.assert_close(summary.points[0], mean, rtol=0, atol=1e-12)

    def test_a_reference_of_duplicates_is_one_point(self, draw):
        point = draw(1, 19).points
        summary = summarised(Measure.of(point.repeat(100, 1)))
        torch.testing.assert_close(summary.points, point)
        assert summary.weights.tolist() == pytest.approx([1.0])

    def test_both_costs_give_one_potential_on_unit_vectors(self, draw):
        """The spread that squared Euclidean loses in a centroid moves OT(P, P), not f_PP as a function."""
        summary, x = summarised(draw(200, 20)), draw(30, 21).points
        half, whole = (
            SoftMin(summary.points, symmetric(summary, reg, cost).f, summary.log_weights, reg, cost)(x)
            for cost, reg in ((Cost.COSINE, REG), (Cost.SQEUCLIDEAN, 2 * REG))
        )
        torch.testing.assert_close(whole - whole.mean(), 2 * (half - half.mean()), rtol=0, atol=1e-9)

    @pytest.mark.parametrize("centroids", [0, -1])
    def test_at_least_one_centroid(self, draw, centroids):
        with pytest.raises(SettingsError, match=f"centroids is {centroids}; wanted 1 or more"):
            summarised(draw(10, 22), centroids=centroids)


class TestRecentred:
    def test_a_step_moves_each_centroid_to_the_mean_of_what_is_nearest_to_it(self):
        """Two groups on a line, weights 1 3 | 2 2: means 1.5 and 11, masses half and half."""
        line = torch.tensor([[0.0], [2.0], [10.0], [12.0]]).double()
        whole = Measure.of(line, torch.tensor([1.0, 3.0, 2.0, 2.0]))
        found = recentred(Measure.of(torch.tensor([[3.0], [9.0]]).double()), whole, steps=1)
        torch.testing.assert_close(found.points, torch.tensor([[1.5], [11.0]]).double())
        assert found.weights.tolist() == pytest.approx([0.5, 0.5])

    def test_mass_and_mean_are_those_of_the_larger_sample(self, draw):
        few, whole = draw(200, 24), draw(5000, 25, shift=0.2)
        found = recentred(summarised(few), whole)
        assert float(found.weights.sum()) == pytest.approx(1)
        torch.testing.assert_close(found.weights @ found.points, whole.weights @ whole.points, rtol=0, atol=1e-12)

    def test_each_step_lowers_the_spread_about_the_centroids(self, draw):
        whole, start = draw(3000, 26), summarised(draw(200, 27))
        spreads = [
            float(whole.weights @ torch.cdist(whole.points, recentred(start, whole, steps=steps).points).amin(1) ** 2)
            for steps in (0, 1, 2, 3)
        ]
        assert spreads == sorted(spreads, reverse=True)
        assert spreads[0] > 1.01 * spreads[1]

    def test_a_centroid_nearest_to_nothing_is_dropped(self, draw):
        far = Measure.of(torch.cat([draw(3, 28).points, torch.full((1, draw(1, 28).points.shape[1]), 9.0).double()]))
        assert len(recentred(far, draw(100, 29))) == 3
