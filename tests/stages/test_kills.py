"""Killed at any moment, with no chance to tidy up, the same command ends as if nothing had been."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

Run = Callable[[Path, "tuple[str, int] | None"], "tuple[int, list[str]]"]


@pytest.fixture(scope="module")
def run(corpora, forked, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """run(output, at) -> the exit status, and the log's lines, of a run in a process forked from a prepared one."""
    folder = tmp_path_factory.mktemp("logs")
    numbers = iter(range(1000))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        import killing

        def start(output: Path, at: tuple[str, int] | None) -> tuple[int, list[str]]:
            log = folder / f"{next(numbers)}"
            log.touch()
            arguments = (corpora.files[1], corpora.target, output, log, at)
            process = forked.Process(target=killing.select, args=arguments)
            process.start()
            process.join()
            return process.exitcode or 0, log.read_text().splitlines()

        yield start


@pytest.fixture(scope="module")
def undisturbed(run: Run, contents, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, int]]:
    """The files of a run that nothing befell, and how many points of each kind it passed."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    status, log = run(out, None)
    assert status == 0
    return files(out, contents), {kind: int(seen) for kind, _, seen in (line.partition(": ") for line in log[-2:])}


def files(folder: Path, contents) -> dict[str, Any]:
    """All there is, hidden or not; the certificate to the last bit."""
    certificate = orjson.loads((folder / "manifest.json").read_bytes())["quality"]["marginal_error_pool"]
    return {**contents(folder), "certificate": certificate}


def shards(lines: list[str]) -> list[int]:
    return [int(line.split()[1]) for line in lines if line.startswith("shard")]


@pytest.mark.parametrize("number", range(20))
def test_killed_anywhere_it_ends_the_same(number: int, run: Run, undisturbed, contents, tmp_path: Path) -> None:
    """One point in each tenth of the run, by calls, and one by writes; no shard that was finished is scored again."""
    expected, seen = undisturbed
    kind, tenth = ("anywhere", "on disk")[number % 2], number // 2
    point = 1 + int((tenth + random.Random(number).random()) / 10 * seen[kind])
    out = tmp_path / "out"
    status, _ = run(out, (kind, point))
    assert status == -signal.SIGKILL
    done = {int(path.name[:5]) for path in out.glob(".work/scores/parts/*.done.json")}
    status, log = run(out, None)
    assert status == 0
    assert not done & set(shards(log))
    assert files(out, contents) == expected
