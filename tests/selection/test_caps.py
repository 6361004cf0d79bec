"""Caps on a source: exact for the selection as it ends up."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd.errors import SettingsError
from gotd.selection.budget import Budget
from gotd.selection.caps import Cap, Filled, settled


@pytest.mark.parametrize(
    ("text", "cap", "shown"),
    [
        ("40%", Cap(None, Fraction(2, 5)), "40%"),
        (" 2.5 % ", Cap(None, Fraction(1, 40)), "2.5%"),
        ("100%", Cap(None, Fraction(1)), "100%"),
        ("2000docs", Cap(2000, None), "2000docs"),
        ("1 doc", Cap(1, None), "1docs"),
        ("2_000 documents", Cap(2000, None), "2000docs"),
        ("1,500docs", Cap(1500, None), "1500docs"),
        (70, Cap(70, None), "70docs"),
        ("70", Cap(70, None), "70docs"),
    ],
)
def test_parse(text: str | int, cap: Cap, shown: str) -> None:
    assert Cap.parse(text) == cap
    assert str(cap) == shown
    assert Cap.parse(shown) == cap


@pytest.mark.parametrize(
    "text", ["", "a lot", "-1docs", "0docs", "1.5docs", "0%", "100.1%", "40 tokens", "40%%", "2,5%"]
)
def test_what_is_no_cap_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="the cap of a source is"):
        Cap.parse(text)


def test_a_share_below_one_document_of_the_budget_is_refused() -> None:
    assert Cap.parse("10%", Budget.parse("10docs")).limit(10) == 1
    with pytest.raises(SettingsError, match="10% of 9docs, less than one document"):
        Cap.parse("10%", Budget.parse("9docs"))
    for budget in ("9%", "9tokens"):  # what these come to in documents is not known yet
        assert Cap.parse("10%", Budget.parse(budget)).share == Fraction(1, 10)


@pytest.mark.parametrize(
    ("text", "size", "limit"),
    [("29%", 100, 29), ("7%", 100, 7), ("40%", 9, 3), ("0.1%", 999, 0), ("5docs", 9, 5), ("0.3%", 1000, 3)],
)
def test_a_limit_is_exact_and_rounded_down(text: str, size: int, limit: int) -> None:
    """In floating point 0.29 * 100 is 28.999999999999996."""
    assert Cap.parse(text).limit(size) == limit


def test_filled_counts_each_source_by_itself() -> None:
    filled = Filled(2)
    for source in ("a", "b", "a"):
        assert filled.fits(source)
        filled.take(source)
    assert not filled.fits("a")
    assert filled.fits("b")
    assert filled.counts == {"a": 2, "b": 1}


def test_without_a_limit_everything_fits() -> None:
    filled = Filled(None)
    for _ in range(3):
        filled.take("a")
    assert filled.fits("a")


def greedy(ranking: list[tuple[str, int]], filled: Filled, documents: float, tokens: float) -> list[int]:
    """Rows in order of rank: as many documents, and tokens until the next would not fit."""
    taken: list[int] = []
    used = 0
    for row, (source, size) in enumerate(ranking):
        if filled.fits(source):
            if len(taken) == documents or used + size > tokens:
                break
            filled.take(source)
            taken.append(row)
            used += size
    return taken


def test_a_budget_that_the_pool_can_fill_takes_one_walk() -> None:
    ranking = [("a", 1)] * 10 + [("b", 1)] * 10
    walks: list[list[int]] = []

    def walk(filled: Filled) -> list[int]:
        walks.append(greedy(ranking, filled, 10, float("inf")))
        return walks[-1]

    taken, filled = settled(Cap.parse("50%"), 10, walk)
    assert taken == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    assert filled.counts == {"a": 5, "b": 5}
    assert len(walks) == 1


def test_where_the_pool_runs_out_the_cap_holds_for_what_there_is() -> None:
    """60 % of 10 is 6, but of 6 + 2 it is 4, and of 4 + 2 it is 3, and 3 of 5 is 60 %."""
    ranking = [("a", 1)] * 20 + [("b", 1)] * 2
    walks: list[list[int]] = []

    def walk(filled: Filled) -> list[int]:
        walks.append(greedy(ranking, filled, 10, float("inf")))
        return walks[-1]

    taken, filled = settled(Cap.parse("60%"), 10, walk)
    assert filled.counts == {"a": 3, "b": 2}
    assert taken == [0, 1, 2, 20, 21]
    assert [len(walked) for walked in walks] == [8, 6, 5]


def test_one_source_alone_cannot_keep_within_a_share() -> None:
    with pytest.raises(SettingsError, match="no selection keeps every source within 40%"):
        settled(Cap.parse("40%"), 10, lambda filled: greedy([("a", 1)] * 20, filled, 10, float("inf")))


rankings = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=40)
caps = st.sampled_from(["34%", "40%", "50%", "75%", "100%", "3docs"])


@given(rankings, caps, st.integers(1, 12), st.integers(1, 80), st.booleans())
def test_no_source_has_more_than_its_share_of_what_was_taken(
    ranking: list[tuple[str, int]], text: str, documents: int, tokens: int, by_tokens: bool
) -> None:
    cap = Cap.parse(text)
    budget = (float("inf"), tokens) if by_tokens else (documents, float("inf"))
    size = len(greedy(ranking, Filled(None), *budget))
    try:
        taken, filled = settled(cap, size, lambda filled: greedy(ranking, filled, *budget))
    except SettingsError:
        assert cap.share is not None or not size
        return
    assert sum(filled.counts.values()) == len(taken)
    assert max(filled.counts.values(), default=0) <= cap.limit(len(taken))
    assert all(filled.counts[source] == sum(ranking[row][0] == source for row in taken) for source in "abc")
