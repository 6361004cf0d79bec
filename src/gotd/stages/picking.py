"""From the best-scored documents to the choice: duplicates, caps and rounds.

    candidates in order of score -> duplicates out -> straight down the list, or in rounds -> caps -> until the budget

Only a shortlist is looked at, some multiple of the budget; the caller brings a longer one where duplicates and caps
use it up before the budget is full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch

from gotd.corpus import Document
from gotd.errors import SettingsError
from gotd.potential import Potential
from gotd.selection.budget import Budget
from gotd.selection.caps import Cap, Filled, settled
from gotd.selection.duplicates import Deduplicator, Duplicate, Mode
from gotd.selection.rounds import Round, descend
from gotd.stages.score import points_of


@dataclass(frozen=True, slots=True)
class PickSettings:
    """What decides the choice, beside the scores and the budget.

    Attributes:
        rounds: 1 takes the lowest scores; more descend on the objective.
        mix: share of the selection in what the model has seen, above 0 and at most 1.
        dedup: `near`, `exact` or `off`.
        max_per_source: `40%` or `2000docs`; None for no cap.
        shortlist: how many times the budget is looked at where there are rounds.
    """

    rounds: int = 1
    mix: float = 0.1
    dedup: Mode = "near"
    max_per_source: str | None = None
    shortlist: float = 10.0

    def __post_init__(self) -> None:
        if not self.rounds >= 1:
            raise SettingsError(f"rounds is {self.rounds}; wanted 1 or more")
        if not 0 < self.mix <= 1:
            raise SettingsError(f"mix is {self.mix}; wanted a share above 0 and at most 1")
        if self.dedup not in get_args(Mode):
            raise SettingsError(f'dedup is "{self.dedup}"; wanted {", ".join(get_args(Mode))}')
        if not self.shortlist >= 1:
            raise SettingsError(f"shortlist is {self.shortlist}; wanted 1 or more times the budget")

    @property
    def stretch(self) -> float:
        """The first shortlist, in budgets."""
        if self.rounds > 1:
            return self.shortlist
        return 1.0 if self.dedup == "off" and self.max_per_source is None else 1.25


@dataclass(frozen=True, slots=True)
class Pick:
    """The choice.

    Attributes:
        rows: of the shortlist, in the order taken.
        rounds: the account of each round; empty where there is one.
        duplicates: of the shortlist, those that gave way to a better one.
        full: whether the budget was filled.
    """

    rows: list[int]
    rounds: list[Round]
    duplicates: list[Duplicate]
    full: bool


def pick(
    documents: Sequence[Document],
    tokens: Sequence[int],
    budget: Budget,
    size: int,
    settings: PickSettings,
    potential: Potential,
) -> Pick:
    """Choose from a shortlist.

    Args:
        documents: the shortlist, best first.
        tokens: of each.
        budget: how much to choose.
        size: documents that the budget holds, exactly or, for a token budget, as expected.
        settings: what decides the choice.
        potential: where the rounds start.
    """
    twins = Deduplicator(settings.dedup)
    offered = [twins.offer(document.id, document.text) for document in documents]
    stay = [row for row, twin in enumerate(offered) if twin is None]
    walker = _Walker(documents, tokens, stay, budget, size, settings, potential)
    if settings.max_per_source is None:
        rows, rounds, full = walker.walk(Filled(None))
    else:
        (rows, rounds, full), _ = settled(Cap.parse(settings.max_per_source, budget), size, walker.walk)
    return Pick(rows, rounds, [twin for twin in offered if twin is not None], full)


@dataclass(frozen=True, slots=True)
class _Walker:
    documents: Sequence[Document]
    tokens: Sequence[int]
    stay: Sequence[int]
    budget: Budget
    size: int
    settings: PickSettings
    potential: Potential

    def walk(self, filled: Filled) -> tuple[list[int], list[Round], bool]:
        """Rows taken, the rounds, and whether the budget was filled, under one cap."""
        fill = _Fill(self, filled)
        if self.settings.rounds == 1:
            return fill.take(self.stay, 1, 1), [], fill.full
        candidates = [self.documents[row] for row in self.stay]
        place = {row: i for i, row in enumerate(self.stay)}
        start, summary = self.potential.gradient()

        def take(order: torch.Tensor, number: int, of: int) -> list[int]:
            return [place[row] for row in fill.take([self.stay[i] for i in order.tolist()], number, of)]

        points = points_of(candidates, self.potential)
        descent = descend(
            start, self.potential.reference, summary, points, take, self.settings.rounds, self.settings.mix
        )
        return [self.stay[i] for i in descent.rows], descent.rounds, fill.full


class _Fill:
    """How much is taken, and whether one more fits: under the budget, round by round, and under the cap."""

    def __init__(self, walker: _Walker, filled: Filled) -> None:
        self._walker, self._filled = walker, filled
        self._used = 0.0
        self.full = False

    def take(self, order: Sequence[int], number: int, of: int) -> list[int]:
        """Down the order, until this round's part of the budget is full."""
        walker, by_tokens = self._walker, self._walker.budget.unit == "tokens"
        wanted = walker.budget.amount if by_tokens else walker.size
        limit = wanted * number // of
        taken = []
        for row in order:
            weight = walker.tokens[row] if by_tokens else 1
            if self._used + weight > limit:
                # A document that does not fit ends the round, as it ends the choice: no filling up with small ones.
                self.full = number == of
                break
            source = walker.documents[row].source
            if self._filled.fits(source):
                self._filled.take(source)
                self._used += weight
                taken.append(row)
        self.full = self.full or (number == of and self._used >= wanted)
        return taken
