"""From the best-scored documents to the choice: duplicates, caps and rounds.

    candidates in order of score -> duplicates out -> straight down the list, or in rounds -> caps -> until the budget

Only a shortlist is looked at, some multiple of the budget; the caller brings a longer one where duplicates and caps
use it up before the budget is full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch

from gotd.corpus import Document
from gotd.errors import SettingsError, number, whole
from gotd.potential import Potential
from gotd.selection.budget import Budget
from gotd.selection.caps import Cap, Filled, settled
from gotd.selection.duplicates import Deduplicator, Duplicate, Mode
from gotd.selection.mix import AUTO, WarmUp
from gotd.selection.ranking import Ranking
from gotd.selection.rounds import Round, descend
from gotd.stages.points import masses_as_fitted, points_of

Mix = float | Literal["auto"]
MIX = 0.1


@dataclass(frozen=True, slots=True)
class PickSettings:
    """What decides the choice, beside the scores and the budget.

    Attributes:
        rounds: 1 takes the lowest scores; more descend on the objective.
        mix: share of the selection in what the model has seen, above 0 and at most 1; `auto` for the rule of `warm_up`.
        dedup: `near`, `exact` or `off`.
        max_per_source: `40%` or `2000docs`; None for no cap.
        shortlist: how many times the budget is looked at where there are rounds.
        target_shares: `60,40`: the share of the budget that each target takes by its own score; None for one budget.
        warm_up: how the selection will be trained on, for mix `auto`; None there is WarmUp().
    """

    rounds: int = 1
    mix: Mix = MIX
    dedup: Mode = "near"
    max_per_source: str | None = None
    shortlist: float = 10.0
    target_shares: str | None = None
    warm_up: WarmUp | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rounds", whole("rounds", self.rounds))
        object.__setattr__(self, "shortlist", number("shortlist", self.shortlist))
        if not self.rounds >= 1:
            raise SettingsError(f"rounds is {self.rounds}; wanted 1 or more")
        check_mix(self.mix, self.warm_up)
        if self.mix != AUTO:
            object.__setattr__(self, "mix", number("mix", self.mix))
        if self.dedup not in get_args(Mode):
            raise SettingsError(f'dedup is "{self.dedup}"; wanted {", ".join(get_args(Mode))}')
        if not self.shortlist >= 1:
            raise SettingsError(f"shortlist is {self.shortlist}; wanted 1 or more times the budget")

    def share(self, tokens: float) -> float:
        """The mix as a number, for a selection of so many tokens."""
        return share_of(self.mix, self.warm_up, tokens)

    @property
    def stretch(self) -> float:
        """The first shortlist, in budgets."""
        if self.rounds > 1:
            return self.shortlist
        return 1.0 if self.dedup == "off" and self.max_per_source is None else 1.25


def check_mix(mix: Mix, warm_up: WarmUp | None) -> None:
    """SettingsError unless the mix is a share or `auto`, and a warm-up is given for `auto` alone."""
    if mix == AUTO:
        return
    if isinstance(mix, (str, bool)) or not 0 < number("mix", mix) <= 1:
        raise SettingsError(f"mix is {mix!r}; wanted a share above 0 and at most 1, or {AUTO}")
    if warm_up is not None:
        raise SettingsError(f"epochs, learning rate and batch decide --mix {AUTO}; found mix {mix}. Leave out either")


def share_of(mix: Mix, warm_up: WarmUp | None, tokens: float) -> float:
    """The share lambda of a selection of so many tokens."""
    return (warm_up or WarmUp()).mix(tokens) if isinstance(mix, str) else mix


@dataclass(frozen=True, slots=True)
class Pick:
    """The choice.

    Attributes:
        rows: of the shortlist, in the order taken.
        rounds: the account of each round; empty where there is one.
        duplicates: passed over because they repeat one that was taken.
        full: whether the budget was filled.
        open: whether it was not, and a longer list would have more to take.
        taken_by: of each row the target that took it, and its score; empty where one score is for all.
    """

    rows: list[int]
    rounds: list[Round]
    duplicates: list[Duplicate]
    full: bool
    open: bool = False
    taken_by: list[tuple[str, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Beyond:
    """What of the pool is not on the shortlist.

    Attributes:
        ended: documents that come after all of the list.
        sources: those with documents that come between, left out for the cap.
    """

    ended: bool = False
    sources: tuple[str, ...] = ()

    def fits(self, filled: Filled) -> bool:
        """Whether some of it could still be taken."""
        return self.ended or any(map(filled.fits, self.sources))


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen from what.

    Attributes:
        ranking: of the pool; `best` is what was chosen from.
        pick: the rows of `best` that were taken.
        documents: those documents.
        from_target: rows of the target read, selected, not selected and rejected, where it was chosen from and not
            the pool; else None.
    """

    ranking: Ranking
    pick: Pick
    documents: list[Document]
    from_target: dict[str, int] | None = None


