"""The gradient phi: it predicts what a selection does, and it has the limits that it should."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import ot
import pytest
import torch

from gotd.errors import InputError, SettingsError
from gotd.selection import gradient
from gotd.selection.gradient import Mixture, between_halves, fit_gradient, marginal_error, polished
from gotd.transport import Cost, Measure, Problem, divergence, solve, solve_symmetric


def drawn(n: int, seed: int, *, shift: float = 0.0, dim: int = 6, uniform: bool = False) -> Measure:
    """n random unit vectors with skewed random weights, in float64."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(n, dim, dtype=torch.float64, generator=generator)
    points[:, 0] += shift
    points = points / points.norm(dim=1, keepdim=True)
    return Measure.of(points, None if uniform else torch.rand(n, dtype=torch.float64, generator=generator) + 0.05)


@pytest.fixture
def exact(monkeypatch) -> None:
    """Solve to rounding, each document its own centroid, so that formulas hold to the last digits."""
    monkeypatch.setattr(gradient, "TOLERANCE", 1e-12)
    monkeypatch.setattr(gradient, "solve", partial(solve, tolerance=1e-12, max_passes=5000))
    monkeypatch.setattr(gradient, "solve_symmetric", partial(solve_symmetric, tolerance=1e-13, max_passes=1000))
    monkeypatch.setattr(divergence, "_DOCUMENTS_PER_CENTROID", 1)


@pytest.mark.usefixtures("exact")
class TestPrediction:
    """OT((1 - l) P + l U, T) = OT(P, T) + l (mean_U phi - mean_P phi) + O(l^2): Lemma 1 and Theorem 1."""

    @pytest.mark.parametrize("debias", [True, False])
    @pytest.mark.parametrize("cost", Cost)
    def test_the_objective_moves_as_phi_says(self, debias, cost):
        reference, target, selection = drawn(50, 1), drawn(20, 2, shift=0.8), drawn(8, 3, shift=0.5)
        phi = fit_gradient(reference, target, reg=0.1, debias=debias, cost=cost)
        predicted = float(selection.weights @ phi(selection.points)) - phi.level
        share = 1e-6
        moved = phi.objective.at(reference.mixed_with(selection, share), init=phi.solution.g).value
        assert (moved - phi.value) / share == pytest.approx(predicted, abs=2e-4)
        assert abs(predicted) > 0.05

    @pytest.mark.parametrize("debias", [True, False])
    def test_the_gradient_at_another_reference_is_the_one_fitted_there(self, debias):
        reference, target, selection = drawn(40, 58), drawn(15, 59, shift=0.8), drawn(8, 60, shift=0.5)
        here = fit_gradient(reference, target, reg=0.2, debias=debias)
        mixed = reference.mixed_with(selection, 0.3)
        there = here.objective.at(mixed, summary=mixed, init=here.solution.g)
        again = fit_gradient(mixed, target, reg=0.2, debias=debias).objective
        fitted = replace(again, reg=here.objective.reg).at(mixed)
        x = drawn(30, 61).points
        scores, wanted = there(x) - there.level, fitted(x) - fitted.level
        torch.testing.assert_close(scores, wanted, rtol=0, atol=1e-7)
        assert there.value == pytest.approx(here.objective.at(mixed, init=here.solution.g).value, abs=1e-9)

    @pytest.mark.parametrize("debias", [True, False])
    def test_documents_of_low_phi_lower_it_and_those_of_high_phi_raise_it(self, debias):
        reference, target, pool = drawn(60, 4), drawn(20, 5, shift=1.0), drawn(100, 6)
        phi = fit_gradient(reference, target, reg=0.1, debias=debias)
        order = phi(pool.points).argsort()
        best, worst = (
            phi.objective.at(reference.mixed_with(Measure.of(pool.points[rows]), 0.02), init=phi.solution.g).value
            for rows in (order[:10], order[-10:])
        )
        assert best < phi.value < worst

    def test_level_is_the_mean_of_phi_over_the_reference(self):
        reference = drawn(40, 7)
        phi = fit_gradient(reference, drawn(15, 8, shift=0.5))
        assert phi.level == pytest.approx(float(reference.weights @ phi(reference.points)), abs=1e-10)

    @pytest.mark.parametrize("debias", [True, False])
    def test_value_is_the_objective_at_the_reference(self, debias):
        reference = drawn(40, 9)
        phi = fit_gradient(reference, drawn(15, 10, shift=0.5), debias=debias)
        assert phi.value == pytest.approx(phi.objective.at(reference, init=phi.solution.g).value, abs=1e-11)

    def test_where_the_reference_is_the_target_there_is_nothing_to_gain(self):
        """The gradient of S at T = P is constant on P."""
        both = drawn(40, 11)
        scores = fit_gradient(both, both, reg=0.5)(both.points)
        torch.testing.assert_close(scores, scores.mean().expand(40), rtol=0, atol=1e-6)
        plain = fit_gradient(both, both, reg=0.5, debias=False)(both.points)
        assert plain.max() - plain.min() > 0.01

    def test_value_takes_half_of_what_lies_between_halves_off(self):
        """OT(P, T) - (OT(P', P'') + OT(T', T'')) / 2, where P' and P'' are every second document of P."""
        reference, target = drawn(40, 11), drawn(21, 51, shift=0.5)
        phi = fit_gradient(reference, target)
        own = []
        for measure in (reference, target):
            halves = [Measure.of(measure.points[s::2], measure.weights[s::2]) for s in (0, 1)]
            own.append(solve(Problem(*halves, phi.solution.reg), tolerance=1e-11, max_passes=5000).value)
        assert phi.value == pytest.approx(phi.solution.value - sum(own) / 2, abs=1e-8)


