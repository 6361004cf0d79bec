"""How well a language model predicts texts: nats a token, perplexity, and bits a byte.

    loss = -(1 / T) sum_t log p(x_t | what stands before it, up to a window)
    bits a byte = sum_t -log2 p(x_t | ...) / bytes of the texts

Tokens are the tokeniser's, so loss and perplexity compare two models of one tokeniser alone; bits a byte compare any.
Each document stands by itself behind its BOS token (EOS where there is no BOS), so that its first token is predicted
too. A document longer than the window is read in windows that overlap: each token is scored once, in the window
where most stands before it. EOS at the end of a document is not scored: it is no byte of the text.

A masked model has no such likelihood. What is given is the pseudo-likelihood of Salazar et al. (2020): each token is
hidden in turn and predicted from both sides. It compares masked models with each other, never with causal ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.nn import functional

from gotd.artifacts import digest
from gotd.corpus import Fields, Inputs, OnError, Reject
from gotd.engine import Progress, silent
from gotd.errors import InputError, SettingsError
from gotd.evaluation.likelihood import language_model, nats_of, start_token
from gotd.training.documents import texts_of
from gotd.training.memory import room_for
from gotd.training.models import check_finished, need_training
from gotd.training.settings import Kind

_SCORED_AHEAD = 64  # windows to sort by length before they are cut into batches


@dataclass(frozen=True, slots=True)
class Perplexity:
    """What a model makes of the texts.

    Attributes:
        kind: `causal`, or `masked` for pseudo-likelihoods.
        loss: nats a token.
        perplexity: exp(loss).
        bits_per_byte: of UTF-8.
        bits_per_token: loss / log 2.
        documents, tokens, bytes: what was scored.
        strided: documents longer than the window.
        unknown: tokens that stand for what the tokeniser does not know; their bytes were not truly predicted.
        window, stride: tokens.
        rejected: rows that gave no text.
        seconds: in the model.
    """

    kind: Kind
    loss: float
    perplexity: float
    bits_per_byte: float
    bits_per_token: float
    documents: int
    tokens: int
    bytes: int
    strided: int
    unknown: int
    window: int
    stride: int
    rejected: int
    seconds: float

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Span:
    """One window: tokens `ids`, of which those from `start` on are scored here. `document` is their document."""

    document: int
    ids: list[int]
    start: int


def perplexity(
    model: str,
    data: Inputs,
    *,
    fields: Fields | None = None,
    max_docs: int | None = None,
    window: int | None = None,
    stride: int | None = None,
    batch: int = 8,
    device: str = "auto",
    seed: int = 0,
    on_error: OnError = "skip",
    progress: Progress = silent,
) -> Perplexity:
    """Score texts with a language model.

    Args:
        model: folder or hub name.
        data: files, or the folder of a selection.
        max_docs: a uniform sample of so many documents.
        window: tokens at once; left out, what the model takes up to 1024.
        stride: tokens by which windows of a long document move on; left out, half the window.
        batch: windows at a time.

    Raises:
        SettingsError: the model is no language model, has no token to start with, or memory ran out.
    """
    need_training("evaluate perplexity")
    check_finished(model)
    texts = texts_of(data, fields, size=max_docs, seed=seed, on_error=on_error)
    scored = score_texts(model, texts.texts, window, stride, batch, device, progress)
    return summary(scored, texts.texts, texts.rejects)


@dataclass(frozen=True, slots=True)
class Scored:
    """Nats and tokens of each document.

    Attributes:
        cut: digest of all tokens; two tokenisers of which it is the same cut these texts alike.
    """

    kind: Kind
    nats: list[float]
    tokens: list[int]
    cut: str
    strided: int
    unknown: int
    window: int
    stride: int
    seconds: float


def score_texts(
    name: str,
    texts: Sequence[str],
    window: int | None,
    stride: int | None,
    batch: int,
    device: str,
    progress: Progress = silent,
) -> Scored:
    """Nats of each text under the model."""
    reader = language_model(name, device, window)
    kind, model, tokenizer, longest = reader.kind, reader.model, reader.tokenizer, reader.window
    before, after, body, step = cut_of(tokenizer, kind, longest, stride)
    tokens = [
        ids
        for start in range(0, len(texts), 1_000)
        for ids in tokenizer(list(texts[start : start + 1_000]), add_special_tokens=False)["input_ids"]
    ]
    if not any(tokens):
        raise InputError(f"the {len(texts)} texts hold no token; pass texts with words")
    spans = [span for i, ids in enumerate(tokens) for span in spans_of(i, ids, body, step)]
    nats = [0.0] * len(texts)
    started = time.perf_counter()
    score: _Causal | _Masked
    score = _Causal(model, before, batch) if kind == "causal" else _Masked(model, tokenizer, before, after, batch)
    smaller = f"--batch-size {batch // 2}" if batch > 1 else f"--window {longest // 2}"
    with room_for(f"{batch} windows of {longest} tokens", smaller):
        for number, (document, value) in enumerate(score(spans)):
            nats[document] += value
            progress("scoring", number + 1, len(spans))
    if not all(math.isfinite(value) for value in nats):
        raise InputError(f"{name}: the loss of a text is not finite; the weights are damaged, or overflow in float16")
    unknown = tokenizer.unk_token_id
    return Scored(
        kind,
        nats,
        [len(ids) for ids in tokens],
        digest(tokens),
        sum(len(ids) > body for ids in tokens),
        0 if unknown is None else sum(ids.count(unknown) for ids in tokens),
        longest,
        step,
        time.perf_counter() - started,
    )


def summary(scored: Scored, texts: Sequence[str], rejects: Sequence[Reject] = ()) -> Perplexity:
    """Sums over all documents."""
    nats, tokens = math.fsum(scored.nats), sum(scored.tokens)
    size = sum(map(bytes_of, texts))
    loss = nats / tokens
    return Perplexity(
        kind=scored.kind,
        loss=loss,
        perplexity=math.exp(loss) if loss < 700 else math.inf,
        bits_per_byte=nats / math.log(2) / size,
        bits_per_token=loss / math.log(2),
        documents=len(texts),
        tokens=tokens,
        bytes=size,
        strided=scored.strided,
        unknown=scored.unknown,
        window=scored.window,
        stride=scored.stride,
        rejected=len(rejects),
        seconds=scored.seconds,
    )


def bytes_of(text: str) -> int:
    """In UTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def spans_of(document: int, ids: Sequence[int], body: int, stride: int) -> Iterator[Span]:
    """Windows of at most `body` tokens; each token is scored in one of them, the first that reaches it."""
    done = start = 0
    while done < len(ids):
        stop = min(start + body, len(ids))
        yield Span(document, list(ids[start:stop]), done - start)
        done, start = stop, min(start + stride, max(0, len(ids) - body))


