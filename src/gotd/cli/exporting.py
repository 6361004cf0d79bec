"""From a selection to a trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gotd.cli import options as opt
from gotd.cli.output import print_json

TRAINERS = ("trl", "llama-factory", "axolotl", "datasets", "megatron")


@click.command()
@click.argument("selection", type=click.Path(path_type=Path))
@click.option("--to", required=True, type=click.Choice(TRAINERS), help="Who is to read it.")
@opt.output
@click.option(
    "--license",
    "licences",
    multiple=True,
    help="SOURCE=ID, such as wikipedia=cc-by-sa-4.0: of documents whose record states none in `license`.",
)
@click.option("--chat/--text", default=None, help="Keep `messages` as chats.  [default: where every record is one]")
@click.option("--model", default="MODEL", show_default=True, help="The model that the config names.")
@opt.chain(opt.overwrite, opt.json)
def export(as_json: bool, **given: Any) -> None:
    """Write a SELECTION as a trainer reads it: data, config and dataset card."""
    from gotd.export import export_selection
    from gotd.export.display import show_export

    found = export_selection(**given)
    print_json(found.manifest) if as_json else show_export(found)
