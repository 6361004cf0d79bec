"""Five times as many documents of the reference as the fit is made on, to correct it by.

The potentials are found on the sample. Of what that leaves to chance, how many documents stand behind each centroid of
f_PP moves the ranking most, and then how much mass each target receives from f_PT (docs/log.md). Both are measured
again on more documents: two Lloyd steps, and one Sinkhorn step. Reading them costs seconds where vectors cost little;
a transformer would take as long again as for its fit, five times over, so its fit stays that of the sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import torch

from gotd.corpus import Document, Fields, File, OnError, Sampled, share_of_rows
from gotd.encoders import Encoder
from gotd.engine import Progress
from gotd.stages.points import TextMass, masses, vectors_by
from gotd.transport import Measure, Space

TIMES = 5
_BATCH = 2048
_SLACK = 2_000  # a share of the rows is drawn, not a number of them
_CHEAP = ("lsa", "static", "lsa+static", "model2vec", "precomputed")


def more_of(
    base: Sampled,
    files: Sequence[File],
    fields: Fields,
    encoder: Encoder,
    space: Space,
    *,
    text_mass: TextMass,
    seed: int,
    on_error: OnError,
    progress: Progress,
) -> Measure | None:
    """Points (n, d) in half precision, with weights; None where the sample is all there is, or vectors are dear.

    Args:
        base: the sample that the fit is made on.
        files, fields: where there are more.
        text_mass: whether a document weighs one or its tokens.
    """
    if base.rows <= len(base.documents) or not is_cheap(encoder):
        return None
    share = TIMES * len(base.documents) / base.rows
    # One block of half precision: it is given back whole, and rounds the means by less than the sample does.
    most = min(base.rows, TIMES * len(base.documents) + _SLACK)
    found, weights, count = torch.empty(most, encoder.dim, dtype=torch.float16), torch.ones(most), 0
    for documents in _batches(share_of_rows(files, fields, share, seed, on_error)):
        carried = [d for d in documents if d.vector is None or len(d.vector) == encoder.dim][: most - count]
        if not carried:
            continue
        rows = slice(count, count + len(carried))
        found[rows] = space(vectors_by(encoder, carried)).half()
        each = masses(carried, text_mass)
        if each is not None:
            weights[rows] = each
        count += len(carried)
        progress("embedding more of the reference", count, most)
    return Measure(found[:count], weights[:count] / weights[:count].sum())


def is_cheap(encoder: Encoder) -> bool:
    """Whether its vectors cost about as much as reading the text."""
    return encoder.config()["kind"] in _CHEAP


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    while taken := list(islice(documents, _BATCH)):
        yield taken
