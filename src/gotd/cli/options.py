"""The flags that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., Any])


def chain(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def files(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shell completion by files, for flags that take globs and URLs too."""
    return [CompletionItem(incomplete, type="file")]


MANY = "File, folder, glob or URL; may be given more than once."
candidates = click.option("--candidates", multiple=True, required=True, shell_complete=files, help=f"The pool. {MANY}")
target = click.option(
    "--target",
    "-t",
    multiple=True,
    required=True,
    shell_complete=files,
    metavar="PATH[:WEIGHT]",
    help="A file, folder, glob or URL of examples of a task. Each flag is one target, of weight 1 if left out.",
)
avoid = click.option(
    "--avoid",
    multiple=True,
    shell_complete=files,
    metavar="PATH[:WEIGHT]",
    help="The same, of what the selection is to leave.",
)
target_shares = click.option(
    "--target-shares", help="60,40: each target takes its share of the budget by its own score."
)
output = click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder to make.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace what another gotd command left in --output.")
json = click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary instead.")
dry_run = click.option(
    "--dry-run", is_flag=True, help="Say what would be read and written and how long it takes; write nothing."
)
workers = click.option("--workers", type=click.IntRange(1), help="Processes for scoring.  [default: one a core]")
executor = click.option(
    "--executor",
    type=click.Choice(["inline", "processes", "ray"]),
    help="Who scores: this process, as many as --workers, or a Ray cluster.  [default: processes]",
)
ranks = chain(
    click.option(
        "--rank",
        type=click.IntRange(0),
        help="Score one share of --world-size.  [default: SLURM_ARRAY_TASK_ID or SLURM_PROCID]",
    ),
    click.option(
        "--world-size",
        type=click.IntRange(1),
        help="In how many shares the pool is scored; the same command without it merges them.",
    ),
)
on_error = click.option(
    "--on-error",
    type=click.Choice(["skip", "fail"]),
    default="skip",
    show_default=True,
    help="Name bad rows in rejects.jsonl, or stop at the first.",
)
seed = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of samples, encoder and centroids."
)
device = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="cpu, cuda, cuda:1 or mps: where a transformer encoder runs, on CUDA the transport too; auto: a GPU if there "
    "is one.",
)
budget = click.option(
    "--budget",
    "-k",
    required=True,
    help="How much to choose: 5000docs, 5% or 2000000tokens (four bytes each, or those of score's --tokenizer).",
)
tokenizer = click.option(
    "--tokenizer",
    help="What counts tokens: a tokenizer.json, its folder, or a model's id on the hub.  [default: four bytes each]",
)
held_out = click.option(
    "--held-out",
    multiple=True,
    shell_complete=files,
    help="A test set: candidates that share 13 words in a row with one of its texts are rejected.",
)
rounds = click.option(
    "--rounds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Choose in so many rounds, solving again as the selection grows.",
)
dedup = click.option(
    "--dedup",
    type=click.Choice(["near", "exact", "off"]),
    default="near",
    show_default=True,
    help="Drop documents that say the same as a better one.",
)
cap = click.option("--max-per-source", help="The most one source may have: 40% or 2000docs.")


def _times(context: click.Context, flag: click.Parameter, value: str) -> float:
    """`10`, or `10x`."""
    return float(click.FLOAT(value.strip().removesuffix("x"), flag, context))


shortlist = click.option(
    "--shortlist",
    callback=_times,
    metavar="NUMBER",
    default="10",
    show_default=True,
    help="How many budgets of the best documents --rounds chooses from, and --fine scores again: 10 or 10x.",
)
embeddings = chain(
    click.option("--keep-embeddings", is_flag=True, help="Keep the vectors beside the scores, for other targets."),
    click.option(
        "--embeddings",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Take the vectors kept in this folder of scores instead of embedding again.",
    ),
)
tiers = chain(
    click.option("--coarse", metavar="ENCODER", help="A cheap encoder, that scores the whole pool. Wants --fine."),
    click.option(
        "--fine", metavar="ENCODER", help="The encoder that scores the best --shortlist of it again, and decides."
    ),
    click.option(
        "--probe",
        type=click.IntRange(0),
        help="Other documents that --fine scores, to say what share of its best --coarse kept.  [default: the budget, "
        "1000 at least]",
    ),
)


def _share(context: click.Context, flag: click.Parameter, value: str) -> Any:
    """A number, or `auto`; whether the number is a share is for the stage to say."""
    return value if value == "auto" else click.FLOAT(value, flag, context)


