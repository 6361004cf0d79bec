"""What is forgotten, between models whose every probability is known."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gotd.errors import InputError, SettingsError
from gotd.evaluation.display import show_utility
from gotd.evaluation.perplexity import perplexity
from gotd.evaluation.utility import utility
from gotd.training.finetune import finetune
from gotd.training.settings import Machine
from gotd.training.warmup import warmup

DOCUMENTS = 40


@pytest.fixture
def texts(text) -> list[str]:
    return [text(i, i % 3 == 0) for i in range(DOCUMENTS)]


@pytest.fixture
def reference(write, texts: list[str]) -> str:
    return write("reference.jsonl", [{"text": one} for one in texts])


@pytest.fixture
def logs(vocabulary: int) -> torch.Tensor:
    return torch.randn(vocabulary, generator=torch.Generator().manual_seed(1)).log_softmax(0)


@pytest.fixture
def uniform(gpt: Path, changed: Callable[..., Path], tmp_path: Path) -> str:
    return str(changed(gpt, tmp_path / "uniform", transformer__wte__weight=0.0))


@pytest.fixture
def bytewise(uniform: str, tmp_path: Path) -> str:
    """The uniform model with a tokenizer that joins no bytes."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator([], vocab_size=257, special_tokens=["<eos>"], show_progress=False)
    folder = tmp_path / "bytewise"
    shutil.copytree(uniform, folder)
    PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, eos_token="<eos>").save_pretrained(folder)
    return str(folder)


def test_what_was_forgotten_by_hand(
    gpt: Path, unigram: Any, uniform: str, vocabulary: int, logs: torch.Tensor, texts: list[str], reference: str
) -> None:
    """Both models price each token alike wherever it stands: bits of a text are a sum over its tokens.

    The difference is a ratio of two means over documents; its standard error is that of the residuals (the delta
    method), of which the bootstrap's interval is 1.96 on either side.
    """
    from transformers import AutoTokenizer

    counts = [Counter(ids) for ids in AutoTokenizer.from_pretrained(gpt)(texts)["input_ids"]]
    extra = -logs / math.log(2) - math.log2(vocabulary)  # bits of each token, after less before
    more = np.array([sum(float(extra[token]) * n for token, n in one.items()) for one in counts])
    sizes = np.array([len(one) for one in texts])
    found = utility(str(unigram(logs)), reference, before=uniform, device="cpu")
    apart = found.forgotten
    assert apart is not None
    assert found.before is not None
    difference = more.sum() / sizes.sum()
    assert apart.bits_per_byte == pytest.approx(difference, rel=1e-4)
    assert found.model.bits_per_byte - found.before.bits_per_byte == pytest.approx(difference, rel=1e-4)
    assert apart.share == pytest.approx(difference / found.before.bits_per_byte, rel=1e-4)
    assert apart.worse == (more > 0).sum()
    error = np.sqrt(((more - difference * sizes) ** 2).sum()) / sizes.sum()
    assert apart.low == pytest.approx(difference - 1.96 * error, abs=0.3 * error)
    assert apart.high == pytest.approx(difference + 1.96 * error, abs=0.3 * error)
    assert (apart.outcome, apart.same_tokens) == ("forgotten", True)
    back = utility(uniform, reference, before=str(Path(uniform).parent / "unigram"), device="cpu").forgotten
    assert back is not None
    assert (back.outcome, back.bits_per_byte) == ("gained", pytest.approx(-difference, rel=1e-4))


def test_a_model_forgets_nothing_of_itself(gpt: Path, reference: str) -> None:
    """Exactly nothing in every resample: the documents are drawn in pairs."""
    found = utility(str(gpt), reference, before=str(gpt), device="cpu")
    apart = found.forgotten
    assert apart is not None
    assert (apart.bits_per_byte, apart.low, apart.high, apart.worse, apart.outcome) == (0.0, 0.0, 0.0, 0, "open")
    assert found.low < found.model.bits_per_byte < found.high


def test_alone_it_is_the_perplexity_with_an_interval(gpt: Path, reference: str) -> None:
    found, plain = utility(str(gpt), reference, device="cpu"), perplexity(str(gpt), reference, device="cpu")
    assert (found.model.bits_per_byte, found.model.perplexity) == (plain.bits_per_byte, plain.perplexity)
    assert found.before is found.forgotten is None


def test_another_tokenizer_compares_by_bytes_alone(
    uniform: str, bytewise: str, vocabulary: int, reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are as lost at each token, so of more tokens a byte comes more bits."""
    found = utility(bytewise, reference, before=uniform, device="cpu")
    apart = found.forgotten
    assert apart is not None
    assert found.before is not None
    assert found.model.perplexity == pytest.approx(found.before.perplexity, rel=1e-5)
    assert found.model.bits_per_byte == pytest.approx(math.log2(vocabulary), rel=1e-5)
    assert (apart.outcome, apart.same_tokens) == ("forgotten", False)
    show_utility(found)
    shown = capsys.readouterr().out
    assert "bits a byte compare, perplexities would not" in shown
    assert f"{found.model.perplexity:.2f}" not in shown


def test_both_read_in_the_windows_of_the_model(gpt: Path, reference: str, write, text) -> None:
    """A model that sees further would look better for that alone."""
    long = write("long.jsonl", [{"text": text(i, True, 60)} for i in range(3)])
    found = utility(str(gpt), long, before=str(gpt), window=16, stride=4, device="cpu")
    assert found.before is not None
    assert (found.before.window, found.before.stride) == (found.model.window, found.model.stride) == (16, 4)


def test_what_is_refused(gpt: Path, mlm: Path, reference: str, write) -> None:
    with pytest.raises(SettingsError, match=r"gpt0? is causal and .* is masked: a pseudo-likelihood compares with"):
        utility(str(gpt), reference, before=str(mlm), device="cpu")
    with pytest.raises(InputError, match="the reference holds 1 document; wanted 2 or more"):
        utility(str(gpt), write("one.jsonl", [{"text": "common1"}]), device="cpu")


def test_what_a_model_read_before_its_last_training_is_no_held_out_text(
    gpt: Path, reference: str, write, text, tmp_path: Path
) -> None:
    """Replayed in the warm-up, of which the manifest of the fine-tuning says nothing; one seed's folder alone."""
    cpu = Machine("cpu")
    quick: dict[str, Any] = {"batch": 8, "window": 16, "epochs": 1.0, "machine": cpu}
    one, other = (write(f"{i}.jsonl", [{"text": text(50 + i + k, True)} for k in range(20)]) for i in (0, 20))
    warmup(str(gpt), one, tmp_path / "warm", reference=reference, replay="20%", **quick)
    finetune(str(tmp_path / "warm"), other, tmp_path / "tuned", seeds=2, **quick)
    seed = str(tmp_path / "tuned" / "seed-1")
    for seen, part in ((reference, "reference"), (one, "data"), (other, "train")):
        with pytest.raises(SettingsError, match=f"has seen this file as its {part} data; pass held-out text"):
            utility(seed, seen, device="cpu")
    # Another model by the same name says nothing of what this one read.
    shutil.rmtree(tmp_path / "warm")
    warmup(str(gpt), other, tmp_path / "warm", reference=reference, replay="20%", **quick)
    assert utility(seed, reference, device="cpu").forgotten is None
