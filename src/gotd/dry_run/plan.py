"""The dry run itself, and how it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gotd.artifacts import MANIFEST
from gotd.corpus import Fields, Inputs, OutputFormat, find, plan
from gotd.corpus.shards import Shard, splits_by_bytes
from gotd.display import duration
from gotd.dry_run.rates import Rates, measure
from gotd.dry_run.sizes import Side, look
from gotd.dry_run.steps import Job, Step, further_pass, steps
from gotd.engine.run import available_cores
from gotd.errors import SettingsError
from gotd.pipeline import IN_DOMAIN, fit_settings
from gotd.selection.budget import BYTES_PER_TOKEN, Budget
from gotd.selection.methods import BLIND
from gotd.stages.arithmetic import WORKERS_A_GPU
from gotd.stages.choose import check_rounds, checked
from gotd.stages.fit_settings import FitSettings
from gotd.stages.picking import PickSettings
from gotd.stages.targets import Targets, listed
from gotd.transport import CENTROIDS

_SAMPLE = 2_000
_TARGETS = 500
_SCORE_BYTES = 21  # of a row of scores.parquet; measured on 124,577 passages of three sources
_HALF, _FULL = 2, 4  # bytes of a number in the potential's file: of the reference, of targets and centroids


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a selection would read, write and take.

    Attributes:
        sides: candidates, target, and a reference of its own.
        encoder: as it was asked for.
        output: the folder, if one was named.
        state: of that folder.
        writes: bytes of each file, estimated.
        steps: the parts of the work.
        job, rates: what the steps were reckoned from.
        further_pass: seconds of one more pass over the candidates, where the certificate may ask for some; else 0.
        looked: seconds that the dry run itself took.
    """

    sides: Sequence[Side]
    encoder: str
    output: Path | None
    state: str
    writes: dict[str, int]
    steps: Sequence[Step]
    job: Job
    rates: Rates
    further_pass: float
    looked: float

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    @property
    def reusable(self) -> bool:
        """Whether the candidates' vectors serve other targets as well: an encoder was fitted on none of their texts."""
        return self.rates.embed_alone > 0 and not self.rates.encoder_bytes

    def of(self, name: str) -> float:
        """Seconds of one step."""
        return sum(step.seconds for step in self.steps if step.name == name)

    def as_json(self) -> dict[str, Any]:
        sides = {
            side.role: {
                "files": [file.path for file in side.files],
                "bytes": side.bytes,
                "rows": side.rows,
                "counted": side.counted,
                "sampled": side.sampled,
                "rejected_of_sampled": len(side.rejects),
            }
            for side in self.sides
        }
        return {
            "reads": sides,
            "encoder": {"spec": self.encoder, "dim": self.rates.dim, "device": self.rates.encoder_on},
            "transport": {"device": self.rates.transport_on},
            "chosen": self.job.chosen,
            "output": None if self.output is None else str(self.output),
            "state": self.state,
            "writes": self.writes,
            "estimated_seconds": {"total": self.seconds, **{step.name: step.seconds for step in self.steps}},
            "further_pass_seconds": self.further_pass,
            "workers": self.job.workers,
            "looked_seconds": self.looked,
        }

    def lines(self) -> Iterator[str]:
        """The same for people."""
        yield "Dry run: nothing is written."
        yield "\nreads"
        for side in self.sides:
            about = "" if side.counted else "about "
            files = "file" if len(side.files) == 1 else "files"
            size = "size not known" if side.bytes is None else _bytes(side.bytes)
            yield f"  {side.role:<10}  {len(side.files):,} {files}, {size}, {about}{side.rows:,} rows"
            if side.rejects:
                count = f"{len(side.rejects):,} of the {side.sampled:,} rows looked at would be rejected"
                yield f"              {count}; the first: {side.rejects[0].message}"
        if len(self.sides) == 2:
            yield "  reference   a sample of the candidates"
        yield f"encoder  {self.encoder}, {self.rates.dim} numbers a document, on {self.rates.encoder_on}"
        if self.rates.transport_on != "cpu":
            yield f"solves   and prices on {self.rates.transport_on}"
        yield f"chooses  {self.job.chosen:,} documents"
        yield f"writes   to {self.output or 'a temporary folder'} ({self.state})"
        for name, written in self.writes.items():
            yield f"  {name:<22} about {_bytes(written)}"
        workers = "1 process" if self.job.workers == 1 else f"{self.job.workers} processes"
        yield f"takes    about {duration(self.seconds)} on this machine, {workers} for scoring"
        for step in self.steps:
            yield f"  {step.name:<27} {duration(step.seconds):>8}"
        if self.further_pass:
            yield f"  and {duration(self.further_pass)} more for each further pass that the certificate asks for"
        seen = sum(side.sampled for side in self.sides)
        tried = f"{seen:,} rows were tried here in {duration(self.looked)}"
        yield f"\nAn estimate: {tried}, and the rest is reckoned from them."