def pick(
    documents: Sequence[Document],
    tokens: Sequence[int],
    budget: Budget,
    size: int,
    settings: PickSettings,
    potential: Potential,
    more: Beyond,
) -> Pick:
    """Choose from a shortlist.

    Args:
        documents: the shortlist, best first.
        tokens: of each.
        budget: how much to choose.
        size: documents that the budget holds, exactly or, for a token budget, as expected.
        settings: what decides the choice.
        potential: where the rounds start.
        more: what is not on the shortlist.
    """
    walker = _Walker(documents, tokens, budget, size, settings, potential, more)
    return under_cap(settings.max_per_source, budget, size, walker.walk)


def under_cap(cap: str | None, budget: Budget, size: int, walk: Callable[[Filled], Pick]) -> Pick:
    """A walk within the cap. One that is open is final in nothing: one over a longer list will come."""
    if cap is None:
        return walk(Filled(None))
    return settled(Cap.parse(cap, budget), size, walk, lambda walked: walked.open)[0]


@dataclass(frozen=True, slots=True)
class _Walker:
    documents: Sequence[Document]
    tokens: Sequence[int]
    budget: Budget
    size: int
    settings: PickSettings
    potential: Potential
    more: Beyond

    def walk(self, filled: Filled) -> Pick:
        """The choice under one cap."""
        sieve = Sieve(self.documents, self.settings.dedup, filled)
        fill = _Fill(self, sieve)
        if self.settings.rounds == 1:
            taken = fill.take(range(len(self.documents)), 1, 1)
            return Pick(taken, [], sieve.duplicates, fill.full, not fill.full and self.more.fits(filled))
        start, summary = self.potential.gradient()

        def take(order: torch.Tensor, number: int, of: int) -> list[int]:
            return fill.take(order.tolist(), number, of)

        points, settings = points_of(self.documents, self.potential), self.settings
        mix = settings.share(sum(self.tokens[: self.size]))
        weights = masses_as_fitted(self.documents, self.potential)
        descent = descend(start, self.potential.reference, summary, points, take, settings.rounds, mix, weights)
        still = not fill.full and self.more.fits(filled)
        return Pick(descent.rows, descent.rounds, sieve.duplicates, fill.full, still)


class _Fill:
    """What is taken so far, and whether one more fits: the budget, round by round, and what the sieve lets through."""

    def __init__(self, walker: _Walker, sieve: Sieve) -> None:
        self._walker, self._sieve = walker, sieve
        self._used = 0.0
        self.full = False

    def take(self, order: Sequence[int], number: int, of: int) -> list[int]:
        """Down the order, until this round's part of the budget is full."""
        walker, by_tokens = self._walker, self._walker.budget.unit == "tokens"
        wanted = walker.budget.amount if by_tokens else walker.size
        limit = wanted * number // of
        taken: list[int] = []
        for row in order:
            if not self._sieve.has_room(row):
                continue
            # A document that does not fit ends the round, as it ends the choice: no filling up with small ones.
            weight = walker.tokens[row] if by_tokens else 1
            if self._used + weight > limit:
                break
            if self._sieve.stays(row):
                self._used += weight
                taken.append(row)
        else:
            # The shortlist is used up.
            self.full = number == of and self._used >= limit
            return taken
        self.full = number == of
        return taken


class Sieve:
    """What the cap has room for, and what repeats nothing that was taken."""

    def __init__(self, documents: Sequence[Document], dedup: Mode, filled: Filled) -> None:
        self._documents, self._filled = documents, filled
        self._twins = Deduplicator(dedup)
        self._dropped: set[int] = set()
        self.duplicates: list[Duplicate] = []

    def has_room(self, row: int) -> bool:
        """Whether the cap has room for a document that was not found to repeat another."""
        return row not in self._dropped and self._filled.fits(self._documents[row].source)

    def stays(self, row: int) -> bool:
        """Whether a document may be taken; counts it if so."""
        document = self._documents[row]
        if not self.has_room(row):
            return False
        twin = self._twins.offer(document.id, document.text)
        if twin is not None:
            self._dropped.add(row)
            self.duplicates.append(twin)
            return False
        self._filled.take(document.source)
        return True
