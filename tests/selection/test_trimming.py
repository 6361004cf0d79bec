"""Three strays among three hundred targets, of which the pool holds twins: trimmed, they move nothing any more.

Pool and reference are three clusters, 75/15/10 per cent; the target wants 30/35/35. In a hundred dimensions documents
of one cluster are at a cost of one half from each other, as texts of one subject are, and the twins of a stray are at
none: so a stray that is one target in a hundred outbids all others.
"""

from __future__ import annotations

import pytest
import torch

from gotd.selection.gradient import Gradient, fit_gradient
from gotd.selection.trimming import pull, pull_of_few, trimmed
from gotd.transport import Measure

DIM, STRAY, K = 100, 5, 300


def around(axis: int, count: int, spread: float, generator: torch.Generator) -> torch.Tensor:
    """Unit vectors (count, DIM) around an axis."""
    points = spread * torch.randn(count, DIM, generator=generator)
    points[:, axis] += 1
    return points / points.norm(dim=1, keepdim=True)


def clusters(counts: list[int], generator: torch.Generator, twins: int = 0) -> torch.Tensor:
    parts = [around(axis, count, 0.1, generator) for axis, count in enumerate(counts)]
    return torch.cat([*parts, around(STRAY, twins, 0.01, generator)])


@pytest.fixture(scope="module")
def toy() -> tuple[Measure, torch.Tensor, torch.Tensor, torch.Tensor]:
    """reference, candidates, clean targets, strays."""
    generator = torch.Generator().manual_seed(0)
    reference = Measure.of(clusters([2250, 450, 300], generator, twins=5))
    candidates = clusters([2250, 450, 300], generator, twins=120)
    return reference, candidates, clusters([90, 105, 105], generator), around(STRAY, 3, 0.01, generator)


def best(gradient: Gradient, candidates: torch.Tensor) -> set[int]:
    return set(torch.argsort(gradient(candidates), stable=True)[:K].tolist())


def fit(reference: Measure, *targets: torch.Tensor) -> Gradient:
    return fit_gradient(reference, Measure.of(torch.cat(targets)))


def without(reference: Measure, gradient: Gradient, share: float) -> Gradient:
    return fit_gradient(reference, trimmed(gradient, reference, share))


def test_strays_move_the_choice_and_trimmed_they_do_not(toy) -> None:
    reference, candidates, clean, strays = toy
    wanted = best(fit(reference, clean), candidates)
    found = fit(reference, clean, strays)
    assert len(best(found, candidates) & wanted) <= 0.6 * K
    left = without(reference, found, 0.02)
    assert len(best(left, candidates) & wanted) >= 0.95 * K
    assert left.objective.target.weights[-3:].tolist() == [0, 0, 0]


def test_a_clean_target_hardly_changes(toy) -> None:
    reference, candidates, clean, _ = toy
    found = fit(reference, clean)
    assert len(best(without(reference, found, 0.02), candidates) & best(found, candidates)) >= 0.9 * K


def test_what_the_encoder_does_not_know_needs_no_trimming(toy) -> None:
    """Zero vectors, and directions that no document has: the price of the others stays."""
    reference, candidates, clean, _ = toy
    wanted = best(fit(reference, clean), candidates)
    for strays in (torch.zeros(3, DIM), torch.eye(DIM)[6:9]):
        assert len(best(fit(reference, clean, strays), candidates) & wanted) >= 0.97 * K


def test_strays_of_the_second_rank_are_seen_in_the_best_twentieth(toy) -> None:
    """Twins of the first fill the best hundredth of the reference, 30 documents; those of the second come after."""
    generator = torch.Generator().manual_seed(1)
    strays = [around(STRAY, 20, 0.01, generator), around(STRAY + 1, 2, 0.01, generator)]
    twins = [around(STRAY, 32, 0.01, generator), around(STRAY + 1, 6, 0.01, generator)]
    pool = Measure.of(torch.cat([clusters([2250, 450, 300], generator), *twins]))
    left = trimmed(fit(pool, toy[2], *strays), pool, 22.5 / 322)
    assert left.weights[-22:].tolist() == [0] * 22


def test_a_document_of_weight_four_is_as_four_documents(toy) -> None:
    """It pulls four times as much, and is no more of a stray for that."""
    reference, _, clean, strays = toy
    heavy, light = clean[-60:], torch.cat([strays, clean[:-60]])
    once = fit_gradient(reference, Measure.of(torch.cat([heavy, light]), torch.tensor([4.0] * 60 + [1.0] * 243)))
    often = fit(reference, heavy.repeat_interleave(4, 0), light)
    gone, apart = (trimmed(gradient, reference, 0.1).weights == 0 for gradient in (once, often))
    assert int((gone != torch.cat([apart[:240:4], apart[240:]])).sum()) <= 3


@pytest.mark.parametrize("share", [0.005, 0.01, 0.02])
def test_no_more_than_the_share_is_trimmed(share: float, toy) -> None:
    """Of weights that differ; what stays keeps its proportions."""
    reference, _, clean, strays = toy
    points = torch.cat([clean, strays])
    target = Measure.of(points, 1 + torch.rand(len(points), generator=torch.Generator().manual_seed(2)))
    left = trimmed(fit_gradient(reference, target), reference, share).weights
    gone = float(target.weights[left == 0].sum())
    assert share - float(target.weights.max()) < gone <= share + 1e-5
    ratio = (left / target.weights)[left > 0]
    assert torch.allclose(ratio, ratio[0].expand_as(ratio))


def test_what_pulls_less_than_five_times_its_share_stays(toy) -> None:
    """However much may be trimmed."""
    reference, _, clean, strays = toy
    found = fit(reference, clean, strays)
    order = torch.argsort(found(reference.points), stable=True)
    pulls = [pull(found.attract, reference.points[order[:count]]) for count in (30, 150)]
    over = torch.maximum(*pulls) * 303
    left = trimmed(found, reference, 0.3).weights
    assert (left == 0).tolist() == (over >= 5).tolist()
    assert 3 <= int((left == 0).sum()) <= 20


def test_of_less_than_one_document_none_goes(toy) -> None:
    reference, _, clean, strays = toy
    found = fit(reference, clean, strays)
    assert bool((trimmed(found, reference, 0.002).weights > 0).all())


def test_pull_is_the_influence_of_a_weight_on_the_price_of_the_choice(toy) -> None:
    """d (mean_U f) / d log b_j = -reg pull_j with prices as they are, by a finite difference."""
    reference, candidates, clean, strays = toy
    attract = fit(reference, clean, strays).attract
    chosen = candidates[:50]
    bought = pull(attract, chosen)
    assert float(bought.sum()) == pytest.approx(1)
    for j in (0, 100, 302):
        log_b = attract.log_b.clone()
        log_b[j] += 0.01
        moved = type(attract)(attract.points, attract.g, log_b, attract.reg, attract.cost)
        change = float((moved(chosen).double() - attract(chosen).double()).mean())
        assert change == pytest.approx(-attract.reg * float(bought[j]) * 0.01, rel=0.05, abs=1e-8)


def test_pull_of_few_is_large_where_strays_decide(toy) -> None:
    reference, candidates, clean, strays = toy
    for targets, low, high in (((clean,), 0.02, 0.15), ((clean, strays), 0.4, 1)):
        found = fit(reference, *targets)
        chosen = candidates[sorted(best(found, candidates))]
        assert low <= pull_of_few(found.attract, chosen, 0.02) <= high
    assert pull_of_few(found.attract, chosen, 0.001) == 0