def mixing(default: str) -> Callable[[Command], Command]:
    return chain(
        click.option(
            "--mix",
            callback=_share,
            metavar="SHARE|auto",
            default=default,
            show_default=True,
            help="Share of the selection in what the model has seen, for --rounds and the figures before and after; "
            "auto: by its tokens and the four flags that follow.",
        ),
        click.option("--epochs", type=float, help="Passes over the selection.  [default: 1]"),
        click.option("--learning-rate", type=float, help="Mean over the steps.  [default: 0.0001]"),
        click.option("--batch-tokens", type=int, help="Tokens of one step of the optimiser.  [default: 18880]"),
        click.option(
            "--mix-scale",
            "scale",
            type=float,
            help="Learning rate x steps that make the share 63%, as you measured it.  [default: that of a tiny model]",
        ),
    )


picking = chain(rounds, mixing("0.1"), dedup, cap, target_shares, shortlist)


def _percentage(context: click.Context, flag: click.Parameter, value: str | None) -> float | None:
    """`2%`, or the share 0.02."""
    if value is None:
        return None
    number = value.strip().removesuffix("%")
    share = float(click.FLOAT(number, flag, context))
    return share if number == value.strip() else share / 100


trim = click.option(
    "--trim",
    callback=_percentage,
    metavar="PERCENT",
    help="Leave out the target documents that pull five times their share of the choice or more, up to so much of the "
    "target; 0 for none.  [default: 2%]",
)
record_format = click.option(
    "--format",
    type=click.Choice(["jsonl", "jsonl.zst", "parquet"]),
    default="jsonl",
    show_default=True,
    help="Of the selected records.",
)


def _reading(of_fit: bool) -> Callable[[Command], Command]:
    """The flags about fields; none has a default of its own where those of a fit hold."""

    def default(said: str) -> str:
        return f"[default: {'as in the fit' if of_fit else said}]"

    return chain(
        click.option(
            "--text-field",
            help=f'Field or template such as "{{title}}\\n{{abstract}}".  {default("text, content, ...")}',
        ),
        click.option("--id-field", help=f"Field with the id.  {default('id, or one made from the content')}"),
        click.option("--source-field", help="Field with the domain.  " + default("the file's name")),
        click.option("--embedding-field", help="Field with a vector, instead of an encoder."),
        click.option(
            "--chunk-chars", type=int, help="Join texts and cut them into pieces of this length (paper: 1000)."
        ),
        click.option(
            "--min-chars", type=int, default=None if of_fit else 0, help=f"Reject shorter documents.  {default('0')}"
        ),
        click.option(
            "--text-per",
            type=click.Choice(["line", "file"]),
            default=None if of_fit else "line",
            help=f"Whether a .txt file holds a document a line or is one.  {default('line')}",
        ),
    )


fields, fields_over_fit = _reading(of_fit=False), _reading(of_fit=True)
target_text = click.option("--target-text-field", help="--text-field of the target.  [default: the pool's]")


def method(*names: str) -> Callable[[Command], Command]:
    return chain(
        click.option(
            "--method",
            type=click.Choice(names),
            default="gotd",
            show_default=True,
            help="How to rank the candidates; what is not gotd is there to compare with.",
        ),
        click.option(
            "--method-option",
            "method_options",
            multiple=True,
            metavar="NAME=VALUE",
            help="Of that method alone, such as kind=mean of nearest; may be given more than once.",
        ),
    )


scored_methods = ("gotd", "random", "nearest", "round-robin", "mmd", "dsir", "knn-kde", "all-target")
fitting = chain(
    click.option(
        "--encoder",
        default="lsa",
        show_default=True,
        help="lsa, static, lsa+static, sentence-transformers/NAME, hf:NAME, onnx:NAME, model2vec:NAME, the folder of "
        "a model, or that of a selector whose encoder serves again.",
    ),
    click.option("--reg", type=float, help="Entropy strength, a fraction of the mean cost.  [default: 0.1]"),
    click.option("--debias/--no-debias", default=None, help="Gradient of the Sinkhorn divergence.  [default: debias]"),
    click.option("--centre/--no-centre", default=None, help="Subtract the reference's mean.  [default: centre]"),
    click.option("--whiten", type=float, help="Even out the directions of centred vectors, 0 to 1.  [default: 0]"),
    click.option("--remove-top", default=0, show_default=True, help="Leading directions to leave out."),
    click.option(
        "--cost",
        type=click.Choice(["cosine", "sqeuclidean"]),
        default="cosine",
        show_default=True,
        help="Between unit vectors.",
    ),
    click.option("--paper", is_flag=True, help="As published: --reg 0.01 --no-debias --no-centre."),
    click.option("--fit-sample", default=20_000, show_default=True, help="Documents of the reference to fit on."),
    click.option("--target-sample", default=5_000, show_default=True, help="Documents of the target to fit on."),
    click.option(
        "--text-mass",
        type=click.Choice(["docs", "tokens"]),
        default="docs",
        show_default=True,
        help="What a document weighs.",
    ),
)
