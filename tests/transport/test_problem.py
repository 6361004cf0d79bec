"""Measures and problems: what is refused, with which remedy, and what is made of the rest."""

from __future__ import annotations

import pytest
import torch

from gotd.errors import InputError, SettingsError
from gotd.transport import Cost, Measure, Problem

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("points", "weights", "parts"),
    [
        (torch.zeros(0, 3), None, ["(0, 3)", "wanted (n, d)", "n >= 1"]),
        (torch.zeros(3), None, ["shape (3,)", "wanted (n, d)"]),
        (torch.tensor([[0.0, 1.0], [NAN, 0.0]]), None, ["vector 1 of 2", "NaN or infinity", "drop or mend"]),
        (torch.tensor([[INF, 1.0]]), None, ["vector 0 of 1", "NaN or infinity"]),
        (torch.ones(2, 3), torch.ones(3), ["(3,) weights for 2 documents", "one each"]),
        (torch.ones(2, 3), torch.ones(2, 1), ["(2, 1) weights for 2 documents"]),
        (torch.ones(2, 3), torch.tensor([1.0, NAN]), ["finite, non-negative", "leave them out"]),
        (torch.ones(2, 3), torch.tensor([1.0, INF]), ["finite, non-negative"]),
        (torch.ones(2, 3), torch.tensor([2.0, -1.0]), ["finite, non-negative"]),
        (torch.ones(2, 3), torch.zeros(2), ["not all zero"]),
    ],
)
def test_what_no_measure_can_be_made_of(points, weights, parts):
    with pytest.raises(InputError) as caught:
        Measure.of(points, weights)
    assert all(part in str(caught.value) for part in parts), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reg", [0.0, -1.0, NAN, INF])
def test_reg_must_be_a_positive_number(draw, reg):
    reference, target = draw(5, 1), draw(4, 2)
    with pytest.raises(SettingsError, match=r"reg is .*; wanted a positive number"):
        Problem(reference, target, reg)
    with pytest.raises(SettingsError, match=r"reg is .*; wanted a positive fraction of the mean cost"):
        Problem.scaled(reference, target, reg)


def test_both_sides_live_in_one_space(draw):
    with pytest.raises(InputError, match="target vectors have 5 dimensions, reference vectors 6; embed both alike"):
        Problem(draw(5, 1), draw(4, 2, dim=5), 0.1)
    with pytest.raises(InputError, match="target vectors have 5 dimensions, reference vectors 6; embed both alike"):
        Problem.scaled(draw(5, 1), draw(4, 2, dim=5), 0.1)


@pytest.mark.parametrize("cost", Cost)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(5))
def test_equal_documents_leave_nothing_to_choose(draw, cost, dtype, seed):
    """The mean cost between equal unit vectors is rounding, of either sign: no reg is a fraction of it."""
    one = draw(1, seed, dim=200, dtype=dtype).points
    with pytest.raises(InputError, match="equals every document of the target; nothing to choose"):
        Problem.scaled(Measure.of(one.repeat(7, 1)), Measure.of(one.repeat(3, 1)), 0.1, cost)


def test_reg_is_a_fraction_of_the_mean_cost(draw, costs):
    reference, target = draw(20, 3), draw(10, 4, shift=1.0)
    problem = Problem.scaled(reference, target, 0.25)
    assert problem.reg == pytest.approx(0.25 * float(reference.weights @ costs(problem) @ target.weights))


def test_weights_are_normalised_and_uniform_if_left_out():
    points = torch.eye(4)
    assert Measure.of(points).weights.tolist() == [0.25] * 4
    assert Measure.of(points, torch.tensor([1, 0, 2, 1])).weights.tolist() == [0.25, 0.0, 0.5, 0.25]
    assert Measure.of(points.half()).points.dtype == torch.float32
    assert Measure.of(points.double(), torch.ones(4)).weights.dtype == torch.float64


def test_a_coarser_view_keeps_the_proportions(draw):
    whole = draw(10, 5)
    part = whole.rows(3)
    assert torch.equal(part.points, whole.points[::3])
    torch.testing.assert_close(part.weights, whole.weights[::3] / whole.weights[::3].sum())
    assert whole.rows(1) is whole


def test_mixing_is_that_of_lemma_1(draw):
    """(1 - lambda) D_P + lambda D_U (Kang et al. 2024, Lemma 1)."""
    reference, selection = draw(6, 6), draw(3, 7)
    mixed = reference.mixed_with(selection, 0.2)
    assert torch.equal(mixed.points, torch.cat([reference.points, selection.points]))
    torch.testing.assert_close(mixed.weights, torch.cat([0.8 * reference.weights, 0.2 * selection.weights]))
    assert float(mixed.weights.sum()) == pytest.approx(1)


@pytest.mark.parametrize("share", [-0.1, 1.1, NAN])
def test_a_mix_is_a_share(draw, share):
    with pytest.raises(SettingsError, match=r"mix is .*; wanted a share between 0 and 1"):
        draw(6, 6).mixed_with(draw(3, 7), share)
