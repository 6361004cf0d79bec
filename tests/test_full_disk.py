"""A disk that is full, and one that may not be written: one line that says so, and nothing lost.

A limit on the size of files stands for the full disk: the system refuses to write, in Python and in Arrow alike, with
another number for the same thing.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name

import pytest
from click.testing import CliRunner, Result

from gotd.cli import main
from gotd.durable import refusal


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize(
    "where",
    [
        "gotd.pipeline.fit",
        "gotd.stages.passes.run",
        "gotd.stages.score.merge",
        "gotd.stages.choose.write_records",
        "gotd.stages.choose.write_arrow",
        "gotd.stages.choose.shutil.copyfile",
        "gotd.pipeline._finished",
    ],
)
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    where: str, corpora, selected: Path, contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it fills up: in fitting, in scoring, in joining the parts, in writing the choice."""
    asked = ("select", "--candidates", corpora.pool, "-t", corpora.target, "-k", "15docs", "-o", tmp_path / "out")
    plain = resolve_name(where)

    def filling(*given: object, **named: object) -> object:
        with files_up_to(300):
            return plain(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(where, filling)
        found = run(*asked, "--workers", 1)
    assert found.exit_code == 1
    (told,) = found.stderr.splitlines()
    assert told.startswith("gotd: cannot write ")
    assert "File too large. Make room and run the same command again: it goes on" in told
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert run(*asked, "--workers", 1).exit_code == 0
    made = contents(tmp_path / "out")
    del made["manifest.json"]["config"]  # the flags, which the command alone has
    assert made == contents(selected)


@pytest.mark.parametrize("size", [100_000, 200_000])
def test_training_on_a_full_disk_is_one_line_too(size: int, gpt: Path, corpora, tmp_path: Path) -> None:
    """Weights are written by safetensors, the optimiser's state by torch: neither says so by an OSError."""
    asked = ("warmup", "-m", gpt, "-d", corpora.target, "--tokens", 2000, "--output", tmp_path / "warm")
    with files_up_to(size):
        found = run(*asked)
    assert found.exit_code == 1
    assert found.stderr, repr(found.exception)
    told = found.stderr.splitlines()[-1]
    assert told.startswith("gotd: cannot write ")
    assert told.endswith("Make room and run the same command again: it goes on")
    assert run(*asked).exit_code == 0


def test_a_page_on_a_full_disk_leaves_nothing(selected: Path, tmp_path: Path) -> None:
    with files_up_to(5000):
        found = run("report", selected, "--output", tmp_path / "page.html")
    assert found.stderr.startswith(f"gotd: cannot write {tmp_path / 'page.html'}: File too large")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_may_not_be_written_is_one_line(corpora, tmp_path: Path) -> None:
    """/sys takes no folders, from root either."""
    found = run("fit", "-r", corpora.pool, "-t", corpora.target, "-o", "/sys/gotd")
    assert found.exit_code == 1
    (told,) = found.stderr.splitlines()
    assert told.startswith("gotd: /sys/gotd: ")
    assert told.endswith(". Mend its rights, or choose another folder")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (28, r"cannot write x: No space left on device\. Make room and run the same command again: it goes on"),
        (122, r"cannot write x: Disk quota exceeded\. Make room"),
        (30, r"x: Read-only file system\. Mend its rights, or choose another folder"),
        (13, r"x: Permission denied\. Mend its rights"),
    ],
)
def test_what_a_disk_refuses_is_said_with_its_remedy(number: int, told: str) -> None:
    found = refusal(OSError(number, "whatever", "x"))
    with pytest.raises(Exception, match=told):
        raise found or AssertionError


def test_other_errors_are_not_the_disks() -> None:
    assert refusal(OSError(5, "Input/output error", "x")) is None
