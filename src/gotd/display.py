"""The terminal: what is shown of a result goes to stdout, progress to stderr.

Texts, sources and paths are other people's: they are shown as they are, never read as markup, and characters that
would steer the terminal are replaced.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from gotd.engine import Progress
from gotd.launched import speaks

PROSE_WIDTH = 100
_STAGE_WIDTH = 40
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
    """One bar on stderr, for what is being done; nothing where stderr is no terminal."""
    screen = console(stderr=True)
    screen.file = sys.stderr  # held: what a library writes there meanwhile can be turned away, and the bar stays
    # Without markup, a stage that is named after a source may hold brackets.
    columns = (
        TextColumn("{task.description:<32}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=screen, transient=True, disable=not (screen.is_terminal and speaks())) as bar:
        task = bar.add_task("", start=False, visible=False)
        family = ""

        def show(stage: str, done: int, total: int) -> None:
            nonlocal family
            if stage.split()[0] != family:
                family = stage.split()[0]
                bar.reset(task, visible=True)
            bar.update(task, description=plain(stage)[:_STAGE_WIDTH], completed=done, total=total)

        yield show


def plain(text: str) -> str:
    """One line that cannot steer the terminal."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))