class TestDivergence:
    def test_two_samples_of_one_distribution_are_near_and_others_are_not(self):
        """No document meets itself on either side, so what the samples lack in size cancels."""
        one, two, other = drawn(400, 52), drawn(400, 53), drawn(400, 54, shift=1.0)
        near, far = fit_gradient(one, two), fit_gradient(one, other)
        assert abs(near.value) < 0.03 * near.solution.value
        assert far.value > 5 * abs(near.value)

    def test_one_document_is_at_no_distance_from_itself(self):
        assert between_halves(drawn(1, 55), 0.1, Cost.COSINE) == 0
        twice = Measure.of(drawn(10, 56).points.repeat_interleave(2, 0))
        halves = between_halves(twice, 0.3, Cost.COSINE)
        half = Measure.of(twice.points[::2])
        assert halves == pytest.approx(solve(Problem(half, half, 0.3), tolerance=1e-10).value, abs=1e-3)

    def test_a_large_sample_is_thinned_first(self, monkeypatch):
        monkeypatch.setattr(gradient, "_HALVES_OF", 100)
        measure = drawn(400, 57)
        thinned = Measure.of(measure.points[::4], measure.weights[::4])
        assert between_halves(measure, 0.1, Cost.COSINE) == between_halves(thinned, 0.1, Cost.COSINE)


