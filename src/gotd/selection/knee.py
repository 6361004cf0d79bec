"""Where more documents stop to pay: the knee of what a selection gains against its budget.

    gain(K) = objective before - objective with K documents,    gain(0) = 0

Measured at a few budgets, with noise, gain need not be concave. Its least concave majorant is: the line from above
through some of the points, with slopes that fall. A slope is what one more document gains. The knee is the last point
that the majorant reaches before one more document gains less than a quarter of what each of the first gained.

Why a quarter: where the share lambda alone decides, the slope is 1 - lambda of the first, and a model that has gone
three quarters of the way to the selection is no longer lightly trained. A tenth would wait for nine tenths.

Differs from the point farthest from the chord (Satopää et al. 2011, "Kneedle"): it does not depend on the largest
budget that was tried. Where the gain is still worth more than that quarter at the last budget, there is no knee yet.
"""

from __future__ import annotations

from collections.abc import Sequence

FALLS_TO = 0.25


def knee(budgets: Sequence[float], gains: Sequence[float]) -> int | None:
    """Which of the budgets (in rising order) is the knee: its place, or None where there is none.

    None where nothing is gained, or where the last budget still gains a quarter a document of the first.
    """
    at: list[int] = []  # corners of the majorant, from (0, 0) on

    def slope(first: int | None, second: int) -> float:
        x, y = (0.0, 0.0) if first is None else (budgets[first], gains[first])
        return (gains[second] - y) / (budgets[second] - x)

    for place in range(len(budgets)):
        while at and slope(at[-1], place) >= slope(at[-2] if len(at) > 1 else None, at[-1]):
            at.pop()
        at.append(place)
    slopes = [slope(before, after) for before, after in zip([None, *at], at)]
    if not slopes or not slopes[0] > 0:
        return None
    worth = sum(found >= FALLS_TO * slopes[0] for found in slopes)
    return at[worth - 1] if worth < len(at) else None