def cut_of(tokenizer: Any, kind: Kind, window: int, stride: int | None) -> tuple[list[int], list[int], int, int]:
    """How texts are cut: tokens before and after each window that are no text, those that are, and the stride.

    Raises:
        SettingsError: the stride goes beyond the window, or the tokenizer lacks a token.
    """
    before, after = _around(tokenizer, kind)
    body = window - len(before) - len(after)
    step = max(1, body // 2) if stride is None else stride
    if not 1 <= step <= body:
        raise SettingsError(f"stride is {step}; wanted 1 to {body}, the tokens of a window that are text")
    return before, after, body, step


def _around(tokenizer: Any, kind: Kind) -> tuple[list[int], list[int]]:
    """Tokens before and after a window that are no text."""
    if kind == "causal":
        return [start_token(tokenizer)], []
    if tokenizer.mask_token_id is None:
        raise SettingsError("the tokenizer has no mask token, which a masked model needs; set tokenizer.mask_token")
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    return [] if first is None else [first], [] if last is None else [last]


def _batches(spans: Sequence[Span], size: int) -> Iterator[list[Span]]:
    """Windows of like length together."""
    for start in range(0, len(spans), size * _SCORED_AHEAD):
        near = sorted(spans[start : start + size * _SCORED_AHEAD], key=lambda span: -len(span.ids))
        yield from (near[i : i + size] for i in range(0, len(near), size))


@dataclass(frozen=True, slots=True)
class _Causal:
    model: Any
    before: list[int]
    batch: int

    def __call__(self, spans: Sequence[Span]) -> Iterator[tuple[int, float]]:
        """(document, nats) of each window."""
        for group in _batches(spans, self.batch):
            rows = [self.before + span.ids for span in group]
            scored = [len(span.ids) - span.start for span in group]
            yield from zip((span.document for span in group), nats_of(self.model, rows, scored))


@dataclass(frozen=True, slots=True)
class _Masked:
    model: Any
    tokenizer: Any
    before: list[int]
    after: list[int]
    batch: int

    def __call__(self, spans: Sequence[Span]) -> Iterator[tuple[int, float]]:
        for span in spans:
            ids = torch.tensor(self.before + span.ids + self.after, device=self.model.device)
            places = range(len(self.before) + span.start, len(self.before) + len(span.ids))
            total = 0.0
            for start in range(0, len(places), self.batch):
                total += self._nats(ids, torch.tensor(places[start : start + self.batch], device=ids.device))
            yield span.document, total

    @torch.inference_mode()
    def _nats(self, ids: torch.Tensor, places: torch.Tensor) -> float:
        """Each of the places hidden in a copy of its own."""
        rows = ids.repeat(len(places), 1)
        number = torch.arange(len(places), device=ids.device)
        rows[number, places] = self.tokenizer.mask_token_id
        logs = self.model(input_ids=rows, attention_mask=torch.ones_like(rows)).logits[number, places].float()
        return float(functional.cross_entropy(logs, ids[places], reduction="none").double().sum())
