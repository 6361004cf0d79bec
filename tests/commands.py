"""The command line as the tests type it."""

from __future__ import annotations

import re
from typing import Any

import orjson
from click.testing import CliRunner, Result

from gotd.cli import main

ONE_LINE = re.compile(r"gotd: [^\n]+\n")


def run(*arguments: object) -> Result:
    """What a command prints and how it exits; an error that gotd did not foresee is raised here."""
    found = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="gotd")
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def done(*arguments: object) -> str:
    """Standard output of a command that must succeed, and say nothing on standard error."""
    found = run(*arguments)
    assert (found.exit_code, found.stderr) == (0, "")
    return found.stdout


def told(*arguments: object) -> Any:
    """The JSON that a command prints: nothing else may stand on standard output."""
    return orjson.loads(done(*arguments, "--json"))


def refused(*arguments: object) -> str:
    """The one line that a command which cannot be done prints, on standard error alone."""
    found = run(*arguments)
    assert (found.exit_code, found.stdout) == (1, "")
    assert ONE_LINE.fullmatch(found.stderr)
    return found.stderr
