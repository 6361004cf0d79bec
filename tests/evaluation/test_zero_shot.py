"""Zero-shot classification by models whose label likelihoods are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from commands import done

from gotd.errors import InputError, SettingsError
from gotd.evaluation.templates import SHIPPED, Template, load_template
from gotd.evaluation.zero_shot import _blank, _rows, guessed, zero_shot
from gotd.training.models import load_tokenizer

TEMPLATE = {
    "prompts": ["{text} is", "Of {text}:"],
    "labels": [{"names": ["0", "common"], "word": " common1 common2"}, {"names": ["1", "rare"], "word": " rare1"}],
}


@pytest.fixture
def template(tmp_path: Path) -> str:
    path = tmp_path / "template.json"
    path.write_text(json.dumps(TEMPLATE))
    return str(path)


@pytest.fixture
def data(write) -> str:
    return write("data.jsonl", [{"text": f"common{i}", "label": ["0", "rare", 1][i % 3]} for i in range(9)])


def tokens(gpt: Path, word: str) -> list[int]:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(gpt)(word)["input_ids"]


def share(found: Any) -> float:
    """Of documents that were given class 1: 6 of 9 are of it."""
    accuracy = found.figures["accuracy"].mean
    return {6 / 9: 1.0, 3 / 9: 0.0}[round(accuracy * 9) / 9]


def test_words_that_are_likely_after_anything_do_not_win_by_it(
    gpt: Path, data: str, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class 0 is likelier by far, and a little less so after each text than after none."""
    asked: list[int] = []

    def likelihoods(model: Any, rows: Sequence[Any], *rest: Any) -> np.ndarray:
        asked.append(len(rows))
        found = np.tile([-1.5, -4.0], (len(TEMPLATE["prompts"]), 10, 1))
        found[:, 9] = [-1.0, -5.0]  # the prompt without a text comes last
        return (found if len(rows) == 40 else found[:, :9]).reshape(-1)

    monkeypatch.setattr("gotd.evaluation.zero_shot._likelihoods", likelihoods)
    assert share(zero_shot(str(gpt), data, template, normalise="none", device="cpu")) == 0
    assert share(zero_shot(str(gpt), data, template, normalise="prior", device="cpu")) == 1
    assert asked == [36, 40]


def test_what_is_asked_without_a_text_is_the_rest_of_the_prompt() -> None:
    assert _blank("{text}\n\nQuestion: {text2}?\nAnswer:") == "\n\nQuestion: ?\nAnswer:"


@pytest.mark.parametrize("normalise", ["tokens", "bytes", "none"])
def test_the_likelier_words_win_by_the_length_they_are_divided_by(
    gpt: Path, unigram, vocabulary: int, data: str, template: str, normalise: str
) -> None:
    """Each token of class 0's words is likelier than each of class 1's, but there are more of them."""
    long, short = (tokens(gpt, label["word"]) for label in TEMPLATE["labels"])  # type: ignore[index]
    logits = torch.full((vocabulary,), -5.0)
    logits[short] = 0.0
    logits[long] = 0.2
    logs = logits.log_softmax(0)
    sums = [float(logs[ids].sum()) for ids in (long, short)]
    lengths = {"tokens": [len(long), len(short)], "bytes": [len(" common1 common2"), len(" rare1")], "none": [1, 1]}
    expected = sums[1] / lengths[normalise][1] > sums[0] / lengths[normalise][0]
    found = zero_shot(str(unigram(logs)), data, template, normalise=normalise, device="cpu")
    assert share(found) == float(expected)
    assert expected == (normalise == "none")
    assert (found.documents, found.classes) == (9, {"0": 3, "1": 6})
    assert found.majority == pytest.approx(6 / 9)


