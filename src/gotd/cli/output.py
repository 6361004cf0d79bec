"""What a command prints for a machine, and its exit status."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

QUARANTINE = 3  # exit status of a command that finished without some shards


def print_json(value: Any) -> None:
    import orjson

    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


def ended(manifest: Mapping[str, Any]) -> None:
    """Name each shard in quarantine on standard error; the exit status is then QUARANTINE."""
    for lost in manifest["quarantined"]:
        rows = "" if lost["rows"] is None else f" It holds {lost['rows']:,} rows."
        click.echo(f"gotd: {lost['message']}{rows}", err=True)
    if manifest["quarantined"]:
        click.get_current_context().exit(QUARANTINE)
