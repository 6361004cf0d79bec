"""The choice by streaming against a full sort of the same rows."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from math import ceil

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd.errors import SettingsError
from gotd.selection import lowest
from gotd.selection.budget import Budget, Unit
from gotd.selection.caps import Cap
from gotd.selection.lowest import Lowest
from gotd.selection.ranking import Batches, Picked, lowest_by, rank


def source_of(row: int) -> str:
    """Two sources in three rows are the same one."""
    return "ab"[row % 3 == 2]


def streamed(scores: list[float], tokens: list[int], cuts: list[int]) -> Batches:
    """The rows in batches that end at `cuts`; some may be empty."""
    n = len(scores)
    columns = {
        "id": [f"d{i}" for i in range(n)],
        "source": [source_of(i) for i in range(n)],
        "score": np.array(scores, dtype=np.float32),
        "tokens": np.array(tokens, dtype=np.int32),
        "file": np.arange(n, dtype=np.int32) % 3,
        "position": np.arange(n, dtype=np.int64) * 10,
        "piece": np.zeros(n, dtype=np.int32),
        "checksum": np.zeros(n, dtype=np.uint32),
    }
    whole = pa.record_batch(columns)
    ends = [0, *sorted(cut % (n + 1) for cut in cuts), n]

    def batches(names: list[str]) -> Iterator[pa.RecordBatch]:
        for start, stop in pairwise(ends):
            yield whole.select(names).slice(start, stop - start)

    return batches


def numbers(picked: Picked) -> list[int]:
    return [int(name[1:]) for name in picked.id]


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[float], list[int], list[int]]:
    """Scores with many ties, tokens, and where batches end."""
    n = draw(st.integers(1, 60))
    scores = draw(st.lists(st.integers(-4, 4).map(lambda x: x / 4), min_size=n, max_size=n))
    tokens = draw(st.lists(st.integers(1, 9), min_size=n, max_size=n))
    return scores, tokens, draw(st.lists(st.integers(0, 60), max_size=12))


@pytest.fixture(autouse=True, scope="module")
def no_slack() -> Iterator[None]:
    """Throw rows out as soon as twice the choice is held, so that few rows suffice to see it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowest, "_SLACK", 0)
        yield


@given(pools(), st.integers(1, 60))
def test_the_lowest_are_those_of_a_full_sort(pool: tuple[list[float], list[int], list[int]], count: int) -> None:
    """For any batches; of equal scores the first."""
    scores, tokens, cuts = pool
    count = min(count, len(scores))
    found = rank(streamed(scores, tokens, cuts), Budget(count, "docs"), len(scores), seed=0, worst=3)
    order = np.argsort(np.array(scores), kind="stable")
    assert numbers(found.best) == order[:count].tolist()
    assert found.best.score.tolist() == [scores[i] for i in order[:count]]
    assert found.best.tokens.tolist() == [tokens[i] for i in order[:count]]
    assert found.best.position.tolist() == [10 * i for i in order[:count]]
    assert found.best.file.tolist() == [i % 3 for i in order[:count]]
    assert numbers(found.worst) == np.argsort(-np.array(scores), kind="stable")[:3].tolist()
    assert found.mean == pytest.approx(np.mean(scores))
    assert found.pool == len(scores)


@given(pools(), st.integers(1, 300))
def test_tokens_are_filled_by_the_longest_prefix_that_fits(
    pool: tuple[list[float], list[int], list[int]], amount: int
) -> None:
    scores, tokens, cuts = pool
    amount = min(amount, sum(tokens))
    order = np.argsort(np.array(scores), kind="stable")
    filled = np.cumsum(np.array(tokens)[order])
    fits = int((filled <= amount).sum())
    batches, budget = streamed(scores, tokens, cuts), Budget(amount, "tokens")
    if not fits:
        with pytest.raises(SettingsError, match="less than the best document; raise --budget"):
            rank(batches, budget, len(scores), seed=0, worst=3)
        return
    found = rank(batches, budget, len(scores), seed=0, worst=3)
    assert numbers(found.best) == order[:fits].tolist()
    assert int(found.best.tokens.sum()) <= amount


