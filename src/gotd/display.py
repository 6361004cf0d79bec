"""The terminal: what is shown of a result goes to stdout, progress to stderr.

Texts, sources and paths are other people's: they are shown as they are, never read as markup, and characters that
would steer the terminal are replaced.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from gotd.engine import Progress
from gotd.launched import speaks

PROSE_WIDTH = 100
_STAGE_WIDTH = 40
_QUIET = 60.0  # seconds between two lines of a log at least, and a fiftieth of all that have passed
_PART = 1 / 50
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # control characters, and writing directions


def console(*, stderr: bool = False) -> Console:
    """A console that takes every string as it is, and never wraps a path or a number when piped."""
    found = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not found.is_terminal:
        found.width = 140
    return found


def prose(out: Console, text: str) -> None:
    """Sentences, wrapped between words."""
    out.print(text, width=min(PROSE_WIDTH, out.width))


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """One bar on stderr, for what is being done; a line now and then where stderr is no terminal."""
    screen = console(stderr=True)
    if speaks() and not screen.is_terminal:
        yield progress_lines(sys.stderr)
        return
    screen.file = sys.stderr  # held: what a library writes there meanwhile can be turned away, and the bar stays
    # Without markup, a stage that is named after a source may hold brackets.
    columns = (
        TextColumn("{task.description:<32}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=screen, transient=True, disable=not speaks()) as bar:
        task = bar.add_task("", start=False, visible=False)
        family = ""

        def show(stage: str, done: int, total: int) -> None:
            nonlocal family
            if stage.split()[0] != family:
                family = stage.split()[0]
                bar.reset(task, visible=True)
            bar.update(task, description=plain(stage)[:_STAGE_WIDTH], completed=done, total=total)

        yield show


def progress_lines(file: TextIO, clock: Callable[[], float] = time.monotonic) -> Progress:
    """What is being done, for a log: nothing in the first minute, then a line a minute, and the later the rarer."""
    started = said = clock()

    def show(stage: str, done: int, total: int) -> None:
        nonlocal said
        now = clock()
        if now - said >= max(_QUIET, _PART * (now - started)):
            said = now
            print(f"{duration(now - started)}: {plain(stage)}, {done:,} of {total:,}", file=file, flush=True)

    return show


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if 0 < seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def plain(text: str) -> str:
    """One line that cannot steer the terminal."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))
