"""`dsir`: importance resampling with hashed n-grams (Xie et al., NeurIPS 2023, arXiv 2302.03169).

    p(v), q(v)    share of bucket v among the words and pairs of words of the target, and of the reference
    log w(x)      = sum over the n-grams v of x of log(p(v) + 1e-8) - log(q(v) + 1e-8)
    score(x)      = -(log w(x) + Gumbel(seed, id of x))

The k lowest are k documents drawn without replacement, each time by weight (Gumbel top-k). Tokens, hash, buckets and
weights are those of the authors' package, `data-selection`, to rounding. It differs in these points:

- tokens are cut by Python's `re`, as NLTK did when the package was written; recent NLTK takes `regex`, to which a
  raised 2 or a half is no letter of a word;
- the package fits q on the whole pool, this on the sample of the reference (and does not look at its weights);
- its noise comes from one generator over all rows; here it belongs to the document;
- it leaves out documents below 100 tokens; here none is left out, `min_chars` of the corpus is the place for that;
- it takes several targets apart; here p is the mean of their shares, by weight.

log w is a sum, not a mean: it grows with the length of a text, and noise of a few units seldom moves its rank.
From file to score it takes 1.3 to 2.1 times gotd's seconds (docs/methods.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gotd.encoders.hashing import batches
from gotd.errors import InputError, SettingsError
from gotd.selection.methods.draws import gumbel
from gotd.selection.methods.ngrams import NgramHasher
from gotd.selection.methods.options import positive, read_options
from gotd.selection.methods.protocol import Batch, Samples

_FLOOR = 1e-8
OPTIONS = {"noise": True, "buckets": 10_000}


@dataclass(frozen=True, slots=True)
class DSIR:
    """Importance weights of texts.

    Attributes:
        log_ratio: (buckets,) float64 log of the target's share over the reference's.
        seed: of the noise.
        noise: whether documents are drawn by weight; if not, those of highest weight are taken.
    """

    name: ClassVar[str] = "dsir"
    needs_points: ClassVar[bool] = False
    log_ratio: Tensor
    seed: int
    noise: bool

    def log_weights(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """log w (n,) of texts; 0 for a text without tokens."""
        ratio, hasher = self.log_ratio.numpy(), _hasher(len(self.log_ratio))
        parts = []
        for some in batches(texts):
            owner, bucket = hasher(some)
            # bincount adds in the order of the text, whatever else is in the batch: one text, one sum of bits.
            parts.append(np.bincount(owner, ratio[bucket], minlength=len(some)))
        return np.concatenate([np.zeros(0), *parts])

    def score(self, batch: Batch) -> NDArray[np.float32]:
        weights = self.log_weights(batch.texts)
        if self.noise:
            weights += gumbel(self.seed, batch.ids, "gotd-dsir")
        return (-weights).astype(np.float32)

    def config(self) -> dict[str, Any]:
        return {"method": self.name, "seed": self.seed, "noise": self.noise}

    def tensors(self) -> dict[str, Tensor]:
        return {"log_ratio": self.log_ratio}


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options: `noise`, true (default) or false; `buckets`, 10000."""
    found = read_options(DSIR.name, options, OPTIONS)
    if not positive(DSIR.name, "buckets", found["buckets"]) <= 1 << 24:
        raise SettingsError(f"dsir: buckets is {found['buckets']}; wanted {1 << 24} at most")
    return found


def fit(samples: Samples, seed: int, options: Mapping[str, Any]) -> DSIR:
    """With options that `checked` has read."""
    buckets = options["buckets"]
    target = _pooled(samples, buckets)
    reference = _shares(samples.reference_texts, buckets, "reference")
    ratio = np.log(target + _FLOOR) - np.log(reference + _FLOOR)
    return DSIR(torch.from_numpy(ratio), seed, options["noise"])


def restore(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> DSIR:
    return DSIR(tensors["log_ratio"], config["seed"], config["noise"])


def _pooled(samples: Samples, buckets: int) -> NDArray[np.float64]:
    """p (buckets,) of the target; of several the mean by weight, however long their texts are."""
    texts = samples.target_texts
    if len(samples.target_parts) < 2:
        return _shares(texts, buckets, "target")
    shares, start = np.zeros(buckets), 0
    for count, weight in samples.target_parts:
        shares += weight * _shares(texts[start : start + count], buckets, "target")
        start += count
    return shares


def _shares(texts: Sequence[str], buckets: int, whose: str) -> NDArray[np.float64]:
    """(buckets,) share of each among all n-grams of the texts."""
    hasher = _hasher(buckets)
    counts = np.zeros(buckets, np.int64)
    for some in batches(texts):
        counts += np.bincount(hasher(some)[1], minlength=buckets)
    if not counts.sum() > 0:
        raise InputError(f"dsir counts words and the {whose} has none, in {len(texts)} texts; choose another --method")
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


@lru_cache(maxsize=1)
def _hasher(buckets: int) -> NgramHasher:
    """A worker hashes a word once."""
    return NgramHasher(buckets)
