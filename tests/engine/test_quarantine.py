"""Rows whose worker dies twice: named on the terminal, in the manifest and among the rejects, and tried again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

import gotd
from gotd.cli import main
from gotd.corpus import Fields, find, plan

DEADLY = 3


@pytest.fixture
def poison(works, forked, small_shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that, while it is there, lets each worker die of the shard DEADLY; workers are forked, ready at once."""
    from scorers import MortalScorer

    small_shards(6000)
    path = tmp_path / "poison"
    path.touch()
    scorer = partial(MortalScorer, poison=path, tried=tmp_path / "tried", deadly=(DEADLY,))
    monkeypatch.setattr("gotd.stages.score.ShardScorer", scorer)
    monkeypatch.setattr("gotd.engine.processes._SPAWN", forked)
    return path


@pytest.fixture
def pool(write, text) -> str:
    """One file; the first id is there again in the last row, after all shards."""
    rare = [i % 20 == 0 for i in range(300)]
    rows = [{"id": f"d{i}", "text": text(i, rare[i])} for i in range(300)]
    return write("pool.jsonl", [*rows, {"id": "d0", "text": "common1 common2"}])


@pytest.fixture
def select(pool: str, corpora, tmp_path: Path) -> Callable[[], Result]:
    asked = ("select", "--candidates", pool, "-t", corpora.target, "-k", "15docs", "-o", tmp_path / "out")
    flags = ("--executor", "processes", "--workers", 2)
    return lambda: CliRunner().invoke(main, [str(part) for part in (*asked, *flags)], catch_exceptions=False)


def test_quarantine_is_named_everywhere_and_lifted_by_the_same_command(
    poison: Path, pool: str, select, corpora, rows, contents, tmp_path: Path
) -> None:
    first = select()
    assert first.exit_code == 3
    (told,) = first.stderr.splitlines()
    manifest = orjson.loads((tmp_path / "out" / "manifest.json").read_bytes())
    (lost,) = manifest["quarantined"]
    assert told == f"gotd: {lost['message']} It holds {lost['rows']} rows."
    assert f"{pool}, bytes {lost['start']:,} to {lost['stop']:,}: in quarantine, its worker died twice (SIGKILL" in told
    shard = plan(find(pool), Fields(), 6000)[DEADLY]
    assert (lost["file"], lost["start"], lost["stop"]) == (pool, shard.start, shard.stop)
    starts = [0]
    for line in Path(pool).read_bytes().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    before, inside = (sum(a <= at < b for at in starts[:-1]) for a, b in ((0, shard.start), (shard.start, shard.stop)))
    assert lost["rows"] == inside > 20

    counts = manifest["counts"]
    assert counts["read"] == 301 - inside == counts["selected"] + counts["not_selected"] + counts["rejected"]
    twice, gone = rows(tmp_path / "out" / "rejects.jsonl")
    assert (twice["reason"], twice["row"]) == ("duplicate-id", 301)  # the rows of the shard that is gone still count
    assert (gone["reason"], gone["row"], gone["message"]) == ("quarantined", before + 1, lost["message"])
    assert manifest["rejects"] == {"duplicate-id": 1}
    tried = (tmp_path / "tried").read_text().split()
    assert sorted(set(tried)) == sorted(map(str, range(len(set(tried)))))
    assert tried.count(str(DEADLY)) == 2

    again = select()  # it still dies: no other shard is read again
    assert again.exit_code == 3
    assert (tmp_path / "tried").read_text().split() == [*tried, str(DEADLY), str(DEADLY)]
    poison.unlink()
    lifted = select()
    assert (lifted.exit_code, lifted.stderr) == (0, "")
    assert (tmp_path / "tried").read_text().split()[len(tried) + 2 :] == [str(DEADLY)]
    gotd.select(pool, corpora.target, "15docs", tmp_path / "undisturbed", executor="inline")
    made = contents(tmp_path / "out")
    del made["manifest.json"]["config"]  # the flags, which the command alone has
    assert made == contents(tmp_path / "undisturbed")
    assert not (tmp_path / "out" / ".work").exists()


def test_where_all_is_in_quarantine_that_is_what_is_said(
    poison: Path, write, text, selector: Path, tmp_path: Path
) -> None:
    """And not that the files are empty."""
    from gotd.stages import score

    score.ShardScorer.keywords["deadly"] = (0,)  # type: ignore[attr-defined]
    pool = write("small.jsonl", [{"text": text(1, False)}])
    asked = ("score", selector, pool, "-o", tmp_path / "out", "--executor", "processes")
    found = CliRunner().invoke(main, [str(part) for part in asked])
    assert found.exit_code == 1
    assert f"no document could be read, of 0 rows; the first: {pool}, bytes 0 to" in found.stderr
    assert "in quarantine, its worker died twice" in found.stderr
