"""Shell completion is click's own: the documented lines make a script, and it completes commands, flags and files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs" / "usage.md"
LINES = {
    found[1]: found[0].replace(r"\|", "|")
    for found in re.findall(r"`([^`]*_GOTD_COMPLETE=(\w+)_source gotd[^`]*)`", DOCS.read_text(encoding="utf-8"))
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A PATH on which `gotd` is this one."""
    script = tmp_path / "bin" / "gotd"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom gotd.cli import main\nmain()\n")
    script.chmod(0o755)
    paths = {"PATH": os.pathsep.join([str(script.parent), os.environ["PATH"]]), "PYTHONPATH": os.pathsep.join(sys.path)}
    return {**os.environ, **paths}


def test_every_shell_is_documented() -> None:
    assert set(LINES) == {"bash", "zsh", "fish"}


@pytest.mark.parametrize(
    ("shell", "registers"),
    [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --no-files --command gotd")],
)
def test_the_documented_line_makes_the_script(shell: str, registers: str, environment: dict[str, str]) -> None:
    assignment = re.search(r"_GOTD_COMPLETE=(\w+)", LINES[shell])
    assert assignment is not None
    done = subprocess.run(
        ["gotd"], env={**environment, "_GOTD_COMPLETE": assignment[1]}, capture_output=True, text=True, check=True
    )
    assert registers in done.stdout
    assert f"_GOTD_COMPLETE={shell}_complete" in done.stdout


def completed(environment: dict[str, str], *words: str) -> list[str]:
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1), "_GOTD_COMPLETE": "bash_complete"}
    done = subprocess.run(["gotd"], env={**environment, **asked}, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_commands_flags_choices_and_files_are_completed(environment: dict[str, str]) -> None:
    assert completed(environment, "gotd", "doc") == ["plain,doctor"]
    assert completed(environment, "gotd", "select", "--dry") == ["plain,--dry-run"]
    assert completed(environment, "gotd", "export", "--to", "llama") == ["plain,llama-factory"]
    assert completed(environment, "gotd", "select", "--candidates", "po") == ["file,po"]
    assert completed(environment, "gotd", "select", "-c", "ru") == ["file,ru"]


def test_bash_takes_the_line(environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{LINES['bash']}\ncomplete -p gotd"], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "_gotd_completion gotd" in done.stdout
