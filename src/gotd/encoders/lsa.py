"""Latent semantic analysis: hashed words weighted by rarity, projected on their leading directions.

    x(text) = p + sum_w (1 + log tf_w) idf_w v_w        idf_w = 1 + log((1 + n) / (1 + df_w))

over the hashed words w of a text (`hashing`), where v_w, row w of V (F, d), comes from the truncated singular
value decomposition U S V^T of the n fit texts, each row scaled to unit length (Deerwester et al. 1990; Halko
et al. 2011). p is PRIOR times the mean of these sums over the fit texts, as if every text went on for a while as texts
do: else one of five words would be its rarest word, and near whatever repeats that (docs/log.md).

Differs from scikit-learn's `TfidfVectorizer` + `TruncatedSVD` in these points: words are hashed, so nothing
grows with the vocabulary; a text is not scaled to unit length before the projection, for only directions
count downstream; idf and V are one matrix of bytes with a scale a row, which with p is the whole fitted encoder and
part of the selector's file (6 MB for 25,000 mixed texts; float32 selects no better).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.hashing import BITS, Counts, batches, count_words
from gotd.encoders.protocol import digest
from gotd.errors import InputError

if TYPE_CHECKING:
    import torch

DIM = 200
# One power iteration leaves a little of the lesser directions in: faster than four, better on short texts.
POWER_ITERATIONS = 1
OVERSAMPLED = 10
# A word of fewer fit texts says little about what goes with what. In a small fit every word counts.
LEAST_TEXTS = 3
SMALL_FIT = 100
# Directions below this share of the first singular value are rounding noise, as identical texts leave.
RANK_TOLERANCE = 1e-4
PRIOR = 0.3
_SETTINGS = {"kind": "lsa", "bits": BITS, "hashing": 1}


@dataclass(frozen=True)
class Lsa:
    """A fitted LSA encoder.

    Attributes:
        features: (r,) uint16 the hashed words that were fitted, ascending; any other word is passed over.
        projection: (r, d) int8 idf_w v_w of each, a row in units of its scale.
        scales: (r,) float32.
        prior: (d,) float32, p of the formula.
    """

    features: NDArray[np.uint16]
    projection: NDArray[np.int8]
    scales: NDArray[np.float32]
    prior: NDArray[np.float32]
    spec: str = "lsa"

    @property
    def dim(self) -> int:
        return int(self.projection.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        return digest(_SETTINGS, (self.features, self.projection, self.scales, self.prior))

    @cached_property
    def _lookup(self) -> tuple[NDArray[np.int32], torch.Tensor]:
        """Row of each feature in the table, 0 for the unknown; the (1 + r, d) table, whose row 0 is zero."""
        import torch

        rows = np.zeros(1 << BITS, np.int32)
        rows[self.features] = np.arange(1, len(self.features) + 1)
        table = np.zeros((len(self.features) + 1, self.dim), np.float32)
        np.multiply(self.projection, self.scales[:, None], out=table[1:])
        return rows, torch.from_numpy(table)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) vectors; all zero for a text of which no word was seen in the fit."""
        from torch import from_numpy
        from torch.nn.functional import embedding_bag

        rows, table = self._lookup
        vectors = np.empty((len(texts), self.dim), np.float32)
        done = 0
        for batch in batches(texts):
            words = count_words(batch)
            # One bag a text, summed in the order of its features: the same bits whatever the batch.
            vectors[done : done + len(batch)] = embedding_bag(
                from_numpy(rows[words.features]),
                table,
                from_numpy(words.starts[:-1].astype(np.int32)),
                mode="sum",
                per_sample_weights=from_numpy(_dampened(words)),
            ).numpy()
            done += len(batch)
        vectors[vectors.any(1)] += self.prior
        return vectors

    def config(self) -> dict[str, Any]:
        return {**_SETTINGS, "spec": self.spec, "dim": self.dim, "fingerprint": self.fingerprint}

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {"features": self.features, "projection": self.projection, "scales": self.scales, "prior": self.prior}


def fit_lsa(texts: Sequence[str], *, dim: int = DIM, seed: int = 0) -> Lsa:
    """Fit on `texts`, at best some 20,000 of reference and target; a few texts give fewer dimensions."""
    from scipy.sparse import csr_matrix
    from sklearn.utils.extmath import randomized_range_finder

    parts = [count_words(batch) for batch in batches(texts)]
    if not any(len(part.features) for part in parts):
        raise InputError(
            f"lsa is fitted on words, and the {len(texts)} texts given hold no letter or digit. Pass texts with words."
        )
    columns = np.concatenate([part.features for part in parts])
    per_text = np.concatenate([np.diff(part.starts) for part in parts])
    df = np.bincount(columns, minlength=1 << BITS)
    # Where no word comes so often, as among texts of a word each, every word counts too.
    least = LEAST_TEXTS if len(texts) > SMALL_FIT and df.max() >= LEAST_TEXTS else 1
    features = np.flatnonzero(df >= least)
    idf = (1 + np.log((1 + len(texts)) / (1 + df[features]))).astype(np.float32)

    weights = np.concatenate([_dampened(part) for part in parts])
    starts = np.concatenate([[0], np.cumsum(per_text)])
    seen = csr_matrix((weights, columns, starts), shape=(len(texts), 1 << BITS))[:, features]
    seen.data *= idf[seen.indices]
    rows = np.repeat(np.arange(len(texts)), np.diff(seen.indptr))
    seen.data /= np.sqrt(np.bincount(rows, seen.data**2)).astype(np.float32)[rows]

    rank = min(dim, *seen.shape)
    basis = randomized_range_finder(
        seen, size=min(rank + OVERSAMPLED, *seen.shape), n_iter=POWER_ITERATIONS, random_state=seed
    )
    # The right singular vectors of B = Q^T A from the small B B^T: the same, without a dense SVD of B.
    part = (seen.T @ basis).T.astype(np.float64)
    values, vectors = np.linalg.eigh(part @ part.T)
    s = np.sqrt(np.maximum(values[::-1][:rank], 0))
    kept = s > RANK_TOLERANCE * s[0]
    projection = idf[:, None] * (part.T @ (vectors[:, ::-1][:, :rank][:, kept] / s[kept])).astype(np.float32)
    # A row that is zero up to rounding keeps a scale above 0.
    scales = np.maximum(np.abs(projection).max(1), np.finfo(np.float32).tiny) / 127
    rounded = np.rint(projection / scales[:, None]).astype(np.int8)
    counts = np.bincount(columns, weights, minlength=1 << BITS)[features]
    prior = PRIOR / len(texts) * (counts * scales) @ rounded.astype(np.float64)
    return Lsa(features.astype(np.uint16), rounded, scales, prior.astype(np.float32))


def restore_lsa(config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Lsa:
    return Lsa(tensors["features"], tensors["projection"], tensors["scales"], tensors["prior"], config["spec"])


def _dampened(words: Counts) -> NDArray[np.float32]:
    return 1 + np.log(words.counts, dtype=np.float32)
