"""Several targets as one: what a weight means, what cancels, and that the score is the gradient of the objective."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gotd import FitSettings, InputError, Potential
from gotd.encoders.precomputed import Precomputed
from gotd.selection.gradient import fit_gradient
from gotd.selection.rounds import descend
from gotd.selection.several import Wanted, accounts, fit_terms, own_scores, scores
from gotd.stages.fit import fitted_to
from gotd.transport import Cost, Measure, Problem, Space

DIM = 16
CENTRES = {"a": [1.0, 0, 0, 0], "b": [0, 1.0, 0, 0], "c": [1.0, 0, 1.0, 0], "d": [0, 0, 0, 1.0]}
POOL = {"a": 30, "b": 30, "c": 30, "d": 210}


def cluster(kind: str, count: int, seed: int, noise: float = 0.1) -> torch.Tensor:
    """count unit vectors (count, DIM) about the centre of a kind; c lies near a."""
    generator = torch.Generator().manual_seed(1000 * seed + ord(kind))
    centre = torch.zeros(DIM)
    centre[:4] = torch.tensor(CENTRES[kind])
    points = centre / centre.norm() + noise * torch.randn(count, DIM, generator=generator)
    return points / points.norm(dim=1, keepdim=True)


def pool() -> torch.Tensor:
    return torch.cat([cluster(kind, count, 0) for kind, count in POOL.items()])


def kinds(rows) -> dict[str, int]:
    labels = np.array([kind for kind, count in POOL.items() for _ in range(count)])
    return {kind: int((labels[rows] == kind).sum()) for kind in POOL}


def wanted(*given: tuple[str, float], noise: float = 0.1) -> list[Wanted]:
    return [Wanted(kind, weight, Measure.of(cluster(kind, 40, 1, noise))) for kind, weight in given]


def fit(*given: tuple[str, float], settings: FitSettings | None = None) -> Potential:
    source = Measure.of(pool())
    return fitted_to(Precomputed(DIM), Space(), source, wanted(*given), settings or FitSettings())


def best(potential: Potential, count: int) -> dict[str, int]:
    return kinds(torch.argsort(potential.priced(pool()).f, stable=True)[:count])


def terms_of(*given: tuple[str, float], debias: bool = True):
    return fit_terms(Measure.of(pool()), wanted(*given), reg=0.1, debias=debias, cost=Cost.COSINE, seed=0)


@pytest.mark.parametrize("weight", [1.0, 0.01, 7.0])
@pytest.mark.parametrize("debias", [True, False])
def test_a_single_target_is_as_it_was_whatever_it_weighs(weight: float, debias: bool) -> None:
    """To the bit, unscaled."""
    found = fit(("a", weight), settings=FitSettings(debias=debias))
    alone = fit_gradient(Measure.of(pool()), wanted(("a", 1))[0].measure, debias=debias)
    phi = torch.cat([alone(block) for block in pool()[:256].split(128)])
    assert torch.equal(found.priced(pool()).f[:256], phi)
    assert (found.level, found.quality.value, found.quality.stability) == (alone.level, alone.value, alone.stability)
    assert found.gradient()[0].value == pytest.approx(alone.value, abs=1e-3)
    assert found.priced(pool()).own is None
    assert (found.owners, accounts(found.terms)) == ([], {})


class TestScale:
    def test_each_is_centred_and_scaled_over_the_reference(self) -> None:
        """By each alone the reference has mean 0 and standard deviation 1, a broad target or a narrow one."""
        narrow, broad = wanted(("a", 5), noise=0.02)[0], wanted(("b", 0.1), noise=0.5)[0]
        reference = Measure.of(pool(), torch.rand(300, generator=torch.Generator().manual_seed(0)) + 0.1)
        terms, repel, _ = fit_terms(reference, [narrow, broad], reg=0.1, debias=True, cost=Cost.COSINE, seed=0)
        assert terms[0].spread > 1.3 * terms[1].spread
        phi = torch.stack([term.attract(reference.points) - repel(reference.points) for term in terms])
        for own in own_scores(terms, phi).double():
            mean = float(reference.weights.double() @ own)
            assert mean == pytest.approx(0, abs=1e-5)
            assert float(reference.weights.double() @ (own - mean) ** 2) == pytest.approx(1, abs=1e-4)

    def test_the_score_is_the_mean_by_weight(self) -> None:
        """(3 z_a + z_b - 2 z_c) / 6; each alone with what is left: (3 z_a - 2 z_c) / 5 and (z_b - 2 z_c) / 3."""
        terms, *_ = terms_of(("a", 3), ("b", 1), ("c", -2))
        z = torch.tensor([[1.0, -2.0], [0.5, 4.0], [-1.0, 0.25]])
        phi = torch.stack([row * term.spread + term.level for row, term in zip(z, terms)])
        assert scores(terms, phi).tolist() == pytest.approx([5.5 / 6, -2.5 / 6], abs=1e-5)
        own = own_scores(terms, phi)
        assert own[0].tolist() == pytest.approx([1.0, -6.5 / 5], abs=1e-5)
        assert own[1].tolist() == pytest.approx([2.5 / 3, 3.5 / 3], abs=1e-5)

    def test_only_the_ratios_of_weights_matter(self) -> None:
        one, ten = fit(("a", 3), ("b", 1)), fit(("a", 30), ("b", 10))
        torch.testing.assert_close(one.priced(pool()).f, ten.priced(pool()).f)

    def test_weights_mix_the_potentials_and_change_none(self) -> None:
        """They share reg, the mean of what each would have alone, and f_PP, fitted at it."""
        even, odd = terms_of(("a", 1), ("d", 1)), terms_of(("a", 9), ("d", -0.1))
        for one, other in zip(even[0], odd[0]):
            assert torch.equal(one.attract.g, other.attract.g)
        assert torch.equal(even[1].g, odd[1].g)
        source = Measure.of(pool())
        alone = [Problem.scaled(source, each.measure, 0.1).reg for each in wanted(("a", 1), ("d", 1))]
        assert alone[0] > 1.5 * alone[1]
        (shared,) = {even[1].reg, *(part.reg for term in even[0] for part in (term.attract, term.objective))}
        assert shared == pytest.approx(sum(alone) / 2)


class TestRanking:
    @pytest.mark.parametrize(("weights", "first"), [((3.0, 1.0), "a"), ((1.0, 3.0), "b")])
    def test_the_heavier_target_goes_first(self, weights: tuple[float, float], first: str) -> None:
        assert best(fit(("a", weights[0]), ("b", weights[1])), 25)[first] == 25

    def test_equal_weights_take_of_both(self) -> None:
        found = best(fit(("a", 1), ("b", 1)), 50)
        assert min(found["a"], found["b"]) >= 15

    def test_two_copies_of_a_target_rank_as_one(self) -> None:
        twice, once = (fit(*given).priced(pool()).f for given in ([("a", 1), ("a", 1)], [("a", 1)]))
        assert torch.equal(twice.argsort(stable=True), once.argsort(stable=True))
        slope = (twice - twice.mean()) / (once - once.mean())
        assert float(slope.std()) < 1e-3 * float(slope.mean())

    def test_what_is_to_be_left_goes_though_it_lies_near_the_target(self) -> None:
        """c is next to a: alone, a takes it as soon as its own are used up; with --avoid not one is taken."""
        assert best(fit(("a", 1)), 60) == {"a": 30, "b": 0, "c": 30, "d": 0}
        assert best(fit(("a", 1), ("c", -1)), 60)["c"] == 0
        assert best(fit(("a", 1), ("c", -0.5)), 30)["a"] == 30

    def test_leaving_the_target_itself_leaves_nothing(self) -> None:
        assert not fit(("a", 2), ("a", -2)).priced(pool()).f.any()
        opposite, other = (fit(*given).priced(pool()).f for given in ([("a", 1), ("a", -3)], [("a", 1), ("b", 1)]))
        assert not torch.equal(opposite, other)
        assert kinds(opposite.argsort()[-30:])["a"] == 30


class TestObjective:
    """F((1 - l) P + l U) = F(P) + l (mean of the score over U) + O(l^2), for the score has mean 0 over P."""

    @pytest.mark.parametrize("given", [[("a", 3), ("b", 1)], [("a", 1), ("c", -0.7)], [("b", 2), ("a", 1), ("c", -2)]])
    @pytest.mark.parametrize("debias", [True, False])
    def test_it_moves_as_the_score_says(self, given: list[tuple[str, float]], debias: bool) -> None:
        found = fit(*given, settings=FitSettings(debias=debias))
        start, summary = found.gradient()
        added = Measure.of(torch.cat([cluster("a", 20, 5), cluster("b", 10, 5)]))
        share = 0.003
        centroids = None if summary is None else summary.mixed_with(added, share)
        moved = start.at(found.reference.mixed_with(added, share), centroids)
        predicted = float(found.priced(added.points).f.double().mean()) - found.level
        assert (moved.value - start.value) / share == pytest.approx(predicted, rel=0.06)
        assert abs(predicted) > 0.1

    def test_value_is_the_sum_of_what_each_is_in_its_spread(self) -> None:
        found = fit(("a", 3), ("c", -1))
        a, c = found.terms
        expected = 0.75 * a.quality.value / a.spread - 0.25 * c.quality.value / c.spread
        assert found.quality.value == pytest.approx(expected, rel=1e-6)
        assert found.gradient()[0].value == pytest.approx(expected, abs=2e-3)

    def test_rounds_go_down_it(self) -> None:
        """Where the selection weighs much, rounds bring it lower than one step, something to leave or not."""
        for given in ([("a", 1), ("d", 1)], [("a", 2), ("d", 2), ("c", -1)]):
            start, summary = fit(*given).gradient()

            def run(rounds: int, start=start, summary=summary) -> float:
                def take(order: torch.Tensor, number: int, of: int) -> list[int]:
                    return order[: 40 * number // of - 40 * (number - 1) // of].tolist()

                return descend(start, Measure.of(pool()), summary, pool(), take, rounds, 0.9).rounds[-1].solved

            assert run(8) < run(1) - 0.01


class TestQuality:
    def test_together_it_is_the_worst_of_each_and_names_it(self) -> None:
        source, settings = Measure.of(pool()), {"reg": 0.1, "debias": True, "cost": Cost.COSINE, "seed": 0}
        terms, _, quality = fit_terms(source, wanted(("a", 1), ("b", 1)), **settings)
        parts = [term.quality for term in terms]
        assert quality.marginal_error == max(part.marginal_error for part in parts)
        assert quality.passes == sum(part.passes for part in parts)
        assert quality.converged
        assert quality.advice == ""
        assert [row["stability"] for row in accounts(terms)["targets"]] == [part.stability for part in parts]

    def test_advice_says_whose_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from gotd.selection import several

        def stopped(*args, **kwargs):
            found = fit_gradient(*args, **kwargs)
            return replace(found, solution=replace(found.solution, converged=False))

        monkeypatch.setattr(several, "fit_gradient", stopped)
        quality = terms_of(("a", 1), ("b", -1))[2]
        assert not quality.converged
        assert quality.advice.startswith("a: marginal error ")
        assert "; b: marginal error " in quality.advice

    def test_stability_is_that_of_the_ranking_by_all(self) -> None:
        """Of a target that is stable and one whose halves lie apart, the heavier decides."""
        half = cluster("a", 20, 1)
        stable = Wanted("stable", 1, Measure.of(half.repeat_interleave(2, 0)))
        torn = Wanted("torn", 1, Measure.of(torch.stack([cluster("b", 20, 1), cluster("c", 20, 1)], 1).reshape(40, -1)))

        def agree(first: float, second: float) -> float:
            both = [replace(stable, weight=first), replace(torn, weight=second)]
            source = Measure.of(pool())
            return fit_terms(source, both, reg=0.1, debias=True, cost=Cost.COSINE, seed=0)[2].stability["10%"]

        assert agree(1, 1e-6) == 1
        assert agree(1e-6, 1) < 0.3

    def test_a_target_of_three_documents_has_no_halves(self) -> None:
        few = Wanted("few", 1, Measure.of(cluster("a", 3, 1)))
        source = Measure.of(pool())
        many = wanted(("b", 1))[0]
        assert fit_terms(source, [few, many], reg=0.1, debias=True, cost=Cost.COSINE, seed=0)[2].stability == {}


def test_a_reference_of_one_kind_gives_no_unit() -> None:
    source = Measure.of(cluster("d", 1, 0).expand(9, -1))
    with pytest.raises(InputError, match=r"all documents of the reference score alike for a, so that .* has no unit"):
        fit_terms(source, wanted(("a", 1), ("b", 1)), reg=0.1, debias=True, cost=Cost.COSINE, seed=0)
    assert len(fit_terms(source, wanted(("a", 1)), reg=0.1, debias=True, cost=Cost.COSINE, seed=0)[0]) == 1
