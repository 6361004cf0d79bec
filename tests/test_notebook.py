"""examples/quickstart.ipynb runs, and shows what it computes."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pandas")
NOTEBOOK = Path(__file__).parent.parent / "examples" / "quickstart.ipynb"


def run(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, if that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def alike(found: Any, shown: Any) -> bool:
    """The same, but for the last digits of numbers, which the processor decides."""
    if isinstance(shown, float):
        return bool(found == pytest.approx(shown, abs=0.02))
    if isinstance(shown, dict):
        return found.keys() == shown.keys() and all(alike(found[name], value) for name, value in shown.items())
    if isinstance(shown, tuple | list):
        return len(found) == len(shown) and all(map(alike, found, shown))
    return bool(found == shown)


def test_every_cell_gives_what_the_notebook_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict[str, Any] = {}
    compared = 0
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        value = run("".join(cell["source"]), names)
        plain = ["".join(output["data"]["text/plain"]) for output in cell["outputs"]]
        try:
            shown = [ast.literal_eval(text) for text in plain]
        except (SyntaxError, ValueError):
            continue  # a table: its width is the reader's
        assert alike(value, shown[0]), (value, shown[0])
        compared += 1
    assert compared == 4
    assert set(names["chosen"].to_arrow()["source"].to_pylist()) == {"cooking"}