@given(pools(), st.integers(1, 60), st.sampled_from([1.25, 2.0, 100.0]), st.sampled_from(["docs", "tokens"]))
def test_a_stretched_budget_gives_more_to_choose_from(
    pool: tuple[list[float], list[int], list[int]], amount: int, stretch: float, unit: Unit
) -> None:
    """The choice as it would be, `size` documents, and those that come after it."""
    scores, tokens, cuts = pool
    amount = min(amount, len(scores)) if unit == "docs" else max(9, min(amount, sum(tokens)))
    if unit == "tokens" and amount > sum(tokens):
        return
    batches, budget = streamed(scores, tokens, cuts), Budget(amount, unit)
    exact = rank(batches, budget, len(scores), seed=0, worst=1)
    found = rank(batches, budget, len(scores), seed=0, worst=1, stretch=stretch)
    order = np.argsort(np.array(scores), kind="stable")
    filled = np.cumsum(np.array(tokens)[order])
    wider = ceil(amount * stretch) if unit == "docs" else int((filled <= amount * stretch).sum())
    assert numbers(found.best) == order[:wider].tolist()
    assert found.size == exact.size == len(exact.best)
    assert numbers(found.random) == numbers(exact.random)


@given(pools(), st.integers(0, 5))
def test_the_random_choice_is_one_for_a_seed_whatever_the_batches(
    pool: tuple[list[float], list[int], list[int]], seed: int
) -> None:
    """As many as the best, none twice, in the order of the pool."""
    scores, tokens, cuts = pool
    budget = Budget(max(1, len(scores) // 2), "docs")
    found = rank(streamed(scores, tokens, cuts), budget, len(scores), seed=seed, worst=1)
    whole = rank(streamed(scores, tokens, []), budget, len(scores), seed=seed, worst=1)
    drawn = numbers(found.random)
    assert drawn == numbers(whole.random) == sorted(set(drawn))
    assert len(drawn) == len(found.best)
    assert [scores[i] for i in drawn] == found.random.score.tolist()


def test_the_random_choice_is_uniform() -> None:
    """Each of 20 rows is among 5 in a quarter of 400 draws, within five standard deviations."""
    batches = streamed([0.0] * 20, [1] * 20, [7])
    budget = Budget(5, "docs")
    drawn = [numbers(rank(batches, budget, 20, seed=seed, worst=1).random) for seed in range(400)]
    counts = np.bincount(np.concatenate(drawn), minlength=20)
    assert np.abs(counts - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)


@given(pools(), st.integers(1, 60), st.integers(1, 9), st.sampled_from([1.0, 1.25]))
def test_a_cap_leaves_out_what_is_beyond_it(
    pool: tuple[list[float], list[int], list[int]], count: int, most: int, stretch: float
) -> None:
    """As in a walk down the full sort that passes over a source once it has its part; what was left out is named."""
    scores, tokens, cuts = pool
    count = min(count, len(scores))
    asked = {"seed": 0, "worst": 1, "stretch": stretch, "cap": Cap(most, None)}
    found = rank(streamed(scores, tokens, cuts), Budget(count, "docs"), len(scores), **asked)
    taken, beyond, held = [], set(), Counter()
    for row in np.argsort(np.array(scores), kind="stable").tolist():
        held[source_of(row)] += 1
        if held[source_of(row)] <= ceil(most * stretch):
            taken.append(row)
        else:
            beyond.add(source_of(row))
    assert numbers(found.best) == taken[: ceil(count * stretch)]
    assert found.ended or (len(taken) <= ceil(count * stretch) and set(found.beyond) == beyond)
    assert found.size == count


@given(pools(), st.integers(1, 40))
def test_each_column_has_its_own_lowest(pool: tuple[list[float], list[int], list[int]], count: int) -> None:
    scores, tokens, cuts = pool
    count = min(count, len(scores))
    wanted = {"score": Budget(count, "docs"), "position": Budget(count, "docs")}
    (best, keys), (first, _) = lowest_by(streamed(scores, tokens, cuts), wanted, len(scores), 1.0)
    order = np.argsort(np.array(scores), kind="stable")[:count]
    assert numbers(best) == order.tolist()
    assert keys.tolist() == [scores[i] for i in order]
    assert numbers(first) == list(range(count))


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("budget", [Budget(50, "docs"), Budget(50, "tokens")])
@pytest.mark.parametrize("cap", [None, Cap(30, None)])
def test_rows_held_are_twice_the_choice(
    budget: Budget, falling: bool, cap: Cap | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one batch, in the worst order too, where each row is the best so far."""
    held = []
    add = Lowest.add

    def counted(self: Lowest, keys: np.ndarray, *rest: np.ndarray) -> None:
        held.append(sum(len(part[0]) for part in self._parts) + len(keys))
        add(self, keys, *rest)

    monkeypatch.setattr(Lowest, "add", counted)
    n, batch = 10_000, 20
    scores = np.arange(n, dtype=np.float32) * (-1 if falling else 1)
    batches = streamed(scores.tolist(), [1] * n, list(range(0, n, batch)))
    found = rank(batches, budget, n, seed=0, worst=5, cap=cap)
    assert len(found.best) == 50
    assert max(held) <= 2 * 50 + batch


@pytest.mark.parametrize("budget", [Budget(2_000, "docs"), Budget(2_000, "tokens")])
@pytest.mark.parametrize("cap", [None, Cap(1_500, None)])
def test_memory_does_not_grow_with_the_pool(budget: Budget, cap: Cap | None) -> None:
    """Ten times the rows: the peak stays, and is far below the 4 bytes a row of the scores alone."""
    peaks = []
    for rows in (100_000, 1_000_000):

        def batches(names: list[str], rows: int = rows) -> Iterator[pa.RecordBatch]:
            for start in range(0, rows, 10_000):
                yield _made(start, 10_000).select(names)

        tracemalloc.start()
        found = rank(batches, budget, rows, seed=0, worst=5, cap=cap)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(found.best) == len(found.random) == 2_000
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 4_000_000


def _made(start: int, rows: int) -> pa.RecordBatch:
    """Rows of a pool in an order that looks random."""
    at = np.arange(start, start + rows)
    zeros = pa.array(np.zeros(rows, np.int32))
    columns = {
        "id": pa.array(at).cast(pa.string()),
        "source": pa.array(at % 5).cast(pa.string()),
        "score": pa.array((at * 7_919 % 1_000_003).astype(np.float32)),
        "tokens": pa.array(np.ones(rows, np.int32)),
    }
    others = dict.fromkeys(("file", "position", "piece", "checksum"), zeros)
    return pa.record_batch(columns | others)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (Budget(5, "docs"), "the budget is 5 documents and the pool holds 4 that can be scored"),
        (Budget(41, "tokens"), r"the budget is 41tokens and the pool holds 40 \(estimated\)"),
        (Budget(9, "tokens"), "the budget is 9tokens, less than the best document; raise --budget"),
    ],
)
def test_a_budget_that_cannot_be_filled_is_named(budget: Budget, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        rank(streamed([0.1, 0.2, 0.3, 0.4], [10] * 4, [2]), budget, 4, seed=0, worst=1)


def test_the_whole_pool_may_be_chosen() -> None:
    batches = streamed([0.2, 0.1, 0.3], [10, 20, 30], [1])
    for budget in (Budget(3, "docs"), Budget(100, "%"), Budget(60, "tokens")):
        assert numbers(rank(batches, budget, 3, seed=0, worst=9).best) == [1, 0, 2]
