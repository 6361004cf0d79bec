"""What a person sees on the terminal: progress on stderr, tables on stdout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from gotd.engine import Progress

if TYPE_CHECKING:
    from gotd.stages.choose import Selection
    from gotd.stages.domains import Domain

_TEXT_WIDTH = 100


def console(*, stderr: bool = False) -> Console:
    """A console that never wraps a path or a number when piped."""
    found = Console(stderr=stderr, highlight=False)
    if not found.is_terminal:
        found.width = 140
    return found


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr for each thing that takes long; nothing where stderr is no terminal."""
    screen = console(stderr=True)
    columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            family = stage.split()[0]
            if family not in tasks:
                tasks[family] = bar.add_task(stage, total=total)
            bar.update(tasks[family], description=stage, completed=done, total=total)

        yield show


def show_selection(selection: Selection) -> None:
    """The table by source, the best and worst documents, transport before and after, and what to do next."""
    out, found = console(), selection.manifest
    out.print(_by_source(found["sources"], found["counts"]))
    out.print()
    out.print(_documents("Best five", found["best"]))
    out.print(_documents("Worst five", found["worst"]))
    out.print()
    out.print(_transport(found["transport"], found["counts"]["selected"]))
    for line in _remarks(found):
        out.print(line, soft_wrap=True)
    out.print()
    for line in _next(selection):
        out.print(line, soft_wrap=True)


def show_domains(found: Sequence[Domain]) -> None:
    """Sources by distance to the target, nearest first."""
    table = Table(box=None, pad_edge=False, title="Distance to the target, nearest first", title_justify="left")
    table.add_column("source")
    table.add_column("distance", justify="right")
    table.add_column("documents", justify="right")
    table.add_column("")
    some_left_out = not all(domain.kept for domain in found)
    for domain in found:
        mark = ("kept" if domain.kept else "left out") if some_left_out else ""
        table.add_row(escape(domain.source), f"{domain.distance:.4f}", f"{domain.documents:,}", mark)
    console().print(table)


def _by_source(sources: dict[str, dict[str, int]], counts: dict[str, int]) -> Table:
    pool = sum(row["pool"] for row in sources.values())
    chosen = counts["selected"]
    title = f"{chosen:,} of {pool:,} documents"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    table.add_column("source")
    for name in ("pool", "share", "selected", "share", "times its share"):
        table.add_column(name, justify="right")
    for source, row in sorted(sources.items(), key=lambda item: -item[1]["selected"]):
        of_pool, of_choice = row["pool"] / pool, row["selected"] / max(1, chosen)
        table.add_row(
            escape(source),
            f"{row['pool']:,}",
            f"{of_pool:.1%}",
            f"{row['selected']:,}",
            f"{of_choice:.1%}",
            f"{of_choice / of_pool:.1f}",
        )
    return table


def _documents(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", show_header=False)
    table.add_column("score", justify="right")
    table.add_column("source")
    table.add_column("text", no_wrap=True, overflow="ellipsis", max_width=_TEXT_WIDTH)
    for row in rows:
        table.add_row(f"{row['score']:.3f}", escape(row["source"]), escape(row["text"]))
    return table


def _transport(found: dict[str, Any], selected: int) -> Table:
    title = f"From the reference to the target ({found['measure']}), at a share of {found['mix']:.0%}"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("", justify="right")
    before = found["before"]

    def row(name: str, value: float) -> None:
        table.add_row(name, f"{value:.4f}", f"{value - before:+.4f}")

    table.add_row("before", f"{before:.4f}", "")
    row(f"with these {selected:,}, predicted", found["predicted"])
    row(f"with these {selected:,}, solved again", found["after"])
    row("with as many at random", found["random"])
    return table


def _remarks(found: dict[str, Any]) -> Iterator[str]:
    quality, counts = found["quality"], found["counts"]
    if quality["stability"]:
        overlaps = ", ".join(f"{value:.0%} of the best {share}" for share, value in quality["stability"].items())
        yield f"Two halves of the target agree on {overlaps}."
    if quality["advice"]:
        yield f"[bold]Not converged[/]: {quality['advice']}."
    if counts["rejected"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(found["rejects"].items()))
        yield f"{counts['rejected']:,} of {counts['read']:,} rows rejected ({reasons}): see rejects.jsonl."
    if found["transport"]["after"] >= found["transport"]["random"]:
        yield "[bold]Not better than random here[/]: a random choice brings the reference as close to the target."


def _next(selection: Selection) -> Iterator[str]:
    folder = selection.folder
    yield f"Wrote {selection.path} ({len(selection):,} documents), scores.parquet and potential.safetensors."
    yield f"Next: train on {selection.path.name}, or score another pool: gotd score {folder} POOL -o {_beside(folder)}"


def _beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-scores")
