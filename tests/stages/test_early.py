"""Workers that start before there is anything to score."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

import gotd
from gotd.cli import main
from gotd.corpus import Fields, find, plan
from gotd.stages import early
from gotd.stages.shard_scorer import ShardScorer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What was asked to start ahead: the module, the number of shards, workers, executor."""
    calls: list[tuple[object, ...]] = []

    def ahead(*call: object) -> nullcontext[None]:
        calls.append(call)
        return nullcontext()

    monkeypatch.setattr(early, "ahead", ahead)
    return calls


def test_they_import_the_scorer() -> None:
    assert ShardScorer.__module__ == early._SCORER


def test_the_parent_starts_them_before_it_imports_torch() -> None:
    """In an interpreter of its own: this one has torch already."""
    script = "import sys, gotd.stages.early, gotd.stages.ranks, gotd.cli, gotd.display; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout == "False\n"


def test_none_where_all_is_scored_already(corpora, scored: Path, asked, tmp_path: Path) -> None:
    shards = plan(find(corpora.pool), Fields())
    for output in (tmp_path, scored):
        with early.early_workers(shards, output, 2, None):
            pass
    assert asked == [("gotd.stages.shard_scorer", shards, 2, None) for shards in (2, 0)]


def test_select_and_score_start_them(corpora, selector: Path, asked, tmp_path: Path) -> None:
    gotd.select(corpora.pool, corpora.target, "15docs", tmp_path / "select", workers=1)
    command = ["score", str(selector), corpora.pool, "-o", str(tmp_path / "score"), "--workers", "1"]
    for _ in range(2):  # the second time all is there
        assert CliRunner().invoke(main, command, catch_exceptions=False).exit_code == 0
    assert asked == [("gotd.stages.shard_scorer", shards, 1, None) for shards in (2, 2, 0)]
