"""What a person sees of a comparison: the plan before it, the verdict and the table after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from gotd.comparison.table import AGREEMENT_HEADS, agreement_lines, blocks
from gotd.comparison.verdict import chance, main_rows
from gotd.display import console, duration, prose

if TYPE_CHECKING:
    from gotd.comparison.cost import Cost
    from gotd.comparison.running import Comparison


def show_comparison(found: Comparison, page: Path | None = None) -> None:
    """Verdict, tables, and where the files are; `page` is the report, if there is one."""
    out, results, config = console(), found.results, found.config
    for line in found.verdict:
        prose(out, line)
    warned = chance(main_rows(config, results))
    if warned:
        prose(out, warned)
    for block in blocks(results, main=True):
        out.print(f"\n{block.title}", soft_wrap=True)
        out.print(_table(block.heads, block.lines))
    known = [one for one in results.agreements if one.by_predicted is not None or one.by_solved is not None]
    if known:
        out.print("\nRank correlation of what transport foretells with what was gained", soft_wrap=True)
        out.print(_table(AGREEMENT_HEADS, agreement_lines(known)))
    counts = found.manifest["counts"]
    out.print(f"\n{counts['cells']:,} cells, {counts['found']:,} of them found done.")
    for task, told in found.manifest["repeated"].items():
        if told and told["repeated"]:
            share = f"{told['repeated']:,} of {told['test']:,} test texts"
            prose(out, f"{task}: {share} stand in its target, dev or training data.")
    out.print(f"Wrote {found.folder}: cells.parquet, and every figure in table.md and table.csv.", soft_wrap=True)
    out.print(f"Wrote {page}." if page else f"Next: gotd report {found.folder}", soft_wrap=True)


def show_cost(found: Cost) -> None:
    """The plan, and what it takes."""
    out = console()
    out.print(_table(("", "cells", "tokens a cell"), found.planned))
    shared = f"{found.scorings:,} scorings of the pool and {found.choices:,} selections are left, shared by the cells"
    out.print(f"{found.cells:,} cells, {found.done:,} of them done; {shared}.", soft_wrap=True)
    rows = [(name, f"{tokens:,}" if tokens else "", duration(seconds)) for name, tokens, seconds in found.parts]
    out.print(_table(("what is left", "tokens", "about"), [*rows, ("together", "", duration(found.seconds))]))
    speeds = f"{found.training:,.0f} tokens a second in training, {found.reading:,.0f} in judging"
    more = "Loading, saving and tasks of lm-eval come on top"
    prose(out, f"Measured on {found.device}: {speeds}. {more}. Nothing was written.")


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number == 0 else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table
