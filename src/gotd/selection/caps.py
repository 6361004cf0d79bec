"""How much of a selection one source may fill.

A cap in documents is what it says. A share is of the selection as it ends up, so it needs that size: known at once
for a budget in documents that the pool can fill, found by `settled` for a budget in tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from gotd.errors import SettingsError
from gotd.selection.budget import AMOUNT, Budget

_PATTERN = re.compile(rf"\s*{AMOUNT}\s*(docs?|documents?|%)\s*")
_Walked = TypeVar("_Walked")


@dataclass(frozen=True, slots=True)
class Cap:
    """The most of a selection that one source may fill.

    Attributes:
        documents: so many, or None.
        share: of the selection's documents, above 0 and at most 1, exact; or None. One of the two is given.
    """

    documents: int | None
    share: Fraction | None

    @classmethod
    def parse(cls, text: str | int, budget: Budget | None = None) -> Cap:
        """`40%` or `2000docs`; a bare number is documents.

        Args:
            budget: where it is in documents, a cap below one document of it is refused.

        Raises:
            SettingsError: anything else, nothing, or a cap that no document fits.
        """
        found = _PATTERN.fullmatch(f"{text}docs" if str(text).isdigit() else str(text))
        if found is None:
            raise SettingsError(f'the cap of a source is "{text}"; wanted 40% or 2000docs')
        amount = Fraction(found[1].replace("_", "").replace(",", ""))
        if found[2] != "%":
            if amount < 1 or amount.denominator != 1:
                raise SettingsError(f'the cap of a source is "{text}"; wanted a whole number of documents, 1 or more')
            return cls(int(amount), None)
        if not 0 < amount <= 100:
            raise SettingsError(f'the cap of a source is "{text}"; wanted more than nothing, and at most 100 %')
        cap = cls(None, amount / 100)
        if budget is not None and budget.unit == "docs" and not cap.limit(int(budget.amount)):
            raise SettingsError(f"the cap of a source is {cap} of {budget}, less than one document; raise either")
        return cap

    def limit(self, size: int) -> int:
        """Documents of one source, at most, in a selection of `size` documents."""
        return self.documents if self.documents is not None else int((self.share or 0) * size)

    def __str__(self) -> str:
        return f"{self.documents}docs" if self.share is None else f"{float(self.share * 100):g}%"


class Filled:
    """Counts the documents of each source against a limit; None is no limit."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self.counts: Counter[str] = Counter()

    def fits(self, source: str) -> bool:
        """Whether one more document of the source may be taken."""
        return self._limit is None or self.counts[source] < self._limit

    def take(self, source: str) -> None:
        self.counts[source] += 1


def settled(
    cap: Cap, size: int, walk: Callable[[Filled], _Walked], passing: Callable[[_Walked], bool] = lambda walked: False
) -> tuple[_Walked, Filled]:
    """Walk with the limit that the cap gives for `size`, and with lower ones until it holds for what was taken.

    A walk that takes `size` documents is the only one. Where it takes fewer - the pool runs out, or `size` was a
    guess at what a token budget holds - a source may have more than its share of them: the limit is lowered to that
    share and the walk made again. Each limit is below the one before, so this ends. The cap is kept exactly; where a
    walk takes more than `size` documents, a source may end below it.

    Args:
        size: documents expected in the selection.
        walk: takes documents from the start of the ranking on, those that fit, and counts them.
        passing: whether a walk will be made again over more documents: it is returned as it is.

    Raises:
        SettingsError: no document fits any more.
    """
    limit = cap.limit(size)
    while limit > 0:
        filled = Filled(limit)
        walked = walk(filled)
        allowed = cap.limit(filled.counts.total())
        if max(filled.counts.values(), default=0) <= allowed or passing(walked):
            return walked, filled
        limit = allowed
    raise SettingsError(
        f"no selection keeps every source within {cap}: too few sources, or too small a budget. Raise --max-per-source"
    )
