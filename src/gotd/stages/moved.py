"""What a selection should do to the objective, and does: predicted, solved again, and beside a random choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gotd.corpus import Document
from gotd.potential import Potential
from gotd.selection.gradient import Mixture
from gotd.selection.ranking import Picked
from gotd.selection.rounds import rounds_needed
from gotd.selection.several import Blend
from gotd.selection.trimming import pull_of_few
from gotd.stages.points import masses_as_fitted, points_of
from gotd.transport import Measure

SOLVE_AGAIN_ON = 5_000
FEW = 0.02
_PULLED = 1_000


def transport(
    potential: Potential, selected: Sequence[Document], random: Sequence[Document], best: Picked, mix: float
) -> dict[str, Any]:
    """The objective at the reference, predicted after the selection, solved after it, and after a random choice."""
    before = potential.quality.value
    start, summary = potential.gradient()
    if potential.method is None:
        phi = best.score.astype(np.float64)
    else:
        phi = potential.priced(points_of(selected, potential)).f.double().numpy()
    mass = masses_as_fitted(selected, potential)
    mean = float(np.average(phi, weights=None if mass is None else mass.numpy()))
    predicted = before + mix * (mean - potential.level)
    some, few = _some(selected, potential), _some(random, potential)
    after, by_chance = (start.toward(Mixture.of(potential.reference, summary, added, mix)) for added in (some, few))
    # The sample is kept in half precision: what that moves is in both, and not in the difference.
    moved, by_luck = (found.value - start.value for found in (after, by_chance))
    return {
        "measure": "sinkhorn divergence" if start.parts[0].objective.debias else "entropic OT",
        "unit": "cost" if potential.plain else "standard deviations of the gradient over the reference",
        "mix": mix,
        "before": before,
        "predicted": predicted,
        "after": before + moved,
        "random": before + by_luck,
        # A round takes a document at least.
        "rounds_needed": min(rounds_needed(before, predicted, before + moved), max(1, len(selected))),
        "solved_on": {"selected": min(len(selected), SOLVE_AGAIN_ON), "random": len(random)},
        **({} if potential.plain else {"targets": _each(potential, start, some, after, by_chance, mix)}),
    }


def _each(
    potential: Potential, start: Blend, added: Measure, after: Blend, by_chance: Blend, mix: float
) -> list[dict[str, Any]]:
    """The same for each of several targets, in units of the cost; predicted from the documents that are solved on."""
    means = potential.phi(added.points).double() @ added.weights.double()
    return [
        {
            "name": term.name,
            "weight": abs(term.weight),
            "avoid": term.weight < 0,
            "before": term.quality.value,
            "predicted": term.quality.value + mix * (float(mean) - term.level),
            "after": term.quality.value + chosen.value - part.value,
            "random": term.quality.value + chance.value - part.value,
        }
        for term, mean, part, chosen, chance in zip(potential.terms, means, start.parts, after.parts, by_chance.parts)
    ]


def pull(potential: Potential, documents: Sequence[Document]) -> float | None:
    """How much of the selection FEW of the target's mass buys, on an even sample; None of several targets."""
    if not potential.plain:
        return None
    some = documents[:: -(-len(documents) // _PULLED)]
    return pull_of_few(potential.attract, points_of(some, potential), FEW)


def _some(documents: Sequence[Document], potential: Potential) -> Measure:
    """Documents as a measure; of many an even sample stands for all."""
    some = documents[:: -(-len(documents) // SOLVE_AGAIN_ON)]
    return Measure.of(points_of(some, potential), masses_as_fitted(some, potential))
