"""What each method would read: gotd's own encoder, fit, score and choice, all fitted as `gotd fit` fits them.

The reference is a sample of what the model was pretrained on, apart from the pool. Every choice goes down its
method's order through gotd's own walk (near duplicates of a better document are passed over) until it holds a little
more than the tokens of the largest warm-up. A smaller budget takes the first of these, but for the methods that
choose otherwise for another budget: rounds. The warm-up cuts the last document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plan import Plan
from texts import Corpora, Text

from gotd import FitSettings
from gotd.corpus import Document
from gotd.encoders import Encoder, fit_encoder
from gotd.potential import Potential
from gotd.selection.budget import Budget
from gotd.selection.gradient import Mixture, between_halves
from gotd.selection.methods import Batch, fit_method
from gotd.selection.methods.round_robin import NearestLists
from gotd.stages.fit import fitted
from gotd.stages.picking import Beyond, PickSettings, pick
from gotd.transport import Measure, Problem, solve

SETTINGS = {"gotd": FitSettings(), "gotd as published": FitSettings().as_published()}
ROUNDS = "gotd 5 rounds"
SCORED = ("random", "nearest", "mmd", "dsir")
METHODS = (*SETTINGS, ROUNDS, *SCORED, "in-domain random", "round-robin", "target-only")
MIX = 0.1
_SHORTLIST = 10
_LISTS = 200


def choices(
    corpora: Corpora, pool: list[Text], lengths: NDArray[np.int64], plan: Plan, name: str, seed: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """For each method and budget the ids it chose, in order, and what transport says of them.

    Args:
        pool: the candidates of this seed.
        lengths: (n,) tokens of each, its end counted.
    """
    examples, more = corpora.examples(plan, name, seed)
    wanted, reference = [item.text for item in examples], [item.text for item in corpora.reference(plan, seed)]
    texts = [item.text for item in pool]
    encoder = fit_encoder("lsa", reference + wanted, seed=seed)
    known, aim, vectors = encoder.encode(reference), encoder.encode(wanted), encoder.encode(texts)
    potentials = {
        method: fitted(encoder, known, aim, replace(settings, seed=seed)) for method, settings in SETTINGS.items()
    }
    ours = potentials["gotd"]
    points = ours.space(vectors)
    walk = Walk(pool, lengths, ours)
    most = plan.budgets[-1]
    down = {method: np.argsort(p.score(vectors), kind="stable") for method, p in potentials.items()}
    batch = Batch(texts, [item.id for item in pool], [item.source for item in pool], points)
    for method in SCORED:
        fit = fit_method(
            method,
            reference_texts=reference,
            target_texts=wanted,
            reference=ours.reference,
            target=ours.objective.target,
            seed=seed,
        )
        down[method] = np.argsort(fit.score(batch), kind="stable")
    near = nearest_sources(ours, batch)[:3]
    drawn = down["random"]
    down["in-domain random"] = drawn[np.isin([item.source for item in pool], near)[drawn]]
    orders = {method: walk(order, most) for method, order in down.items()}
    lists = NearestLists(ours.objective.target.points, _LISTS)
    lists.add(points, np.arange(len(pool)))
    orders["round-robin"] = walk(np.array(lists.take(walk.some(most)).rows), most)
    found = {
        method: {
            tokens: _told([pool[i] for i in rows], vectors[rows], ours)
            for tokens in plan.budgets
            for rows in [first(order, lengths, tokens)]
        }
        for method, order in orders.items()
    }
    found[ROUNDS] = {
        tokens: _told([pool[i] for i in rows], vectors[rows], ours)
        for tokens in plan.budgets
        for rows in [first(walk(down["gotd"], tokens, rounds=5), lengths, tokens)]
    }
    found["target-only"] = {tokens: _told_of_target(more, tokens, encoder, ours) for tokens in plan.budgets}
    return {method: {str(tokens): told for tokens, told in of.items()} for method, of in found.items()}


def first(order: list[int], lengths: NDArray[np.int64], tokens: int) -> list[int]:
    """The fewest first rows that hold the budget."""
    return order[: int((np.cumsum(lengths[order]) < tokens).sum()) + 1]


def _told_of_target(shown: list[Text], tokens: int, encoder: Encoder, ours: Potential) -> dict[str, Any]:
    """The target's own documents, from the start again where they are too few for the budget."""
    while len(shown) < 2 * tokens:
        shown = shown + shown
    # Task sentences are short, so they are counted by characters: no token of this vocabulary averages 8.
    few = shown[: int((np.cumsum([len(item.text) for item in shown]) < 8 * tokens).sum()) + 1]
    return _told(few, encoder.encode([item.text for item in few]), ours)


class Walk:
    """Down an order, past near duplicates, until the budget is full: rows of the pool."""

    def __init__(self, pool: list[Text], lengths: NDArray[np.int64], potential: Potential) -> None:
        self.pool, self.lengths, self.potential = pool, lengths, potential

    def _budget(self, tokens: int) -> int:
        # The last document has to reach past the cut, wherever it falls.
        return tokens + int(self.lengths.max())

    def some(self, tokens: int) -> int:
        """Documents to put in order before near duplicates are passed over."""
        return min(len(self.pool), 3 * round(self._budget(tokens) / float(self.lengths.mean())))

    def __call__(self, order: NDArray[np.int64], tokens: int, rounds: int = 1) -> list[int]:
        size = round(self._budget(tokens) / float(self.lengths.mean()))
        # Short documents first would need a longer list: double it until the budget is full.
        length = min(len(order), _SHORTLIST * size)
        while True:
            rows = order[:length]
            documents = [Document(item.id, item.text, item.source, 0, 0, b"") for item in (self.pool[i] for i in rows)]
            settings, budget = PickSettings(rounds=rounds, mix=MIX), Budget(self._budget(tokens), "tokens")
            whole = length == len(order)
            more = Beyond(ended=not whole)
            got = pick(documents, self.lengths[rows].tolist(), budget, size, settings, self.potential, more)
            if got.full or whole:
                return [int(rows[i]) for i in got.rows]
            length = min(len(order), 2 * length)


def nearest_sources(potential: Potential, batch: Batch) -> list[str]:
    """The sources by Sinkhorn divergence to the target, nearest first, as `gotd domains` measures it."""
    goal, reg, cost = potential.objective.target, potential.objective.reg, potential.objective.cost
    sources, measured = np.array(batch.sources), []
    for source in np.unique(sources).tolist():
        points = Measure.of(batch.points[np.flatnonzero(sources == source)])
        value = solve(Problem(points, goal, reg, cost), init=potential.attract.g).value
        measured.append((value - between_halves(points, reg, cost) / 2, source))
    return [source for _, source in sorted(measured)]


def _told(items: Sequence[Text], vectors: NDArray[np.float32], ours: Potential) -> dict[str, Any]:
    """The choice, the shares of its sources, and how far it lowers gotd's objective: to first order, and solved."""
    picks = ours.space(vectors)
    start, summary = ours.gradient()
    after = start.toward(Mixture.of(ours.reference, summary, Measure.of(picks), MIX))
    return {
        "ids": [item.id for item in items],
        "sources": dict(Counter(item.source for item in items).most_common()),
        "predicted": MIX * (ours.level - float(ours.priced(picks).f.double().mean())),
        "solved": start.value - after.value,
    }
