"""`all-target`: nothing of the pool; the selection is the target itself, or as much of it as the budget holds.

    score(y) = u(seed, id of y) in [0, 1)     of a target document: an order that leaves a uniform sample in any budget
    score(x) = 1                              of a candidate, none of which is chosen

To compare with: what training on the target alone gives (task-adaptive pretraining, "TAPT": Gururangan et al., ACL
2020). Differs from it in that the budget holds here too. The pool is scored all the same, for its counts, without a
look at its texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gotd.selection.methods.draws import below_one, uniform
from gotd.selection.methods.options import read_options
from gotd.selection.methods.protocol import Batch, Samples


@dataclass(frozen=True, slots=True)
class AllTarget:
    """A draw for each id of the target."""

    name: ClassVar[str] = "all-target"
    needs_points: ClassVar[bool] = False
    seed: int

    def score(self, batch: Batch) -> NDArray[np.float32]:
        return np.ones(len(batch), np.float32)

    def of_target(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """(n,) scores of documents of the target."""
        return below_one(uniform(self.seed, ids, "gotd-all-target"))

    def config(self) -> dict[str, Any]:
        return {"method": self.name, "seed": self.seed}

    def tensors(self) -> dict[str, Tensor]:
        return {}


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """No options."""
    return read_options(AllTarget.name, options, {})


def fit(samples: Samples, seed: int, options: Mapping[str, Any]) -> AllTarget:
    return AllTarget(seed)


def restore(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> AllTarget:
    return AllTarget(config["seed"])
