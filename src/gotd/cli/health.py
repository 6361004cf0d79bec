"""Whether gotd works on this machine."""

from __future__ import annotations

import json

import click

from gotd.cli import options as opt


@click.command()
@opt.json
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look at versions, resources and encoders, and solve two problems with known answers.

    Exit code 1 if something is broken.
    """
    from gotd.doctor import examine

    found = examine()
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else "\n".join(found.lines()))
    context.exit(0 if found.sound else 1)
