"""A whole comparison of a tiny model: what it finds, that it shares, goes on after a kill, and drops nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gotd.artifacts import open_artifact
from gotd.cli import main
from gotd.comparison import Comparison, Config, Task, compare
from gotd.comparison.cells import Runner, items_of
from gotd.comparison.choices import Choices
from gotd.comparison.plan import plan
from gotd.comparison.statistics import plain
from gotd.errors import ArtifactError, SettingsError

KILLED = """
import os, signal, sys
from gotd.comparison import compare
def progress(stage, done, total):
    if stage == "2/2 warming up":
        os.kill(os.getpid(), signal.SIGKILL)
compare(sys.argv[1], sys.argv[2], progress=progress)
"""


def cells(found: Comparison) -> dict[tuple[str, int | None], dict[str, Any]]:
    return {(cell["row"], cell["seed"]): cell for cell in found.results.cells}


def rows(found: Comparison) -> dict[str, Any]:
    return {row.row: row for row in found.results.rows if row.metric == "bits a byte"}


def as_yaml(config: Config, path: Path) -> Path:
    """The same comparison as a file: JSON is YAML."""
    told = {name: value for name, value in config.told().items() if value not in (None, (), {})}
    for name in ("tasks",):
        told[name] = {task["name"]: {k: v for k, v in task.items() if k != "name" and v} for task in told[name]}
    path.write_bytes(orjson.dumps(told))
    return path


def examples(text: Any, start: int, count: int) -> list[dict[str, Any]]:
    """Rare and common words in turn, labelled."""
    return [{"text": text(start + i, i % 2 == 0, 8), "label": ("rare", "common")[i % 2]} for i in range(count)]


def test_reading_the_tasks_words_lowers_the_loss_on_them(compared: Comparison) -> None:
    """Of the pool one document in twenty is of the task: whoever finds those is better than random, in every seed."""
    found = rows(compared)
    assert found["gotd"].difference.high < 0 < found["gotd"].gain.low
    assert all(mine < other - 0.05 for mine, other in zip(found["gotd"].values, found["random"].values))
    assert found["none"].value.mean > found["random"].value.mean > found["gotd"].value.mean
    assert compared.verdict[0].startswith("gotd beats random by ")
    assert compared.verdict[0].endswith(" bits a byte at 12 documents on rare (2 seeds).")


def test_every_seed_and_row_is_there_once(compared: Comparison, small: Config) -> None:
    """The row without a warm-up once: nothing of it is drawn."""
    table = compared.to_arrow().to_pylist()
    bits = [(row["row"], row["seed"]) for row in table if row["metric"] == "bits a byte"]
    wanted = {(row, seed) for row in small.methods for seed in (0, 1) if row != "none"} | {("none", None)}
    assert set(bits) == wanted
    assert len(bits) == len(wanted)
    assert {row["higher_is_better"] for row in table} == {False}
    assert [row.seeds for row in rows(compared).values()] == [0, 2, 2, 2]


def test_a_figure_is_that_of_its_items(compared: Comparison) -> None:
    for cell in compared.results.cells:
        for figure in cell["figures"]:
            assert plain(figure["evaluation"], items_of(compared.folder, cell, figure)) == figure["metrics"]


def test_tokens_are_the_same_and_selections_are_shared(compared: Comparison) -> None:
    """To within a window. gotd chooses alike for both seeds; random and dsir draw, but one fit serves where it can."""
    found = cells(compared)
    read = [cell["tokens"] for cell in found.values() if cell["row"] != "none"]
    assert all(abs(tokens - 512) < 32 for tokens in read)
    assert found["none", None]["tokens"] == 0
    for row, same in (("gotd", True), ("random", False), ("words", False)):
        assert (found[row, 0]["selection"] == found[row, 1]["selection"]) is same, row
    made = [path.name.partition("-")[0] for path in (compared.folder / "selections").iterdir()]
    assert (made.count("scores"), made.count("chosen")) == (5, 5)
    assert not list((compared.folder / "work").iterdir())


def test_one_yardstick_foretells_all_rows(compared: Comparison) -> None:
    """Rare documents bring the reference nearer to rare words; three rows are too few to rank."""
    [agreement] = compared.results.agreements
    by_row = dict(zip(agreement.rows, agreement.predicted))
    assert by_row["gotd"] > by_row["random"]
    assert agreement.by_predicted is None


def test_a_killed_comparison_goes_on_to_the_same_figures(compared: Comparison, small: Config, tmp_path: Path) -> None:
    """SIGKILL within the second cell: the first is found, and both are what they were elsewhere, to the bit."""
    both = {row: small.methods[row] for row in ("random", "gotd")}
    config = as_yaml(replace(small, methods=both, seeds=(0,)), tmp_path / "compare.yaml")
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, str(config), str(out)], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr.decode()
    assert not (out / "manifest.json").exists()
    [first] = (out / "cells").glob("*/cell.json")
    before = first.stat().st_mtime_ns
    told = CliRunner().invoke(main, ["compare", str(config), "-o", str(out), "--report"], catch_exceptions=False)
    assert told.exit_code == 0
    assert "one seed shows nothing about seeds" in " ".join(told.stdout.split())
    assert f"Wrote {out / 'report.html'}." in told.stdout
    found = Comparison.load(out)
    assert found.manifest["counts"] == {"cells": 2, "ran": 1, "found": 1}
    assert first.stat().st_mtime_ns == before
    for key, cell in cells(found).items():
        assert cell["figures"] == cells(compared)[key]["figures"], key


def test_what_killed_cells_left_is_swept(small: Config, tmp_path: Path) -> None:
    """Stopped within a warm-up, then gone on with at another rate: nobody goes on from the model of the first."""
    asked = replace(small, methods={"random": {}, "gotd": {}}, seeds=(0,))

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "2/2 warming up" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(asked, tmp_path, progress=stop)
    [dead] = (tmp_path / "work").iterdir()
    half = tmp_path / "cells" / "a-row-that-was-judged-halfway"
    half.mkdir()
    stages = []
    compare(asked, tmp_path, progress=lambda stage, *_: stages.append(dead.exists()))
    assert stages[0]  # the same again goes on from it
    assert not list((tmp_path / "work").iterdir())
    assert not half.exists()
    with pytest.raises(KeyboardInterrupt):
        compare(replace(asked, seeds=(1,)), tmp_path, progress=stop)
    changed = replace(asked, seeds=(1,), warmup={**small.warmup, "lr": 5e-3})
    found = compare(changed, tmp_path)
    assert not list((tmp_path / "work").iterdir())
    assert [cell["seed"] for cell in found.results.cells] == [1, 1]
    assert len(list((tmp_path / "cells").iterdir())) == 4  # the figures of the first seed stay


def test_models_that_are_kept_are_not_swept(small: Config, tmp_path: Path) -> None:
    """A finished model of another rate was asked for; one that was stopped is of no use to anybody."""
    asked = replace(small, methods={"random": {}}, seeds=(0,), keep_models=True)
    compare(asked, tmp_path)
    [kept] = (tmp_path / "work").iterdir()
    dead = tmp_path / "work" / "warm-0123456789abcdef"
    (dead / "checkpoints").mkdir(parents=True)
    compare(replace(asked, warmup={**small.warmup, "lr": 5e-3}), tmp_path)
    assert (kept / "model.safetensors").exists()
    assert len(list((tmp_path / "work").iterdir())) == 2
    assert not dead.exists()


def test_another_field_of_the_reference_is_another_figure_of_the_untrained_model(
    small: Config, lines: Any, text: Any, tmp_path: Path
) -> None:
    """`utility` reads the field that the candidates' texts are in; the row `none` has no other trace of it."""
    texts = [{"text": text(i, False, 9), "body": text(i, True, 9), "id": str(i)} for i in range(60)]
    both = (lines("both.jsonl", texts),)
    task = replace(small.tasks[0], evaluate={"utility": {}})
    other = (lines("both-too.jsonl", [*texts, texts[0]]),)
    rows = {"none": {}, "random": {}}
    asked = replace(small, candidates=both, reference=other, tasks=(task,), methods=rows, seeds=(0,))
    work = plan(asked)
    before = [Runner(work, tmp_path).key(cell) for cell in work.cells]
    after = [Runner(plan(replace(asked, text_field="body")), tmp_path).key(cell) for cell in work.cells]
    assert len({*before, *after}) == 4


