"""`in-domain`: uniform within the sources that were kept, as the "DAPT" row of Kang et al. (ICLR 2024).

    score(x) = u(seed, id of x)        where the source of x is kept
               1 + u(seed, id of x)    elsewhere: only once the kept sources are used up

The draws are those of `random`: with every source kept the two choose alike. After Gururangan et al. (2020), "Don't
stop pretraining", which takes a domain as given; here it is the caller who names the sources, such as the nearest
that `gotd domains` lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gotd.errors import SettingsError
from gotd.selection.methods.draws import below_one, uniform
from gotd.selection.methods.protocol import Batch, Samples
from gotd.selection.methods.uniform import PURPOSE


@dataclass(frozen=True, slots=True)
class InDomain:
    """A draw for each id, kept sources first."""

    name: ClassVar[str] = "in-domain"
    needs_points: ClassVar[bool] = False
    seed: int
    sources: frozenset[str]

    def score(self, batch: Batch) -> NDArray[np.float32]:
        outside = np.fromiter((source not in self.sources for source in batch.sources), np.float32, len(batch))
        return below_one(uniform(self.seed, batch.ids, PURPOSE)) + outside

    def config(self) -> dict[str, Any]:
        return {"method": self.name, "seed": self.seed, "sources": sorted(self.sources)}

    def tensors(self) -> dict[str, Tensor]:
        return {}


def fit(samples: Samples, seed: int, options: Mapping[str, Any]) -> InDomain:
    """Options: `sources`, the names of those to keep; wanted."""
    sources = options.get("sources", ())
    if set(options) - {"sources"}:
        raise SettingsError(f"in-domain takes the option sources alone; found {', '.join(sorted(options))}")
    if isinstance(sources, str) or not sources or not all(isinstance(source, str) for source in sources):
        raise SettingsError(f"in-domain: sources is {sources!r}; wanted the names of one source or more, in a list")
    return InDomain(seed, frozenset(sources))


def restore(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> InDomain:
    return InDomain(config["seed"], frozenset(config["sources"]))
