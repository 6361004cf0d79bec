"""The measurement of Lemma 1, end to end on made-up words, and its arithmetic with known answers."""

from __future__ import annotations

import importlib.util
import math
import random
import sys
from pathlib import Path

import orjson
import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture(scope="module")
def lemma():
    """The script as a module; what it imports from its neighbour is forgotten again."""
    pytest.importorskip("tokenizers")
    before, path = set(sys.modules), list(sys.path)
    spec = importlib.util.spec_from_file_location("lemma_one", EXPERIMENTS / "lemma_one" / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["lemma_one"] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path[:] = path
        for name in (set(sys.modules) - before) & {"lemma_one", "gpt", "plan", "texts"}:
            del sys.modules[name]


def curve(shares=(0.0, 0.1, 0.4)):
    return [{"share": share, "selection": 5 - math.log(share + 0.01), "reference": 4 + share} for share in shares]


@pytest.mark.parametrize("share", [0.0, 0.03, 0.1, 0.2, 0.4])
def test_the_share_is_read_off_the_curve(lemma, share: float) -> None:
    assert lemma.share_at(curve(), 5 - math.log(share + 0.01)) == pytest.approx(share, abs=1e-9)


def test_outside_the_curve_it_is_the_nearest_end(lemma) -> None:
    assert lemma.share_at(curve(), 20.0) == pytest.approx(0, abs=1e-12)
    assert lemma.share_at(curve(), 0.0) == pytest.approx(0.4)


def test_the_law_is_found_again(lemma, tmp_path: Path) -> None:
    """Warm-ups whose shares follow scale .3 and power .7 exactly, and one that is off the curve."""
    path = tmp_path / "runs.jsonl"
    rows = [{"source": "u", **row} for row in curve((0.0, 0.05, 0.1, 0.2, 0.4, 0.69))]
    for travel in (0.001, 0.01, 0.05, 9.0):
        share = -math.expm1(-((travel / 0.3) ** 0.7))
        losses = {"selection": 5 - math.log(share + 0.01), "reference": 4 + share + 0.25}
        rows.append({"source": "u", "rate": 1e-3, "steps": 1, "epochs": 1, "travel": travel, **losses})
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    scale, power, spread = lemma.law(path)
    assert (scale, power) == (pytest.approx(0.3, rel=0.02), pytest.approx(0.7, rel=0.02))
    assert spread < 0.01
    assert [one.inside for one in lemma.readings(path)] == [True, True, True, False]
    assert [one.beyond for one in lemma.readings(path)][:3] == pytest.approx([0.25] * 3)
    assert "| u | 0.001 | 1 | 1 | 9.00000 | beyond the curve |" in lemma.table(path)[-1]


def test_it_runs_and_goes_on_where_it_was(lemma, tmp_path: Path) -> None:
    rng, words = random.Random(0), {"meadow": "grass lark brook heifer", "forge": "anvil iron hammer coal"}
    (tmp_path / "candidates").mkdir()
    for source, own in words.items():
        rows = [{"text": " ".join(rng.choices(own.split(), k=60))} for _ in range(80)]
        (tmp_path / "candidates" / f"{source}.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    plan = lemma.Plan(vocabulary=300, width=16, layers=1, heads=2, context=32, batch=4, micro=4)
    sizes = lemma.Sizes(("meadow",), 6_000, (0.0, 0.3), (1e-2,), ((6, 1), (6, 2)), 500, plan)
    results = tmp_path / "runs.jsonl"
    lemma.run(tmp_path, tmp_path / "work", ["forge"], results, sizes)
    found = lemma.read(results)
    assert [(row.get("share"), row.get("steps"), row.get("epochs")) for row in found] == [
        *((0.0, None, None), (0.3, None, None), (None, 6, 1), (None, 6, 2))
    ]
    assert found[1]["selection"] < found[0]["selection"]
    assert all(row["selection"] < found[0]["selection"] for row in found[2:])
    results.write_bytes(b"".join(results.read_bytes().splitlines(keepends=True)[:-1]))
    lemma.run(tmp_path, tmp_path / "work", ["forge"], results, sizes)
    assert lemma.read(results) == found
