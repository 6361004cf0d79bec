"""`random`: any document as likely as any other.

    score(x) = u(seed, id of x) in [0, 1)

The lowest k are a uniform sample without replacement. Differs from a reservoir or `random.sample` in that a document
keeps its place when the pool grows: a larger budget, or a larger pool, adds to the choice and reshuffles nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gotd.selection.methods.draws import below_one, uniform
from gotd.selection.methods.options import read_options
from gotd.selection.methods.protocol import Batch, Samples

PURPOSE = "gotd-random"


@dataclass(frozen=True, slots=True)
class Uniform:
    """A draw for each id."""

    name: ClassVar[str] = "random"
    needs_points: ClassVar[bool] = False
    seed: int

    def score(self, batch: Batch) -> NDArray[np.float32]:
        return below_one(uniform(self.seed, batch.ids, PURPOSE))

    def config(self) -> dict[str, Any]:
        return {"method": self.name, "seed": self.seed}

    def tensors(self) -> dict[str, Tensor]:
        return {}


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """No options."""
    return read_options(Uniform.name, options, {})


def fit(samples: Samples, seed: int, options: Mapping[str, Any]) -> Uniform:
    return Uniform(seed)


def restore(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Uniform:
    return Uniform(config["seed"])
