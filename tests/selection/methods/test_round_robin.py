"""`NearestLists`: the same choice as with the whole matrix of costs, whatever the stream, while no list runs dry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gotd.errors import InputError, SettingsError
from gotd.selection.methods import NearestLists, fit_method
from gotd.selection.methods.round_robin import Taken
from gotd.transport import Measure


def with_the_matrix(points: torch.Tensor, targets: torch.Tensor, count: int) -> list[tuple[int, int]]:
    """(row, target) in the order taken, from all n x m costs; the lower row first where costs are equal."""
    costs = 1 - points @ targets.T
    taken: list[tuple[int, int]] = []
    left = set(range(len(points)))
    while left and len(taken) < count:
        for j in range(len(targets)):
            if left and len(taken) < count:
                row = min(left, key=lambda i, j=j: (float(costs[i, j]), i))
                left.remove(row)
                taken.append((row, j))
    return taken


@st.composite
def problems(draw) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of few values, so that products are exact and many costs are equal."""
    n, m = draw(st.integers(1, 300)), draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    return tuple(torch.randint(-2, 3, (size, 3), generator=generator) / 4 for size in (n, m))


def listed(points: torch.Tensor, targets: torch.Tensor, length: int, cuts=(), order=None, reach=None) -> NearestLists:
    lists = NearestLists(targets, length, reach)
    rows = np.arange(len(points)) if order is None else np.asarray(order)
    for part in np.split(rows, sorted(cuts)):
        lists.add(points[torch.from_numpy(part)], part)
    return lists


def pairs(taken: Taken) -> list[tuple[int, int]]:
    return list(zip(taken.rows.tolist(), taken.targets.tolist()))


def test_by_hand() -> None:
    """Two targets at right angles; both like row 2 best, the first has the first turn."""
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    points = torch.tensor([[0.5, 0.0], [0.0, 0.25], [0.75, 0.75], [0.0, 0.5], [-1.0, -1.0]])
    taken = listed(points, targets, 5).take(10)
    assert pairs(taken) == [(2, 0), (3, 1), (0, 0), (1, 1), (4, 0)]
    assert (taken.dry, taken.exact, taken.advice) == (0, 5, "")


@given(problems(), st.data())
def test_lists_as_long_as_the_budget_choose_as_the_matrix_does(problem, data) -> None:
    points, targets = problem
    count = data.draw(st.integers(1, len(points) + 2))
    cuts = data.draw(st.lists(st.integers(0, len(points)), max_size=4))
    order = data.draw(st.permutations(range(len(points))))
    taken = listed(points, targets, count, cuts, order).take(count)
    assert pairs(taken) == with_the_matrix(points, targets, count)
    assert (taken.dry, taken.exact) == (0, len(taken.rows))


@given(problems(), st.integers(1, 40), st.data())
def test_a_shorter_list_is_exact_as_far_as_it_says(problem, length, data) -> None:
    """Cut by its length, or by its target's reach."""
    points, targets = problem
    count = data.draw(st.integers(1, len(points)))
    reach = data.draw(st.none() | st.sampled_from([0.5, 1.0, 1.25]).map(lambda cost: torch.full((len(targets),), cost)))
    taken = listed(points, targets, length, reach=reach).take(count)
    wanted = with_the_matrix(points, targets, count)
    assert pairs(taken)[: taken.exact] == wanted[: taken.exact]
    assert len(set(taken.rows.tolist())) == len(taken.rows)
    if not taken.dry:
        assert pairs(taken) == wanted


