"""What the selection is for, as commands: warmup, finetune, tune-encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from gotd.cli import options as opt
from gotd.cli.output import print_json
from gotd.launched import speaks

if TYPE_CHECKING:
    from gotd.training.warmup import TrainedModel

PRESETS = ("paper-bert", "paper-gpt2")

model = click.option("--model", "-m", required=True, help="Folder, or name on the hub, of a Hugging Face model.")
text_field = click.option("--text-field", help="Field or template with the text.  [default: text, content, ...]")
device = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
micro_batch = click.option(
    "--micro-batch", type=click.IntRange(1), help="Texts on the device at a time.  [default: all of the batch]"
)
lora = click.option("--lora", type=click.IntRange(1), metavar="RANK", help="Train low-rank factors alone (peft).")
device_and_seed = opt.chain(
    device,
    click.option(
        "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of order, masks, dropout and new layers."
    ),
)
memory = opt.chain(
    micro_batch,
    click.option("--gradient-checkpointing", is_flag=True, help="Less memory, more time."),
    click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "mixed", "bf16"]),
        default="auto",
        show_default=True,
        help="mixed: bf16 arithmetic; auto: so where a GPU has it; bf16: bf16 weights too.",
    ),
)


def learning(
    lr: str, epochs: str, batch: str, window: str = "the model's, up to 1024"
) -> Callable[[opt.Command], opt.Command]:
    """The flags of every kind of training, with the defaults of this one."""
    return opt.chain(
        click.option("--lr", type=float, help=f"Learning rate.  [default: {lr}]"),
        click.option("--epochs", type=float, help=f"Passes over the data.  [default: {epochs}]"),
        click.option(
            "--batch-size", "batch", type=click.IntRange(1), help=f"Windows or texts a step.  [default: {batch}]"
        ),
        click.option("--window", type=click.IntRange(8), help=f"Tokens at a time.  [default: {window}]"),
        click.option(
            "--patience", type=click.IntRange(1), help="Measurements without a new best before it stops.  [default: 3]"
        ),
    )


def gathered(given: dict[str, Any]) -> dict[str, Any]:
    """Flags as the arguments of a stage."""
    from gotd.corpus import Fields
    from gotd.training.settings import Machine

    given["machine"] = Machine(*(given.pop(name) for name in ("device", "micro_batch", "gradient_checkpointing")))
    given["fields"] = Fields(text=given.pop("text_field"))
    if "target_text_field" in given:
        other = given.pop("target_text_field")
        given["target_fields"] = None if other is None else Fields(text=other)
    return given


def _wants(given: dict[str, Any], **needed: str) -> None:
    """Refuse flags that say nothing without another."""
    for name, other in needed.items():
        if given[name] is not None and not given[other]:
            flags = [f"--{flag.replace('_', '-')}" for flag in (name, other)]
            raise click.UsageError("{} wants {}".format(*flags))


def _tell(found: TrainedModel, as_json: bool, show: Callable[[TrainedModel], None]) -> None:
    """What came of it, once: of several processes that trained together one speaks."""
    from gotd.training.together import leave

    leave()
    if speaks():
        print_json(found.manifest) if as_json else show(found)


@click.command()
@opt.chain(model)
@click.option("--data", "-d", multiple=True, required=True, help="The folder of a selection, or files of texts.")
@opt.chain(opt.output)
@click.option("--target", "-t", multiple=True, help="Held-out examples of the task: keep the weights that fit them.")
@click.option("--preset", type=click.Choice(PRESETS), help="Published settings; flags beside it go before.")
@click.option("--tokens", type=click.IntRange(1), help="Train on so many tokens, instead of --epochs.")
@opt.chain(lora, learning("5e-5; 2e-4 with --lora", "1", "16"))
@click.option("--mask", type=float, help="Share of tokens to guess, for masked models.  [default: 0.15]")
@click.option("--reference", "-r", multiple=True, help="What the model was trained on, for --replay.")
@click.option("--replay", default="0%", show_default=True, help="Share of the tokens from --reference.")
@opt.chain(memory, device_and_seed, text_field, opt.target_text, opt.on_error, opt.overwrite, opt.json)
def warmup(as_json: bool, **given: Any) -> None:
    """Let a model read the selection before it is fine-tuned."""
    from gotd.display import progress_bar
    from gotd.training.display import show_warmup
    from gotd.training.warmup import warmup

    _wants(given, patience="target", target_text_field="target")
    given |= {name: list(given[name]) or None for name in ("data", "target", "reference")}
    with progress_bar() as progress:
        found = warmup(progress=progress, **gathered(given))
    _tell(found, as_json, show_warmup)


@click.command()
@opt.chain(model)
@click.option("--train", "-d", multiple=True, required=True, help=f"Examples of the task. {opt.MANY}")
@click.option("--label-field", help="Field with the class.  [default: none: train as a language model]")
@click.option("--pair-field", help="Field with a second text.")
@opt.chain(opt.output)
@click.option("--dev", multiple=True, help="Examples that choose the checkpoint.  [default: a tenth of --train]")
@click.option("--max-train", help="At most so many examples, shares of classes kept: 5000docs.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Train so many models.")
@click.option(
    "--best-by",
    type=click.Choice(["macro_f1", "micro_f1", "accuracy", "mcc", "loss"]),
    help="The figure on --dev that chooses, of classes.  [default: macro_f1]",
)
@opt.chain(lora, learning("2e-5; 2e-4 with --lora", "10; 3 without labels", "16"))
@opt.chain(memory, device_and_seed, text_field, opt.overwrite, opt.json)
def finetune(as_json: bool, **given: Any) -> None:
    """Train a model on the task: a classifier by labels, or a language model without."""
    from gotd.display import progress_bar
    from gotd.training.display import show_finetune
    from gotd.training.finetune import finetune

    _wants(given, best_by="label_field")
    given |= {"train": list(given["train"]), "dev": list(given["dev"]) or None}
    text = given["text_field"]
    given = gathered(given)
    del given["fields"]
    if given["best_by"] is None:
        del given["best_by"]
    with progress_bar() as progress:
        found = finetune(text_field=text, progress=progress, **given)
    _tell(found, as_json, show_finetune)


@click.command(name="tune-encoder")
@click.option("--base", "-m", required=True, help="Folder, or name on the hub, of a Hugging Face encoder.")
@click.option("--train", "-d", multiple=True, required=True, help=f"Examples of the task. {opt.MANY}")
@click.option("--label-field", help="Field with the class.  [default: none: tell texts from each other]")
@opt.chain(opt.output)
@click.option("--dev", multiple=True, help="Labelled examples that choose the checkpoint.  [default: a tenth]")
@opt.chain(learning("2e-5; 3e-5 without labels", "3; 1 without labels", "32; 64 without labels", "256"))
@opt.chain(memory, device_and_seed, text_field, opt.overwrite, opt.json)
def tune_encoder(as_json: bool, **given: Any) -> None:
    """Tune an encoder on the task, for `gotd select --encoder FOLDER`."""
    from gotd.display import progress_bar
    from gotd.training.display import show_encoder
    from gotd.training.encoder import tune_encoder

    _wants(given, patience="label_field")
    given |= {"train": list(given["train"]), "dev": list(given["dev"]) or None}
    text = given["text_field"]
    given = gathered(given)
    del given["fields"]
    with progress_bar() as progress:
        found = tune_encoder(text_field=text, progress=progress, **given)
    _tell(found, as_json, show_encoder)