def dry_run(
    candidates: Inputs,
    target: Targets,
    budget: str | int,
    output: Path | str | None = None,
    *,
    avoid: Targets | None = None,
    reference: Inputs | None = None,
    held_out: Inputs | None = None,
    method: str = "gotd",
    paper: bool = False,
    keep: int | None = None,
    fields: Fields | None = None,
    target_fields: Fields | None = None,
    format: OutputFormat = "jsonl",
    polish: int = 3,
    workers: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    **others: Any,
) -> DryRun:
    """What `select` with the same arguments would read, write and take. Writes nothing.

    Raises:
        InputError, SettingsError: what `select` would stop at before its work begins, and what a sample shows.
    """
    started = time.perf_counter()
    if others.get("coarse") or others.get("fine"):
        raise SettingsError(
            "--dry-run knows one encoder; leave out --coarse and --fine, and look at each with --encoder"
        )
    picking = PickSettings(**{name: others[name] for name in PickSettings.__dataclass_fields__ if name in others})
    wanted = checked(budget, format, picking.max_per_source)
    settings = _fit_settings(paper, method, others)
    check_rounds(picking.rounds, settings.method)
    where = fields or Fields()
    pool = look("candidates", find(candidates, digest=False), where, _SAMPLE)
    goals = [*listed(target), *(listed(avoid) if avoid else [])]
    examples = [file for goal in goals for file in find(goal.paths, digest=False)]
    task = look("target", examples, target_fields or where.of_target(), _TARGETS)
    own = None if reference is None else look("reference", find(reference, digest=False), where, _SAMPLE)
    if held_out:
        find(held_out, digest=False)
    chosen = _chosen(wanted, pool)
    shards = plan(pool.files, where)
    targets = min(task.rows, settings.target_sample)
    executor = others.get("executor")
    alone = executor == "inline" or len(shards) == 1 or workers == 1
    rates = measure(pool, task, targets, settings, where, picking.dedup, device, processes=not alone)
    shared = WORKERS_A_GPU if rates.transport_on != "cpu" and executor != "ray" else available_cores()
    count = 1 if alone else min(workers or shared, len(shards))
    job = Job(
        bytes=pool.bytes or 0,
        other_bytes=(task.bytes or 0) + (own.bytes or 0 if own else 0),
        rows=pool.rows,
        reference_rows=(own or pool).rows,
        fitted=min((own or pool).rows, settings.fit_sample),
        targets=targets,
        chosen=chosen,
        workers=count,
        longest=_longest(shards),
        streamed=not all(splits_by_bytes(file, where) for file in pool.files),
        rounds=picking.rounds,
        shortlist=picking.shortlist,
        sources=len(pool.files) if keep else 0,
        separate=own is not None,
        embeds=settings.method not in BLIND,
    )
    folder = None if output is None else Path(output)
    return DryRun(
        sides=[side for side in (pool, task, own) if side is not None],
        encoder=settings.encoder if pool.documents[0].vector is None else "vectors of the records",
        output=folder,
        state=_state(folder, overwrite),
        writes=_writes(job, pool, rates, format),
        steps=steps(job, rates),
        job=job,
        rates=rates,
        further_pass=0.0 if own or keep or not polish else further_pass(job, rates),
        looked=time.perf_counter() - started,
    )


def _fit_settings(paper: bool, method: str, others: dict[str, Any]) -> FitSettings:
    """Those that `select` would come to."""
    given = {name: others[name] for name in FitSettings.__dataclass_fields__ if name in others}
    return fit_settings(paper=paper, method="random" if method == IN_DOMAIN else method, **given)


def _chosen(budget: Budget, pool: Side) -> int:
    """Documents that the budget holds, of those that the sample lets expect."""
    usable = pool.rows * len(pool.documents) / pool.sampled
    found = budget.documents(round(usable))
    if found is None:
        found = round(budget.amount * BYTES_PER_TOKEN / pool.mean_chars)
    if pool.counted and found > pool.rows:
        raise SettingsError(f"budget is {budget}, and the pool holds {pool.rows} rows; lower --budget")
    return max(1, found)


def _longest(shards: Sequence[Shard]) -> float:
    """The largest shard as a share of all, by stored bytes."""
    sizes = [shard.stop - shard.start if shard.stop >= 0 and shard.file.format != "parquet" else 0 for shard in shards]
    whole = [size or (shard.file.bytes or 1) for size, shard in zip(sizes, shards)]
    return max(whole) / max(1, sum(whole))


def _writes(job: Job, pool: Side, rates: Rates, format: str) -> dict[str, int]:
    record = pool.mean_record + 150  # the key `gotd`
    packed = 1.0 if format == "jsonl" else 0.4
    points = job.fitted * rates.dim * _HALF + (job.targets + CENTROIDS) * rates.dim * _FULL
    return {
        f"selected.{format}": round(job.chosen * record * packed),
        "selected.arrow": round(job.chosen * pool.mean_chars),
        "scores.parquet": job.rows * _SCORE_BYTES,
        "potential.safetensors": points + rates.encoder_bytes,
    }


def _state(folder: Path | None, overwrite: bool) -> str:
    if folder is None or not folder.exists():
        return "new"
    if folder.is_dir() and not any(folder.iterdir()):
        return "empty"
    if overwrite:
        return "there already, and would be replaced if gotd made it"
    finished = (folder / MANIFEST).is_file()
    return f"there already, {'finished' if finished else 'unfinished'}: only the same command again would take it"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
