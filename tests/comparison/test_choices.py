"""What the rows of a comparison share before anything is trained."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from gotd.artifacts import load_manifest
from gotd.comparison import Config
from gotd.comparison.choices import Choices, foretold
from gotd.comparison.plan import plan
from gotd.potential import Potential


def chosen(config: Config, folder: Path) -> dict[str, Path]:
    """The folder of each row's selection."""
    planned = plan(config)
    make = Choices(planned, folder)
    return {f"{cell.task} {cell.row}": make(cell).folder for cell in planned.cells if cell.budget is not None}


def test_a_pool_is_embedded_once_for_all_rows_and_tasks(small: Config, tmp_path: Path) -> None:
    """Every row of every task takes each of its 300 vectors from there; a row that needs none takes none."""
    other = replace(small.tasks[0], name="other", target=small.candidates)
    rows = {"gotd": {}, "nearest": {}, "random": {}}
    config = replace(small, methods=rows, tasks=(*small.tasks, other), seeds=(0,), select={"encoder": "static"})
    chosen(config, tmp_path)
    [vectors] = tmp_path.glob("vectors-*")
    assert load_manifest(vectors, "score")["counts"]["scored"] == 300
    told = [load_manifest(folder, "score").get("embeddings") for folder in tmp_path.glob("scores-*")]
    assert [(one["taken"], one["embedded"]) for one in told if one] == 4 * [(300, 0)]
    assert told.count(None) == 2


def test_an_encoder_that_is_fitted_on_a_target_shares_nothing(small: Config, tmp_path: Path) -> None:
    chosen(replace(small, methods={"gotd": {}, "random": {}}, seeds=(0,)), tmp_path)
    assert not list(tmp_path.glob("vectors-*"))


def test_another_row_may_embed_a_pool_of_which_the_embedding_was_stopped(small: Config, tmp_path: Path) -> None:
    config = replace(small, methods={"gotd": {}, "nearest": {}, "random": {}}, seeds=(0,), select={"encoder": "static"})
    planned = plan(config)
    cells = {cell.row: cell for cell in planned.cells}

    def stop(stage: str, done: int, total: int) -> None:
        if list(tmp_path.glob("vectors-*/parts/*.done.json")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Choices(planned, tmp_path, stop)(cells["gotd"])
    assert not list(tmp_path.glob("vectors-*/manifest.json"))
    assert Choices(planned, tmp_path)(cells["nearest"]).documents == 12
    [made] = tmp_path.glob("vectors-*/manifest.json")
    assert len(list(tmp_path.glob("vectors-*"))) == 2
    Choices(planned, tmp_path).sweep()
    assert list(tmp_path.glob("vectors-*")) == [made.parent]


def test_test_texts_that_are_read_from_another_field_are_looked_for_anew(
    small: Config, lines: Any, text: Any, tmp_path: Path
) -> None:
    """In the same folder: the candidate that gives the test away is told from the `abstract` alone."""
    told = [{"text": text(8100 + i, True, 30), "abstract": text(8200 + i, True, 30)} for i in range(4)]
    leak = (lines("leak.jsonl", [{"text": told[0]["abstract"]}]),)
    task = replace(small.tasks[0], test=(lines("fields.jsonl", told),))
    config = replace(small, candidates=(*small.candidates, *leak), methods={"random": {}}, seeds=(0,))
    target = (lines("abstracts.jsonl", [{"text": text(i, True, 9), "abstract": text(i, True, 9)} for i in range(9)]),)
    found = []
    for field in (None, "abstract"):
        chosen(replace(config, tasks=(replace(task, target=target, text_field=field),)), tmp_path)
        found.append({path: load_manifest(path, "score")["rejects"] for path in tmp_path.glob("scores-*")})
    [before] = found[0].values()
    [after] = (rejects for path, rejects in found[1].items() if path not in found[0])
    assert (before, after) == ({}, {"contaminated": 1})


def test_a_small_share_of_few_texts_does_what_is_foretold(
    selector: Path, text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gotd.comparison.choices.MIX", 0.001)
    found = foretold(Potential.load(selector), [text(seed, True) for seed in range(3)])
    assert found["predicted"] > 0
    assert found["solved"] == pytest.approx(found["predicted"], rel=0.02)


def test_an_encoder_that_was_tuned_again_chooses_anew(small: Config, mlm: Path, tmp_path: Path) -> None:
    """In the same folder: what the first one scored is not what the second would."""
    shutil.copytree(mlm, tmp_path / "encoder")
    config = replace(
        small, methods={"random": {}, "gotd": {"encoder": "lsa"}}, select={"encoder": f"{tmp_path}/encoder"}
    )

    def keys() -> list[str]:
        planned = plan(config)
        return [Choices(planned, tmp_path).key(cell) for cell in planned.cells]

    before = keys()
    assert keys() == before
    weights = {name: value + 1 for name, value in load_file(mlm / "model.safetensors").items()}
    save_file(weights, tmp_path / "encoder" / "model.safetensors", metadata={"format": "pt"})
    after = keys()
    assert [one == other for one, other in zip(before, after)] == [False, True, False, True]
