"""The comparison as a command."""

from __future__ import annotations

from pathlib import Path

import click

from gotd.cli import options as opt
from gotd.cli.output import print_json


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@opt.chain(opt.output)
@click.option("--dry-run", is_flag=True, help="Print the plan and what it should take; write nothing.")
@click.option("--report", is_flag=True, help="Write report.html too: plots, verdict and tables on one page.")
@opt.chain(opt.overwrite, opt.json)
def compare(config: Path, output: Path, dry_run: bool, report: bool, overwrite: bool, as_json: bool) -> None:
    """Compare ways to choose, as the YAML file CONFIG says: methods x budgets x tasks x seeds.

    A comparison that was stopped goes on from its last finished cell.
    """
    from gotd.display import progress_bar
    from gotd.training.models import need_training

    need_training("compare")
    if dry_run:
        from gotd.comparison.cost import cost
        from gotd.comparison.display import show_cost

        planned = cost(config, output)
        print_json(planned.told()) if as_json else show_cost(planned)
        return
    from gotd import reporting
    from gotd.comparison import compare
    from gotd.comparison.display import show_comparison

    if report:
        reporting.check_extras()  # before the work, not after it
    with progress_bar() as progress:
        found = compare(config, output, overwrite=overwrite, progress=progress)
    page = reporting.report(found.folder) if report else None
    print_json(found.manifest) if as_json else show_comparison(found, page)