class TestLimits:
    def test_a_small_reg_ranks_as_exact_transport(self, exact):
        """As reg -> 0, f_PT goes to the dual of exact OT (POT's emd) and f_PP to nothing.

        Random weights leave no partial sums equal, so the exact dual is unique up to its constant.
        """
        reference, target = drawn(14, 12), drawn(6, 13, shift=0.5)
        matrix = 1 - reference.points @ target.points.T
        _, log = ot.emd(reference.weights.numpy(), target.weights.numpy(), matrix.numpy(), log=True)
        u = torch.from_numpy(log["u"])
        phi = fit_gradient(reference, target, reg=2e-4)(reference.points)
        u, phi = (each - reference.weights @ each for each in (u, phi))
        assert torch.equal(u.argsort(), phi.argsort())
        torch.testing.assert_close(phi, u, rtol=0, atol=0.005)

    @pytest.mark.parametrize("cost", Cost)
    def test_a_large_reg_ranks_as_the_linear_mmd_witness(self, cost):
        """As reg -> infinity, phi(x) -> mean_T C(x, .) - mean_P C(x, .) = gamma <x, m_P - m_T> + constant."""
        reference, target, x = drawn(400, 14), drawn(100, 15, shift=1.0), drawn(50, 16).points
        phi = fit_gradient(reference, target, reg=1e5, cost=cost)(x)
        means = reference.weights @ reference.points - target.weights @ target.points
        witness = cost.gamma * x @ means
        torch.testing.assert_close(phi - phi.mean(), witness - witness.mean(), rtol=0, atol=1e-4)
        assert torch.equal(phi.argsort(), witness.argsort())

    def test_without_debiasing_a_large_reg_is_the_distance_to_the_targets_mean(self):
        """As reg -> infinity, f(x) -> mean_T C(x, .) + constant: the reference no longer counts."""
        reference, target, x = drawn(60, 17), drawn(30, 18, shift=1.0), drawn(50, 19).points
        f = fit_gradient(reference, target, reg=1e5, debias=False)(x)
        distance = -x @ (target.weights @ target.points)
        torch.testing.assert_close(f - f.mean(), distance - distance.mean(), rtol=0, atol=1e-4)


class TestStability:
    def test_halves_of_a_target_agree_in_part(self):
        found = fit_gradient(drawn(400, 20), drawn(40, 21, shift=0.5)).stability
        assert list(found) == ["1%", "5%", "10%"]
        assert all(0 <= share <= 1 for share in found.values())
        assert found["10%"] < 1

    def test_overlap_is_that_of_the_lowest_scores_under_each_half(self, exact):
        """And not that of the highest, on which these halves agree otherwise."""
        reference, target = drawn(400, 20), drawn(20, 21, shift=0.5)
        phi = fit_gradient(reference, target, debias=False)
        orders = []
        for start in (0, 1):
            half = Measure.of(target.points[start::2], target.weights[start::2])
            f = solve(Problem(reference, half, phi.solution.reg), tolerance=1e-10, max_passes=5000).f
            orders.append(f.argsort().tolist())
        lowest, highest = (
            {f"{k / 400:.0%}": len(set(orders[0][rows]) & set(orders[1][rows])) / k for k, rows in ends}
            for ends in ([(k, slice(k)) for k in (4, 20, 40)], [(k, slice(-k, None)) for k in (4, 20, 40)])
        )
        assert phi.stability == lowest != highest

    @pytest.mark.parametrize("debias", [True, False])
    def test_two_equal_halves_agree_wholly(self, debias):
        half = drawn(20, 22, shift=0.5, uniform=True)
        twice = Measure.of(half.points.repeat_interleave(2, 0))
        assert fit_gradient(drawn(400, 23), twice, debias=debias).stability == {
            "1%": 1.0,
            "5%": 1.0,
            "10%": 1.0,
        }

    def test_unlike_halves_share_nothing(self):
        """Every second document of the target lies elsewhere: the halves ask for different documents."""
        near, far = drawn(10, 24, shift=6.0), drawn(10, 25, shift=-6.0)
        points = torch.stack([near.points, far.points], 1).reshape(20, -1)
        found = fit_gradient(drawn(400, 26, uniform=True), Measure.of(points), debias=False).stability
        assert found == {"1%": 0.0, "5%": 0.0, "10%": 0.0}

    def test_a_target_of_three_documents_has_no_halves(self):
        assert fit_gradient(drawn(50, 27), drawn(3, 28)).stability == {}
        assert fit_gradient(drawn(50, 27), drawn(4, 28)).stability != {}


