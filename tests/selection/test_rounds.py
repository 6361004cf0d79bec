"""Rounds on three clusters: a pool of 75/15/10 per cent, a target of 30/35/35.

The reference already has more than enough of the first cluster. One step spends all on the rarest, which overshoots
where the selection weighs much; rounds see it fill up.
"""

from __future__ import annotations

import pytest
import torch

from gotd.selection.gradient import fit_gradient
from gotd.selection.rounds import descend, rounds_needed
from gotd.transport import Measure, summarised

POOL, TARGET = (0.75, 0.15, 0.10), (0.30, 0.35, 0.35)
K = 240


def clusters(shares, n, generator):
    """n unit vectors (n, 8) around the first axes, and the cluster of each."""
    points, labels = [], []
    for axis, share in enumerate(shares):
        count = int(share * n)
        x = 0.35 * torch.randn(count, 8, generator=generator)
        x[:, axis] += 1
        points.append(x / x.norm(dim=1, keepdim=True))
        labels += [axis] * count
    return torch.cat(points), torch.tensor(labels)


@pytest.fixture(scope="module", params=[True, False], ids=["debiased", "plain"])
def toy(request):
    generator = torch.Generator().manual_seed(0)
    reference = Measure.of(clusters(POOL, 1000, generator)[0])
    target = Measure.of(clusters(TARGET, 400, generator)[0])
    candidates, labels = clusters(POOL, 3000, generator)
    start = fit_gradient(reference, target, debias=request.param)
    summary = summarised(reference) if request.param else None

    def run(rounds, mix):
        def take(order, number, of):
            return order[: K * number // of - K * (number - 1) // of].tolist()

        return descend(start, reference, summary, candidates, take, rounds, mix)

    return start, candidates, labels, run


def shares(labels, rows):
    return [float((labels[rows] == cluster).float().mean()) for cluster in range(3)]


def test_one_round_is_the_lowest_phi(toy):
    start, candidates, _, run = toy
    descent = run(1, 0.4)
    assert descent.rows == torch.argsort(start(candidates), stable=True)[:K].tolist()


def test_every_document_is_taken_once(toy):
    rows = toy[3](7, 0.4).rows
    assert len(rows) == len(set(rows)) == K


def test_a_round_too_small_for_a_document_leaves_its_part_to_the_next():
    generator = torch.Generator().manual_seed(1)
    reference, target = (Measure.of(clusters(some, 60, generator)[0]) for some in (POOL, TARGET))
    candidates = clusters(POOL, 30, generator)[0]

    def take(order, number, of):
        return order[:2].tolist() if number in (2, 4) else []

    found = descend(fit_gradient(reference, target), reference, summarised(reference), candidates, take, 4, 0.4)
    assert len(found.rows) == 4
    assert [(step.taken, step.share) for step in found.rounds] == [(2, 0.2), (2, 0.4)]


def test_one_step_overshoots_what_it_predicts_and_rounds_mend_it(toy):
    start, _, _, run = toy
    one, ten = run(1, 0.6).rounds[-1], run(10, 0.6).rounds[-1]
    assert one.solved - one.predicted > 0.25 * (start.value - one.predicted)
    assert ten.solved < one.solved - 0.01
    assert abs(ten.solved - ten.predicted) < 0.1 * abs(one.solved - one.predicted)


def test_the_prediction_is_right_for_a_small_share(toy):
    start, _, _, run = toy
    step = run(1, 0.01).rounds[0]
    assert step.predicted < start.value
    assert step.solved - start.value == pytest.approx(step.predicted - start.value, rel=0.05)


def test_at_a_share_of_one_rounds_match_the_target(toy):
    _, _, labels, run = toy
    assert shares(labels, run(12, 1.0).rows) == pytest.approx(TARGET, abs=0.15)
    assert shares(labels, run(1, 1.0).rows)[0] < 0.1  # one step keeps away from what the reference has


def test_shares_grow_to_the_mix(toy):
    assert [step.share for step in toy[3](4, 0.2).rounds] == pytest.approx([0.05, 0.1, 0.15, 0.2])


@pytest.mark.parametrize(
    ("before", "predicted", "solved", "wanted"),
    [
        *((1.0, 0.0, 0.25, 1), (1.0, 0.0, 0.26, 4), (1.0, 0.0, -0.5, 4), (1.0, 0.0, 0.51, 8), (1.0, 0.0, 3.0, 16)),
        *((1.0, 0.8, 0.82, 1), (1.0, 0.8, 0.9, 4), (1.0, 0.8, 1.0, 16), (1.0, 1.0, 0.9, 1), (1.0, 1.1, 0.9, 1)),
    ],
)
def test_rounds_needed(before, predicted, solved, wanted):
    assert rounds_needed(before, predicted, solved) == wanted
