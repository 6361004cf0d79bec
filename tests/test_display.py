"""The terminal: one bar, on standard error alone, and wide lines where a pipe reads them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr
from io import StringIO

import pytest

from gotd.display import console, progress_bar, progress_lines

_SHOWN = "\N{REPLACEMENT CHARACTER}[2J"

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


def test_a_short_run_says_nothing_where_standard_error_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as progress:
        progress("scoring", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_long_run_says_a_line_a_minute_and_then_fewer() -> None:
    now, log = [0.0], StringIO()
    show = progress_lines(log, lambda: now[0])
    for second in range(0, 20_000, 10):
        now[0] = float(second)
        show("3/20 warm-up\x1b[2J", second, 20_000)
    lines = log.getvalue().splitlines()
    assert lines[:2] == [f"60 s: 3/20 warm-up{_SHOWN}, 60 of 20,000", f"2 min: 3/20 warm-up{_SHOWN}, 120 of 20,000"]
    # A minute apart for 50 minutes; then each waits a fiftieth of what has passed.
    assert [line.partition(":")[0] for line in lines[1:50]] == [f"{minutes} min" for minutes in range(2, 51)]
    assert len(lines) < 150


def test_pipes_are_wide(capsys: pytest.CaptureFixture[str]) -> None:
    assert console().width == 140
