"""The potentials of entropic transport, against POT, exact transport and their own definition."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import ot
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from gotd.transport import Cost, Measure, Problem, SoftMin, Solution, solve, solver

FRACTIONS = (1.0, 0.1, 0.02)
COSTS = tuple(Cost)


def exactly(problem: Problem, **settings) -> Solution:
    found = solve(problem, tolerance=1e-11, max_passes=5000, **settings)
    assert found.converged
    return found


def in_pot(problem: Problem, matrix: torch.Tensor) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    a, b = problem.reference.weights.numpy(), problem.target.weights.numpy()
    return ot.sinkhorn(
        a, b, matrix.numpy(), problem.reg, method="sinkhorn_log", log=True, numItermax=100_000, stopThr=1e-11
    )


def centred(f: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """f less its mean: what is left of a potential that is defined up to one constant."""
    return f - weights @ f


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("cost", COSTS)
def test_potentials_are_pots_up_to_one_constant(draw, costs, fraction, cost):
    """POT writes P = exp(log u + log v - C / reg), so f = reg (log u - log a) and g = reg (log v - log b)."""
    problem = Problem.scaled(draw(60, 1), draw(25, 2, shift=0.7), fraction, cost)
    a, b, reg = problem.reference.weights, problem.target.weights, problem.reg
    ours = exactly(problem)
    _, log = in_pot(problem, costs(problem))
    f = reg * (torch.from_numpy(log["log_u"]) - a.log())
    g = reg * (torch.from_numpy(log["log_v"]) - b.log())
    constant = float(a @ (ours.f - f))
    torch.testing.assert_close(ours.f, f + constant, rtol=0, atol=1e-7)
    torch.testing.assert_close(ours.g, g - constant, rtol=0, atol=1e-7)


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_value_is_pots_with_kl_and_differs_from_its_entropy_by_the_weights(draw, costs, fraction):
    """OT_reg = <P, C> + reg KL(P | a b^T).

    POT's reg_type="KL" is that; its "entropy" is <P, C> + reg sum P log P, which differs by
    reg (sum a log a + sum b log b); its sinkhorn2 is <P, C> alone. ot.solve's potentials are log u, log v.
    """
    problem = Problem.scaled(draw(40, 3), draw(20, 4, shift=0.7), fraction)
    a, b, reg, matrix = problem.reference.weights, problem.target.weights, problem.reg, costs(problem)
    value = exactly(problem).value
    settings = {"reg": reg, "max_iter": 100_000, "tol": 1e-11}
    args = (matrix.numpy(), a.numpy(), b.numpy())
    kl = ot.solve(*args, reg_type="KL", **settings)
    assert value == pytest.approx(float(kl.value), abs=1e-8)
    entropy = ot.solve(*args, reg_type="entropy", **settings)
    own = reg * float(a @ a.log() + b @ b.log())
    assert value == pytest.approx(float(entropy.value) - own, abs=1e-8)
    P, log = in_pot(problem, matrix)
    P = torch.from_numpy(P)
    divergence = float((P * (P / (a[:, None] * b[None])).log()).sum())
    linear = ot.sinkhorn2(*args[1:], args[0], reg, method="sinkhorn_log", numItermax=100_000, stopThr=1e-11)
    assert value == pytest.approx(float(linear) + reg * divergence, abs=1e-8)
    log_u = kl.potentials[0] - log["log_u"]
    np.testing.assert_allclose(log_u, log_u.mean(), atol=1e-6)


@pytest.mark.parametrize("cost", COSTS)
def test_f_is_the_gradient_by_the_weights(draw, cost):
    """d OT_reg / d a_i - d OT_reg / d a_k = f_i - f_k (Danskin), by central differences of the weights."""
    reference, target = draw(30, 5), draw(12, 6, shift=0.5)
    problem = Problem.scaled(reference, target, 0.1, cost)
    found = exactly(problem)
    amount = 1e-5

    def value(i: int, k: int, moved: float) -> float:
        weights = reference.weights.clone()
        weights[i] += moved
        weights[k] -= moved
        return exactly(Problem(Measure(reference.points, weights), target, problem.reg, cost)).value

    for i, k in ((0, 1), (7, 20), (29, 3)):
        slope = (value(i, k, amount) - value(i, k, -amount)) / (2 * amount)
        assert slope == pytest.approx(float(found.f[i] - found.f[k]), abs=1e-6)


def test_calibrated_gradient_of_lava_only_centres_f(draw):
    """f_i - mean_{k != i} f_k (Just et al. 2023, eq. 4): mass to i, taken from the others alike.

    It equals n / (n - 1) (f_i - mean f): the ranking stays.
    """
    reference, target = draw(20, 7, uniform=True), draw(10, 8, shift=0.5)
    problem = Problem.scaled(reference, target, 0.1)
    f, n, amount = exactly(problem).f, 20, 1e-5
    lava = torch.stack([f[i] - f[torch.arange(n) != i].mean() for i in range(n)])
    torch.testing.assert_close(lava, n / (n - 1) * (f - f.mean()))
    for i in (0, 11):
        direction = torch.full((n,), -1 / (n - 1), dtype=torch.float64)
        direction[i] = 1.0
        above, below = (
            exactly(Problem(Measure(reference.points, reference.weights + s * direction), target, problem.reg)).value
            for s in (amount, -amount)
        )
        assert (above - below) / (2 * amount) == pytest.approx(float(lava[i]), abs=1e-6)


def test_both_equations_hold_at_the_solution(draw, costs):
    """f = -reg log sum_j b_j exp((g_j - C_ij) / reg) and g = -reg log sum_i a_i exp((f_i - C_ij) / reg)."""
    problem = Problem.scaled(draw(50, 9), draw(20, 10, shift=0.7), 0.05)
    found, matrix, reg = exactly(problem), costs(problem), problem.reg
    f = -reg * torch.logsumexp((found.g - matrix) / reg + problem.target.log_weights, 1)
    g = -reg * torch.logsumexp((found.f - matrix.T) / reg + problem.reference.log_weights, 1)
    torch.testing.assert_close(found.f, f, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.g, g, rtol=0, atol=1e-9)


@pytest.mark.parametrize("side", ["reference", "target"])
def test_a_weight_of_zero_takes_a_point_out(draw, side):
    sides = {"reference": draw(40, 11), "target": draw(20, 12, shift=0.7)}
    whole = sides[side]
    kept = torch.arange(len(whole)) % 4 != 1
    reg = 0.05
    with_zeros = exactly(Problem(**(sides | {side: Measure.of(whole.points, whole.weights * kept)}), reg=reg))
    without = exactly(Problem(**(sides | {side: Measure.of(whole.points[kept], whole.weights[kept])}), reg=reg))
    assert with_zeros.value == pytest.approx(without.value, abs=1e-10)
    f, g = with_zeros.f, with_zeros.g
    f, g = (f[kept], g) if side == "reference" else (f, g[kept])
    constant = (f - without.f).mean()
    torch.testing.assert_close(f, without.f + constant, rtol=0, atol=1e-8)
    torch.testing.assert_close(g, without.g - constant, rtol=0, atol=1e-8)
    assert with_zeros.f.isfinite().all()
    assert with_zeros.g.isfinite().all()


def test_a_point_without_mass_still_has_its_potential(draw):
    """f is a function of any document: at a weightless one it is what SoftMin gives there."""
    whole, target = draw(40, 11), draw(20, 12, shift=0.7)
    reference = Measure.of(whole.points, whole.weights * (torch.arange(40) > 9))
    found = exactly(Problem(reference, target, 0.05))
    outside = SoftMin(target.points, found.g, target.log_weights, 0.05)
    torch.testing.assert_close(found.f, outside(whole.points))


@pytest.mark.parametrize("max_passes", [1, 3, 10])
@pytest.mark.parametrize("cost", COSTS)
def test_error_is_that_of_the_dense_plan(draw, plan, max_passes, cost):
    """Rows of the plan of (f, g) sum to a by the formula of f; |P^T 1 - b|_1 is what is wrong with it."""
    problem = Problem.scaled(draw(50, 13), draw(20, 14, shift=1.0), 0.02, cost)
    found = solve(problem, tolerance=0, max_passes=max_passes)
    dense = plan(problem, found.f, found.g)
    torch.testing.assert_close(dense.sum(1), problem.reference.weights)
    assert found.error == pytest.approx(float((dense.sum(0) - problem.target.weights).abs().sum()), abs=1e-12)
    assert found.error > 1e-6


@pytest.mark.parametrize("max_passes", range(1, 26))
def test_too_few_passes_are_said_with_the_remedy(draw, max_passes):
    problem = Problem.scaled(draw(60, 15), draw(30, 16, shift=1.0), 1e-3)
    found = solve(problem, tolerance=1e-8, max_passes=max_passes)
    assert not found.converged
    assert found.passes == max_passes
    assert found.advice == (
        f"marginal error {found.error:.3g} after {max_passes} passes: raise reg, or raise max_passes"
    )


def test_the_value_never_falls_with_more_passes(draw):
    """H is concave and every accepted step raises it: steps that lower it are undone."""
    problem = Problem.scaled(draw(60, 17), draw(30, 18, shift=1.0), 3e-3)
    values = [solve(problem, tolerance=1e-9, max_passes=passes).value for passes in range(1, 40)]
    assert all(later >= earlier - 1e-6 * problem.reg for earlier, later in pairwise(values))


def test_converged_needs_no_advice(draw):
    found = solve(Problem.scaled(draw(50, 1), draw(20, 2), 0.1))
    assert found.converged
    assert found.error <= solver.TOLERANCE
    assert found.advice == ""


def test_warm_start_gives_the_same_answer_in_fewer_passes(draw):
    reference, target = draw(60, 19), draw(30, 20, shift=0.7)
    problem = Problem.scaled(reference, target, 0.02)
    near = Problem(reference.mixed_with(draw(5, 21), 0.01), target, problem.reg)
    cold, warm = exactly(near), exactly(near, init=exactly(problem).g)
    assert warm.passes < cold.passes
    target_mean = target.weights
    torch.testing.assert_close(centred(warm.g, target_mean), centred(cold.g, target_mean), rtol=0, atol=1e-8)
    assert warm.value == pytest.approx(cold.value, abs=1e-11)
    assert exactly(problem, init=exactly(problem).g).passes == 1


@given(
    n=st.integers(1, 30),
    m=st.integers(1, 20),
    seed=st.integers(0, 1000),
    fraction=st.sampled_from([0.02, 0.1, 1.0]),
    uniform=st.booleans(),
    cost=st.sampled_from(COSTS),
)
@examples(max_examples=40)
def test_value_is_within_reg_log_n_of_exact_transport(draw, costs, n, m, seed, fraction, uniform, cost):
    """exact <= OT_reg <= exact + reg log min(n, m): KL(P | a b^T) is at most the smaller entropy.

    And H(g) <= OT_reg for every g: unsolved, the value is a lower bound.
    """
    reference, target = draw(n, seed, uniform=uniform), draw(m, seed + 1, shift=0.5, uniform=uniform)
    problem = Problem.scaled(reference, target, fraction, cost)
    exact = float(ot.emd2(reference.weights.numpy(), target.weights.numpy(), costs(problem).numpy()))
    value = solve(problem, tolerance=1e-9, max_passes=3000).value
    assert exact - 1e-7 <= value <= exact + problem.reg * np.log(min(n, m)) + 1e-7
    for passes in (1, 2):
        assert solve(problem, tolerance=0, max_passes=passes).value <= value + 1e-7


@pytest.mark.parametrize(("n", "m"), [(1, 7), (7, 1), (1, 1)])
def test_one_point_takes_or_gives_everything(draw, costs, n, m):
    """With one point on a side a b^T is the only plan: OT_reg = sum_ij a_i b_j C_ij, and f + g = C there."""
    problem = Problem(draw(n, 22), draw(m, 23, shift=1.0), 0.1)
    found, matrix = exactly(problem), costs(problem)
    a, b = problem.reference.weights, problem.target.weights
    assert found.value == pytest.approx(float(a @ matrix @ b), abs=1e-10)
    torch.testing.assert_close(found.f[:, None] + found.g[None], matrix, rtol=0, atol=1e-9)


def test_a_duplicate_is_one_point_with_the_summed_weight(draw):
    single, target = draw(30, 24, uniform=True), draw(15, 25, shift=0.5)
    twice = Measure.of(torch.cat([single.points, single.points[:10]]))
    merged = Measure.of(single.points, torch.ones(30) + (torch.arange(30) < 10))
    doubled = exactly(Problem(twice, target, 0.05))
    summed = exactly(Problem(merged, target, 0.05))
    assert doubled.value == pytest.approx(summed.value, abs=1e-10)
    assert torch.equal(doubled.f[30:], doubled.f[:10])
    torch.testing.assert_close(
        centred(doubled.f, twice.weights), centred(torch.cat([summed.f, summed.f[:10]]), twice.weights)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fraction", [1e-3, 1e-5])
def test_a_tiny_reg_gives_numbers(draw, costs, dtype, fraction):
    problem = Problem.scaled(draw(80, 26, dtype=dtype), draw(30, 27, shift=2.0, dtype=dtype), fraction)
    found = solve(problem, max_passes=200)
    assert found.f.isfinite().all()
    assert found.g.isfinite().all()
    assert 0 <= found.error <= 2
    exact = ot.emd2(
        problem.reference.weights.double().numpy(),
        problem.target.weights.double().numpy(),
        costs(problem).double().numpy(),
    )
    assert found.value == pytest.approx(float(exact), abs=0.02)


def test_the_same_input_gives_the_same_bits(draw):
    problem = Problem.scaled(draw(300, 28, dtype=torch.float32), draw(40, 29, shift=1.0, dtype=torch.float32), 0.02)
    first, second = solve(problem), solve(problem)
    assert torch.equal(first.f, second.f)
    assert torch.equal(first.g, second.g)
    assert (first.value, first.error, first.passes) == (second.value, second.error, second.passes)


def test_the_coarse_start_does_not_change_the_answer(draw, monkeypatch):
    """From 4 x 256 rows on, one row in eight is solved first; here one in two of 300."""
    problem = Problem.scaled(draw(300, 30), draw(20, 31, shift=1.0), 0.02)
    plain = exactly(problem)
    rows_seen = []
    every = solver.Kernel.every
    monkeypatch.setattr(solver, "_COARSE", 2)
    monkeypatch.setattr(solver.Kernel, "every", lambda self, step: rows_seen.append(step) or every(self, step))
    coarse = exactly(problem)
    assert rows_seen == [2]
    assert coarse.value == pytest.approx(plain.value, abs=1e-11)
    weights = problem.target.weights
    torch.testing.assert_close(centred(coarse.g, weights), centred(plain.g, weights), rtol=0, atol=1e-8)


def test_cosine_is_half_of_squared_euclidean_on_unit_vectors(draw):
    """|x - y|^2 = 2 (1 - <x, y>): potentials, value and reg double, the ranking is one."""
    reference, target = draw(100, 32), draw(30, 33, shift=0.7)
    half, whole = (exactly(Problem.scaled(reference, target, 0.05, cost)) for cost in (Cost.COSINE, Cost.SQEUCLIDEAN))
    assert whole.reg == pytest.approx(2 * half.reg)
    assert whole.value == pytest.approx(2 * half.value)
    torch.testing.assert_close(
        centred(whole.f, reference.weights), 2 * centred(half.f, reference.weights), rtol=0, atol=1e-8
    )
    assert torch.equal(whole.f.argsort(), half.f.argsort())


def test_low_f_is_where_the_target_has_more_than_the_reference(draw):
    """The sign: mass added where f is low lowers OT (Kang et al. 2024, Theorem 1)."""
    far, near = draw(50, 34, shift=-5.0), draw(50, 35, shift=5.0)
    reference = far.mixed_with(near, 0.1)
    f = exactly(Problem.scaled(reference, draw(30, 36, shift=5.0), 0.1)).f
    assert f[50:].max() < f[:50].min()
