"""What a comparison is refused for before its first cell, however it is asked: as a file the message begins with it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from commands import refused
from safetensors.torch import load_file, save_file

from gotd.comparison import Config, Task
from gotd.comparison.checks import prepared
from gotd.comparison.choices import check_rows
from gotd.errors import InputError, SettingsError


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"method": "random", "rounds": 3}, "3 rounds go down the gradient, which method random has not"),
        ({"method": "gotd", "reg": -1.0}, "reg is -1.0; wanted a positive fraction"),
        ({"method": "nearest", "method_options": {"kynd": "mean"}}, "kynd"),
    ],
)
def test_rows_are_checked_before_any_work(small: Config, row: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        check_rows(replace(small, methods={"random": {}, "bad": row}))


@pytest.mark.parametrize(
    ("stage", "given", "said"),
    [
        ("warmup", {"replay": "10%"}, "warmup: replay mixes in .*; name a reference, or drop replay"),
        ("warmup", {"replay": "many"}, 'replay is "many"'),
        ("warmup", {"preset": "paper-bert"}, "preset paper-bert is for masked models, and this one is causal"),
        ("finetune", {"lr": -1.0}, "lr is -1.0; wanted a learning rate above 0"),
        ("finetune", {"best_by": "f1"}, 'finetune: best_by is "f1"; wanted macro_f1'),
        ("finetune", {"max_train": "many"}, 'finetune: max-train is "many"'),
        ("warmup", {"window": 128}, "warmup: window is 128 tokens, and the model takes 64"),
        ("warmup", {"mask": 0.3}, "warmup: mask is 0.3, and a causal model has no token hidden from it"),
    ],
)
def test_stages_are_checked_before_any_work(small: Config, stage: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        prepared(replace(small, **{stage: {**getattr(small, stage), **given}}))


def test_labels_are_checked_before_any_training(small: Config, lines: Any) -> None:
    task = small.tasks[0]
    train = (lines("l-train.jsonl", [{"text": f"common{i}", "label": i % 2} for i in range(8)]),)
    test = (lines("l-test.jsonl", [{"text": f"common{i}", "label": i % 3} for i in range(10, 16)]),)
    bad = replace(task, train=train, test=test, label_field="label", evaluate={"classify": {}})
    with pytest.raises(InputError, match="task rare: the test data has 2 examples of class '2'; the training data has"):
        prepared(replace(small, tasks=(bad,)))
    shot = replace(task, evaluate={"zero-shot": {"template": "agnws"}})
    with pytest.raises(SettingsError, match='no template "agnws"'):
        prepared(replace(small, tasks=(shot,)))
    with pytest.raises(SettingsError, match="zero-shot has no template"):
        replace(task, evaluate={"zero-shot": {}})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"budgets": ("301docs",)}, "budgets: 301docs is more than the candidates hold, 300 docs; lower it"),
        ({"budgets": ("12docs", "99000tokens")}, r"99000tokens is more than the candidates hold, 5,486 tokens \(est"),
        ({"device": "meta"}, 'no device "meta"'),
        ({"seeds": (0, 2**32)}, r"warmup: seed is 4294967296; wanted a whole number from 0 to 2\*\*32 - 1"),
        ({"micro_batch": 3}, "warmup: micro-batch is 3, and the batch of 4 is no multiple of it"),
        ({"methods": {"random": {"max_per_source": "many"}}}, 'row random: the cap of a source is "many"; wanted 40%'),
        ({"methods": {"random": {"encoder": "lsaa"}}}, 'row random: .*"lsaa"'),
    ],
)
def test_settings_that_no_cell_could_run_with(small: Config, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        prepared(replace(small, **settings))


def test_only_gotd_leaves_what_is_to_be_avoided(small: Config) -> None:
    rows = {"random": {}, "words": {"method": "dsir", "avoid": small.candidates}}
    with pytest.raises(SettingsError, match="task rare: row words: method dsir knows no --avoid"):
        prepared(replace(small, methods=rows))


def test_a_budget_of_all_there_is_may_be_asked_for(small: Config) -> None:
    """The pool holds 300 documents of four bytes a token; where a tokenizer counts, nobody knows before."""
    assert prepared(replace(small, budgets=("300docs", "100%"))).tokens["300docs"] == 512
    exact = {"random": {"tokenizer": f"{small.model}/tokenizer.json"}}
    assert prepared(replace(small, methods=exact, budgets=("99000tokens",)))


@pytest.mark.parametrize(
    ("evaluate", "said"),
    [
        ({"perplexity": {"window": 128}}, "task rare: perplexity: window is 128 tokens, and the model takes 64"),
        ({"perplexity": {"window": 32, "stride": 32}}, "perplexity: stride is 32; wanted 1 to 31"),
        ({"toxicity": {"tokens": 63, "scorer": "builtins:len"}}, "toxicity: tokens is 63; the model takes 64 with"),
        ({"toxicity": {"scorer": "politeness"}}, 'toxicity: no scorer "politeness"'),
        ({"toxicity": {"top_p": 1.5, "scorer": "builtins:len"}}, "toxicity: top_p is 1.5; wanted a share"),
    ],
)
def test_evaluations_that_no_model_could_stand(small: Config, evaluate: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        prepared(replace(small, tasks=(replace(small.tasks[0], evaluate=evaluate),)))


def test_numbers_of_an_evaluation_are_one_or_more(rare: Task) -> None:
    with pytest.raises(SettingsError, match="task rare: perplexity: batch is 0; wanted 1 or more"):
        replace(rare, evaluate={"perplexity": {"batch": 0}})
    assert replace(rare, evaluate={"lm-eval": {"task": "boolq", "shots": 0}})


def test_labels_that_a_template_lacks_are_named_with_file_and_row(small: Config, lines: Any, tmp_path: Path) -> None:
    """By the dry run as well; a masked model has no zero-shot at all."""
    data = lines("shots.jsonl", [{"text": "common1", "label": label} for label in (0, 1, 7)])
    template = tmp_path / "template.json"
    labels = [{"names": [str(i)], "word": f" common{i}"} for i in (0, 1)]
    template.write_bytes(orjson.dumps({"prompts": ["{text} is"], "labels": labels}))
    told = {name: value for name, value in small.told().items() if value not in (None, (), {})}
    told["tasks"] = {"rare": {"target": small.tasks[0].target, "test": [data]}}
    told["tasks"]["rare"]["evaluate"] = {"zero-shot": {"template": str(template)}}
    path = tmp_path / "compare.yaml"
    path.write_bytes(orjson.dumps(told))
    said = f"gotd: {path}: task rare: zero-shot: {data}:3: found class 7, and the template {template} knows 0, 1\n"
    assert refused("compare", path, "-o", tmp_path / "out") == said
    assert refused("compare", path, "-o", tmp_path / "out", "--dry-run") == said
    assert not (tmp_path / "out").exists()


def test_a_masked_model_goes_on_from_no_prompt(small: Config, mlm: Path) -> None:
    task = replace(small.tasks[0], evaluate={"toxicity": {"scorer": "builtins:len"}})
    with pytest.raises(SettingsError, match=r"task rare: toxicity: .*a masked model does not continue a prompt"):
        prepared(replace(small, model=str(mlm), tasks=(task,)))


def test_stage_two_is_looked_at_before_stage_one(small: Config, lines: Any) -> None:
    train = (lines("two-train.jsonl", [{"text": f"common{i}", "label": i % 2} for i in range(8)]),)
    task = replace(small.tasks[0], train=train, label_field="label")
    assert prepared(replace(small, tasks=(task,)))
    for changed, config, said in (
        ({"dev": train}, {}, "task rare: a file of --dev is one of --train too"),
        ({"label_field": None, "pair_field": "text"}, {}, "task rare: a pair is fine-tuned by its label"),
        ({}, {"finetune": {"window": 128}}, "finetune: window is 128 tokens, and the model takes 64"),
        ({}, {"micro_batch": 4, "finetune": {"batch": 6}}, "finetune: micro-batch is 4, and the batch of 6 is no"),
    ):
        with pytest.raises(SettingsError, match=said):
            prepared(replace(small, tasks=(replace(task, **changed),), **config))


def test_a_model_that_lacks_its_head_is_found_out(small: Config, mlm: Path, tmp_path: Path) -> None:
    """Not after the selection that it was to read."""
    shutil.copytree(mlm, tmp_path / "bare")
    weights = load_file(mlm / "model.safetensors")
    bare = {name: value for name, value in weights.items() if not name.startswith("cls.")}
    save_file(bare, tmp_path / "bare" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SettingsError, match=r"the checkpoint lacks .* weights of a masked language model"):
        prepared(replace(small, model=str(tmp_path / "bare")))


def test_a_field_that_no_example_has_is_found_out(small: Config) -> None:
    """Where no test file is read anyway, as of a task that is judged by the reference alone."""
    task = replace(small.tasks[0], test=(), text_field="abstract", evaluate={"utility": {}})
    with pytest.raises(InputError, match=r'task rare: the target holds no document; .*no field "abstract"'):
        prepared(replace(small, tasks=(task,), reference=small.candidates))
    task = replace(small.tasks[0], evaluate={"utility": {}})
    body = replace(small, tasks=(task,), reference=small.tasks[0].target, text_field="body")
    with pytest.raises(InputError, match=r'task rare: utility: the data holds no document; .*no field "body"'):
        prepared(body)
