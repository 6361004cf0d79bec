"""Perplexity against models whose every probability is known."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import torch

from gotd.errors import InputError, SettingsError
from gotd.evaluation.perplexity import perplexity, spans_of

LONG = 150  # words: several windows of 64 positions


@pytest.fixture
def texts(text) -> list[str]:
    return [text(1, True, 3), text(2, False, LONG), text(3, True, 20), "caffè \N{SNOWMAN}"]


@pytest.fixture
def data(write, texts: list[str]) -> str:
    return write("data.jsonl", [{"text": one} for one in texts])


@pytest.mark.parametrize("stride", [None, 1, 63])
def test_a_uniform_causal_model_needs_log2_of_the_vocabulary_a_token(
    gpt: Path, changed, vocabulary: int, data: str, texts: list[str], tmp_path: Path, stride: int | None
) -> None:
    """With no embedding all logits are 0: p = 1 / V, whatever stands before, in any window."""
    uniform = changed(gpt, tmp_path / "uniform", transformer__wte__weight=0.0)
    found = perplexity(str(uniform), data, stride=stride, device="cpu")
    assert found.bits_per_token == pytest.approx(math.log2(vocabulary), rel=1e-6)
    assert found.perplexity == pytest.approx(vocabulary, rel=1e-5)
    assert found.bytes == sum(len(one.encode()) for one in texts)
    assert found.bits_per_byte == pytest.approx(math.log2(vocabulary) * found.tokens / found.bytes, rel=1e-6)
    assert (found.documents, found.strided) == (4, 1)


def test_a_uniform_masked_model_too(mlm: Path, changed, data: str, texts: list[str], tmp_path: Path) -> None:
    zero = {"bert__embeddings__word_embeddings__weight": 0.0, "cls__predictions__bias": 0.0}
    uniform = changed(mlm, tmp_path / "uniform", **zero)
    found = perplexity(str(uniform), data, device="cpu")
    assert found.kind == "masked"
    assert found.bits_per_token == pytest.approx(math.log2(85), rel=1e-6)
    assert (found.tokens, found.unknown) == (sum(len(one.split()) for one in texts), 2)


def test_a_unigram_model_by_hand(gpt: Path, unigram, vocabulary: int, data: str, texts: list[str]) -> None:
    """Nats are the sum of -log p over the tokens."""
    from transformers import AutoTokenizer

    logs = torch.randn(vocabulary, generator=torch.Generator().manual_seed(1)).log_softmax(0)
    tokenizer = AutoTokenizer.from_pretrained(gpt)
    counts = Counter(token for one in texts for token in tokenizer(one)["input_ids"])
    nats = -sum(float(logs[token]) * count for token, count in counts.items())
    found = perplexity(str(unigram(logs)), data, device="cpu")
    assert found.tokens == sum(counts.values())
    assert found.loss == pytest.approx(nats / found.tokens, rel=1e-5)
    assert found.bits_per_byte == pytest.approx(nats / math.log(2) / found.bytes, rel=1e-5)


def test_a_short_text_is_one_pass_of_the_model(gpt: Path, write, text, tmp_path: Path) -> None:
    """By the library's own loss: EOS, then the text, each token predicted from those before it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    short = text(5, True, 10)
    ids = torch.tensor([[0, *AutoTokenizer.from_pretrained(gpt)(short)["input_ids"]]])
    with torch.no_grad():
        expected = float(AutoModelForCausalLM.from_pretrained(gpt).eval()(ids, labels=ids).loss)
    found = perplexity(str(gpt), write("short.jsonl", [{"text": short}]), device="cpu")
    assert found.loss == pytest.approx(expected, rel=1e-5)