def test_a_row_that_is_added_costs_its_own_cells_alone(compared: Comparison, small: Config, tmp_path: Path) -> None:
    out = tmp_path / "out"
    few = {"none": {}, "random": {}}
    compare(replace(small, methods=few, seeds=(0,)), out)
    held = []
    more = compare(
        replace(small, methods={**few, "gotd": {}}, seeds=(0,)),
        out,
        progress=lambda *_: held.append((out / ".lock").exists()),
    )
    assert all(held)  # though the folder was finished: two that add to it would write into each other's cells
    assert not (out / ".lock").exists()
    assert more.manifest["counts"] == {"cells": 3, "ran": 1, "found": 2}
    # Another rate is another cell.
    changed = replace(small, methods=few, seeds=(0,), warmup={**small.warmup, "lr": 5e-3})
    assert compare(changed, out).manifest["counts"] == {"cells": 2, "ran": 1, "found": 1}


def test_stage_two_is_judged_on_classes_and_perplexity(
    small: Config, corpora: Any, lines: Any, text: Any, tmp_path: Path
) -> None:
    told = Task(
        "labels",
        small.tasks[0].target,
        test=(lines("labelled-test.jsonl", examples(text, 5000, 12)),),
        train=(lines("labelled.jsonl", examples(text, 6000, 24)),),
        label_field="label",
        evaluate={"perplexity": {"max_docs": 6}, "classify": {}},
    )
    words = replace(told, name="texts", label_field=None, evaluate={"perplexity": {}, "utility": {"max_docs": 5}})
    given = {"epochs": 2.0, "lr": 1e-2, "batch": 8, "window": 16}
    common = {"methods": {"random": {}}, "seeds": (3,), "reference": (corpora.other,)}
    config = replace(small, tasks=(told, words), finetune=given, **common)
    found = compare(config, tmp_path / "out")
    figures = {(row.task, row.evaluation, row.stage) for row in found.results.rows}
    assert figures == {
        ("labels", "perplexity", "warm-up"),
        ("labels", "classify", "fine-tuning"),
        ("texts", "perplexity", "warm-up"),
        ("texts", "utility", "warm-up"),
        ("texts", "perplexity", "fine-tuning"),
        ("all tasks", "perplexity", "warm-up"),
    }
    accuracy = next(row for row in found.results.rows if row.metric == "accuracy")
    assert accuracy.value.mean == accuracy.value.low == 1.0  # the vocabularies have no word in common
    assert found.verdict == ["random is alone: there is nothing to compare it with."]
    assert next(row.items for row in found.results.rows if row.task == "labels") == 6


