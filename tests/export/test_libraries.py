"""An export in the hands of the libraries that it is for: `datasets` loads it, TRL trains on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gotd import Selection
from gotd.export import TRAINERS, export_selection
from gotd.export.records import chosen

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Caches in the test's folder, no bars, no network."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.mark.parametrize("shape", ["texts", "chats"])
@pytest.mark.parametrize("to", list(TRAINERS))
def test_datasets_loads_the_folder(shape: str, to: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """One split of that file alone, whatever else lies beside it."""
    selection: Selection = request.getfixturevalue(shape)
    found = export_selection(selection, to, tmp_path / "out")
    loaded = datasets.load_dataset(str(found.folder))
    assert list(loaded) == ["train"]
    wanted = list(chosen(selection))
    assert loaded["train"]["id"] == [one.id for one in wanted]
    if found.manifest["shape"] == "chat":
        assert loaded["train"]["messages"] == [one.record["messages"] for one in wanted]
    else:
        assert loaded["train"]["text"] == [one.text for one in wanted]


def test_datasets_loads_licences_that_begin_late(choose_all, text, tmp_path: Path) -> None:
    """It takes the columns of JSONL from the first ten megabytes."""
    long = {"id": "long", "text": text(0, True) + "." * 11_000_000}
    found = choose_all(pool=[long, {"id": "last", "text": "nothing alike", "license": "mit"}])
    assert [one.id for one in chosen(found)] == ["long", "last"]
    exported = export_selection(found, "trl", tmp_path / "out")
    loaded = datasets.load_dataset(str(exported.folder / "data"))["train"]
    assert loaded["license"] == ["not stated", "mit"]


@pytest.mark.parametrize("shape", ["texts", "chats"])
def test_trl_trains_by_the_config(
    shape: str, tiny: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of `trl sft --config sft.yaml`, on a model of one layer: its weights move, and by a finite loss."""
    sft = pytest.importorskip("trl.scripts.sft")
    import safetensors.torch
    import torch

    selection: Selection = request.getfixturevalue(shape)
    monkeypatch.chdir(export_selection(selection, "trl", tmp_path / "out", model=str(tiny)).folder)
    config = yaml.safe_load(Path("sft.yaml").read_text())
    here = ("--max_steps", "2", "--use_cpu", "true", "--bf16", "false", "--report_to", "none", "--disable_tqdm", "true")
    threads, environment = torch.get_num_threads(), dict(os.environ)
    try:
        parsed = sft.make_parser().parse_args_and_config(["--config", "sft.yaml", *here], return_remaining_strings=True)
        assert parsed[-1] == []
        sft.main(*parsed[:4])
    finally:
        torch.set_num_threads(threads)
        os.environ.clear()
        os.environ.update(environment)
    before, after = (
        safetensors.torch.load_file(folder / "model.safetensors") for folder in (tiny, Path(config["output_dir"]))
    )
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert any(not torch.equal(before[name], after[name]) for name in before)
