"""What decides a fit: every setting with its default, checked where it is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gotd.errors import SettingsError, number, whole
from gotd.selection.methods import GOTD, check_method
from gotd.stages.points import TextMass
from gotd.transport import Cost, Space

# What the paper asks for: entropic OT with a small reg, no debiasing, no centring, no trimming.
PUBLISHED: Mapping[str, Any] = {"reg": 0.01, "debias": False, "centre": False, "whiten": 0.0, "trim": 0.0}


@dataclass(frozen=True, slots=True)
class FitSettings:
    """What decides a fit.

    Attributes:
        encoder: see `gotd.encoders.KNOWN_SPECS`.
        reg: fraction of the mean cost.
        debias: gradient of the Sinkhorn divergence instead of entropic OT's.
        centre: subtract the reference's mean vector.
        whiten: how far to even out the directions of centred vectors, from 0 (not) to 1 (wholly).
        remove_top: leading directions of centred vectors to leave out.
        cost: `cosine` or `sqeuclidean`, on unit vectors.
        fit_sample: documents of the reference to fit on, at most.
        target_sample: documents of a target to fit on, at most.
        text_mass: whether a document weighs one (`docs`) or its tokens (`tokens`).
        seed: of samples, encoder, centroids and draws.
        method: `gotd`, or another way to rank candidates, see docs/methods.md; phi is fitted all the same.
        method_options: of that method alone, such as `{"kind": "mean"}` of `nearest`.
        trim: the share of a target's mass that may be left out where it pulls far more of the choice than its
            share, see `selection/trimming.py`; 0 for none.
    """

    encoder: str = "lsa"
    reg: float = 0.1
    debias: bool = True
    centre: bool = True
    whiten: float = 0.0
    remove_top: int = 0
    cost: str = "cosine"
    fit_sample: int = 20_000
    target_sample: int = 5_000
    text_mass: TextMass = "docs"
    seed: int = 0
    method: str = GOTD
    method_options: Mapping[str, Any] = field(default_factory=dict)
    trim: float = 0.02

    def __post_init__(self) -> None:
        for name in ("reg", "trim", "whiten"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        for name in ("remove_top", "seed", "fit_sample", "target_sample"):
            object.__setattr__(self, name, whole(name, getattr(self, name)))
        if not isinstance(self.encoder, (str, os.PathLike)):
            raise SettingsError(f'encoder is {self.encoder!r}; wanted a name such as "lsa", or a folder')
        object.__setattr__(self, "encoder", os.fspath(self.encoder))
        check_method(self.method, self.method_options)
        if not 0 <= self.trim < 0.5:
            raise SettingsError(f"trim is {self.trim:g}; wanted a share of the target, from 0 to below 0.5")
        if not 0 < self.reg < 100:
            raise SettingsError(f"reg is {self.reg}; wanted a positive fraction of the mean cost, such as 0.1")
        if self.cost not in [cost.value for cost in Cost]:
            raise SettingsError(f'cost is "{self.cost}"; wanted {" or ".join(cost.value for cost in Cost)}')
        if self.text_mass not in ("docs", "tokens"):
            raise SettingsError(f'text_mass is "{self.text_mass}"; wanted docs or tokens')
        if not 0 <= self.whiten <= 1 or not self.remove_top >= 0:
            raise SettingsError(
                f"whiten is {self.whiten} and remove_top {self.remove_top}; wanted a share from 0 to 1, and 0 or more"
            )
        if not self.centre and (self.whiten or self.remove_top):
            raise SettingsError("whiten and remove_top need centred vectors; pass --centre, or leave them out")
        if not min(self.fit_sample, self.target_sample) >= 1:
            raise SettingsError("fit_sample and target_sample are numbers of documents; wanted 1 or more")
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"seed is {self.seed}; wanted a whole number from 0 to {2**32 - 1}")

    def space(self, reference: NDArray[np.float32]) -> Space:
        """The space of the points, fitted on vectors (n, d)."""
        return Space.fit(reference, centre=self.centre, whiten=self.whiten, remove_top=self.remove_top)

    def as_published(self) -> FitSettings:
        """The settings of the paper."""
        return replace(self, **PUBLISHED, remove_top=0)
