"""The one pass: by blocks or whole, from kept or fresh products, it is the dense formula."""

from __future__ import annotations

import pytest
import torch

from gotd.transport import Cost, Kernel, Problem, kernel

REG = 0.05


def kernel_of(problem: Problem, *, passes: int = 1) -> Kernel:
    return Kernel(problem.reference.points, problem.target.points, problem.cost, passes=passes)


def one_pass(pass_: Kernel, problem: Problem, g: torch.Tensor):
    return pass_.plan_pass(g, problem.target.log_weights, problem.reg, problem.reference.weights)


@pytest.fixture
def problem(draw) -> Problem:
    return Problem(draw(90, 1), draw(25, 2, shift=0.5), REG)


@pytest.fixture
def g() -> torch.Tensor:
    return 0.1 * torch.randn(25, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("cost", Cost)
@pytest.mark.parametrize("passes", [1, 2])
def test_a_pass_is_the_dense_softmin_and_its_column_marginal(draw, costs, plan, g, cost, passes):
    """f_i = -reg log sum_j b_j exp((g_j - C_ij) / reg); col_j = sum_i P_ij with P = a b^T exp(...)."""
    problem = Problem(draw(90, 1), draw(25, 2, shift=0.5), REG, cost)
    found = one_pass(kernel_of(problem, passes=passes), problem, g)
    f = -REG * torch.logsumexp((g - costs(problem)) / REG + problem.target.log_weights, 1)
    torch.testing.assert_close(found.f, f, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.col, plan(problem, f, g).sum(0), rtol=0, atol=1e-12)
    assert found.col.dtype == torch.float64


@pytest.mark.parametrize("rows", [1, 7, 16, 89, 90, 1000])
@pytest.mark.parametrize("passes", [1, 2])
def test_the_size_of_a_block_changes_nothing(problem, g, rows, passes):
    whole, blocks = kernel_of(problem), kernel_of(problem, passes=passes)
    blocks.rows = rows
    expected, found = one_pass(whole, problem, g), one_pass(blocks, problem, g)
    torch.testing.assert_close(found.f, expected.f, rtol=0, atol=1e-13)
    torch.testing.assert_close(found.col, expected.col, rtol=0, atol=1e-13)


def test_kept_products_in_float64_are_exact(problem, g):
    kept, streamed = kernel_of(problem, passes=2), kernel_of(problem)
    assert kept._kept is not None
    assert streamed._kept is None
    torch.testing.assert_close(one_pass(kept, problem, g).f, one_pass(streamed, problem, g).f, rtol=0, atol=1e-13)


def test_kept_products_in_bfloat16_leave_the_ranking(draw):
    """Top 5 % of 400 by f, from bfloat16 and float32 products, over ten draws: overlap >= .98."""
    shared = 0
    for seed in range(10):
        reference = draw(400, seed, dim=32, dtype=torch.float32)
        problem = Problem.scaled(reference, draw(40, 100 + seed, dim=32, shift=1.0, dtype=torch.float32), 0.1)
        g = torch.zeros(40)
        kept = kernel_of(problem, passes=2)
        assert kept._kept.dtype == torch.bfloat16
        best = [set(one_pass(each, problem, g).f.argsort()[:20].tolist()) for each in (kept, kernel_of(problem))]
        shared += len(best[0] & best[1])
    assert shared / 200 >= 0.98


def test_products_that_do_not_fit_are_not_kept(problem, g, monkeypatch):
    monkeypatch.setattr(kernel, "CACHE_BYTES", 90 * 25 * 8 - 1)
    streamed = kernel_of(problem, passes=100)
    assert streamed._kept is None
    monkeypatch.setattr(kernel, "CACHE_BYTES", 90 * 25 * 8)
    kept = kernel_of(problem, passes=100)
    assert kept._kept is not None
    torch.testing.assert_close(one_pass(kept, problem, g).f, one_pass(streamed, problem, g).f)


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("step", [1, 2, 7, 200])
def test_every_so_manieth_row_shares_what_is_kept(problem, g, passes, step):
    whole = kernel_of(problem, passes=passes)
    part = whole.every(step)
    assert len(part.x) == len(range(0, 90, step))
    f = whole.softmin(g, problem.target.log_weights, REG)
    torch.testing.assert_close(part.softmin(g, problem.target.log_weights, REG), f[::step], rtol=0, atol=1e-13)
    if passes == 2:
        assert part._kept.data_ptr() == whole._kept.data_ptr()


def test_without_row_weights_there_is_no_marginal(problem, g):
    found = kernel_of(problem).plan_pass(g, problem.target.log_weights, REG, None)
    assert float(found.col.abs().sum()) == 0


def test_a_far_smaller_reg_does_not_overflow(problem, g):
    """As reg -> 0 the soft minimum is the minimum: f_i -> min_j C_ij - g_j."""
    reg = 1e-8
    found = kernel_of(problem).softmin(g, problem.target.log_weights, reg)
    hard = (1 - problem.reference.points @ problem.target.points.T - g).amin(1)
    torch.testing.assert_close(found, hard, rtol=0, atol=1e-6)
