"""The stages of a selection as commands: select, fit, score, choose, domains, and the demo."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gotd.cli import options as opt
from gotd.cli.arguments import field_parts, fit_settings_of, gathered, warmed_up
from gotd.cli.output import ended, print_json


@click.command()
@opt.chain(opt.candidates, opt.target, opt.avoid)
@click.option(
    "--reference",
    "-r",
    multiple=True,
    shell_complete=opt.files,
    help="What the model was trained on.  [default: a sample of the pool]",
)
@opt.chain(opt.budget, opt.output, opt.method(*opt.scored_methods, "in-domain"), opt.fitting, opt.trim)
@opt.chain(opt.tiers, opt.embeddings)
@click.option("--keep", type=click.IntRange(1), help="Score only the sources nearest to the target, so many.")
@click.option("--report", is_flag=True, help="Write report.html too, a page about the selection.")
@opt.chain(opt.held_out, opt.tokenizer, opt.picking, opt.fields, opt.target_text, opt.on_error, opt.record_format)
@opt.chain(opt.workers, opt.executor, opt.device, opt.seed, opt.overwrite, opt.json, opt.dry_run)
@gathered
@warmed_up
def select(as_json: bool, dry_run: bool, report: bool, candidates: tuple[str, ...], **given: Any) -> None:
    """Choose from a pool: fit, score and choose in one."""
    from gotd import reporting
    from gotd.display import progress_bar
    from gotd.pipeline import select
    from gotd.stages.display import show_selection

    if report:
        reporting.check_extras()  # before the work, not after it
    given |= {name: list(given[name]) or None for name in ("reference", "held_out")}
    if dry_run:
        _show_dry_run(as_json, candidates=list(candidates), **given)
        return
    with progress_bar() as progress:
        found = select(list(candidates), progress=progress, **given)
        page = reporting.report(found.folder, device=given["device"], progress=progress) if report else None
    print_json(found.manifest) if as_json else show_selection(found)
    if page is not None and not as_json:
        click.echo(f"Or look at it: open {page} in a browser.")
    ended(found.manifest)


def _show_dry_run(as_json: bool, **given: Any) -> None:
    """What `select` with these arguments would do."""
    from gotd.dry_run import dry_run

    found = dry_run(**given)
    print_json(found.as_json()) if as_json else click.echo("\n".join(found.lines()))


@click.command()
@click.option(
    "--reference",
    "-r",
    multiple=True,
    required=True,
    shell_complete=opt.files,
    help=f"What the model was trained on. {opt.MANY}",
)
@opt.chain(opt.target, opt.avoid, opt.output, opt.method(*opt.scored_methods), opt.fitting, opt.trim)
@opt.chain(opt.fields, opt.target_text, opt.on_error, opt.device, opt.seed, opt.overwrite, opt.json)
@gathered
def fit(as_json: bool, **given: Any) -> None:
    """Fit the selector, for pools that arrive later or live elsewhere."""
    from gotd.artifacts import load_manifest
    from gotd.display import progress_bar
    from gotd.stages.fit import fit

    settings = fit_settings_of(given)
    with progress_bar() as progress:
        fit(settings=settings, progress=progress, **given)
    manifest = load_manifest(given["output"], "fit")
    if as_json:
        print_json(manifest)
    else:
        click.echo(f"Wrote {given['output']}/potential.safetensors. Next: gotd score {given['output']} POOL -o scores")


@click.command()
@click.argument("selector", type=click.Path(path_type=Path))
@click.argument("pool", nargs=-1, required=True, shell_complete=opt.files)
@opt.chain(opt.output, opt.fields_over_fit, opt.held_out, opt.tokenizer, opt.embeddings, opt.on_error)
@opt.chain(opt.workers, opt.executor, opt.ranks, opt.device)
@click.option(
    "--polish", default=3, show_default=True, help="Corrections by whole passes, where the pool is the reference."
)
@opt.chain(opt.overwrite, opt.json)
def score(
    as_json: bool, selector: Path, pool: tuple[str, ...], rank: int | None, world_size: int | None, **given: Any
) -> None:
    """Score a POOL with a fitted SELECTOR. SELECTOR is the folder of `fit` or `select`."""
    from gotd.corpus import Fields, find
    from gotd.display import progress_bar
    from gotd.stages.early import early_workers
    from gotd.stages.ranks import Rank

    given["fields"] = field_parts(given)
    given["held_out"] = list(given["held_out"]) or None
    mine = Rank.of(rank, world_size)
    files = find(list(pool), digest=False) if selector.exists() else []  # what `score` refuses starts no worker
    where = (given["output"], given["workers"], given["executor"])
    with progress_bar() as progress, early_workers(files, Fields(**given["fields"]), *where):
        from gotd.stages.score import score  # which imports torch, as the workers do meanwhile

        found = score(selector, list(pool), rank=mine, progress=progress, **given)
    if as_json:
        print_json(found.manifest)
    elif shards := found.manifest.get("shards"):
        click.echo(f"{mine}: {shards['done']:,} of its {shards['of']:,} shards are scored, of {shards['pool']:,}.")
        click.echo("Next, once every rank has ended: the same command without --rank and --world-size.")
    else:
        counts = found.manifest["counts"]
        click.echo(f"Scored {counts['scored']:,} of {counts['read']:,} rows, {counts['rejected']:,} rejected.")
        click.echo(f"Wrote {found.folder}/scores.parquet. Next: gotd choose {found.folder} -k 5000docs -o runs/task")
    ended(found.manifest)


@click.command()
@click.argument("scores", type=click.Path(path_type=Path))
@opt.chain(opt.budget, opt.output, opt.picking, opt.record_format, opt.seed, opt.overwrite, opt.json)
@warmed_up
def choose(as_json: bool, **given: Any) -> None:
    """Choose from SCORES, the folder of `score`."""
    from gotd.display import progress_bar
    from gotd.stages.choose import choose
    from gotd.stages.display import show_selection

    with progress_bar() as progress:
        found = choose(progress=progress, **given)
    print_json(found.manifest) if as_json else show_selection(found)
    ended(found.manifest)


@click.command()
@opt.chain(opt.candidates, opt.target)
@click.option("--keep", type=click.IntRange(1), help="Mark so many of the nearest.")
@click.option("--per-source", default=10_000, show_default=True, help="Documents to measure a source on.")
@opt.chain(opt.fitting, opt.fields, opt.target_text, opt.on_error, opt.device, opt.seed, opt.json)
@gathered
def domains(as_json: bool, **given: Any) -> None:
    """Measure how far each source of the pool is from the target."""
    from gotd.display import progress_bar
    from gotd.stages.display import show_domains
    from gotd.stages.domains import domains

    settings = fit_settings_of(given)
    with progress_bar() as progress:
        found = domains(settings=settings, progress=progress, **given)
    print_json([asdict(domain) for domain in found]) if as_json else show_domains(found)


@click.command()
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to keep the files in.")
@opt.chain(opt.seed, opt.json)
def demo(as_json: bool, **given: Any) -> None:
    """The paper's picture on real text. Of four ways to choose, which finds the rare half?"""
    from gotd.demo import run_demo
    from gotd.display import progress_bar

    with progress_bar() as progress:
        found = run_demo(progress=progress, **given)
    print_json(found.as_json()) if as_json else found.show()
