"""Cells, tokens, and that nothing which judges does anything else."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from gotd.comparison import Config
from gotd.comparison.choices import rule
from gotd.comparison.plan import Plan, cells_of, plan, tokens_of
from gotd.errors import SettingsError


def test_a_seed_at_a_time_and_every_cell_once(small: Config) -> None:
    config = replace(small, budgets=("12docs", "5%"))
    cells = list(cells_of(config))
    assert [cell.seed for cell in cells] == [None, *[0] * 6, *[1] * 6]
    assert len({cell.name for cell in cells}) == len(cells) == 13
    assert Counter(cell.budget for cell in cells) == {"12docs": 6, "5%": 6, None: 1}
    trained = replace(small.tasks[0], train=small.tasks[0].target)
    again = [cell.seed for cell in cells_of(replace(config, tasks=(trained,))) if cell.row == "none"]
    assert again == [0, 1]  # stage II draws a new layer and an order


def test_names_of_cells_are_safe_and_differ(small: Config) -> None:
    config = replace(small, methods={"random": {}, "a/b <i>": {"method": "gotd"}, "a_b <i>": {"method": "gotd"}})
    names = [cell.name for cell in cells_of(config)]
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for name in names)
    assert len(set(names)) == 6


def test_tokens_are_those_of_the_mean_document(small: Config, corpora: Any) -> None:
    """A budget in documents counts the pool's mean length, whatever a row then chooses; epochs multiply it."""
    free = replace(small, warmup={"epochs": 2.0}, budgets=("12docs", "24docs", "4%", "700tokens"))
    found = tokens_of(free)
    from transformers import AutoTokenizer

    texts = [orjson.loads(line)["text"] for path in corpora.files for line in Path(path).read_bytes().splitlines()]
    lengths = [len(ids) for ids in AutoTokenizer.from_pretrained(small.model)(texts)["input_ids"]]
    assert found["12docs"] == round(2 * 12 * sum(lengths) / len(lengths))
    assert found["24docs"] == pytest.approx(2 * found["12docs"], abs=1)
    assert found["4%"] == found["12docs"]  # of 300 documents
    assert found["700tokens"] == 1400
    half = tokens_of(replace(free, warmup={"epochs": 1.0}))
    assert found["12docs"] == pytest.approx(2 * half["12docs"], abs=1)
    assert tokens_of(small) == {"12docs": 512}


@pytest.mark.parametrize("role", ["target", "dev", "train"])
def test_a_test_file_that_chooses_or_trains_is_refused(small: Config, role: str, tmp_path: Path) -> None:
    """By content: a copy under another name too."""
    task = small.tasks[0]
    copy = shutil.copy(task.test[0], tmp_path / "copy.jsonl")
    bad = replace(small, tasks=(replace(task, **{role: (str(copy),)}),))
    with pytest.raises(
        SettingsError, match=rf"task rare: .*test\.jsonl judges \(test\) and is one of the rare: {role}|{role}"
    ):
        plan(bad)


def test_other_data_that_judge_choose_nothing_either(small: Config, tmp_path: Path) -> None:
    task = small.tasks[0]
    judged = replace(task, evaluate={"perplexity": {"data": task.target}})
    with pytest.raises(SettingsError, match=r"target\.jsonl judges \(perplexity\)"):
        plan(replace(small, tasks=(judged,)))
    pool = replace(small, candidates=(*small.candidates, task.test[0]))
    with pytest.raises(SettingsError, match="one of the candidates files too"):
        plan(pool)
    avoided = replace(small, methods={"random": {}, "gotd": {"avoid": task.test}})
    everywhere = replace(small, methods={"gotd": {}}, baseline="gotd", select={"avoid": task.test})
    for config in (avoided, everywhere):
        with pytest.raises(SettingsError, match="one of the gotd: avoid files too"):
            plan(config)


def test_what_is_replayed_measures_nothing(small: Config, lines: Any) -> None:
    """Text of the reference may tell what is forgotten, unless it is trained on."""
    other = (lines("reference.jsonl", [{"text": f"common{i} common{i + 1}"} for i in range(30)]),)
    task = replace(small.tasks[0], evaluate={"utility": {}})
    config = replace(small, reference=other, tasks=(task,))
    assert isinstance(plan(config), Plan)
    with pytest.raises(SettingsError, match=r"judges \(utility\) and is one of the reference files too"):
        plan(replace(config, warmup={**small.warmup, "replay": "10%"}))


def test_repeated_texts_are_counted(small: Config, lines: Any) -> None:
    """Blanks aside; a file of its own is no guard against rows that it shares."""
    task = small.tasks[0]
    assert plan(small).repeated == {"rare": {"test": 16, "repeated": 0}}
    dev = (lines("dev.jsonl", [{"text": "one  two"}, {"text": "three"}]),)
    test = (lines("test2.jsonl", [{"text": "one two"}, {"text": "four"}]),)
    found = plan(replace(small, tasks=(replace(task, dev=dev, test=test),)))
    assert found.repeated == {"rare": {"test": 2, "repeated": 1}}


def test_settings_reach_their_stages(small: Config) -> None:
    given = {"method": "gotd", "rounds": 3, "paper": True, "reg": 0.2, "keep": 4, "polish": 1, "encoder": "static"}
    found = rule(replace(small, select={"fit_sample": 50, "encoder": "lsa"}, methods={"random": {}, "a": given}), "a")
    assert (found.fit.fit_sample, found.fit.encoder, found.fit.reg, found.fit.debias) == (50, "static", 0.2, False)
    assert (found.pick.rounds, found.keep, found.scoring) == (3, 4, {"polish": 1})
    drawn = [rule(replace(small, methods={"random": {}, "in": {"method": "in-domain"}}), "in", seed) for seed in (0, 5)]
    assert [(one.fit.method, one.keep, one.fit.seed) for one in drawn] == [("random", 3, 0), ("random", 3, 5)]
