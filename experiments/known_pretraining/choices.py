"""What each method would read: gotd's own encoder, fit, score and choice, all fitted as `gotd fit` fits them.

The reference is a sample of what the model was pretrained on, apart from the pool. Every choice goes down its
method's order through gotd's own walk (near duplicates of a better document are passed over) until it holds a little
more than the tokens of the warm-up, which cuts it exactly.
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
from gotd.encoders import fit_encoder
from gotd.potential import Potential
from gotd.selection.budget import Budget
from gotd.selection.gradient import between_halves
from gotd.selection.methods import Batch, fit_method
from gotd.selection.methods.round_robin import NearestLists
from gotd.stages.fit import fitted
from gotd.stages.picking import Beyond, PickSettings, pick
from gotd.transport import Measure, Problem, solve, summarised

# As measured: before strays of a target were trimmed.
SETTINGS = {
    "gotd": FitSettings(trim=0.0),
    "gotd reg .2": FitSettings(reg=0.2, trim=0.0),
    "gotd reg .05": FitSettings(reg=0.05, trim=0.0),
    "gotd as published": FitSettings().as_published(),
}
ROUNDS = "gotd 5 rounds"
SCORED = ("random", "nearest", "mmd", "dsir", "knn-kde")
METHODS = (*SETTINGS, ROUNDS, *SCORED, "in-domain random", "round-robin", "target-only")
MIX = 0.1
_SHORTLIST = 10
_LISTS = 200


def choices(
    corpora: Corpora, pool: list[Text], lengths: NDArray[np.int64], plan: Plan, name: str, seed: int
) -> dict[str, dict[str, Any]]:
    """For each method the ids it chose, in order, and what transport says of them.

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
    walk = _Walk(pool, lengths, plan.tokens, ours)
    found = {method: walk(np.argsort(p.score(vectors), kind="stable")) for method, p in potentials.items()}
    found[ROUNDS] = walk(np.argsort(ours.score(vectors), kind="stable"), rounds=5)
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
        found[method] = walk(np.argsort(fit.score(batch), kind="stable"))
        if method == "random":
            order = np.argsort(fit.score(batch), kind="stable")
            near = nearest_sources(ours, batch)[:3]
            found["in-domain random"] = walk(order[np.isin([item.source for item in pool], near)[order]])
    lists = NearestLists(ours.objective.target.points, _LISTS)
    lists.add(points, np.arange(len(pool)))
    found["round-robin"] = walk(lists.take(walk.some).rows)
    told = {method: _told([pool[i] for i in rows], vectors[rows], ours) for method, rows in found.items()}
    while len(more) < 2 * plan.tokens:
        more = more + more
    # Task sentences are short, so they are counted by characters: no token of this vocabulary averages 8.
    few = more[: int((np.cumsum([len(item.text) for item in more]) < 8 * plan.tokens).sum()) + 1]
    return {**told, "target-only": _told(few, encoder.encode([item.text for item in few]), ours)}


class _Walk:
    """Down an order, past near duplicates, until the budget is full: rows of the pool."""

    def __init__(self, pool: list[Text], lengths: NDArray[np.int64], tokens: int, potential: Potential) -> None:
        self.pool, self.lengths, self.potential = pool, lengths, potential
        # The last document has to reach past the cut, wherever it falls.
        self.budget = tokens + int(lengths.max())
        self.some = min(len(pool), 3 * round(self.budget / float(lengths.mean())))

    def __call__(self, order: NDArray[np.int64], rounds: int = 1) -> list[int]:
        size = round(self.budget / float(self.lengths.mean()))
        # Short documents first would need a longer list: double it until the budget is full.
        length = min(len(order), _SHORTLIST * size)
        while True:
            rows = order[:length]
            documents = [Document(item.id, item.text, item.source, 0, 0, b"") for item in (self.pool[i] for i in rows)]
            settings, budget = PickSettings(rounds=rounds, mix=MIX), Budget(self.budget, "tokens")
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
    chosen = Measure.of(picks)
    assert ours.repel is not None
    centroids = Measure.of(ours.repel.points, ours.repel.log_b.exp())
    after = ours.objective.at(
        ours.reference.mixed_with(chosen, MIX),
        summary=centroids.mixed_with(summarised(chosen), MIX),
        init=ours.attract.g,
    ).value
    return {
        "ids": [item.id for item in items],
        "sources": dict(Counter(item.source for item in items).most_common()),
        "predicted": MIX * (ours.level - float(ours.priced(picks).f.double().mean())),
        "solved": ours.quality.value - after,
    }
