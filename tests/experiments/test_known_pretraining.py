"""The experiment's own code, end to end on sources of made-up words: every part, a kill in between, and the tables."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
import zstandard

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "known_pretraining"
MODULES = ("plan", "texts", "gpt", "choices", "run", "analyse", "settings", "encoders")
WORDS = {
    "meadow": "grass lark brook clover heifer thistle bee dew fence hay willow field",
    "harbour": "mast tide anchor gull rope hull deck net quay sail fog crate",
    "forge": "anvil iron hammer spark bellows coal tongs rivet blade weld steel slag",
    "abbey": "bell monk cloister psalm candle vault scribe ink herb choir relic oath",
}
SIZES = {"meadow": 220, "harbour": 190, "forge": 80, "abbey": 80}


@pytest.fixture(scope="module")
def parts():
    """The modules of the experiment, which are scripts and no package."""
    pytest.importorskip("tokenizers")
    sys.path.insert(0, str(FOLDER))
    before = set(sys.modules)
    try:
        yield {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(FOLDER))
        for name in set(sys.modules) - before & set(MODULES):
            del sys.modules[name]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = random.Random(0)
    folder = tmp_path_factory.mktemp("data")

    def write(place, rows):
        path = folder / place
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zstandard.compress(b"\n".join(orjson.dumps(row) for row in rows)))

    def text(source, words=30):
        return " ".join(rng.choices(WORDS[source].split(), k=words))

    for source, size in SIZES.items():
        rows = [{"text": text(source), "source": source} for _ in range(size)]
        if source == "meadow":
            rows = [{**row, "title": str(number // 3)} for number, row in enumerate(rows)]
        write(f"candidates/{source}.jsonl.zst", rows)
    splits = ["train"] * 60 + ["test"] * 30
    rows = [{"text": f"<< {text('abbey', 12)} >>", "split": split, "label": i % 3} for i, split in enumerate(splits)]
    write("tasks/signals.jsonl.zst", rows)
    return folder


@pytest.fixture(scope="module")
def finished(parts, data, tmp_path_factory):
    """A whole run of one seed, and the calls that made it."""
    work = tmp_path_factory.mktemp("work")
    arguments = ["--data", str(data), "--work", str(work), "--cells", str(work / "cells.jsonl"), "--seeds", "0"]
    torch.set_num_threads(1)
    parts["run"].main(["all", *arguments, "--size", "tiny"])
    return work, arguments


def test_no_document_has_two_uses(parts, data):
    corpora = parts["texts"].deal(data, parts["plan"].TINY)
    uses = [corpora.pretraining, corpora.remembered, *corpora.stock.values()]
    # A mixture's parts are those of its sources, so each source's are looked at once.
    mixture = corpora.targets["meadow+forge"]
    uses += [mixture.shown, mixture.held_out]
    ids = [text.id for texts in uses for text in texts]
    assert len(ids) == len(set(ids))
    shares = {source: sum(text.source == source for text in corpora.pretraining) for source in WORDS}
    assert shares == {"meadow": 60, "harbour": 40, "forge": 6, "abbey": 6}
    articles = [{int(text.id.split(":")[1]) // 3 for text in texts if text.source == "meadow"} for texts in uses]
    assert sum(map(len, articles)) - len(set.union(*articles)) <= 4
    task = corpora.targets["signals"]
    assert not {text.text for text in task.shown} & {text.text for text in task.held_out}
    assert not any("<<" in text.text for text in task.shown)


def test_every_cell_is_measured_once_and_a_killed_run_goes_on(parts, finished):
    run, work = parts["run"], finished[0]
    path = work / "cells.jsonl"
    cells = run.read_cells(path)
    wanted = {(method, tokens) for method in run.METHODS for tokens in (1_024, 2_048)} | {(run.NOTHING, 0)}
    assert {(cell["method"], cell["tokens"]) for cell in cells if cell["target"] == "signals"} == wanted
    assert len(cells) == 2 * len(wanted)
    # A kill leaves half a line: that cell is measured again, to the same bits, and no other.
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    run.main(["all", *finished[1], "--size", "tiny"])
    again = run.read_cells(path)
    assert again[:-1] == cells[:-1]
    assert {**again[-1], "seconds": 0} == {**cells[-1], "seconds": 0}


def test_every_warm_up_reads_exactly_the_same_number_of_tokens(parts):
    cut = parts["run"].cut
    assert cut([[1, 2, 3], [4, 5], [6, 7, 8]], 6) == [[1, 2, 3], [4, 5], [6]]
    with pytest.raises(SystemExit, match="holds 5 tokens; wanted 6"):
        cut([[1, 2, 3], [4, 5]], 6)


def test_reading_the_target_itself_helps_most(parts, finished):
    """Known answer: a model that hardly saw a source learns it from its own text, and not from a random pool."""
    found = parts["run"].read_cells(finished[0] / "cells.jsonl")
    for stage in ("bits", "tuned_bits"):
        cells = parts["analyse"].Cells.of(found, (0,), 2_048, stage)
        loss = {method: cells.loss("signals", method, 0) for method in (parts["run"].NOTHING, *parts["run"].METHODS)}
        assert loss["target-only"] < loss["random"]
        assert loss["gotd"] < loss["random"]
    ours, drawn = (cells.by_key["signals", method, 0] for method in ("gotd", "random"))
    assert ours["sources"]["abbey"] > drawn["sources"]["abbey"]
    assert ours["predicted"] > drawn["predicted"]


def test_stage_two_reads_the_same_examples_after_every_warm_up(parts, finished):
    """A model that is fine-tuned on a target is better at it than before, warmed up or not."""
    for cell in parts["run"].read_cells(finished[0] / "cells.jsonl"):
        if cell["target"] == "signals":
            assert sum(cell["tuned_bits"]) < sum(cell["bits"])


def test_the_loss_is_that_of_each_item(parts):
    """A model that finds all tokens alike takes log2 V bits for each, and none for the ends."""
    gpt, plan = parts["gpt"], parts["plan"].TINY
    model = gpt.GPT(plan)
    for parameter in model.parameters():
        parameter.data.zero_()
    bits = gpt.item_bits(model, [[5, 6, 7, gpt.END], [8, gpt.END]], plan)
    np.testing.assert_allclose(bits, np.log2(plan.vocabulary) * np.array([3, 1]), rtol=1e-3)


def test_paired_differences_have_the_known_mean_and_hold_it(parts):
    """Ten targets on which `gotd` takes 10 bits of 1000 bytes less than `random` in every block but for noise."""
    analyse, rng = parts["analyse"], np.random.default_rng(0)
    made = []
    for target in ("signals", "meadow+forge"):
        for seed in (0, 1, 2):
            base = rng.normal(2000, 50, 8)
            for method, less in (("random", 0.0), ("gotd", 10.0)):
                bits = (base - less + rng.normal(0, 1, 8)).tolist()
                made.append({"target": target, "method": method, "seed": seed, "tokens": 9, "bits": bits})
                made[-1]["bytes"] = [1000] * 8
    cells = analyse.Cells.of(made, (0, 1, 2), 9)
    found = analyse.paired(cells, cells.targets, "gotd", "random")
    assert found.mean == pytest.approx(-0.01, abs=0.001)
    assert found.low < found.mean < found.high < 0
    assert (found.better, found.targets, found.cells) == (2, 2, 6)
    assert analyse.paired(cells, cells.targets, "gotd", "mmd") is None


def test_the_tables_say_what_is_missing(parts, finished, tmp_path):
    cells = parts["run"].read_cells(finished[0] / "cells.jsonl")
    path = tmp_path / "cells.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(cell) for cell in cells if cell["method"] != "mmd"))
    parts["analyse"].main(["--cells", str(path), "--seeds", "0"])
    told = (tmp_path / "table.md").read_text()
    assert "Missing cells: seed 0: 4." in told  # two targets, two budgets
    assert "| gotd as published |" in told


def test_encoders_choose_within_the_budget(parts, finished, data, mlm, monkeypatch):
    """General ones and those tuned on the target, with its labels and without."""
    pytest.importorskip("wordllama")
    encoders, plan = parts["encoders"], parts["plan"].TINY
    monkeypatch.setattr(encoders, "POOL", 60)
    run = parts["run"].Experiment(data, finished[0], plan, finished[0] / "cells.jsonl")
    pool, lengths = run.pool(0)
    tokens = {item.id: length for item, length in zip(pool[:60], lengths.tolist())}
    found = dict(encoders.Encoders(mlm, data / "tasks").orders(run, "signals", 0))
    assert list(found) == list(encoders.TITLES)
    for ids in found.values():
        assert sum(tokens[id] for id in ids) >= plan.budgets[0] > sum(tokens[id] for id in ids[:-1])
