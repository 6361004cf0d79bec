"""What training was worth, as commands: evaluate perplexity, classify, zero-shot, toxicity."""

from __future__ import annotations

from typing import Any

import click

from gotd.cli import options as opt
from gotd.cli.training import device, model, text_field

data = click.option("--data", "-d", multiple=True, required=True, help=f"Texts. {opt.MANY}")
max_docs = click.option("--max-docs", type=click.IntRange(1), help="A uniform sample of so many.")
batch_size = click.option(
    "--batch-size", "batch", type=click.IntRange(1), default=8, show_default=True, help="Texts at a time."
)
seed = click.option("--seed", default=0, show_default=True, help="Of samples and resamples.")


def gathered(given: dict[str, Any]) -> dict[str, Any]:
    """Flags as the arguments of a function."""
    from gotd.corpus import Fields

    given["fields"] = Fields(text=given.pop("text_field"))
    return given | {name: list(given[name]) for name in ("data",) if name in given}


@click.group()
def evaluate() -> None:
    """Figures of a model on texts it was not trained on."""


@evaluate.command()
@opt.chain(model, data, text_field, max_docs)
@click.option("--window", type=click.IntRange(8), help="Tokens at once.  [default: the model's, up to 1024]")
@click.option("--stride", type=click.IntRange(1), help="Tokens that windows of a long text move on.  [default: half]")
@opt.chain(batch_size, device, seed, opt.on_error, opt.json)
def perplexity(as_json: bool, **given: Any) -> None:
    """Nats a token, perplexity, and bits a byte, which compare across tokenisers."""
    from gotd.display import progress_bar
    from gotd.evaluation.display import show_perplexity
    from gotd.evaluation.perplexity import perplexity

    with progress_bar() as progress:
        found = perplexity(progress=progress, **gathered(given))
    opt.print_json(found.told()) if as_json else show_perplexity(found)


@evaluate.command()
@opt.chain(model, data)
@click.option("--label-field", help="Field with the class.  [default: as fine-tuned, or label]")
@click.option("--pair-field", help="Field with a second text.  [default: as fine-tuned]")
@opt.chain(text_field, batch_size, device, seed, opt.json)
def classify(as_json: bool, **given: Any) -> None:
    """Accuracy, F1 and MCC of a fine-tuned classifier on a test set."""
    from gotd.display import progress_bar
    from gotd.evaluation.classification import classify
    from gotd.evaluation.display import show_classified

    given["data"] = list(given["data"])
    with progress_bar() as progress:
        found = classify(progress=progress, **given)
    opt.print_json(found.told()) if as_json else show_classified(found)
