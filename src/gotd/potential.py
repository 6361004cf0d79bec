"""A fitted selector: from text to the potential, in one file.

    text -> encoder -> space (unit length, centred, whitened) -> phi_t = f_PT - f_PP of each target -> score

`potential.safetensors` holds all of it, the fitted encoder and a sample of the reference included, so that any pool
can be scored by it later, elsewhere, in one pass with constant memory. Safetensors and JSON: nothing in it can run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray

from gotd.encoders import Encoder
from gotd.encoders.weights import resolve_device
from gotd.errors import InputError, SettingsError
from gotd.pricing import ROWS, Pricer
from gotd.selection import several
from gotd.selection.gradient import Objective, marginal_error, polished
from gotd.selection.methods import Method
from gotd.selection.several import Blend, Quality, Term
from gotd.transport import Measure, Products, SoftMin, Space
from gotd.transport.blocks import blocks


@dataclass(frozen=True, slots=True)
class Priced:
    """What scoring some points gives (n of them).

    Attributes:
        f: (n,) float32 score; lower is better.
        own: (k, n) float32 score by each of k targets alone, what is to be left counted in; None for one target.
        col: (m,) float64 mass that each document of the targets receives, target after target.
    """

    f: torch.Tensor
    own: torch.Tensor | None
    col: torch.Tensor


@dataclass(frozen=True, slots=True)
class Potential:
    """The price of a document: where it is low, one more like it brings the reference closest to the target.

    Attributes:
        encoder: text to vectors.
        space: vectors to points.
        terms: the targets and what is to be left, each with its f_PT; see `gotd.selection.several`.
        repel: f_PP, which all share, or None where the fit was not debiased.
        reference: the sample of the reference that it was fitted on.
        quality: how good the fit is.
        settings: what was asked, and the digests of the files it was fitted on.
        method: what ranks candidates instead of phi, where another way to choose is compared with; phi then judges.
        pricer: what prices documents, where that is not the CPU in float32; see `on`.
    """

    encoder: Encoder
    space: Space
    terms: tuple[Term, ...]
    repel: SoftMin | None
    reference: Measure
    quality: Quality
    settings: dict[str, Any] = field(default_factory=dict)
    method: Method | None = None
    pricer: Pricer | None = None

    @property
    def plain(self) -> bool:
        """Whether there is one target and nothing to leave: the score is its phi then, in units of the cost."""
        return several.is_plain([term.weight for term in self.terms])

    @property
    def only(self) -> Term:
        """The one target; SettingsError where there is more."""
        if not self.plain:
            names = ", ".join(term.name for term in self.terms)
            raise SettingsError(f"the potential was fitted on {names}; this needs one fitted on a single target")
        return self.terms[0]

    @property
    def attract(self) -> SoftMin:
        """f_PT of the only target."""
        return self.only.attract

    @property
    def objective(self) -> Objective:
        """What phi of the only target is the gradient of."""
        return self.only.objective

    @property
    def level(self) -> float:
        """Mean score over the reference: of several targets 0, for each phi is centred."""
        return self.terms[0].level if self.plain else 0.0

    @property
    def owners(self) -> list[str]:
        """The names of the targets that have scores of their own: all where there are several, else none."""
        names = [term.name for term in self.terms if term.weight > 0]
        return names if len(names) > 1 else []

    def score(self, items: Sequence[str] | NDArray[np.float32]) -> NDArray[np.float32]:
        """The score (n,) float32 of texts, or of raw vectors (n, d) from the same encoder; lower is better.

        Raises:
            InputError: vectors of another length, or with NaN.
        """
        if self.pricer is None or not _are_vectors(items):
            return self.priced(self.points(items)).f.numpy()
        self._check(items)
        return several.scores(self.terms, self.pricer.vectors(items)).numpy()

    def on(self, device: torch.device | str, products: Products = "float32", *, rows: int = ROWS) -> Potential:
        """The same, with documents priced on a device: `score`, `priced` and `phi`. All else stays on the CPU.

        Args:
            device: `cpu`, `cuda` or `cuda:1`, or `auto` for CUDA where there is any.
            products: of what precision; what a fit can spare is for `gotd.stages.arithmetic.precision_for` to say.
            rows: documents that are on the device at a time, at most.

        Raises:
            SettingsError: there is no such device, or none with float64.
        """
        where = resolve_device(str(device))
        if str(device) == "auto" and where.type != "cuda":
            where = torch.device("cpu")
        if where.type not in ("cpu", "cuda"):
            raise SettingsError(f"device {where}: documents are priced on cpu or cuda, for it has no float64")
        if where.type == "cpu" and products == "float32":
            return replace(self, pricer=None)
        attracts = tuple(term.attract for term in self.terms)
        return replace(self, pricer=Pricer.of(self.space, attracts, self.repel, where, products, rows))

    def priced(self, points: torch.Tensor, weights: torch.Tensor | None = None) -> Priced:
        """The scores of points (n, d), and with weights (n,) the mass that the targets receive from them."""
        phi, col = self._passed(points, weights)
        own = several.own_scores(self.terms, phi) if self.owners else None
        return Priced(several.scores(self.terms, phi), own, col)

    def phi(self, points: torch.Tensor) -> torch.Tensor:
        """phi (t, n) float32 of each term at points (n, d), in units of the cost."""
        return self._passed(points, None)[0]

    def _passed(self, points: torch.Tensor, weights: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        if self.pricer is not None:
            return self.pricer.points(points, weights)
        phi = torch.empty(len(self.terms), len(points))
        cols = [torch.zeros(len(term.attract.g), dtype=torch.float64) for term in self.terms]
        masses = repeat(None) if weights is None else (held for _, _, held in blocks(weights))
        for (start, stop, block), held in zip(blocks(points), masses):
            own = None if self.repel is None else self.repel(block)
            for row, term in enumerate(self.terms):
                found = term.attract.plan_pass(block, held)
                f = found.f if own is None else found.f - own
                phi[row, start:stop] = f[: stop - start]
                cols[row] += found.col
        return phi, torch.cat(cols)

    def no_mass(self) -> torch.Tensor:
        """Zeros (m,), a place for each document of the targets."""
        return torch.zeros(sum(len(term.attract.g) for term in self.terms), dtype=torch.float64)

    def marginal_errors(self, col: torch.Tensor) -> list[float]:
        """The certificate of each term, from the mass (m,) that the targets received."""
        return [marginal_error(part, term.objective.target) for term, part in zip(self.terms, self._parts(col))]

    def stepped(self, col: torch.Tensor) -> Potential:
        """One Sinkhorn step of each term from the mass (m,) that it received, and the levels after it."""
        terms = [
            replace(term, attract=polished(term.attract, part)) for term, part in zip(self.terms, self._parts(col))
        ]
        after = replace(self, terms=tuple(terms), pricer=None)
        weights = self.reference.weights.double()
        levels = [float(weights @ row.double()) for row in after.phi(self.reference.points)]
        return replace(after, terms=tuple(replace(term, level=level) for term, level in zip(terms, levels)))

    def _parts(self, col: torch.Tensor) -> list[torch.Tensor]:
        """The mass (m,) of all targets as that of each."""
        ends = np.cumsum([0, *(len(term.attract.g) for term in self.terms)]).tolist()
        return [col[start:stop] for start, stop in pairwise(ends)]

    def gradient(self) -> tuple[Blend, Measure | None]:
        """The gradient at the reference, to go on from in rounds, and the reference as centroids if debiased."""
        repel = self.repel
        summary = None if repel is None else Measure.of(repel.points, repel.log_b.exp())
        parts = []
        for term in self.terms:
            here = term.objective.at(self.reference, summary=summary, init=term.attract.g)
            parts.append(replace(here, attract=term.attract, repel=repel))
        return Blend(tuple(parts), several.factors(self.terms)), summary

    def points(self, items: Sequence[str] | NDArray[np.float32]) -> torch.Tensor:
        """Texts or raw vectors as points (n, d) of the space."""
        if _are_vectors(items):
            vectors = items
        elif isinstance(items, str):
            raise InputError("score takes a list of texts; found one string. Pass [text]")
        else:
            texts = list(items)
            for number, text in enumerate(texts):
                if not isinstance(text, str):
                    raise InputError(
                        f"score takes texts; item {number} is {text!r:.40}. Drop it, or put '' in its place"
                    )
            vectors = self.encoder.encode(texts)
        self._check(vectors)
        return self.space(vectors)

    def _check(self, vectors: NDArray[np.float32]) -> None:
        if vectors.ndim == 2 and vectors.shape[1] != self.encoder.dim:
            raise InputError(
                f"vectors have {vectors.shape[1]} dimensions, the potential was fitted on {self.encoder.dim}; "
                f"use the encoder it was fitted with, {self.encoder.spec}"
            )

    def save(self, folder: Path | str) -> Path:
        """Write `potential.safetensors` into a folder, whole or not at all."""
        from gotd.potential_file import write

        return write(Path(folder), self)

    @classmethod
    def load(cls, path: Path | str, *, device: str = "auto") -> Potential:
        """Read a potential from its file, or from the folder that holds it.

        Args:
            device: where a transformer encoder runs: `auto`, `cpu`, `cuda`, `mps`.

        Raises:
            ArtifactError: there is none, it is damaged, or its encoder is no longer the same.
        """
        from gotd.potential_file import read  # which makes what is defined here

        return read(Path(path), device)


def _are_vectors(items: Sequence[str] | NDArray[np.float32]) -> TypeGuard[NDArray[np.float32]]:
    """Whether these are numbers; an array may hold texts too, as a column of a table does."""
    return isinstance(items, np.ndarray) and items.dtype.kind in "biuf"
