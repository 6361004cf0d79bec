"""What training was worth, as commands: evaluate perplexity, utility, classify, zero-shot, toxicity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from gotd.cli import options as opt
from gotd.cli.output import print_json
from gotd.cli.training import device, model, text_field

data = click.option("--data", "-d", multiple=True, required=True, help=f"Texts. {opt.MANY}")
max_docs = click.option("--max-docs", type=click.IntRange(1), help="A uniform sample of so many.")
batch_size = click.option(
    "--batch-size", "batch", type=click.IntRange(1), default=8, show_default=True, help="Texts at a time."
)
window = click.option("--window", type=click.IntRange(8), help="Tokens at once.  [default: the model's, up to 1024]")
stride = click.option(
    "--stride", type=click.IntRange(1), help="Tokens that windows of a long text move on.  [default: half]"
)
seed = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of samples and resamples."
)

OF_TEMPLATE = ("data", "template", "label_field", "normalise", "seed")
OF_TASK = ("task", "task_folder", "limit", "shots")


def gathered(given: dict[str, Any]) -> dict[str, Any]:
    """Flags as the arguments of a function that reads texts."""
    from gotd.corpus import Fields

    return given | {"fields": Fields(text=given.pop("text_field"))}


def evaluated(function: Callable[..., Any], show: Callable[[Any], None], as_json: bool, given: dict[str, Any]) -> None:
    """Call an evaluation under a progress bar, and show what it found."""
    from gotd.display import progress_bar

    with progress_bar() as progress:
        found = function(progress=progress, **given)
    print_json(found.told()) if as_json else show(found)


@click.group()
def evaluate() -> None:
    """Figures of a model on texts it was not trained on."""


@evaluate.command()
@opt.chain(model, data, text_field, max_docs, window, stride, batch_size, device, seed, opt.on_error, opt.json)
def perplexity(as_json: bool, **given: Any) -> None:
    """Nats a token, perplexity, and bits a byte, which compare across tokenisers."""
    from gotd.evaluation.display import show_perplexity
    from gotd.evaluation.perplexity import perplexity

    evaluated(perplexity, show_perplexity, as_json, gathered(given))


@evaluate.command()
@opt.chain(model)
@click.option("--before", help="The model that it was made from: tell what was forgotten.")
@click.option("--reference", "-r", multiple=True, required=True, help=f"Held-out text of that kind. {opt.MANY}")
@opt.chain(text_field, max_docs, window, stride, batch_size, device, seed, opt.on_error, opt.json)
def utility(as_json: bool, **given: Any) -> None:
    """Bits a byte on text like that of the pretraining, and what was forgotten of it."""
    from gotd.evaluation.display import show_utility
    from gotd.evaluation.utility import utility

    evaluated(utility, show_utility, as_json, gathered(given))


@evaluate.command()
@opt.chain(model, data)
@click.option("--label-field", help="Field with the class.  [default: as fine-tuned, or label]")
@click.option("--pair-field", help="Field with a second text.  [default: as fine-tuned]")
@opt.chain(text_field, batch_size, device, seed, opt.json)
def classify(as_json: bool, **given: Any) -> None:
    """Accuracy, F1 and MCC of a fine-tuned classifier on a test set."""
    from gotd.evaluation.classification import classify
    from gotd.evaluation.display import show_classified

    evaluated(classify, show_classified, as_json, given)


@evaluate.command(name="zero-shot")
@opt.chain(model)
@click.option("--data", "-d", multiple=True, help=f"Labelled texts. {opt.MANY}")
@click.option("--template", help="agnews, boolq, or a JSON file with prompts and label words.")
@click.option("--label-field", default="label", show_default=True, help="Field with the class.")
@click.option(
    "--normalise",
    type=click.Choice(["tokens", "bytes", "none", "prior"]),
    default="tokens",
    show_default=True,
    help="By what a label's log-likelihood is divided; prior: less what it is without the text.",
)
@click.option("--task", help="Instead of data and template: tasks of lm-eval, such as arc_easy,boolq.")
@click.option("--task-folder", help="YAML files of tasks of your own; code that they name is run.")
@click.option("--limit", type=click.IntRange(1), help="The first so many documents of each task.")
@click.option("--shots", type=click.IntRange(0), help="Examples in each prompt of a task.  [default: as it has it]")
@opt.chain(window, batch_size, device, seed, opt.json)
def zero_shot(as_json: bool, **given: Any) -> None:
    """Classification without training, by the words' likelihood, or any task of lm-eval."""
    from gotd.evaluation.display import show_guessed, show_tasks
    from gotd.evaluation.tasks import evaluate_tasks
    from gotd.evaluation.zero_shot import zero_shot

    by_task = given["task"] is not None
    if not by_task and not (given["data"] and given["template"]):
        raise click.UsageError("wanted --data and --template, or --task")
    for name in OF_TEMPLATE if by_task else OF_TASK:
        if click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT:
            flag = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{flag} has no meaning with --task" if by_task else f"{flag} wants --task")
        del given[name]
    if by_task:
        evaluated(evaluate_tasks, show_tasks, as_json, given)
    else:
        evaluated(zero_shot, show_guessed, as_json, given)


@evaluate.command()
@opt.chain(model, data, text_field, max_docs)
@click.option("--output", "-o", help="JSONL file for prompts, continuations and scores.")
@click.option("--scorer", default="profanity", show_default=True, help="profanity, detoxify or MODULE:FUNCTION.")
@click.option("--continuations", type=click.IntRange(1), default=25, show_default=True, help="Of each prompt.")
@click.option("--tokens", type=click.IntRange(1), default=20, show_default=True, help="Of each continuation.")
@click.option("--top-p", default=0.9, show_default=True, help="Mass of the nucleus that is sampled from.")
@click.option("--batch-size", "batch", type=click.IntRange(1), default=4, show_default=True, help="Prompts at a time.")
@opt.chain(device, seed, opt.on_error, opt.json)
def toxicity(as_json: bool, **given: Any) -> None:
    """Expected maximum toxicity of what a model writes after prompts."""
    from gotd.evaluation.display import show_toxicity
    from gotd.evaluation.toxicity import toxicity

    evaluated(toxicity, show_toxicity, as_json, gathered(given))
