"""`all-target`: the target's documents in place of candidates.

The potential remembers the files of its target. They are read again, whole, and go in the order of the method's draw
through the same budget, duplicates and caps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np

from gotd.corpus import Document, Fields, File, Sampled, find, sample
from gotd.errors import InputError
from gotd.potential import Potential
from gotd.selection.budget import Budget
from gotd.selection.methods.all_target import AllTarget
from gotd.selection.ranking import Picked
from gotd.selection.tokens import load_tokenizer, token_counts
from gotd.stages.picking import Beyond, Choice, PickSettings, pick
from gotd.stages.scores import Scores


def target_alone(
    scored: Scores, budget: Budget, how: PickSettings, potential: Potential, method: AllTarget, seed: int
) -> Choice:
    """The target's own documents within the budget; the pool is ranked for the random choice to compare with.

    Raises:
        InputError: a file of the target changed since the fit, or is gone.
    """
    found = _read(potential)
    scores = method.of_target([document.id for document in found.documents])
    order = np.argsort(scores, kind="stable")
    documents = [found.documents[row] for row in order.tolist()]
    best = _picked(documents, scores[order], scored.tokenizer)
    ranking = scored.ranked(budget, seed=seed)
    filled = np.cumsum(best.tokens, dtype=np.int64)
    size = int((filled <= budget.amount).sum()) if budget.unit == "tokens" else ranking.size
    chosen = pick(documents, best.tokens.tolist(), budget, size, how, potential, Beyond())
    counts = {
        "read": len(documents) + len(found.rejects),
        "selected": len(chosen.rows),
        "not_selected": len(documents) - len(chosen.rows),
        "rejected": len(found.rejects),
    }
    return Choice(replace(ranking, best=best), chosen, [documents[row] for row in chosen.rows], counts)


def _read(potential: Potential) -> Sampled:
    """All of the target; the rejects of the fit name the rows that cannot be read."""
    kept = potential.settings["targets"]
    files = [File(**file) for of_one in kept["files"] for file in of_one]
    for now, then in zip(find([file.path for file in files]), files):
        if now.digest != then.digest:
            raise InputError(f"{then.path} changed since the selector was fitted on it. Fit it again")
    return sample(files, replace(Fields(**kept["fields"]), vector_length=potential.encoder.dim), None, 0)


def _picked(
    documents: Sequence[Document], scores: np.ndarray[Any, np.dtype[np.float32]], tokenizer: dict[str, str] | None
) -> Picked:
    counter = None if tokenizer is None else load_tokenizer(tokenizer["name"])
    return Picked(
        id=[document.id for document in documents],
        score=scores,
        tokens=token_counts([document.text for document in documents], counter),
        file=np.zeros(len(documents), dtype=np.int32),
        position=np.array([document.position for document in documents], dtype=np.int64),
        piece=np.array([document.piece for document in documents], dtype=np.int32),
        checksum=np.array([crc32(document.record) for document in documents], dtype=np.uint32),
    )
