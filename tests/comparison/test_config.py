"""The YAML of a comparison: every setting by its type, every fault by its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gotd.comparison import read_comparison
from gotd.comparison.choices import check_rows
from gotd.errors import InputError, SettingsError

GOOD = """\
model: gpt2
candidates: [pool/*.jsonl, more.parquet]
budgets: [5000docs, 5%]
seeds: [0, 7]
select: {fit-sample: 100, encoder: lsa}
warmup: {preset: paper-gpt2, lr: 1e-3, tokens: 20_000}
finetune: {epochs: 3, max-train: 500docs}
methods:
  none:
  random:
  gotd, rounds: {method: gotd, rounds: 5, mix: 0.3, dedup: off}
  near: {method: nearest, method_options: {kind: mean}}
  clean: {method: gotd, avoid: toxic.jsonl:0.5, debias: false}
tasks:
  first:
    target: train.jsonl
    test: [test.jsonl]
    train: train.jsonl
    label_field: label
    evaluate: {perplexity: {max_docs: 3}, classify, zero-shot: {template: agnews, data: other.jsonl}}
  second:
    target: more.jsonl:2
    test: held.jsonl
"""
EDITS = {
    "modle: gpt2": (1, "modle: unknown; did you mean model?"),
    "rounds: five": (11, 'rounds: found "five", wanted a whole number'),
    "round: 5": (11, "round: unknown; did you mean rounds?"),
    "dedup: of": (11, 'dedup: found "of", wanted exact, near, off'),
    "debias: maybe": (13, 'debias: found "maybe", wanted true or false'),
    "lr: [1, 2]": (6, "lr: found a list, wanted one value"),
    "patience: 3": (6, "patience: unknown;"),
    "coarse: lsa": (11, "coarse: unknown;"),
    "targt: more": (22, "targt: unknown; did you mean target?"),
    "perplexty: {": (20, "perplexty: unknown; did you mean perplexity?"),
    "max_doc: 3": (20, "max_doc: unknown; did you mean max_docs?"),
    "  random: {}\n  random:": (11, "random: is there twice, first in line 10"),
}
PLACES = {
    "modle": "model: gpt2",
    "rounds: five": "rounds: 5",
    "round:": "rounds: 5",
    "dedup": "dedup: off",
    "debias": "debias: false",
    "lr": "lr: 1e-3",
    "patience": "lr: 1e-3",
    "coarse": "rounds: 5",
    "targt": "target: more.jsonl:2",
    "perplexty": "perplexity: {",
    "max_doc": "max_docs: 3",
    "  random": "  random:",
}


def written(path: Path, text: str) -> Path:
    path.write_text(text.replace("classify,", "classify: ,"))
    return path


def test_values_have_their_types(tmp_path: Path) -> None:
    found = read_comparison(written(tmp_path / "c.yaml", GOOD))
    assert (found.model, found.seeds, found.budgets) == ("gpt2", (0, 7), ("5000docs", "5%"))
    assert found.select == {"fit_sample": 100, "encoder": "lsa"}
    assert found.warmup == {"preset": "paper-gpt2", "lr": 1e-3, "tokens": 20_000}
    assert found.finetune == {"epochs": 3.0, "max_train": "500docs"}
    assert found.methods["gotd, rounds"] == {"method": "gotd", "rounds": 5, "mix": 0.3, "dedup": "off"}
    assert found.methods["near"]["method_options"] == {"kind": "mean"}
    assert found.methods["clean"] == {"method": "gotd", "avoid": ("toxic.jsonl:0.5",), "debias": False}
    assert [found.method(row) for row in found.methods] == ["none", "random", "gotd", "nearest", "gotd"]
    first, second = found.tasks
    assert first.evaluate["zero-shot"] == {"template": "agnews", "data": ("other.jsonl",)}
    assert first.data_of("zero-shot", ()) == ("other.jsonl",)
    assert first.data_of("classify", ()) == ("test.jsonl",)
    assert second.evaluate == {"perplexity": {}}


@pytest.mark.parametrize("edit", EDITS)
def test_faults_are_named_with_their_line(edit: str, tmp_path: Path) -> None:
    before = next(value for name, value in PLACES.items() if edit.startswith(name))
    line, said = EDITS[edit]
    path = written(tmp_path / "c.yaml", GOOD.replace(before, edit, 1))
    with pytest.raises(SettingsError) as error:
        read_comparison(path)
    assert str(error.value).startswith(f"{path}:{line}: {said}")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("  random:\n", "", "c.yaml: no row random among the methods to take differences to; add `random:`"),
        ("  near: {method: nearest,", "  near: {", 'row near: no method "near"; wanted none, gotd'),
        ("  near: {method: nearest,", "  near: {method: neerest,", "all-target. Did you mean nearest?"),
        ("5%]", "5000docs]", "c.yaml:3: budgets: budgets names one twice, 5000docs; drop one of both"),
        ("5%]", "'5,000 documents']", "c.yaml:3: budgets: budgets names one twice, 5000docs and 5,000 documents;"),
        ("5%]", "5%, 5.0%]", "c.yaml:3: budgets: budgets names one twice, 5% and 5.0%; drop one of both"),
        ("seeds: [0, 7]", "seeds: [0, 7, 7]", "c.yaml:4: seeds: seeds names one twice, 7; drop one of both"),
        ("seeds: [0, 7]", "seeds: []", "no seeds to compare; name one or more"),
        ("5%]", "many]", 'c.yaml:3: budgets: budget is "many"'),
        ("seeds: [0, 7]", "seeds: [0, -7]", "c.yaml:4: seeds: found -7, wanted whole numbers from 0 to 2**32"),
        ("model: gpt2\n", "", "no model; wanted model, candidates, budgets, methods and tasks"),
        ("    test: held.jsonl\n", "", "c.yaml:21: task second: perplexity has no data; name a held-out `test`"),
        ("    label_field: label\n", "", "task first: classify judges stage II; name `train` and `label_field`"),
        ("    target: more.jsonl:2\n", "", "second: no target; name the examples"),
        ("{perplexity: {max_docs: 3}, classify,", "{utility: , classify,", "task first: utility has no text; name a"),
    ],
)
def test_what_does_not_fit_together_is_refused(before: str, after: str, said: str, tmp_path: Path) -> None:
    assert before in GOOD
    with pytest.raises(SettingsError) as error:
        read_comparison(written(tmp_path / "c.yaml", GOOD.replace(before, after, 1)))
    assert said in str(error.value)


def test_what_is_no_table_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="found a list, wanted `name: value` lines"):
        read_comparison(written(tmp_path / "c.yaml", "- a\n- b\n"))
    with pytest.raises(InputError, match="cannot be read"):
        read_comparison(tmp_path / "none.yaml")


def test_evaluations_may_be_a_list(tmp_path: Path) -> None:
    text = GOOD.replace("    test: held.jsonl\n", "    test: held.jsonl\n    evaluate: [perplexity, toxicity]\n")
    found: Any = read_comparison(written(tmp_path / "c.yaml", text))
    assert found.tasks[1].evaluate == {"perplexity": {}, "toxicity": {}}


def test_the_example_of_the_docs_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "compare.md").read_text()
    path = tmp_path / "compare.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    found = read_comparison(path)
    check_rows(found)
    assert list(found.tasks[0].evaluate) == ["perplexity", "classify", "utility"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("kind: mean", "kind: meen", 'row near: nearest: kind is "meen"; wanted min or mean'),
        ("rounds: 5", "rounds: 0", "row gotd, rounds: rounds is 0; wanted 1 or more"),
        ("debias: false", "reg: -1", "row clean: reg is -1.0; wanted a positive fraction"),
        ("debias: false", "tokenizer: nofile.json", "row clean: "),
    ],
)
def test_a_row_that_cannot_run_is_named_before_any_work(before: str, after: str, said: str, tmp_path: Path) -> None:
    found = read_comparison(written(tmp_path / "c.yaml", GOOD.replace(before, after, 1)))
    with pytest.raises(SettingsError) as error:
        check_rows(found)
    assert str(error.value).startswith(said)


def test_tasks_of_lm_eval_bring_their_data(tmp_path: Path) -> None:
    """So no test file is wanted; but a task is."""
    asked = "    evaluate: {lm-eval: {task: 'boolq,arc_easy', limit: 50, metric: acc_norm}}\n"
    text = GOOD.replace("    test: held.jsonl\n", asked)
    second = read_comparison(written(tmp_path / "c.yaml", text)).tasks[1]
    assert second.evaluate == {"lm-eval": {"task": "boolq,arc_easy", "limit": 50, "metric": "acc_norm"}}
    assert second.data_of("lm-eval", ("reference.jsonl",)) == ()
    with pytest.raises(SettingsError, match="task second: lm-eval has no task; wanted the name of one"):
        read_comparison(written(tmp_path / "d.yaml", text.replace("task: 'boolq,arc_easy', ", "")))
    with pytest.raises(SettingsError, match="data: unknown"):
        read_comparison(written(tmp_path / "e.yaml", text.replace("limit: 50", "data: some.jsonl")))
