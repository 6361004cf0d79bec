"""A budget divided among targets: each takes its share by its own score.

    the target furthest behind its share takes the best document that is left on its list, until all are filled

No document is taken twice, and duplicates and caps count across all. Taking turns in proportion favours no target
where two want the same document.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gotd.corpus import Document
from gotd.errors import SettingsError
from gotd.selection.budget import Budget
from gotd.selection.caps import Filled
from gotd.selection.methods import GOTD
from gotd.selection.ranking import Picked
from gotd.stages.picking import Pick, PickSettings, Sieve, under_cap

_WITHIN = 1.0  # per cent: three thirds may be written 33,33,33


def parse_shares(text: str) -> tuple[float, ...]:
    """`60,40` or `60%,40%` as shares that sum to 1.

    Raises:
        SettingsError: anything else, a share of nothing, or a sum that is not 100.
    """
    try:
        found = [float(part.strip().removesuffix("%")) for part in str(text).split(",")]
    except ValueError:
        raise SettingsError(f'target_shares is "{text}"; wanted one number for each target, such as 60,40') from None
    if not all(0 < share < math.inf for share in found):
        raise SettingsError(f'target_shares is "{text}"; wanted shares above 0. Leave out a target that has none')
    if not abs(sum(found) - 100) <= _WITHIN:
        raise SettingsError(f'target_shares is "{text}", which adds up to {sum(found):g}; wanted 100')
    return tuple(share / sum(found) for share in found)


def check_shares(text: str | None, names: Sequence[str], rounds: int, method: str) -> None:
    """SettingsError where targets cannot have a share each.

    Args:
        names: of the targets, what is to be left not among them.
    """
    if text is None:
        return
    shares = parse_shares(text)
    if len(names) < 2:
        raise SettingsError(f'target_shares is "{text}"; wanted several targets to share among, found {names[0]} alone')
    if len(shares) != len(names):
        raise SettingsError(
            f'target_shares is "{text}", for {len(shares)} targets; there are {len(names)}: {", ".join(names)}. '
            "Give one share each, in their order"
        )
    if method != GOTD:
        raise SettingsError(f"target_shares go by gotd's score of each target, which method {method} has not")
    if rounds > 1:
        raise SettingsError(
            f"{rounds} rounds go down one objective, target_shares down one each; leave out one of both"
        )


def divided(budget: Budget, pool: int, shares: Sequence[float], names: Sequence[str]) -> list[Budget]:
    """The budget of each target, by largest remainder: they sum to the whole.

    Raises:
        SettingsError: a share below one document, or one token.
    """
    documents = budget.documents(pool)
    whole = int(budget.amount) if documents is None else documents
    exact = np.array(shares) * whole
    amounts = np.floor(exact + 1e-9).astype(np.int64)
    for row in np.argsort(amounts - exact, kind="stable")[: whole - int(amounts.sum())]:
        amounts[row] += 1
    unit = "tokens" if documents is None else "docs"
    for name, share, amount in zip(names, shares, amounts.tolist()):
        if not amount:
            raise SettingsError(f"{share:.3g} of {whole} {unit} is nothing for {name}; raise --budget or its share")
    return [Budget(float(amount), "tokens" if documents is None else "docs") for amount in amounts.tolist()]


@dataclass(frozen=True, slots=True)
class Lists:
    """Of each target its best candidates, with the documents that are on any of the lists.

    Attributes:
        picked: (u,) rows of scores.parquet, none twice.
        documents: the same as documents.
        orders: for each target rows of `picked`, best first.
        own: for each target its score of those, in the same order.
    """

    picked: Picked
    documents: Sequence[Document]
    orders: Sequence[Sequence[int]]
    own: Sequence[NDArray[np.float64]]


def joined(lists: Sequence[Picked]) -> tuple[Picked, list[list[int]]]:
    """The rows of several lists, each once, and where the rows of each list are among them."""
    places: dict[str, int] = {}
    orders = [[places.setdefault(id, len(places)) for id in found.id] for found in lists]
    first: dict[int, int] = {}
    for start, order in zip(np.cumsum([0, *map(len, lists)]).tolist(), orders):
        for offset, place in enumerate(order):
            first.setdefault(place, start + offset)
    return Picked.joined(lists).take([first[place] for place in range(len(places))]), orders


def share_out(
    lists: Lists,
    budgets: Sequence[Budget],
    names: Sequence[str],
    size: int,
    budget: Budget,
    settings: PickSettings,
    *,
    whole: bool,
) -> Pick:
    """Let each target take its budget.

    Args:
        budgets: of each target.
        names: of each target.
        size: documents in the whole budget, exactly or, for a token budget, as expected.
        budget: the whole.
        settings: duplicates and the cap.
        whole: whether each list is the pool.
    """

    def walk(filled: Filled) -> Pick:
        return _walk(lists, budgets, names, Sieve(lists.documents, settings.dedup, filled), whole=whole)

    return under_cap(settings.max_per_source, budget, size, walk)


def _walk(lists: Lists, budgets: Sequence[Budget], names: Sequence[str], sieve: Sieve, *, whole: bool) -> Pick:
    used, at = [0.0] * len(names), [0] * len(names)
    taken: dict[int, tuple[str, float]] = {}
    going, dry = set(range(len(names))), False
    while going:
        turn = min(going, key=lambda target: (used[target] / budgets[target].amount, target))
        order, limit = lists.orders[turn], budgets[turn]
        while at[turn] < len(order) and order[at[turn]] in taken:
            at[turn] += 1
        if used[turn] >= limit.amount:
            going.remove(turn)
        elif at[turn] == len(order):
            going.remove(turn)
            dry = True
        else:
            row = order[at[turn]]
            weight = int(lists.picked.tokens[row]) if limit.unit == "tokens" else 1
            # As in the choice by one score: a document that does not fit ends it, no filling up with small ones; one
            # that is out already, for the cap or as a duplicate, ends nothing.
            if not sieve.has_room(row):
                at[turn] += 1
            elif used[turn] + weight > limit.amount:
                going.remove(turn)
            elif sieve.stays(row):
                used[turn] += weight
                taken[row] = (names[turn], float(lists.own[turn][at[turn]]))
            else:
                at[turn] += 1
    return Pick(list(taken), [], sieve.duplicates, not dry, dry and not whole, list(taken.values()))
