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
from gotd.corpus import Fields, File, find
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
    for output in (tmp_path, scored):
        with early.early_workers(find(corpora.pool), Fields(), output, 2, None):
            pass
    assert asked == [("gotd.stages.shard_scorer", shards, 2, None) for shards in (2, 0)]


def test_remote_files_are_not_looked_into(asked, tmp_path: Path) -> None:
    """Each is a shard at least."""
    far = [File(f"s3://nowhere/{number}.parquet", "parquet", None, "x", 1 << 40, "") for number in range(3)]
    with early.early_workers(far, Fields(), tmp_path, 2, None):
        assert asked == [("gotd.stages.shard_scorer", 3, 2, None)]


def test_select_and_score_start_them(corpora, selector: Path, asked, tmp_path: Path) -> None:
    gotd.select(corpora.pool, corpora.target, "15docs", tmp_path / "select", workers=1)
    command = ["score", str(selector), corpora.pool, "-o", str(tmp_path / "score"), "--workers", "1"]
    for _ in range(2):  # the second time all is there
        assert CliRunner().invoke(main, command, catch_exceptions=False).exit_code == 0
    assert asked == [("gotd.stages.shard_scorer", shards, 1, None) for shards in (2, 2, 0)]