class TestCertificate:
    def scored(self, attract, corpus: Measure) -> float:
        return marginal_error(attract.plan_pass(corpus.points, corpus.weights).col, attract_target(attract))

    def test_error_on_the_sample_is_that_of_the_solver(self):
        reference, target = drawn(60, 29), drawn(20, 30, shift=0.8)
        phi = fit_gradient(reference, target, reg=0.02)
        assert self.scored(phi.attract, reference) == pytest.approx(phi.solution.error, abs=1e-12)

    def test_error_is_the_distance_of_shares(self):
        """sum_j |col_j / sum col - b_j|: a corpus is summed by documents, and its mass is taken out here."""
        target = Measure.of(torch.eye(4), torch.tensor([1.0, 1.0, 2.0, 0.0]))
        assert marginal_error(torch.tensor([10.0, 10.0, 20.0, 0.0]), target) == pytest.approx(0, abs=1e-7)
        assert marginal_error(torch.tensor([0.0, 0.0, 0.0, 7.0]), target) == pytest.approx(2)
        assert marginal_error(torch.tensor([1.0, 1.0, 1.0, 1.0]), target) == pytest.approx(0.5)

    def test_steps_over_a_corpus_lower_its_error(self):
        """g += reg log(b / col) over the corpus, Sinkhorn's step, leads to the corpus' own potential."""
        corpus, target = drawn(400, 31), drawn(20, 32, shift=0.8)
        attract = fit_gradient(Measure.of(corpus.points[:60], corpus.weights[:60]), target, reg=0.1).attract
        errors = []
        for _ in range(12):
            errors.append(self.scored(attract, corpus))
            attract = polished(attract, attract.plan_pass(corpus.points, corpus.weights).col)
        assert errors[0] > 0.1
        assert all(later < earlier for earlier, later in pairwise(errors))
        assert errors[2] < errors[0] / 2
        assert errors[-1] < 2e-3
        whole = solve(Problem(corpus, target, attract.reg), tolerance=1e-10, max_passes=5000)
        f = attract(corpus.points)
        f, wanted = f - corpus.weights @ f, whole.f - corpus.weights @ whole.f
        torch.testing.assert_close(f, wanted, rtol=0, atol=2e-3)

    def test_a_target_without_weight_stays_out(self):
        corpus, whole = drawn(100, 33), drawn(20, 34, shift=0.8)
        target = Measure.of(whole.points, whole.weights * (torch.arange(20) > 3))
        phi = fit_gradient(corpus, target)
        stepped = polished(phi.attract, phi.attract.plan_pass(corpus.points, corpus.weights).col)
        assert stepped.g.isfinite().all()
        assert torch.equal(stepped.g[:4], phi.attract.g[:4])

    def test_a_target_that_receives_nothing_is_not_lost(self):
        attract = fit_gradient(drawn(50, 35), drawn(10, 36)).attract
        col = torch.ones(10, dtype=torch.float64)
        col[2] = 0
        stepped = polished(attract, col)
        assert stepped.g.isfinite().all()
        assert (stepped.g - attract.g).argmax() == 2


def attract_target(attract) -> Measure:
    return Measure(attract.points, attract.log_b.exp())


