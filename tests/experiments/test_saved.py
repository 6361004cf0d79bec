"""Labels saved, on curves with known answers."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

PATH = Path(__file__).resolve().parents[2] / "experiments" / "classification" / "saved.py"


@pytest.fixture(scope="module")
def saved() -> ModuleType:
    spec = importlib.util.spec_from_file_location("experiments_saved", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_figure_is_looked_up_on_the_curve(saved: ModuleType) -> None:
    """Half way between 100 and 400 on a logarithmic axis are 200 labels."""
    curve = {100: 0.4, 400: 0.6, 1600: 0.8}
    asked = (0.3, 0.4, 0.5, 0.6, 0.7, 0.9)
    assert [saved.worth(curve, reached) for reached in asked] == pytest.approx([100, 100, 200, 400, 800, 1600])


def test_a_curve_that_falls_is_taken_at_its_best_so_far(saved: ModuleType) -> None:
    assert saved.worth({100: 0.5, 200: 0.4, 800: 0.7}, 0.6) == pytest.approx(400)


def test_a_row_that_needs_half_the_labels(saved: ModuleType) -> None:
    """`early` has at N what `none` has at 2 N, `same` has the same; what lies beyond the curve is said to."""
    rng = np.random.default_rng(0)
    cells = []
    for seed in range(5):
        for count in (100, 200, 400):
            for row, times in (("none", 1), ("early", 2), ("same", 1)):
                figure = 0.1 * np.log2(count * times) + rng.normal(0, 0.002)
                metrics = {"macro F1": figure, "accuracy": 0.0}
                told = {"task": f"news, {count} labels", "row": row, "seed": seed, "figures": [{"metrics": metrics}]}
                cells.append(told)
        cells.append({"task": "other", "row": "none", "seed": seed, "figures": [{"metrics": {"macro F1": 1.0}}]})
    found = saved.of_comparison(SimpleNamespace(results=SimpleNamespace(cells=cells)))
    by = {(one.row, one.labels): one for one in found}
    assert by.keys() == {(row, count) for row in ("early", "same") for count in (100, 200, 400)}
    assert by["early", 100].worth == pytest.approx(200, rel=0.05)
    assert by["same", 200].worth == pytest.approx(200, rel=0.05)
    assert all(one.low <= one.worth <= one.high for one in found)
    assert by["early", 100].high < 220
    assert by["early", 400].said(by["early", 400].worth) == "> 400"
    assert "| news | early | 400 | > 400 |" in saved.table(found)