def test_another_folder_is_refused(selected: Path, small: Config) -> None:
    with pytest.raises(ArtifactError, match="was made otherwise: by `gotd select`, not `gotd compare`"):
        compare(small, selected)


def test_an_error_names_its_cell(small: Config, tmp_path: Path) -> None:
    """Of what nobody knows before: the first document that is drawn is longer than the budget."""
    with pytest.raises(SettingsError, match=r"cell rare-random-1tokens-seed0-\w+: the budget is 1tokens, less than"):
        compare(replace(small, methods={"random": {}}, seeds=(0,), budgets=("1tokens",)), tmp_path / "out")


def test_the_dry_run_writes_nothing_and_knows_what_is_left(compared: Comparison, small: Config, tmp_path: Path) -> None:
    few = replace(small, methods={"none": {}, "random": {}, "gotd": {}})
    path = as_yaml(few, tmp_path / "few.yaml")
    told = CliRunner().invoke(main, ["compare", str(path), "-o", str(tmp_path / "new"), "--dry-run"])
    assert told.exit_code == 0, told.output
    assert not (tmp_path / "new").exists()
    said = " ".join(told.stdout.split())
    assert "12 documents 4 512" in said
    assert "5 cells, 0 of them done; 3 scorings of the pool and 3 selections are left" in said
    path = as_yaml(small, tmp_path / "small.yaml")
    done = CliRunner().invoke(main, ["compare", str(path), "-o", str(compared.folder), "--dry-run", "--json"])
    left = orjson.loads(done.stdout)
    assert (left["cells"], left["done"], left["scorings"], left["seconds"]) == (7, 7, 0, 0.0)


