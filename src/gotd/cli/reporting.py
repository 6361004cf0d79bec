"""The report as a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gotd.cli import options as opt


@click.command()
@click.argument("selection", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The page.  [default: report.html in FOLDER]")
@click.option(
    "--points",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    help="Candidates on the map: a sample of a larger pool, with all that was selected.",
)
@click.option(
    "--projection",
    type=click.Choice(["pca", "umap"]),
    default="pca",
    show_default=True,
    help="Of the map; umap needs gotd[umap].",
)
@click.option("--map", is_flag=True, help="Also write map.parquet beside the page, for embedding-atlas.")
@opt.device
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the sample, and of UMAP.")
def report(selection: Path, **given: Any) -> None:
    """Write one HTML page about the FOLDER of a selection (`select`, `choose`) or of a comparison (`compare`)."""
    from gotd.display import progress_bar
    from gotd.reporting import report

    with progress_bar() as progress:
        page = report(selection, progress=progress, **given)
    click.echo(f"Wrote {page}. It needs nothing else: open it in a browser.")
    if given["map"]:
        click.echo(f"Next: embedding-atlas {page.parent}/map.parquet --x x --y y --text text")
