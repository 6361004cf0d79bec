"""The command line: one function a command, no logic."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from gotd import __version__
from gotd.errors import GotdError

Command = TypeVar("Command", bound=Callable[..., Any])


class _Manners(click.Group):
    """Errors of gotd as one line, exit code 1; an interrupt leaves finished work in place, exit code 130."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except GotdError as error:
            click.echo(f"gotd: {_one_line(str(error))}", err=True)
            context.exit(1)
        except KeyboardInterrupt:
            click.echo("gotd: stopped; the same command goes on from here", err=True)
            context.exit(130)


def _one_line(message: str) -> str:
    """Messages quote flags, paths and records as they are; control characters among them are spelt out."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], message)


@click.group(cls=_Manners, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="gotd")
def main() -> None:
    """Pick the documents that warm up a language model for your task, by gradients of optimal transport."""


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_MANY = "File, folder, glob or URL; may be given more than once."
_candidates = click.option("--candidates", "-c", multiple=True, required=True, help=f"The pool. {_MANY}")
_target = click.option("--target", "-t", multiple=True, required=True, help=f"Examples of the task. {_MANY}")
_output = click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder to make.")
_overwrite = click.option("--overwrite", is_flag=True, help="Replace what another gotd command left in --output.")
_json = click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary instead.")
_workers = click.option("--workers", type=click.IntRange(1), help="Processes for scoring.  [default: one a core]")
_on_error = click.option(
    "--on-error",
    type=click.Choice(["skip", "fail"]),
    default="skip",
    show_default=True,
    help="Name bad rows in rejects.jsonl, or stop at the first.",
)
_seed = click.option("--seed", default=0, show_default=True, help="Of samples, encoder and centroids.")
_device = click.option("--device", default="auto", show_default=True, help="Where a transformer encoder runs.")
_budget = click.option(
    "--budget",
    "-k",
    required=True,
    help="How much to choose: 5000docs, 5% or 2000000tokens (four bytes each).",
)
_held_out = click.option(
    "--held-out",
    multiple=True,
    help="A test set: candidates that share 13 words in a row with one of its texts are rejected.",
)
_rounds = click.option(
    "--rounds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Choose in so many rounds, solving again as the selection grows.",
)
_dedup = click.option(
    "--dedup",
    type=click.Choice(["near", "exact", "off"]),
    default="near",
    show_default=True,
    help="Drop documents that say the same as a better one.",
)
_cap = click.option("--max-per-source", help="The most one source may have: 40% or 2000docs.")
_shortlist = click.option(
    "--shortlist",
    default=10.0,
    show_default=True,
    help="How many budgets of the best documents --rounds chooses from.",
)
_mix = click.option(
    "--mix",
    default=0.1,
    show_default=True,
    help="Share of the selection in what the model has seen, for --rounds and the figures before and after.",
)
_format = click.option(
    "--format",
    type=click.Choice(["jsonl", "jsonl.zst", "parquet"]),
    default="jsonl",
    show_default=True,
    help="Of the selected records.",
)
_fields = _options(
    click.option(
        "--text-field",
        help='Field or template such as "{title}\\n{abstract}".  [default: text, content, ...]',
    ),
    click.option("--id-field", help="Field with the id.  [default: id, or one made from the content]"),
    click.option("--source-field", help="Field with the domain.  [default: the file's name]"),
    click.option("--embedding-field", help="Field with a vector, instead of an encoder."),
    click.option("--chunk-chars", type=int, help="Join texts and cut them into pieces of this length (paper: 1000)."),
    click.option("--min-chars", default=0, show_default=True, help="Reject shorter documents."),
    click.option(
        "--text-per",
        type=click.Choice(["line", "file"]),
        default="line",
        show_default=True,
        help="Whether a .txt file holds a document a line or is one.",
    ),
)
_target_text = click.option("--target-text-field", help="--text-field of the target.  [default: the pool's]")


def _method(*names: str) -> Callable[[Command], Command]:
    return click.option(
        "--method",
        type=click.Choice(names),
        default="gotd",
        show_default=True,
        help="How to rank the candidates; what is not gotd is there to compare with.",
    )


_scored_methods = ("gotd", "random", "nearest", "mmd", "dsir", "knn-kde")
_fitting = _options(
    click.option(
        "--encoder",
        default="lsa",
        show_default=True,
        help="lsa, static, lsa+static, sentence-transformers/NAME, hf:NAME, model2vec:NAME or a folder.",
    ),
    click.option("--reg", type=float, help="Entropy strength, a fraction of the mean cost.  [default: 0.1]"),
    click.option("--debias/--no-debias", default=None, help="Gradient of the Sinkhorn divergence.  [default: debias]"),
    click.option("--centre/--no-centre", default=None, help="Subtract the reference's mean.  [default: centre]"),
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


def _gathered(command: Callable[..., None]) -> Callable[..., None]:
    """Turn the many options about fields into `fields` and `target_fields`."""

    @wraps(command)
    def run(**given: Any) -> None:
        from gotd.corpus import Fields

        names = {
            "text": "text_field",
            "id": "id_field",
            "source": "source_field",
            "embedding": "embedding_field",
        }
        parts = {name: given.pop(option) for name, option in names.items()}
        parts |= {name: given.pop(name) for name in ("chunk_chars", "min_chars", "text_per")}
        fields = Fields(**parts)
        given["fields"] = fields
        if "target_text_field" in given:
            other = given.pop("target_text_field")
            parts |= {"text": other, "id": None, "source": None, "min_chars": 0}
            given["target_fields"] = Fields(**parts) if other is not None else None
        command(**given)

    return run


@main.command()
@_options(_candidates, _target)
@click.option(
    "--reference", "-r", multiple=True, help="What the model was trained on.  [default: a sample of the pool]"
)
@_options(_budget, _output, _method(*_scored_methods, "in-domain"), _fitting)
@click.option("--keep", type=click.IntRange(1), help="Score only the sources nearest to the target, so many.")
@_options(
    _held_out,
    _rounds,
    _mix,
    _dedup,
    _cap,
    _shortlist,
    _fields,
    _target_text,
    _on_error,
    _format,
    _workers,
    _device,
    _seed,
    _overwrite,
    _json,
)
@_gathered
def select(as_json: bool, candidates: tuple[str, ...], **given: Any) -> None:
    """Choose from a pool: fit, score and choose in one."""
    from gotd.display import progress_bar, show_selection
    from gotd.pipeline import select

    given |= {name: list(given[name]) or None for name in ("reference", "held_out")}
    with progress_bar() as progress:
        found = select(list(candidates), progress=progress, **given)
    _print_json(found.manifest) if as_json else show_selection(found)


@main.command()
@click.option("--reference", "-r", multiple=True, required=True, help=f"What the model was trained on. {_MANY}")
@_options(
    _target,
    _output,
    _method(*_scored_methods),
    _fitting,
    _fields,
    _target_text,
    _on_error,
    _device,
    _seed,
    _overwrite,
    _json,
)
@_gathered
def fit(as_json: bool, **given: Any) -> None:
    """Fit the selector, for pools that arrive later or live elsewhere."""
    from gotd.artifacts import load_manifest
    from gotd.display import progress_bar
    from gotd.pipeline import fit_settings
    from gotd.stages.fit import FitSettings, fit

    settings = fit_settings(
        **{name: given.pop(name) for name in [*FitSettings.__dataclass_fields__, "paper"] if name in given}
    )
    with progress_bar() as progress:
        fit(settings=settings, progress=progress, **given)
    manifest = load_manifest(given["output"], "fit")
    if as_json:
        _print_json(manifest)
    else:
        click.echo(f"Wrote {given['output']}/potential.safetensors. Next: gotd score {given['output']} POOL -o scores")


@main.command()
@click.argument("selector", type=click.Path(path_type=Path))
@click.argument("pool", nargs=-1, required=True)
@_options(_output, _fields, _held_out, _on_error, _workers, _device)
@click.option(
    "--polish",
    default=3,
    show_default=True,
    help="Corrections by whole passes, where the pool is the reference.",
)
@_options(_overwrite, _json)
@_gathered
def score(as_json: bool, selector: Path, pool: tuple[str, ...], **given: Any) -> None:
    """Score a POOL with a fitted SELECTOR. SELECTOR is the folder of `fit` or `select`."""
    from gotd.corpus import Fields
    from gotd.display import progress_bar
    from gotd.stages.score import score

    default = asdict(Fields())
    given["held_out"] = list(given["held_out"]) or None
    given["fields"] = {k: v for k, v in asdict(given["fields"]).items() if v != default[k]}
    with progress_bar() as progress:
        found = score(selector, list(pool), progress=progress, **given)
    if as_json:
        _print_json(found.manifest)
    else:
        counts = found.manifest["counts"]
        click.echo(f"Scored {counts['scored']:,} of {counts['read']:,} rows, {counts['rejected']:,} rejected.")
        click.echo(f"Wrote {found.folder}/scores.parquet. Next: gotd choose {found.folder} -k 5000docs -o runs/task")


@main.command()
@click.argument("scores", type=click.Path(path_type=Path))
@_options(_budget, _output, _rounds, _mix, _dedup, _cap, _shortlist, _format, _seed, _overwrite, _json)
def choose(as_json: bool, **given: Any) -> None:
    """Choose from SCORES, the folder of `score`."""
    from gotd.display import progress_bar, show_selection
    from gotd.stages.choose import choose

    with progress_bar() as progress:
        found = choose(progress=progress, **given)
    _print_json(found.manifest) if as_json else show_selection(found)


@main.command()
@_options(_candidates, _target)
@click.option("--keep", type=click.IntRange(1), help="Mark so many of the nearest.")
@click.option("--per-source", default=10_000, show_default=True, help="Documents to measure a source on.")
@_options(_fitting, _fields, _target_text, _on_error, _device, _seed, _json)
@_gathered
def domains(as_json: bool, **given: Any) -> None:
    """Measure how far each source of the pool is from the target."""
    from gotd.display import progress_bar, show_domains
    from gotd.pipeline import fit_settings
    from gotd.stages.domains import domains
    from gotd.stages.fit import FitSettings

    settings = fit_settings(
        **{name: given.pop(name) for name in [*FitSettings.__dataclass_fields__, "paper"] if name in given}
    )
    with progress_bar() as progress:
        found = domains(settings=settings, progress=progress, **given)
    _print_json([asdict(domain) for domain in found]) if as_json else show_domains(found)


@main.command()
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to keep the files in.")
@_options(_seed, _json)
def demo(as_json: bool, **given: Any) -> None:
    """The paper's picture on real text. Of four ways to choose, which finds the rare half?"""
    from gotd.demo import run_demo
    from gotd.display import progress_bar

    with progress_bar() as progress:
        found = run_demo(progress=progress, **given)
    _print_json(found.as_json()) if as_json else found.show()


def _print_json(value: Any) -> None:
    import orjson

    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")
