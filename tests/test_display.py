"""The terminal: one bar, on standard error alone, and wide lines where a pipe reads them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr
from io import StringIO

import pytest

from gotd.display import console, progress_bar

pytestmark = pytest.mark.usefixtures("plain_screen")


def test_progress_is_one_bar_on_standard_error(
    terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A stage takes the place of the one before; names in it are not markup."""
    terminal(100)
    with progress_bar() as progress:
        for stage, done in (("reading", 0), ("measuring [/near]", 1), ("measuring far", 2), ("measured [/b]", 3)):
            progress(stage, done, 3)
    found = capsys.readouterr()
    assert found.out == ""
    frames = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", found.err).replace("\n", "\r").split("\r")
    assert any("measured [/b]" in frame and "3/3" in frame for frame in frames)
    assert [frame for frame in frames if len(re.findall("[0-9]/[0-9]", frame)) > 1] == []


def test_the_bar_stays_while_what_a_library_prints_is_turned_away(
    terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", sys.stderr)  # put back after: here the bar ends within the other redirection
    terminal(100)
    with ExitStack() as bar:
        progress = bar.enter_context(progress_bar())
        with redirect_stderr(StringIO()) as away:
            progress("answering", 1, 2)
            bar.close()
    assert away.getvalue() == ""
    assert "answering" in capsys.readouterr().err


def test_no_progress_where_standard_error_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as progress:
        progress("scoring", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_pipes_are_wide(capsys: pytest.CaptureFixture[str]) -> None:
    assert console().width == 140
