"""Documents as points of a potential's space, and what each weighs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from gotd.corpus import Document
from gotd.encoders import Encoder
from gotd.errors import InputError
from gotd.potential import Potential
from gotd.selection.budget import estimated_tokens

TextMass = Literal["docs", "tokens"]


def points_of(documents: Sequence[Document], potential: Potential) -> torch.Tensor:
    """Documents as points (n, d): by the vectors that their records carry, else by their texts."""
    return potential.points(vectors_by(potential.encoder, documents))


def masses(documents: Sequence[Document], mass: TextMass) -> torch.Tensor | None:
    """What each document weighs (n,): its estimated tokens, or None where all weigh the same."""
    if mass == "docs":
        return None
    return torch.tensor([float(max(1, estimated_tokens(document.text))) for document in documents])


def masses_as_fitted(documents: Sequence[Document], potential: Potential) -> torch.Tensor | None:
    """The same, as in the fit of the potential."""
    return masses(documents, potential.settings.get("text_mass", "docs"))


def vectors_by(encoder: Encoder, documents: Sequence[Document]) -> NDArray[np.float32]:
    """The vectors (n, d) that the records carry, else those of the texts."""
    if documents[0].vector is not None:
        return vectors_of(documents)
    return encoder.encode([document.text for document in documents])


def vectors_of(documents: Sequence[Document]) -> NDArray[np.float32]:
    """The vectors (n, d) that records carry.

    Raises:
        InputError: one carries none, or they differ in length.
    """
    dims = {0 if d.vector is None else len(d.vector) for d in documents}
    if len(dims) > 1 or 0 in dims:
        raise InputError(
            f"vectors of {sorted(dims)} numbers near document {documents[0].id}; wanted one length for all records"
        )
    return np.stack([d.vector for d in documents if d.vector is not None])