@given(problems(), st.integers(1, 30), st.data())
def test_lists_of_shards_merge_to_the_lists_of_the_pool(problem, length, data) -> None:
    points, targets = problem
    order = np.array(data.draw(st.permutations(range(len(points)))))
    cut = data.draw(st.integers(0, len(points)))
    costs = st.sampled_from([0.5, 1.0, 2.0])
    reach = torch.tensor(data.draw(st.lists(costs, min_size=len(targets), max_size=len(targets))))
    cuts = data.draw(st.lists(st.integers(0, len(points)), max_size=4))
    whole = listed(points, targets, length, cuts, reach=reach).arrays()
    shards = [listed(points, targets, length, order=part, reach=reach) for part in np.split(order, [cut])]
    shards[1].merge(shards[1].restored(shards[0].arrays()))
    merged = shards[1].arrays()
    assert all(np.array_equal(merged[name], whole[name]) for name in ("costs", "rows", "ends", "seen"))


def test_lists_that_are_still_unsorted_merge_too() -> None:
    targets, points = torch.eye(2), torch.tensor([[0.5, 0.0], [0.75, 0.0], [0.0, 0.25]])
    first, second = listed(points[:0], targets, 3), listed(points, targets, 3)
    first.merge(second)
    assert pairs(first.take(3)) == [(1, 0), (2, 1), (0, 0)]


def test_twins_of_a_target_come_first_whatever_rounding_makes_of_their_cost() -> None:
    """1 - <y, y> of unit vectors is below 0 for some."""
    generator = torch.Generator().manual_seed(0)
    targets, others = (torch.nn.functional.normalize(torch.randn(200, 64, generator=generator)) for _ in range(2))
    assert float((1 - targets @ targets.T).diagonal().min()) < 0
    taken = listed(torch.cat([others, targets]), targets, 5).take(200)
    assert pairs(taken) == [(200 + j, j) for j in range(200)]


def test_many_documents_at_real_costs(planted) -> None:
    """Floats, many settlings, and lists as sorting says."""
    pool, targets = planted.pool.points, planted.target.points
    kept = listed(pool, targets, 25, cuts=range(100, 1500, 100)).arrays()
    costs = (1 - pool.double() @ targets.double().T).T
    expected = costs.sort(1).values[:, :25].numpy()
    np.testing.assert_allclose(kept["costs"].reshape(-1, 25), expected, rtol=0, atol=1e-6)
    rows = torch.from_numpy(kept["rows"].reshape(-1, 25))
    np.testing.assert_allclose(costs.gather(1, rows).numpy(), expected, rtol=0, atol=1e-6)


def test_memory_is_that_of_the_lists(planted) -> None:
    lists = NearestLists(planted.target.points, 10)
    for start in range(0, 1500, 128):
        lists.add(planted.pool.points[start : start + 128], np.arange(start, min(1500, start + 128)))
        assert lists._waiting <= 80 * 10


def test_a_list_that_runs_dry_says_so() -> None:
    """Two targets alike with lists of 2: the third document asked for lies beyond them."""
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    points = torch.tensor([[0.9, 0], [0.8, 0], [0.7, 0], [0.6, 0]])
    taken = listed(points, targets, 2).take(4)
    assert pairs(taken) == [(0, 0), (1, 1)]
    assert (taken.dry, taken.exact) == (2, 2)
    assert taken.advice == (
        "lists of 2 candidates gave out after 2 documents were taken; fit again with a larger --method-option length=N"
    )


def test_others_go_on_where_one_list_runs_dry() -> None:
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    points = torch.tensor([[0.9, 0], [0.8, 0], [0.7, 0], [0, 0.9], [0, 0.8], [0, 0.7]])
    taken = listed(points, targets, 2).take(5)
    assert pairs(taken) == [(0, 0), (1, 1), (3, 2), (4, 2)]
    assert (taken.dry, taken.exact) == (3, 3)


def test_a_pool_used_up_is_not_a_list_run_dry() -> None:
    taken = listed(torch.eye(3), torch.eye(3), 3).take(7)
    assert sorted(taken.rows.tolist()) == [0, 1, 2]
    assert (taken.dry, taken.exact) == (0, 3)