def test_the_files_say_the_same(compared: Comparison) -> None:
    lines = (compared.folder / "table.csv").read_text().splitlines()
    gotd = next(row for row in compared.results.rows if row.row == "gotd" and row.metric == "bits a byte")
    [line] = [line.split(",") for line in lines if ",bits a byte,gotd," in line]
    assert float(line[lines[0].split(",").index("mean")]) == gotd.value.mean
    page = (compared.folder / "table.md").read_text()
    assert compared.verdict[0] in page
    assert f"| gotd | {gotd.value.mean:.4f} |" in page
    assert pq.read_table(compared.folder / "cells.parquet").num_rows == 7 * 2


@pytest.mark.parametrize("tokens", [4096, 1600])
def test_dev_data_choose_weights_and_end_no_warm_up(
    small: Config, lines: Any, text: Any, tmp_path: Path, tokens: int
) -> None:
    """Dev texts of common words get ever worse, and a warm-up by itself would stop; here every cell reads all of it.

    The shorter one is measured at each of its steps, which is more often than ten times.
    """
    dev = (lines("worse.jsonl", [{"text": text(7000 + i, False, 10)} for i in range(8)]),)
    task = replace(small.tasks[0], dev=dev)
    steps = {"tokens": tokens, "lr": 3e-2, "batch": 4, "window": 32}
    found = compare(
        replace(small, tasks=(task,), methods={"random": {"method": "all-target"}}, seeds=(0,), warmup=steps), tmp_path
    )
    [cell] = found.results.cells
    assert abs(cell["tokens"] - tokens) < 64


def test_overwrite_deletes_nothing_that_a_comparison_reads(small: Config, gpt: Path, tmp_path: Path) -> None:
    open_artifact(tmp_path, "compare", {}, {}).release()
    shutil.copytree(gpt, tmp_path / "model")
    with pytest.raises(ArtifactError, match=r"--overwrite would delete .*model, which is to be read"):
        compare(replace(small, model=str(tmp_path / "model")), tmp_path, overwrite=True)
    assert (tmp_path / "model" / "config.json").exists()


def test_a_candidate_that_gives_the_test_away_is_rejected(small: Config, lines: Any, text: Any, tmp_path: Path) -> None:
    """Whatever the row; the others stay."""
    told = [{"text": text(8000 + i, True, 30)} for i in range(4)]
    task = replace(small.tasks[0], test=(lines("long.jsonl", told),))
    copied = (lines("copied.jsonl", [{"text": f"so {one['text']} it goes"} for one in told[:3]]),)
    pool = (*small.candidates, *copied)
    found = compare(replace(small, tasks=(task,), candidates=pool, methods={"random": {}}, seeds=(0,)), tmp_path)
    [scores] = (found.folder / "selections").glob("scores-*")
    rejects = [orjson.loads(line) for line in (scores / "rejects.jsonl").read_bytes().splitlines()]
    assert [(Path(row["file"]).name, row["row"]) for row in rejects] == [("copied.jsonl", row) for row in (1, 2, 3)]
    assert found.manifest["contamination"] is True


def test_so_is_one_that_gives_away_what_an_evaluation_has_of_its_own(
    small: Config, lines: Any, text: Any, tmp_path: Path
) -> None:
    """With a test beside it; what is forgotten is measured on text like that of the pool, which may well hold it."""
    of = {name: text(8300 + i, True, 30) for i, name in enumerate(("perplexity", "zero-shot", "utility"))}
    data = {name: (lines(f"own-{name}.jsonl", [{"text": said, "label": 0}]),) for name, said in of.items()}
    template = tmp_path / "template.json"
    labels = [{"names": [str(i)], "word": f" common{i}"} for i in (0, 1)]
    template.write_bytes(orjson.dumps({"prompts": ["{text} is"], "labels": labels}))
    evaluate = {name: {"data": files} for name, files in data.items()}
    evaluate["zero-shot"] |= {"template": str(template)}
    task = replace(small.tasks[0], evaluate=evaluate)
    pool = (*small.candidates, lines("leaks.jsonl", [{"text": f"so {said} it goes"} for said in of.values()]))
    asked = plan(replace(small, tasks=(task,), candidates=pool, methods={"random": {}}, seeds=(0,)))
    Choices(asked, tmp_path / "selections")(asked.cells[0])
    [scores] = (tmp_path / "selections").glob("scores-*")
    rejects = [orjson.loads(line) for line in (scores / "rejects.jsonl").read_bytes().splitlines()]
    assert [(Path(row["file"]).name, row["row"]) for row in rejects] == [("leaks.jsonl", row) for row in (1, 2)]


