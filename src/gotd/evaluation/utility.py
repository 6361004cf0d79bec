"""What is a model still worth on text like that of its pretraining, and what did training on other text cost there?

    forgotten = bits a byte after - bits a byte before

over the same documents. Kang et al. (2024, section 4.1) give the perplexity on held-out text of the pretraining as the
utility of a detoxified model. Bits a byte say the same of models with different tokenisers, whose perplexities do not
compare: they are of different tokens.

The intervals are a bootstrap over documents. That of the difference draws the same documents for both models: how
hard a document is falls out, so it is far narrower than the intervals of the two figures.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gotd.corpus import Fields, Inputs, OnError
from gotd.engine import Progress, silent
from gotd.errors import InputError, SettingsError
from gotd.evaluation.metrics import Labels, bootstrap
from gotd.evaluation.perplexity import Perplexity, Scored, bytes_of, score_texts, summary
from gotd.evaluation.unseen import refuse_seen
from gotd.training.documents import texts_of
from gotd.training.models import check_finished, kind_of, need_training, quiet


@dataclass(frozen=True, slots=True)
class Forgotten:
    """By how much the model predicts the texts worse than before.

    Attributes:
        bits_per_byte: after less before; below 0 it is better.
        low, high: 95 % interval, of other documents.
        share: of the bits a byte before.
        worse: documents that it predicts worse.
        outcome: `forgotten` or `gained` where the interval leaves out 0, else `open`.
        same_tokens: whether the two tokenisers cut the texts alike, so that perplexities compare too.
    """

    bits_per_byte: float
    low: float
    high: float
    share: float
    worse: int
    outcome: Literal["forgotten", "gained", "open"]
    same_tokens: bool


@dataclass(frozen=True, slots=True)
class Utility:
    """What a model makes of the reference.

    Attributes:
        model: its figures.
        low, high: 95 % interval of its bits a byte.
        before: figures of the model that it was made from, if that was named.
        forgotten: the difference, if that was named.
    """

    model: Perplexity
    low: float
    high: float
    before: Perplexity | None
    forgotten: Forgotten | None

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def utility(
    model: str,
    reference: Inputs,
    *,
    before: str | None = None,
    fields: Fields | None = None,
    max_docs: int | None = None,
    window: int | None = None,
    stride: int | None = None,
    batch: int = 8,
    device: str = "auto",
    seed: int = 0,
    on_error: OnError = "skip",
    progress: Progress = silent,
) -> Utility:
    """Score text like that of the pretraining, with a model and with the one that it was made from.

    Args:
        model: folder or hub name.
        reference: held-out text; not what was replayed in the warm-up.
        before: folder or hub name of the model before the training. It reads in the windows of `model`.
        seed: of the sample and the bootstrap.

    Raises:
        SettingsError: the model was trained on the reference, or the two models are of different kinds.
        InputError: fewer than two documents.
    """
    need_training("evaluate utility")
    both = [model] if before is None else [model, before]
    for name in both:
        check_finished(name)
        refuse_seen(name, reference, "held-out text like it")
    _check_kinds(both)
    read = texts_of(reference, fields, size=max_docs, seed=seed, on_error=on_error, what="reference")
    if len(read.texts) < 2:
        raise InputError("the reference holds 1 document; wanted 2 or more, to tell how far other text would differ")
    after = score_texts(model, read.texts, window, stride, batch, device, progress)
    earlier = before and score_texts(before, read.texts, after.window, after.stride, batch, device, progress)
    sizes = np.array([bytes_of(text) for text in read.texts], np.float64)
    low, high = _interval(_bits(after), sizes, seed)
    return Utility(
        model=summary(after, read.texts, read.rejects),
        low=low,
        high=high,
        before=summary(earlier, read.texts, read.rejects) if earlier else None,
        forgotten=_forgotten(after, earlier, sizes, seed) if earlier else None,
    )


def _check_kinds(names: list[str]) -> None:
    with quiet():
        kinds = {name: kind_of(name) for name in names}
    if len(set(kinds.values())) > 1:
        found = " and ".join(f"{name} is {kind}" for name, kind in kinds.items())
        raise SettingsError(f"{found}: a pseudo-likelihood compares with masked models alone; pass two of one kind")


def _forgotten(after: Scored, before: Scored, sizes: NDArray[np.float64], seed: int) -> Forgotten:
    more = _bits(after) - _bits(before)
    low, high = _interval(more, sizes, seed)
    return Forgotten(
        bits_per_byte=float(more.sum() / sizes.sum()),
        low=low,
        high=high,
        share=float(more.sum() / _bits(before).sum()),
        worse=int((more > 0).sum()),
        outcome="forgotten" if low > 0 else "gained" if high < 0 else "open",
        same_tokens=after.cut == before.cut,
    )


def _bits(scored: Scored) -> NDArray[np.float64]:
    """(n,) of each document."""
    return np.array(scored.nats) / math.log(2)


def _interval(bits: NDArray[np.float64], sizes: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """95 % interval of bits a byte, of documents drawn again."""

    def per_byte(rows: Labels) -> float:
        return float(bits[rows].sum() / sizes[rows].sum())

    low, high = bootstrap(len(bits), per_byte, seed)
    return float(low), float(high)
