"""How much to choose, before choosing: `gotd size`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gotd.cli import options as opt
from gotd.cli.arguments import warmed_up
from gotd.cli.output import print_json


@click.command()
@click.argument("scores", type=click.Path(path_type=Path))
@click.option(
    "--limit", type=int, help="The largest budget, in documents.  [default: a tenth of the pool, 1000 to 10000]"
)
@click.option("--budgets", default=12, show_default=True, help="How many to try, evenly in the logarithm.")
@click.option(
    "--folds",
    default=5,
    show_default=True,
    help="Of the target: documents chosen without one are measured against it. 0 for none.",
)
@opt.chain(opt.mixing("auto"), opt.dedup, opt.seed, opt.json)
@warmed_up
def size(as_json: bool, **given: Any) -> None:
    """Show what each budget would do, and from which on more documents hardly pay. SCORES is the folder of `score`
    or `select`."""
    from gotd.display import progress_bar
    from gotd.stages.display import show_sizes
    from gotd.stages.size import size

    with progress_bar() as progress:
        found = size(progress=progress, **given)
    print_json(asdict(found)) if as_json else show_sizes(found)
