"""`knn-kde`: the optimum of the paper's problem, its density by hand, and what the scores say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from gotd.errors import InputError
from gotd.selection.methods import Batch, fit_method, knn_kde
from gotd.selection.methods.draws import gumbel
from gotd.transport import Measure


def circle(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], 1).float()


def named(n: int) -> list[str]:
    return [f"text {row}" for row in range(n)]


def batch(points: torch.Tensor, texts: list[str] | None = None) -> Batch:
    texts = named(len(points)) if texts is None else texts
    return Batch(texts, [f"id-{text}" for text in texts], [""] * len(points), points)


def fitted(points: torch.Tensor, target: torch.Tensor | Measure, **options):
    reference = Measure.of(points)
    goal = target if isinstance(target, Measure) else Measure.of(target)
    return fit_method(
        "knn-kde",
        reference_texts=named(len(reference)),
        target_texts=[],
        reference=reference,
        target=goal,
        seed=1,
        options=options,
    )


def density(pool: torch.Tensor, sigma: float) -> np.ndarray:
    squares = torch.cdist(pool.double(), pool.double()) ** 2
    return (1 - squares / sigma**2).clamp_min(0).sum(1).numpy()


class TestOptimum:
    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize(("alpha", "c"), [(0.9, 0.3), (0.6, 0.5), (0.5, 1.0), (0.2, 5.0)])
    @pytest.mark.parametrize("sigma", [0.3, 1.2])
    def test_it_is_that_of_the_linear_programme(self, seed, alpha, c, sigma) -> None:
        """Over P (n, m) and t = max P_ij rho_i / b_j: alpha / c <P, d> + (1 - alpha) t, where sum_i P_ij = b_j."""
        generator = torch.Generator().manual_seed(seed)
        pool, goal = (torch.nn.functional.normalize(torch.randn(size, 3, generator=generator)) for size in (25, 4))
        pool[5:10] = torch.nn.functional.normalize(pool[4] + 0.1 * torch.randn(5, 3, generator=generator))
        b = torch.rand(4, generator=generator, dtype=torch.float64) + 0.2
        b = (b / b.sum()).numpy()
        n, m, rho = 25, 4, density(pool, sigma)
        distances = torch.cdist(pool.double(), goal.double()).numpy()
        cap = np.hstack([np.diag((rho[:, None] / b).ravel()), -np.ones((n * m, 1))])
        spent = np.hstack([np.tile(np.eye(m), n), np.zeros((m, 1))])
        cost = np.append(alpha / c * distances.ravel(), 1 - alpha)
        best = linprog(cost, cap, np.zeros(n * m), spent, b)
        assert best.status == 0
        plan = best.x[:-1].reshape(n, m)

        method = fitted(pool, Measure.of(goal, torch.from_numpy(b).float()), alpha=alpha, c=c, sigma=sigma)
        assert 1 / method.neighbours == pytest.approx(best.x[-1], rel=1e-4)
        filled = b * np.minimum(1, 1 / (method.neighbours * rho[:, None])) * (distances <= method.radii.numpy())
        # All that is filled is as in the programme; the last neighbour of each target holds what is left.
        left = np.where(filled > 0, plan - filled, plan)
        assert np.abs(left[filled > 0]).max() < 1e-5
        assert ((left > 1e-5).sum(0) <= 1).all()
        scores = method.score(batch(pool))
        p = filled.sum(1)
        np.testing.assert_allclose(np.exp(-scores[p > 0]), p[p > 0], rtol=1e-4)
        if (p == 0).any():
            assert scores[p == 0].min() > scores[p > 0].max()

    def test_by_hand(self) -> None:
        """Target at 0 degrees, pool at 10, 20, 30, 90: with no duplicates s is the number of neighbours.

        To go on from k to k + 1 is worth it while sum_{i<=k} (d_{k+1} - d_i) < (1 - alpha) c / alpha = c.
        """
        chord = [2 * math.sin(math.radians(angle) / 2) for angle in (10, 20, 30, 90)]
        second, third = chord[1] - chord[0], 2 * chord[2] - chord[0] - chord[1]
        for c, neighbours in ((second * 0.99, 1), (second * 1.01, 2), (third * 1.01, 3), (9.0, 4)):
            method = fitted(circle(10, 20, 30, 90), circle(0), alpha=0.5, c=c, sigma=0.01)
            assert method.neighbours == pytest.approx(neighbours)
            scores = method.score(batch(circle(10, 20, 30, 90)))
            assert scores[:neighbours].tolist() == pytest.approx([math.log(neighbours)] * neighbours, abs=1e-6)
            assert (np.diff(scores[neighbours - 1 :]) > 0).all()

    def test_the_pool_may_be_larger_than_its_sample(self) -> None:
        """Each of 4 documents stands for 25 of 100: the first fills 25 neighbours."""
        chord = [2 * math.sin(math.radians(angle) / 2) for angle in (10, 20)]
        c = 25 * (chord[1] - chord[0]) * 0.99
        method = fitted(circle(10, 20, 30, 90), circle(0), alpha=0.5, c=c, sigma=0.01, pool=100)
        assert method.neighbours == pytest.approx(25)
        assert float(method.score(batch(circle(5), ["new"]))[0]) == pytest.approx(math.log(25), abs=1e-5)


class TestDensity:
    pool = circle(0, 0, 0, 20, 90)

    def test_a_document_counts_itself_once_and_its_duplicates(self) -> None:
        rho = knn_kde.Density.of(Measure.of(self.pool), named(5), 0.6, 5)
        near = 1 - (2 * math.sin(math.radians(10))) ** 2 / 0.36
        np.testing.assert_allclose(rho(self.pool, named(5)), [3 + near, 3 + near, 3 + near, 1 + 3 * near, 1], rtol=1e-5)

    def test_a_newcomer_counts_itself_and_all_of_the_sample_as_its_share_of_the_pool(self) -> None:
        rho = knn_kde.Density.of(Measure.of(self.pool), named(5), 0.1, 101)
        np.testing.assert_allclose(rho(circle(0, 45), ["new", "newer"]), [1 + 100 * 3 / 5, 1], rtol=1e-5)
        # One of the sample: the other four stand for the other hundred.
        np.testing.assert_allclose(rho(circle(0), ["text 1"]), [1 + 100 * 2 / 4], rtol=1e-5)

    def test_weights_of_the_sample_count(self) -> None:
        measure = Measure.of(circle(0, 90), torch.tensor([3.0, 1.0]))
        rho = knn_kde.Density.of(measure, named(2), 0.1, 9)
        np.testing.assert_allclose(rho(circle(0, 90), ["a", "b"]), [1 + 8 * 0.75, 1 + 8 * 0.25], rtol=1e-5)
        np.testing.assert_allclose(rho(circle(0, 90), named(2)), [1, 1], rtol=1e-5)

    def test_a_sample_of_the_sample_estimates_the_same(self, planted) -> None:
        options = {"sigma": 1.2, "alpha": 0.5}
        few = fit_method("knn-kde", options={**options, "sample": 200}, **planted.samples)
        every = fit_method("knn-kde", options=options, **planted.samples)
        assert len(few.density.points) == 200
        found, exact = (each.density(planted.pool.points, planted.pool.texts) for each in (few, every))
        assert np.median(exact) > 5
        assert np.abs(found / exact - 1).mean() < 0.15


def test_of_two_as_near_the_one_with_duplicates_comes_last() -> None:
    """30 degrees to either side of the target; three copies on one side share what one has on the other."""
    pool = circle(-30, -30, -30, 30, 180)
    method = fitted(pool, circle(0), alpha=0.5, c=1.0, sigma=0.2)
    scores = method.score(batch(pool))
    assert np.exp(scores[0] - scores[3]) == pytest.approx(3, rel=1e-4)
    assert scores[4] > scores[0]


def test_noise_belongs_to_the_id_and_lifts_nobody_out_of_reach(planted) -> None:
    options = {"alpha": 0.9, "c": 0.3}
    plain = fit_method("knn-kde", seed=2, options=options, **planted.samples)
    noisy = fit_method("knn-kde", seed=2, options={**options, "noise": True}, **planted.samples)
    scores, drawn = plain.score(planted.pool), noisy.score(planted.pool)
    reached, beyond = plain._reached(planted.pool.points)
    inside = reached > 0
    assert 50 < inside.sum() < 1450
    np.testing.assert_array_equal(drawn[~inside], scores[~inside])
    noise = gumbel(2, planted.pool.ids, "gotd-knn-kde")
    np.testing.assert_allclose(drawn[inside], scores[inside] - noise[inside], atol=1e-5)
    assert scores[~inside].min() > scores[inside].max() + 3.6
    assert (np.argsort(scores[~inside]) == np.argsort(beyond[~inside].astype(np.float32))).mean() > 0.99


def test_a_target_of_weight_0_draws_nobody() -> None:
    target = Measure.of(circle(0, 90), torch.tensor([1.0, 0.0]))
    method = fitted(circle(10, 80), target, alpha=0.9, c=0.1)
    assert method.targets.shape == (1, 2)
    assert np.isfinite(method.score(batch(circle(80, 170)))).all()


def test_each_point_needs_its_text() -> None:
    with pytest.raises(InputError, match="1 texts for 2 points"):
        fit_method(
            "knn-kde",
            reference_texts=["one"],
            target_texts=[],
            reference=Measure.of(circle(0, 1)),
            target=Measure.of(circle(0)),
        )