@given(problems(), st.data())
def test_what_is_gone_is_nobodys(problem, data) -> None:
    """As if it had not been there, but for the room that it took in the lists."""
    points, targets = problem
    gone = data.draw(st.sets(st.integers(0, len(points) - 1), max_size=len(points) // 2))
    left = [row for row in range(len(points)) if row not in gone]
    taken = listed(points, targets, len(points)).take(gone=gone)
    wanted = with_the_matrix(points[left], targets, len(left))
    assert pairs(taken) == [(left[row], target) for row, target in wanted]


def test_rows_of_a_part_are_counted_from_where_it_begins() -> None:
    first, second = (listed(torch.eye(2) * size, torch.eye(2), 2) for size in (0.5, 1.0))
    first.merge(second, 2)
    assert first.take().rows.tolist() == [2, 3, 0, 1]


class TestFitted:
    def fitted(self, planted, pool: int = 0, **options):
        return fit_method("round-robin", options=options, pool=pool, **planted.samples)

    def test_what_is_not_taken_has_the_cost_to_its_nearest_target(self, planted) -> None:
        method, lists = self.fitted(planted), self.fitted(planted).lists()
        costs = (1 - planted.pool.points.double() @ planted.target.points.double().T).amin(1)
        found = method.score(planted.pool)
        np.testing.assert_allclose(found, costs.numpy(), rtol=0, atol=1e-6)
        np.testing.assert_array_equal(lists.add(planted.pool.points, np.arange(1500)), found)

    def test_lists_are_as_long_as_asked_or_two_million_in_all(self, planted) -> None:
        assert self.fitted(planted).length == (1 << 21) // 80
        assert self.fitted(planted, length=50).length == 50

    def test_as_many_as_a_list_holds_lie_within_reach(self, planted) -> None:
        """The pool of 1500 is like the reference of 600: lists of 100 fill, and a shard of a fifth keeps its share."""
        method = self.fitted(planted, pool=1500, length=100)
        costs = 1 - planted.pool.points @ planted.target.points.T
        within = (costs <= method.reach).sum(0)
        assert 100 <= int(within.median()) <= 200
        lists = method.lists()
        lists.add(planted.pool.points[:300], np.arange(300))
        assert 10 < np.diff(lists.arrays()["ends"], prepend=0).mean() < 50

    def test_a_small_pool_is_listed_whole(self, planted) -> None:
        method = self.fitted(planted)
        assert torch.isinf(method.reach).all()
        lists = method.lists()
        lists.add(planted.pool.points, np.arange(1500))
        taken = lists.take()
        assert (len(taken.rows), taken.exact, taken.dry) == (1500, 1500, 0)

    def test_a_target_of_weight_0_has_no_turn(self, planted) -> None:
        target = Measure.of(planted.target.points, torch.arange(80).clamp_max(1).float())
        method = fit_method("round-robin", **{**planted.samples, "target": target})
        assert torch.equal(method.targets, planted.target.points[1:])

    def test_a_length_is_a_number_of_documents(self, planted) -> None:
        with pytest.raises(SettingsError, match=r"round-robin: length is -1; wanted a number of documents"):
            self.fitted(planted, length=-1)


def test_row_numbers_may_be_those_of_a_large_pool() -> None:
    lists = NearestLists(torch.eye(2), 2)
    lists.add(torch.eye(2), np.array([1 << 40, 7]))
    assert lists.take(2).rows.tolist() == [1 << 40, 7]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SettingsError, match="length of a list is 0"):
        NearestLists(torch.eye(2), 0)
    with pytest.raises(InputError, match=r"shape \(0, 2\)"):
        NearestLists(torch.empty(0, 2), 1)
    lists = NearestLists(torch.eye(2), 2)
    with pytest.raises(InputError, match="2 points and 1 row numbers"):
        lists.add(torch.eye(2), np.arange(1))
    with pytest.raises(InputError, match="below 0"):
        lists.add(torch.eye(2), np.array([0, -1]))
    with pytest.raises(InputError, match="other targets or lengths"):
        lists.merge(NearestLists(torch.eye(2), 3))
    with pytest.raises(InputError, match="other targets or lengths"):
        lists.merge(NearestLists(-torch.eye(2), 2))