class TestSettings:
    def test_the_published_setting_is_the_plain_potential(self):
        phi = fit_gradient(drawn(60, 37), drawn(20, 38, shift=0.5), reg=0.05, debias=False)
        x = drawn(10, 39).points
        assert phi.repel is None
        assert phi.repel_error == 0
        assert phi.objective.own == 0
        assert phi.value == phi.solution.value
        assert torch.equal(phi(x), phi.attract(x))

    def test_debiased_it_is_the_difference_of_two_potentials(self):
        reference, target = drawn(60, 37), drawn(20, 38, shift=0.5)
        phi = fit_gradient(reference, target)
        x = drawn(10, 39).points
        torch.testing.assert_close(phi(x), phi.attract(x) - phi.repel(x))
        assert 0 < phi.repel_error <= divergence.TOLERANCE or phi.repel_error == pytest.approx(0, abs=1e-9)
        assert phi.solution.reg == phi.attract.reg == phi.repel.reg == phi.objective.reg
        mean = Cost.COSINE.mean(reference.points, reference.weights, target.points, target.weights)
        assert phi.solution.reg == pytest.approx(0.1 * mean)

    def test_the_summary_is_as_small_as_asked(self):
        reference, target = drawn(400, 40), drawn(20, 41)
        assert len(fit_gradient(reference, target).repel.points) == 20
        assert len(fit_gradient(reference, target, centroids=7).repel.points) == 7

    def test_both_costs_rank_unit_vectors_alike(self):
        """|x - y|^2 = 2 (1 - <x, y>): phi doubles, up to a constant, summary and all."""
        reference, target, x = drawn(400, 42), drawn(40, 43, shift=0.7), drawn(100, 44).points
        half, whole = (fit_gradient(reference, target, cost=cost)(x) for cost in (Cost.COSINE, Cost.SQEUCLIDEAN))
        torch.testing.assert_close(whole - whole.mean(), 2 * (half - half.mean()), rtol=0, atol=1e-3)

    def test_the_same_input_gives_the_same_bits(self):
        reference, target, x = drawn(400, 45), drawn(40, 46), drawn(10, 47).points
        first, second = fit_gradient(reference, target, seed=3), fit_gradient(reference, target, seed=3)
        assert torch.equal(first(x), second(x))
        assert (first.value, first.level, first.stability) == (second.value, second.level, second.stability)

    def test_one_document_each_is_enough(self):
        phi = fit_gradient(drawn(1, 48), drawn(1, 49))
        assert phi(drawn(5, 50).points).isfinite().all()
        assert phi.stability == {}

    @pytest.mark.parametrize("reg", [0.0, -0.1, float("nan")])
    def test_reg_must_be_a_positive_fraction(self, reg):
        with pytest.raises(SettingsError, match=r"reg is .*; wanted a positive fraction of the mean cost"):
            fit_gradient(drawn(10, 1), drawn(5, 2), reg=reg)

    def test_both_sides_must_have_one_dimension(self):
        with pytest.raises(InputError, match="target vectors have 5 dimensions, reference vectors 6; embed both alike"):
            fit_gradient(drawn(10, 1), drawn(5, 2, dim=5))


def test_points_without_mass_are_as_if_they_were_not_there():
    """Of a trimmed target every other document may be left, which is one half whole."""
    reference, few = drawn(300, 0), drawn(20, 1, shift=0.5, uniform=True)
    points = torch.stack([drawn(20, 2).points, few.points], 1).flatten(0, 1)
    target = Measure.of(points, torch.tensor([0.0, 1.0]).repeat(20))

    found, wanted = fit_gradient(reference, target), fit_gradient(reference, few)

    assert found.value == pytest.approx(wanted.value, abs=1e-6)
    assert found.stability == wanted.stability
    assert between_halves(target, 0.1, Cost.COSINE) == pytest.approx(between_halves(few, 0.1, Cost.COSINE), abs=1e-6)


@pytest.mark.parametrize("count", [1, 5, 50])
def test_any_documents_move_the_objective_by_their_gradient(count: int):
    """To first order, whichever they are: a random choice too, and one of a single centroid."""
    reference, target = drawn(400, 0, uniform=True), drawn(60, 1, shift=1.0, uniform=True)
    start, summary = fit_gradient(reference, target), divergence.summarised(reference)
    added = Measure.of(drawn(50, 2).points[:count])
    moved = start.toward(Mixture.of(reference, summary, added, 1e-4)).value
    slope = float(start(added.points).mean()) - start.level
    assert (moved - start.value) / 1e-4 == pytest.approx(slope, abs=0.05 * float(start(reference.points).std()))
