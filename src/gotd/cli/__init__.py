"""The command line: one function a command, no logic. A room for each group of commands."""

from __future__ import annotations

import re
from typing import Any

import click

from gotd import __version__
from gotd.cli import choosing, comparing, evaluating, exporting, health, reporting, sizing, training
from gotd.cli.config import configurable
from gotd.durable import refusal
from gotd.errors import FailedElsewhere, GotdError
from gotd.launched import speaks, tell_launcher


class _Manners(click.Group):
    """Errors of gotd as one line, exit code 1; an interrupt leaves finished work in place, exit code 130."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except FailedElsewhere:
            context.exit(1)
        except GotdError as error:
            click.echo(f"gotd: {_one_line(str(error))}", err=True)
            tell_launcher(f"gotd: {_one_line(str(error))}")
            context.exit(1)
        except Exception as error:
            # Anywhere a stage writes, a disk may be full; what is no such thing keeps its traceback.
            refused = refusal(error)
            if refused is None:
                raise
            click.echo(f"gotd: {_one_line(str(refused))}", err=True)
            context.exit(1)
        except KeyboardInterrupt:
            if speaks():
                click.echo("gotd: stopped; the same command goes on from here", err=True)
            context.exit(130)

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order of the work, not of the alphabet."""
        return list(self.commands)


def _one_line(message: str) -> str:
    """Messages quote flags, paths and records as they are; control characters among them are spelt out."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], message)


@click.group(cls=_Manners, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="gotd")
def main() -> None:
    """Pick the documents that warm up a language model for your task, by gradients of optimal transport."""


for command in (
    choosing.select,
    choosing.fit,
    choosing.score,
    choosing.choose,
    sizing.size,
    choosing.domains,
    reporting.report,
    training.warmup,
    training.finetune,
    evaluating.evaluate,
    training.tune_encoder,
    choosing.demo,
    exporting.export,
):
    main.add_command(configurable(command))
main.add_command(comparing.compare)
main.add_command(health.doctor)
