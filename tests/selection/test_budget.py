"""How much to choose, as people write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd.errors import SettingsError
from gotd.selection.budget import Budget, estimated_tokens


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("5000docs", 5000, "docs"),
        ("5000 docs", 5000, "docs"),
        (" 5_000 documents ", 5000, "docs"),
        ("1doc", 1, "docs"),
        ("1document", 1, "docs"),
        ("5000", 5000, "docs"),
        (5000, 5000, "docs"),
        ("12,500docs", 12500, "docs"),
        ("2,000,000tokens", 2_000_000, "tokens"),
        ("5000.0docs", 5000, "docs"),
        ("5%", 5, "%"),
        ("0.1 %", 0.1, "%"),
        ("100%", 100, "%"),
        ("2000000tokens", 2_000_000, "tokens"),
        ("2_000_000 tokens", 2_000_000, "tokens"),
        ("1token", 1, "tokens"),
    ],
)
def test_budgets_that_are_understood(text, amount, unit):
    assert Budget.parse(text) == Budget(amount, unit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "docs",
        "%",
        "-5docs",
        "-5",
        "5 percent",
        "5e3docs",
        "nan%",
        "inf",
        ".5%",
        "5docs10",
        "_5docs",
        "5 000docs",
        "²",
        "0,5%",
        "5,5%",
        "0,050%",
        "1,5docs",
        "12,50,000docs",
    ],
)
def test_what_is_no_budget_is_shown_the_forms(text):
    with pytest.raises(SettingsError) as caught:
        Budget.parse(text)
    assert str(caught.value) == f'budget is "{text}"; wanted 5000docs, 5% or 2000000tokens'


@pytest.mark.parametrize("text", ["0", "0docs", "0%", "0.0%", "0tokens", "100.1%", 0])
def test_nothing_and_more_than_everything_are_refused(text):
    with pytest.raises(SettingsError, match=f'budget is "{text}"; wanted more than nothing, and at most 100 %'):
        Budget.parse(text)


@pytest.mark.parametrize(("text", "unit"), [("0.5docs", "docs"), ("1.5tokens", "tokens")])
def test_half_a_document_is_refused(text, unit):
    with pytest.raises(SettingsError, match=f'budget is "{text}"; wanted a whole number of {unit}'):
        Budget.parse(text)


@pytest.mark.parametrize(
    ("text", "pool", "documents"),
    [
        ("5000docs", 100, 5000),
        ("5%", 1000, 50),
        ("0.1%", 100, 1),
        ("100%", 7, 7),
        ("5%", 30, 2),
        ("50tokens", 1000, None),
    ],
)
def test_in_documents_of_a_pool(text, pool, documents):
    """A share of the pool is rounded, and is never nothing; tokens are counted as they are taken."""
    assert Budget.parse(text).documents(pool) == documents


@given(
    st.one_of(st.builds("{}{}".format, st.integers(1, 10**15), st.sampled_from(["docs", "tokens"])), st.just("2.5%"))
)
def test_a_budget_reads_back_as_written(text):
    assert str(Budget.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("é" * 4, 2), ("猫" * 4, 3), ("\ud800", 1)],
)
def test_tokens_are_estimated_at_four_bytes_each_rounded_up(text, tokens):
    assert estimated_tokens(text) == tokens