def test_the_score_is_the_mean_over_prompts_of_the_models_own_likelihood(gpt: Path, data: str, template: str) -> None:
    """By the library's logits, document by document."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(gpt).eval(), AutoTokenizer.from_pretrained(gpt)
    found = guessed(str(gpt), data, template, batch=3, device="cpu")
    predicted = []
    for row in map(orjson.loads, Path(data).read_bytes().splitlines()):
        scores = []
        for label in TEMPLATE["labels"]:
            values = []
            for prompt in TEMPLATE["prompts"]:
                before = [0, *tokenizer(prompt.format(**row))["input_ids"]]  # type: ignore[attr-defined]
                word = tokenizer(label["word"])["input_ids"]  # type: ignore[index]
                with torch.no_grad():
                    logs = model(torch.tensor([before + word])).logits[0].log_softmax(-1)
                values.append(sum(float(logs[len(before) - 1 + i, t]) for i, t in enumerate(word)) / len(word))
            scores.append(sum(values) / 2)
        predicted.append(max((0, 1), key=lambda c: scores[c]))
    assert found.predicted[0].tolist() == predicted


def test_a_blank_that_is_joined_to_the_word_is_scored_with_it(gpt: Path) -> None:
    """Nothing that the tokenizer makes of the word's first letters is left out, wherever the blank was written."""
    tokenizer = load_tokenizer(str(gpt))

    def rows(prompt: str, *words: str) -> Any:
        return _rows([[prompt]], Template("t", ["{text}"], ["0", "1"], {"0": 0, "1": 1}, list(words)), tokenizer, 64)

    assert rows("common1 ", "rare1", "common23") == rows("common1", " rare1", " common23")


def test_a_prompt_that_is_too_long_loses_its_beginning(
    gpt: Path, unigram, vocabulary: int, write, template: str
) -> None:
    rows = [{"text": "common1 " * 100, "label": 1}, {"text": "common1", "label": 1}]
    model, data = str(unigram(torch.zeros(vocabulary))), write("d.jsonl", rows)
    found = zero_shot(model, data, template, normalise="none", device="cpu")
    said = done("evaluate", "zero-shot", "-m", model, "-d", data, "--template", template, "--device", "cpu")
    assert "2 prompts are longer than 64 tokens: they lost their beginning." in said
    assert "only their beginning was read" not in said
    assert found.cut == 2  # by both prompts
    assert found.figures["accuracy"].mean == 1.0  # all tokens alike: fewer tokens win


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_templates_have_a_word_for_each_class(name: str) -> None:
    found = load_template(name)
    assert len(set(found.words)) == len(found.classes) == {"agnews": 4, "boolq": 2}[name]
    assert all(word.startswith(" ") for word in found.words)
    assert set(found.names.values()) == set(range(len(found.classes)))


def test_boolq_reads_both_texts(gpt: Path, write) -> None:
    rows = [{"text": "common1", "text2": "is it", "label": "0"}, {"text": "rare1", "text2": "is it", "label": 1}]
    assert zero_shot(str(gpt), write("d.jsonl", rows), "boolq", device="cpu").documents == 2
    with pytest.raises(InputError, match="text2"):
        zero_shot(str(gpt), write("e.jsonl", [{"text": "common1", "label": "0"}]), "boolq", device="cpu")


def test_what_is_refused(gpt: Path, mlm: Path, data: str, template: str, write, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="a masked model does not continue a prompt"):
        zero_shot(str(mlm), data, template, device="cpu")
    with pytest.raises(SettingsError, match='no template "imdb"'):
        zero_shot(str(gpt), data, "imdb", device="cpu")
    with pytest.raises(InputError, match=r"d\.jsonl:1: found class '7', and the template .* knows 0, common, 1, rare"):
        zero_shot(str(gpt), write("d.jsonl", [{"text": "x", "label": "7"}]), template, device="cpu")
    with pytest.raises(InputError, match=r'd\.jsonl:1: no label in "label"; found "text"'):
        zero_shot(str(gpt), write("d.jsonl", [{"text": "x"}]), template, device="cpu")
    twice = [{"names": ["a", "b"], "word": " x"}, {"names": ["b"], "word": " y"}]
    faults = ({"prompts": ["x"]}, {**TEMPLATE, "prompts": ["no field"]}, [1], {**TEMPLATE, "labels": twice})
    for number, broken in enumerate(faults):
        path = tmp_path / f"broken{number}.json"
        path.write_text(json.dumps(broken))
        with pytest.raises(InputError, match=r"no template|names no field|two labels are called b"):
            zero_shot(str(gpt), data, str(path), device="cpu")
