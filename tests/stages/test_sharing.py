"""A budget divided among targets: exactly filled, nothing twice, duplicates and caps across all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import gotd
from gotd import SettingsError, Target
from gotd.corpus import Document
from gotd.selection.budget import Budget
from gotd.selection.ranking import Picked
from gotd.stages.picking import PickSettings
from gotd.stages.sharing import Lists, check_shares, divided, joined, parse_shares, share_out

NAMES = ("a", "b")


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("60,40", (0.6, 0.4)),
        ("60%,40%", (0.6, 0.4)),
        (" 12.5 , 87.5% ", (0.125, 0.875)),
        ("100", (1.0,)),
        ("33,33,33", (1 / 3, 1 / 3, 1 / 3)),
    ],
)
def test_shares_are_per_cent(text: str, shares: tuple[float, ...]) -> None:
    assert parse_shares(text) == pytest.approx(shares)
    assert sum(parse_shares(text)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("60,30", "which adds up to 90; wanted 100"),
        ("60;40", "wanted one number for each target"),
        ("", "wanted one number for each target"),
        ("100,0", "wanted shares above 0"),
        ("150,-50", "wanted shares above 0"),
        ("nan,50", "wanted shares above 0"),
    ],
)
def test_shares_that_cannot_be_are_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_shares(text)


def test_shares_want_several_targets_the_gradient_and_one_round() -> None:
    check_shares(None, ["a"], 5, "dsir")
    check_shares("60,40", ["a", "b"], 1, "gotd")
    for text in ("60,40", "100"):
        with pytest.raises(SettingsError, match="wanted several targets to share among, found a alone"):
            check_shares(text, ["a"], 1, "gotd")
    with pytest.raises(SettingsError, match="for 2 targets; there are 3: a, b, c"):
        check_shares("60,40", ["a", "b", "c"], 1, "gotd")
    with pytest.raises(SettingsError, match="which method mmd has not"):
        check_shares("60,40", ["a", "b"], 1, "mmd")
    with pytest.raises(SettingsError, match="3 rounds go down one objective"):
        check_shares("60,40", ["a", "b"], 3, "gotd")


@pytest.mark.parametrize(
    ("budget", "shares", "wanted"),
    [
        ("10docs", (0.6, 0.4), (6, 4)),
        ("10docs", (1 / 3, 1 / 3, 1 / 3), (4, 3, 3)),
        ("11docs", (0.5, 0.25, 0.25), (5, 3, 3)),
        ("5%", (0.6, 0.4), (6, 4)),
        ("1000tokens", (0.125, 0.875), (125, 875)),
        ("100docs", (0.07, 0.93), (7, 93)),
    ],
)
def test_the_parts_sum_to_the_budget(budget: str, shares: tuple[float, ...], wanted: tuple[int, ...]) -> None:
    found = divided(Budget.parse(budget), 200, shares, "abc")
    assert tuple(part.amount for part in found) == wanted
    assert {part.unit for part in found} == {"tokens" if "tokens" in budget else "docs"}


def test_a_part_of_nothing_is_named() -> None:
    with pytest.raises(SettingsError, match=r"0\.01 of 10 docs is nothing for b; raise --budget or its share"):
        divided(Budget.parse(10), 200, (0.99, 0.01), NAMES)


def picked(ids: list[str]) -> Picked:
    count = len(ids)
    zeros = np.zeros(count, np.int64)
    return Picked(
        ids, np.zeros(count, np.float32), np.full(count, 10, np.int32), zeros, zeros, zeros, np.zeros(count, np.uint32)
    )


def lists(*given: str, text=lambda id: f"text of {id} alone", source=lambda id: "web") -> Lists:
    """A list for each target, its candidates as letters, best first; the best has score 0, the next 1, ..."""
    every, orders = joined([picked(list(ids)) for ids in given])
    documents = [Document(id, text(id), source(id), 0, 0, b"{}") for id in every.id]
    return Lists(every, documents, orders, [np.arange(len(ids), dtype=np.float64) for ids in given])


def taken(found: Lists, budget: str, shares=(0.5, 0.5), **settings) -> tuple[list[str], bool]:
    """What was taken in its order, as target and document, and whether that fills the budget."""
    whole, how = Budget.parse(budget), PickSettings(**settings)
    pick = share_out(found, divided(whole, 99, shares, NAMES), NAMES, whole.documents(99) or 9, whole, how, whole=True)
    return [name + found.picked.id[row] for row, (name, _) in zip(pick.rows, pick.taken_by)], pick.full


def test_lists_are_joined_with_each_row_once() -> None:
    found = lists("pqr", "qst")
    assert found.picked.id == list("pqrst")
    assert found.orders == [[0, 1, 2], [1, 3, 4]]


def test_each_takes_its_share_down_its_own_list() -> None:
    assert taken(lists("pqrs", "wxyz"), "4docs") == (["ap", "bw", "aq", "bx"], True)
    assert taken(lists("pqrs", "wxyz"), "4docs", (0.75, 0.25)) == (["ap", "bw", "aq", "ar"], True)


def test_no_document_is_taken_twice() -> None:
    """Where both want the same, they take turns, and each gets its full share."""
    assert taken(lists("pqrs", "pqrs"), "4docs") == (["ap", "bq", "ar", "bs"], True)
    assert taken(lists("pqrst", "pqrst"), "5docs", (0.8, 0.2)) == (["ap", "bq", "ar", "as", "at"], True)


def test_turns_are_in_proportion() -> None:
    """Of ten that both want, the one with a fifth gets the second and the seventh, not the second and the fourth."""
    found, full = taken(lists("pqrstuvwxy", "pqrstuvwxy"), "10docs", (0.8, 0.2))
    assert [each for each in found if each[0] == "b"] == ["bq", "bv"]
    assert full


def test_a_list_that_runs_dry_is_said() -> None:
    assert taken(lists("p", "wxyz"), "4docs") == (["ap", "bw", "bx"], False)
    assert taken(lists("pq", "pqrst"), "5docs", (0.6, 0.4)) == (["ap", "bq", "br"], False)


def test_scores_are_those_of_the_taker() -> None:
    found = lists("pqr", "qps")
    whole = Budget.parse(4)
    pick = share_out(found, divided(whole, 99, (0.5, 0.5), NAMES), NAMES, 4, whole, PickSettings(), whole=True)
    assert pick.taken_by == [("a", 0.0), ("b", 0.0), ("a", 2.0), ("b", 2.0)]


def test_what_repeats_a_document_of_another_target_is_passed_over() -> None:
    same = lists("pqr", "xyz", text=lambda id: "the same words all over" if id in "px" else f"of {id} alone")
    assert taken(same, "4docs") == (["ap", "by", "aq", "bz"], True)
    assert taken(same, "4docs", dedup="off") == (["ap", "bx", "aq", "by"], True)


def test_a_cap_counts_across_all() -> None:
    """Half of four is two of one source, whoever took them."""
    sources = lists("pqrs", "wxyz", source=lambda id: "one" if id in "pqwx" else "other")
    found = taken(sources, "4docs", max_per_source="50%")
    assert found == (["ap", "bw", "ar", "by"], True)
    assert Counter("one" if each[1] in "pqwx" else "other" for each in found[0]) == {"one": 2, "other": 2}


def test_a_token_budget_ends_with_the_first_that_does_not_fit() -> None:
    """Ten tokens a document: 25 hold two, and 15 one."""
    assert taken(lists("pqrs", "wxyz"), "40tokens", (0.625, 0.375)) == (["ap", "bw", "aq"], True)


def test_a_document_that_is_out_already_ends_no_token_budget() -> None:
    """q is too long, but its source has its one document with p: r is taken after it."""
    found = lists("pqr", "wx", source=lambda id: "one" if id in "pq" else id)
    found.picked.tokens[found.picked.id.index("q")] = 100
    assert taken(found, "40tokens", max_per_source="1docs") == (["ap", "bw", "ar", "bx"], True)


def test_a_token_budget_below_every_first_document_is_refused(write, text, tmp_path: Path) -> None:
    pool = write("pool.jsonl", [{"id": str(i), "text": text(i, i % 2 == 0, 80)} for i in range(60)])
    targets = [Target(write(f"{rare}.jsonl", [{"text": text(i, rare)} for i in range(9)])) for rare in (True, False)]
    for budget in ("250tokens", "200tokens"):
        with pytest.raises(SettingsError, match=f"the budget is {budget}, less than the first document to take"):
            gotd.select(pool, targets, budget, tmp_path / budget, target_shares="50,50", workers=1)
