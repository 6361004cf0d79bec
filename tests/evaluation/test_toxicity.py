"""Toxicity of models that write one known token with a known probability."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from gotd.errors import MissingExtra, SettingsError
from gotd.evaluation.scorers import load_scorer
from gotd.evaluation.toxicity import toxicity

PROMPTS = 120


@pytest.fixture
def bad_word(gpt: Path) -> int:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(gpt)("!")["input_ids"][0]


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> str:
    """A scorer of one's own: 1 for a text with "!", 0.25 for any other."""
    module = ModuleType("own_scorer")
    module.score = lambda texts: [1.0 if "!" in text else 0.25 for text in texts]  # type: ignore[attr-defined]
    module.wrong = lambda texts: [2.0 for _ in texts]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_scorer", module)
    return "own_scorer:score"


@pytest.fixture
def prompts(write, text) -> str:
    return write("prompts.jsonl", [{"text": text(i, False)} for i in range(PROMPTS)])


def two_tokens(vocabulary: int, bad: int, share: float) -> torch.Tensor:
    """`bad` with this probability, else one other token."""
    logs = torch.full((vocabulary,), -60.0)
    logs[bad], logs[bad + 1] = math.log(share), math.log(1 - share)
    return logs


def test_the_worst_of_n_by_hand(
    unigram, vocabulary: int, bad_word: int, prompts: str, scorer: str, rows, tmp_path
) -> None:
    """One token, bad with q = 0.3: the worst of 4 is bad with 1 - 0.7^4 = 0.76; three standard errors are 0.117."""
    model = unigram(two_tokens(vocabulary, bad_word, 0.3))
    out = tmp_path / "written.jsonl"
    found = toxicity(
        str(model), prompts, output=out, scorer=scorer, continuations=4, tokens=1, top_p=1.0, batch=50, device="cpu"
    )
    assert found.probability == pytest.approx(1 - 0.7**4, abs=0.117)
    assert found.expected_maximum == pytest.approx(0.25 + 0.75 * found.probability)
    assert found.mean == pytest.approx(0.25 + 0.75 * 0.3, abs=0.05)
    assert found.probability_interval[0] < found.probability < found.probability_interval[1]
    written = rows(out)
    assert (len(written), len(written[0]["continuations"])) == (PROMPTS, 4)
    assert np.mean([max(row["toxicity"]) for row in written]) == pytest.approx(found.expected_maximum)
    assert not any("common" in text for row in written for text in row["continuations"])  # prompts are not scored


def test_outside_the_nucleus_nothing_is_sampled(
    unigram, vocabulary: int, bad_word: int, prompts: str, scorer: str
) -> None:
    """The other token alone has 95 %: with p = 0.9 the bad one is never written, with p = 1 some are."""
    model = str(unigram(two_tokens(vocabulary, bad_word, 0.05)))
    asked = {"scorer": scorer, "continuations": 5, "tokens": 3, "batch": 60, "device": "cpu"}
    assert toxicity(model, prompts, top_p=0.9, **asked).probability == 0.0
    assert toxicity(model, prompts, top_p=1.0, **asked).probability > 0.2


def test_more_than_fifty_tokens_are_in_the_running(
    unigram, vocabulary: int, bad_word: int, prompts: str, scorer
) -> None:
    """All tokens alike but the bad one a little less: the library's own cut at 50 would never write it."""
    logs = torch.zeros(vocabulary)
    logs[bad_word] = -0.1
    asked = {"scorer": scorer, "continuations": 20, "tokens": 5, "batch": 60, "device": "cpu", "top_p": 1.0}
    assert toxicity(str(unigram(logs)), prompts, **asked).probability > 0.05


def test_the_same_seed_writes_the_same(gpt: Path, prompts: str, scorer: str, rows, tmp_path: Path) -> None:
    asked = {"scorer": scorer, "continuations": 2, "tokens": 5, "max_docs": 6, "device": "cpu"}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        toxicity(str(gpt), prompts, output=tmp_path / name, seed=seed, **asked)
    assert rows(tmp_path / "a") == rows(tmp_path / "b") != rows(tmp_path / "c")


def test_a_prompt_is_continued_alike_beside_longer_ones(gpt: Path, write, text, scorer: str, rows, tmp_path) -> None:
    """A nucleus of next to nothing is the likeliest token: no chance is left, and padding must not show."""
    data = write("p.jsonl", [{"text": text(i, True, 3 * i + 1)} for i in range(4)])
    asked = {"scorer": scorer, "continuations": 1, "tokens": 6, "top_p": 1e-6, "device": "cpu"}
    for name, batch in (("alone", 1), ("together", 4)):
        toxicity(str(gpt), data, output=tmp_path / name, batch=batch, **asked)
    assert rows(tmp_path / "alone") == rows(tmp_path / "together")
    assert len({row["continuations"][0] for row in rows(tmp_path / "alone")}) > 1


def test_a_long_prompt_loses_its_beginning(gpt: Path, write, text, scorer: str) -> None:
    data = write("p.jsonl", [{"text": text(1, True, 90)}, {"text": text(2, True, 3)}])
    found = toxicity(str(gpt), data, scorer=scorer, continuations=2, tokens=10, device="cpu")
    assert (found.cut, found.prompts) == (1, 2)


def test_the_offline_scorer_tells_curses_from_manners() -> None:
    pytest.importorskip("profanity_check")
    rude, kind = load_scorer("profanity")(["you fucking idiot, go to hell", "thank you for the lovely evening"])
    assert rude > 0.9
    assert kind < 0.1


def test_what_is_refused(gpt: Path, mlm: Path, prompts: str, scorer: str, monkeypatch) -> None:
    with pytest.raises(SettingsError, match="a masked model does not continue"):
        toxicity(str(mlm), prompts, scorer=scorer, device="cpu")
    with pytest.raises(SettingsError, match="tokens is 63; the model takes 64"):
        toxicity(str(gpt), prompts, scorer=scorer, tokens=63, device="cpu")
    with pytest.raises(SettingsError, match=r"top-p is 0\.0"):
        toxicity(str(gpt), prompts, scorer=scorer, top_p=0.0, device="cpu")
    with pytest.raises(SettingsError, match="wanted 2 numbers from 0 to 1"):
        load_scorer("own_scorer:wrong")(["a", "b"])
    for spec in ("nothing", "own_scorer:absent", "no_such_module:score"):
        with pytest.raises(SettingsError, match=f'no scorer "{spec}"|the scorer "{spec}" could not be loaded'):
            load_scorer(spec)
    monkeypatch.setattr("gotd.encoders.local.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"alt-profanity-check, .*pip install 'gotd\[toxicity\]'"):
        load_scorer("profanity")
