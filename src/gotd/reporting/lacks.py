"""What the model lacks, and which of the chosen documents answer it.

The price of a target document is high where its mass is dear to deliver: where the reference has nothing near it.
A chosen document answers it as far as it lies nearer than the reference does, in the cost that was minimised.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gotd.potential import Potential
from gotd.reporting.dots import Dots
from gotd.transport import Cost

_SHOWN = 6
_ANSWERS = 3
_ALIKE = 0.25  # of the mean cost: a target document so near to one that is shown is passed over
_NEARER = 0.01  # the reference is kept in half precision: a smaller difference is none
_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Lack:
    """A target document of high price.

    Attributes:
        dot: its number.
        price: its g above the mean, in units of the cost.
        reference: cost of the nearest document of the reference.
        selection: cost of the nearest chosen document; NaN if none has a place.
        answers: the numbers of the nearest chosen documents, nearest first, and their costs.
    """

    dot: int
    price: float
    reference: float
    selection: float
    answers: list[tuple[int, float]]

    @property
    def answered(self) -> bool:
        """Whether a chosen document lies nearer than any of the reference."""
        return self.selection < self.reference - _NEARER


def lacks(dots: Dots, potential: Potential) -> list[Lack]:
    """The target documents of highest price, none that says nearly the same as one before it."""
    cost = potential.terms[0].objective.cost
    reference, points = potential.reference.points, torch.from_numpy(dots.points)
    chosen, target = _placed(dots, "selected"), points[dots.rows("target")]
    alike = _ALIKE * cost.mean(
        reference, potential.reference.weights, target, torch.full((len(target),), 1 / max(1, len(target)))
    )
    found: list[Lack] = []
    for dot in dots.rows("target").tolist():
        here = points[dot : dot + 1]
        if found and float(costs(here, points[[lack.dot for lack in found]], cost).min()) < alike:
            continue
        to_chosen = costs(here, points[chosen], cost)[0]
        nearest = to_chosen.argsort(stable=True)[:_ANSWERS].tolist()
        found.append(
            Lack(
                dot=dot,
                price=dots.table["price"][dot].as_py(),
                reference=float(costs(here, reference, cost).min()),
                selection=float(to_chosen.min()) if len(chosen) else float("nan"),
                answers=[(chosen[row], float(to_chosen[row])) for row in nearest],
            )
        )
        if len(found) == _SHOWN:
            break
    return found


def nearest(dots: Dots, potential: Potential) -> dict[int, int]:
    """For each chosen document its nearest target document, and for each target document its nearest chosen one."""
    chosen, target = _placed(dots, "selected"), _placed(dots, "target")
    if not chosen or not target:
        return {}
    points, cost = torch.from_numpy(dots.points), potential.terms[0].objective.cost
    found: dict[int, int] = {}
    for some, others in ((chosen, target), (target, chosen)):
        to = points[others]
        for start in range(0, len(some), _ROWS):
            block = some[start : start + _ROWS]
            rows = costs(points[block], to, cost).argmin(1).tolist()
            found |= {dot: others[row] for dot, row in zip(block, rows)}
    return found


def costs(x: Tensor, y: Tensor, cost: Cost) -> Tensor:
    """(n, m) of points x (n, d) and y (m, d)."""
    return cost.offset(x)[:, None] + cost.offset(y) - cost.gamma * (x @ y.T)


def _placed(dots: Dots, role: str) -> list[int]:
    rows = dots.rows(role)
    known = dots.table["x"].is_valid().to_numpy()[rows]
    return [int(row) for row in rows[known]]
