"""A fitted potential as a function of any point."""

from __future__ import annotations

import pytest
import torch

from gotd.errors import InputError
from gotd.transport import Cost, Problem, SoftMin, solve


@pytest.fixture(params=Cost)
def problem(draw, request) -> Problem:
    return Problem.scaled(draw(60, 1), draw(25, 2, shift=0.5), 0.05, request.param)


def softmin(problem: Problem, g: torch.Tensor) -> SoftMin:
    target = problem.target
    return SoftMin(target.points, g, target.log_weights, problem.reg, problem.cost)


def test_out_of_sample_scores_at_the_same_points_are_the_fitted_potential(problem):
    found = solve(problem)
    torch.testing.assert_close(softmin(problem, found.g)(problem.reference.points), found.f, rtol=0, atol=1e-12)


def test_a_pass_gives_the_column_marginal_of_the_dense_plan(problem, plan):
    """The certificate: col - b is what the fit left undone, sum |col - b| is Solution.error."""
    found = solve(problem, tolerance=0, max_passes=3)
    scored = softmin(problem, found.g).plan_pass(problem.reference.points, problem.reference.weights)
    torch.testing.assert_close(scored.col, plan(problem, found.f, found.g).sum(0), rtol=0, atol=1e-12)
    assert float((scored.col - problem.target.weights).abs().sum()) == pytest.approx(found.error, abs=1e-12)


def test_a_point_is_scored_alike_alone_and_in_company(problem, draw):
    potential, x = softmin(problem, solve(problem).g), draw(30, 3).points
    alone = torch.cat([potential(x[i : i + 1]) for i in range(30)])
    torch.testing.assert_close(potential(x), alone, rtol=0, atol=1e-12)


def test_no_points_give_no_scores(problem):
    assert softmin(problem, solve(problem).g)(torch.empty(0, 6)).shape == (0,)


def test_points_of_another_type_are_converted(problem):
    potential, x = softmin(problem, solve(problem).g), problem.reference.points
    assert potential(x.float()).dtype == torch.float64
    torch.testing.assert_close(potential(x.float()), potential(x), rtol=0, atol=1e-5)


def test_vectors_of_another_encoder_are_refused(problem):
    with pytest.raises(InputError, match=r"vectors have 5 dimensions; .* fitted on 6\. Embed them with the encoder"):
        softmin(problem, torch.zeros(25, dtype=torch.float64))(torch.zeros(3, 5))


def test_moving_to_a_device_keeps_everything(problem):
    potential = softmin(problem, solve(problem).g)
    moved = potential.to("cpu")
    assert (moved.reg, moved.cost) == (potential.reg, potential.cost)
    assert torch.equal(moved(problem.reference.points), potential(problem.reference.points))
