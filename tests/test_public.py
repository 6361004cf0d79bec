"""The public list: what it names, and what it costs to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import gotd
from gotd.training.warmup import TrainedModel

PUBLIC = [
    "ArtifactError",
    "Comparison",
    "Domain",
    "Exported",
    "Fields",
    "FitSettings",
    "GotdError",
    "InputError",
    "Losses",
    "MissingExtra",
    "Potential",
    "Scores",
    "Selection",
    "SettingsError",
    "Sizes",
    "Target",
    "WarmUp",
    "choose",
    "compare",
    "domains",
    "export_selection",
    "fit",
    "measured_mix",
    "report",
    "score",
    "select",
    "size",
]


def test_the_public_list() -> None:
    assert gotd.__all__ == PUBLIC
    assert dir(gotd) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(gotd, name).__name__ == name


def test_no_other_name_resolves() -> None:
    with pytest.raises(AttributeError, match="module 'gotd' has no attribute 'selct'"):
        _ = gotd.selct


def test_errors_are_of_one_tree() -> None:
    """One except clause catches all of them; two serve those who know Python's own."""
    for error in (gotd.InputError, gotd.SettingsError, gotd.ArtifactError, gotd.MissingExtra):
        assert issubclass(error, gotd.GotdError)
    assert issubclass(gotd.SettingsError, ValueError)
    assert issubclass(gotd.MissingExtra, ImportError)
    assert "needs b, which is not installed" in str(gotd.MissingExtra("a", "b", "c"))
    assert "needs b, d, which are not installed" in str(gotd.MissingExtra("a", "b, d", "c"))


def test_import_gotd_loads_nothing_heavy() -> None:
    script = "import gotd, sys; dir(gotd); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "gotd" in loaded
    heavy = {"torch", "pyarrow", "numpy", "scipy", "sklearn", "fsspec", "safetensors", "orjson", "pandas", "yaml"}
    assert not loaded & heavy


def test_results_are_shown_by_their_folder() -> None:
    """A manifest is pages long."""
    for result in (gotd.Selection, gotd.Comparison, TrainedModel):
        assert repr(result(Path("out"), {"settings": {}})).endswith("(folder=PosixPath('out'))")
