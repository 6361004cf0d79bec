"""What every way to choose offers, what it is fitted on, and what it scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gotd.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from gotd.transport import Measure


@dataclass(frozen=True, slots=True)
class Batch:
    """Some documents of the pool, n of them.

    Attributes:
        texts: their texts.
        ids: their ids.
        sources: the domain that each is counted under.
        points: (n, d) float32 points of the fitted space; (n, 0) will do where the method needs none.
    """

    texts: Sequence[str]
    ids: Sequence[str]
    sources: Sequence[str]
    points: Tensor

    def __post_init__(self) -> None:
        lengths = [len(self.texts), len(self.ids), len(self.sources), len(self.points)]
        if len(set(lengths)) > 1:
            raise InputError("a batch holds {} texts, {} ids, {} sources, {} points; wanted one each".format(*lengths))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Samples:
    """What a method is fitted on.

    Attributes:
        reference_texts: texts of the sample of the reference, in the order of `reference`.
        target_texts: texts of the target.
        reference: (n, d) points and weights of that sample.
        target: (m, d) points and weights.
        pool: documents that the sample stands for; where they are not known, 0.
        target_parts: where several targets are pooled, how many of the m each is, in their order, and its share of
            the whole; empty for one.
    """

    reference_texts: Sequence[str]
    target_texts: Sequence[str]
    reference: Measure
    target: Measure
    pool: int = 0
    target_parts: Sequence[tuple[int, float]] = ()


@runtime_checkable
class Method(Protocol):
    """A fitted way to choose: the budget goes to the documents of lowest score.

    Attributes:
        name: as in KNOWN_METHODS.
        needs_points: whether `score` looks at the points; if not, nothing need be embedded.
    """

    @property
    def name(self) -> str: ...
    @property
    def needs_points(self) -> bool: ...

    def score(self, batch: Batch) -> NDArray[np.float32]:
        """(n,) finite, lower is better; bit for bit the same whatever else is in the batch."""

    def config(self) -> dict[str, Any]:
        """What `restore_method` needs beside `tensors`, as JSON."""

    def tensors(self) -> dict[str, Tensor]:
        """The fitted arrays; empty where there are none."""