def test_models_are_kept_where_asked(small: Config, tmp_path: Path) -> None:
    compare(replace(small, methods={"random": {}}, seeds=(0,), keep_models=True), tmp_path)
    [kept] = (tmp_path / "work").glob("warm-*/model.safetensors")
    assert kept.stat().st_size > 0


def test_tasks_that_differ_in_stage_two_alone_share_their_warm_up(
    small: Config, lines: Any, text: Any, tmp_path: Path
) -> None:
    """One warm-up for two numbers of labels, gone once both are done; other dev data ask for their own."""

    def labelled(name: str, most: str, dev: tuple[str, ...] = ()) -> Task:
        test, train = ((lines(f"shared-{start}.jsonl", examples(text, start, 12)),) for start in (9000, 9100))
        given = {"test": test, "train": train, "label_field": "label", "evaluate": {"classify": {}}}
        return Task(name, small.tasks[0].target, max_train=most, dev=dev, **given)

    dev = (lines("shared-dev.jsonl", examples(text, 9200, 6)),)
    tasks = (labelled("few", "4docs"), labelled("more", "8docs"), labelled("judged", "8docs", dev))
    finetune = {"epochs": 1.0, "lr": 1e-2, "batch": 4, "window": 16}
    asked = replace(small, tasks=tasks, methods={"random": {}}, seeds=(0,), finetune=finetune)
    begun = []

    def progress(stage: str, done: int, total: int) -> None:
        if done == 1 and stage.endswith(("warming up", "fine-tuning")):
            begun.append((stage, len(list((tmp_path / "work").glob("warm-*")))))

    found = compare(asked, tmp_path, progress=progress)
    stages = ["1/3 warming up", "1/3 fine-tuning", "2/3 fine-tuning", "3/3 warming up", "3/3 fine-tuning"]
    assert begun == [(stage, 1) for stage in stages]
    assert len({cell["tokens"] for cell in found.results.cells}) == 1
    assert not list((tmp_path / "work").iterdir())


def test_a_task_of_lm_eval_is_a_measure(
    small: Config, gpt: Path, rare: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its accuracy is what `gotd evaluate zero-shot --task` says; what judges must not be what chooses."""
    pytest.importorskip("lm_eval")
    import datasets

    from gotd.evaluation.tasks import evaluate_tasks

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tasks"
    folder.mkdir()
    data = folder / "test.jsonl"
    data.write_bytes(b"".join(b'{"text": "common%d", "label": %d}\n' % (i, i % 2) for i in range(60)))
    told = {"task": "mine", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}}
    told |= {"test_split": "test", "output_type": "multiple_choice", "metric_list": [{"metric": "acc"}]}
    told |= {"doc_to_text": "{{text}}", "doc_to_target": "label", "doc_to_choice": ["rare1", "rare2"]}
    (folder / "mine.yaml").write_bytes(orjson.dumps(told))
    task = replace(rare, test=(), evaluate={"lm-eval": {"task": "mine", "task_folder": str(folder)}})
    config = replace(small, tasks=(task,), methods={"none": {}, "random": {}}, seeds=(0,))
    found = compare(config, tmp_path / "out")
    alone = evaluate_tasks(str(gpt), "mine", task_folder=str(folder), device="cpu").tasks["mine"].figures["acc"]
    none = next(row for row in found.results.rows if row.row == "none")
    assert (none.evaluation, none.metric, none.items) == ("lm-eval", "accuracy", 60)
    assert none.value.mean == pytest.approx(alone.mean)
    assert 0 < alone.mean < 1
    assert none.value.half == pytest.approx(1.96 * (alone.stderr or 0), rel=0.15)
    work = plan(config)
    assert Runner(work, tmp_path / "out").done(work.cells[0]) is not None
    data.write_bytes(data.read_bytes() + b'{"text": "rare1", "label": 1}\n')
    work = plan(config)
    assert Runner(work, tmp_path / "out").done(work.cells[0]) is None  # other data, another cell
    unfair = replace(config, tasks=(replace(task, target=(str(data),)),))
    with pytest.raises(SettingsError, match=r"test\.jsonl judges \(lm-eval\) and is one of the target files too"):
        compare(unfair, tmp_path / "unfair")