def test_a_long_text_by_hand_window_by_window(gpt: Path, write, text) -> None:
    """Window 16, stride 4: 15 tokens of text at a time, of which all but the first window score what is new."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    long = text(6, True, 20)
    tokens = AutoTokenizer.from_pretrained(gpt)(long)["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(gpt).eval()
    nats, done, start = 0.0, 0, 0
    while done < len(tokens):
        start = min(start, max(0, len(tokens) - 15))
        part = tokens[start : start + 15]
        with torch.no_grad():
            logs = model(torch.tensor([[0, *part]])).logits[0].log_softmax(-1)
        nats -= sum(float(logs[i, part[i]]) for i in range(done - start, len(part)))
        done, start = start + len(part), start + 4
    assert len(tokens) > 30
    assert (len(tokens) - 15) % 4  # the last window is moved back to be full
    found = perplexity(str(gpt), write("long.jsonl", [{"text": long}]), window=16, stride=4, device="cpu")
    assert found.loss == pytest.approx(nats / len(tokens), rel=1e-5)


def test_a_masked_model_guesses_each_token_from_both_sides(mlm: Path, write, text) -> None:
    """By the library's logits, one hidden token at a time."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    short = text(7, True, 6)
    ids = AutoTokenizer.from_pretrained(mlm)(short, return_tensors="pt")["input_ids"]
    model = AutoModelForMaskedLM.from_pretrained(mlm).eval()
    nats = 0.0
    for place in range(1, ids.shape[1] - 1):
        hidden = ids.clone()
        hidden[0, place] = 4  # [MASK]
        with torch.no_grad():
            nats -= float(model(hidden).logits[0, place].log_softmax(-1)[ids[0, place]])
    found = perplexity(str(mlm), write("short.jsonl", [{"text": short}]), batch=4, device="cpu")
    assert found.loss * found.tokens == pytest.approx(nats, rel=1e-5)
    assert found.tokens == 6


@pytest.mark.parametrize(("count", "body", "stride"), [(1, 8, 4), (8, 8, 4), (9, 8, 4), (40, 8, 3), (41, 8, 8)])
def test_each_token_is_scored_once_and_most_stands_before_it(count: int, body: int, stride: int) -> None:
    spans = list(spans_of(7, list(range(count)), body, stride))
    assert [token for span in spans for token in span.ids[span.start :]] == list(range(count))
    assert all(len(span.ids) <= body and span.document == 7 for span in spans)
    assert all(span.start >= body - stride for span in spans[1:])


def test_batches_change_nothing(gpt: Path, data: str) -> None:
    """Padding is never scored nor seen."""
    alone, together = (perplexity(str(gpt), data, batch=size, device="cpu") for size in (1, 16))
    assert alone.loss == pytest.approx(together.loss, rel=1e-6)


def test_what_cannot_be_scored_says_so(gpt: Path, changed, data: str, write, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="stride is 99; wanted 1 to 63"):
        perplexity(str(gpt), data, stride=99, device="cpu")
    with pytest.raises(SettingsError, match="window is 900 tokens, and the model takes 64"):
        perplexity(str(gpt), data, window=900, device="cpu")
    broken = changed(gpt, tmp_path / "broken", transformer__ln_f__bias=float("nan"))
    with pytest.raises(InputError, match="not finite"):
        perplexity(str(broken), data, device="cpu")
    with pytest.raises(InputError, match="the data holds no document"):
        perplexity(str(gpt), write("none.jsonl", [b"{"]), device="cpu")
    with pytest.raises(SettingsError, match=r"the model id .* could not be loaded|no model could be loaded"):
        perplexity(str(tmp_path), data, device="cpu")


def test_out_of_memory_says_what_to_lower(gpt: Path, data: str, monkeypatch) -> None:
    from transformers import GPT2LMHeadModel

    def cramped(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(GPT2LMHeadModel, "forward", cramped)
    with pytest.raises(SettingsError, match=r"with 8 windows of 64 tokens at a time. Pass --batch-size 4"):
        perplexity(str(gpt), data, device="cpu")
    with pytest.raises(SettingsError, match="Pass --window 32"):
        perplexity(str(gpt), data, batch=1, device="cpu")
