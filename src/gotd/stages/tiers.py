"""Two tiers: a cheap encoder scores the whole pool, a dear one scores the best of it again.

    coarse scores -> the best, some multiple of the budget -> fine scores     scores.parquet
                  -> a random probe of the rest            -> fine scores     probe.parquet
                                                                              coarse.parquet: all, by the cheap one

The probe says what share of the best by the dear encoder alone the shortlist holds (`selection/kept_share.py`), and
what the mean of its score over the pool is.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gotd.artifacts import digest, open_artifact, released_by_errors
from gotd.corpus import plan
from gotd.engine import Done, Executor, Progress, silent
from gotd.errors import GotdError, InputError, SettingsError, whole
from gotd.potential import Potential
from gotd.potential_file import FILE_NAME
from gotd.potential_file import identity as identity_of
from gotd.selection.budget import Budget
from gotd.selection.kept_share import KeptShare, kept_share
from gotd.selection.ranking import PICKED, Picked, Ranking, rank
from gotd.stages.addresses import write_addresses
from gotd.stages.arithmetic import arithmetic_for
from gotd.stages.passes import over_shards
from gotd.stages.scores import NAME, REJECTS, WITHIN, Scores, batches_of, schema_of
from gotd.stages.shard_scorer import ShardScorer, own_columns

COARSE = "coarse.parquet"
PROBE = "probe.parquet"
LEAST_PROBED = 1_000
LEAST_SHORTLIST = 2


@dataclass(frozen=True, slots=True)
class Tiers:
    """Two encoders for one choice.

    Attributes:
        coarse: the encoder that scores the whole pool.
        fine: the encoder that scores the shortlist and decides.
        shortlist: how many budgets of the best by `coarse` are scored again.
        probe: documents outside the shortlist that `fine` scores too; None for as many as the budget holds, and
            LEAST_PROBED at least.
    """

    coarse: str
    fine: str
    shortlist: float
    probe: int | None = None

    def __post_init__(self) -> None:
        if self.coarse == self.fine:
            raise SettingsError(f"coarse and fine are both {self.coarse}; wanted a cheap encoder and a better one")
        if not self.shortlist >= LEAST_SHORTLIST:
            raise SettingsError(f"shortlist is {self.shortlist:g}; two tiers want {LEAST_SHORTLIST} budgets or more")
        if self.probe is not None:
            object.__setattr__(self, "probe", whole("probe", self.probe))
        if self.probe is not None and not self.probe >= 0:
            raise SettingsError(f"probe is {self.probe}; wanted 0 or more documents")


def check_tiers(
    coarse: str | None, fine: str | None, shortlist: float, probe: int | None, encoder: str, others: str | None
) -> Tiers | None:
    """The two encoders, or None where none is given.

    Args:
        shortlist, probe: see `Tiers`.
        encoder: that of a selection in one tier.
        others: what was asked for beside, that has no two tiers.

    Raises:
        SettingsError: one of both alone, or with what excludes them.
    """
    if coarse is None and fine is None:
        if probe is not None:
            raise SettingsError("--probe is of two tiers; pass --coarse and --fine, or leave it out")
        return None
    if coarse is None or fine is None:
        raise SettingsError(
            f"found --{'fine' if coarse is None else 'coarse'} alone; two tiers want --coarse and --fine"
        )
    if encoder != "lsa":
        raise SettingsError(f"encoder {encoder} beside --coarse and --fine; leave out --encoder")
    if others is not None:
        raise SettingsError(f"two tiers do not go with {others}; leave out --coarse and --fine, or that")
    return Tiers(coarse, fine, shortlist, probe)


@released_by_errors()
def refine(
    potential: Path,
    coarse: Path,
    output: Path,
    budget: Budget,
    *,
    shortlist: float,
    probe: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    executor: Executor | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Scores:
    """Score the best of a scored pool again with a dearer potential: what `choose` then chooses from.

    Args:
        potential: the folder of the dearer one.
        coarse: the folder of the pool's scores.
        output: folder to make.
        budget: how much will be chosen.
        shortlist: how many budgets of the best by `coarse` are scored again.
        probe: see `Tiers`.
        seed: of the probe.
        workers, executor, device, progress: see `score`.
    """
    started = time.perf_counter()
    before = Scores.load(coarse)
    fitted = Potential.load(potential, device=device)
    asked, counts = before.manifest["settings"], before.manifest["counts"]
    settings = {
        **asked,
        "potential": identity_of(potential),
        "coarse": asked["potential"],
        "budget": str(budget),
        "shortlist": shortlist,
        "probe": probe,
        "seed": seed,
    }
    artifact = open_artifact(output, "score", settings, before.manifest["inputs"])
    if artifact.finished is not None:
        return Scores.load(artifact.folder)
    budget = in_documents(budget, before.pool)
    ranking = before.ranked(budget, stretch=shortlist)
    outside = before.pool - len(ranking.best)
    size = max(ranking.size, LEAST_PROBED) if probe is None else probe
    probed = _probe(before, ranking.best, outside, size, seed)
    wanted = artifact.folder / "parts" / "wanted"
    write_addresses(wanted, before.files, [ranking.best, probed])
    fitted.save(artifact.folder)
    arithmetic = arithmetic_for(fitted, device)
    scorer = ShardScorer(
        potential=artifact.folder / FILE_NAME,
        fields=before.fields,
        on_error="skip",
        sources=None,
        device=device,
        tokenizer=None if before.tokenizer is None else before.tokenizer["name"],
        wanted=wanted,
        products=None if arithmetic is None else arithmetic.products,
    )
    quarantined = before.manifest["quarantined"]
    gone = {(one["file"], one["start"], one["stop"]) for one in quarantined}
    shards = [one for one in plan(before.files, before.fields) if (one.file.path, one.start, one.stop) not in gone]
    ran = over_shards(
        scorer,
        fitted,
        shards,
        artifact.folder / "parts",
        digest([artifact.key, quarantined]),
        workers=workers,
        executor=executor,
        progress=progress,
    )
    if ran.lost:
        raise GotdError(
            f"{ran.lost[0].shard}: its worker died twice ({ran.lost[0].reason}), and without its rows the shortlist is "
            "not whole. Run the same command again with fewer --workers: it goes on from here"
        )
    found = _split(ran.done, before, artifact.folder, probed, own_columns(fitted))
    if found != (len(ranking.best), len(probed)):
        raise InputError("the pool changed while it was scored: documents of the shortlist are gone. Run it again")
    for source, name in ((before.folder / NAME, COARSE), (before.folder / REJECTS, REJECTS)):
        shutil.copyfile(source, artifact.folder / name)
    seconds = time.perf_counter() - started
    both = before.manifest["seconds"] + seconds
    artifact.finish(
        {
            "files": before.manifest["files"],
            "counts": {**counts, "scored": len(ranking.best), "outside": counts["outside"] + outside},
            "rejects": before.manifest["rejects"],
            "quarantined": quarantined,
            "sources": before.manifest["sources"],
            "marginal_error": None,
            "polish_steps": before.manifest["polish_steps"],  # of the coarse potential: the fine one sees no whole pool
            **({} if arithmetic is None else {"arithmetic": asdict(arithmetic)}),
            "turns": None,
            "tiers": {"budget": str(budget), **asdict(_kept(artifact.folder, budget, outside))},
            "seconds": both,
            "seconds_by_tier": {"coarse": before.manifest["seconds"], "fine": seconds},
            "documents_per_second": counts["read"] / both,
        }
    )
    return Scores.load(artifact.folder)


def in_documents(budget: Budget, pool: int) -> Budget:
    """A share of the pool as documents, for what no longer sees the pool; another budget as it is."""
    return budget if budget.unit == "tokens" else Budget(float(budget.documents(pool) or 0), "docs")


def of_whole_pool(ranking: Ranking, scored: Scores, seed: int) -> Ranking:
    """A ranking of a shortlist with what it says of the pool: the random choice, the worst that are known, the mean."""
    if "tiers" not in scored.manifest:
        return ranking
    told, probe = scored.manifest["tiers"], pq.read_table(scored.folder / PROBE)
    pool = told["shortlist"] + told["outside"]
    drawn = rank(partial(batches_of, scored.folder / COARSE), Budget(ranking.size, "docs"), pool, seed=seed, worst=0)
    if not len(probe):
        return replace(ranking, random=drawn.random, pool=pool)
    found = probe["score"].to_numpy()
    last = np.argsort(-found, kind="stable")[: len(ranking.worst)]
    # The shortlist is known, the probe stands for the rest.
    mean = (ranking.mean * ranking.pool + float(found.mean()) * told["outside"]) / pool
    return replace(ranking, random=drawn.random, worst=Picked.of(probe.take(pa.array(last))), mean=mean, pool=pool)


def _probe(before: Scores, best: Picked, outside: int, size: int, seed: int) -> Picked:
    """Rows drawn uniformly from those that are not among the best.

    Args:
        best: the lowest scores, ties in the order of the pool.
        outside: how many rows are not.
    """
    drawn = np.sort(np.random.default_rng([seed, 1]).choice(outside, min(size, outside), replace=False))
    limit = best.score[-1]
    ties, seen, parts = int((best.score == limit).sum()), 0, []
    for batch in before.batches(PICKED):
        score = batch["score"].to_numpy()
        tied = np.flatnonzero(score == limit)
        inside = score < limit
        inside[tied[:ties]] = True
        ties -= min(ties, len(tied))
        rows = np.flatnonzero(~inside)
        first, last = np.searchsorted(drawn, (seen, seen + len(rows)))
        parts.append(pa.Table.from_batches([batch]).take(pa.array(rows[drawn[first:last] - seen])))
        seen += len(rows)
    return Picked.of(pa.concat_tables(parts))


def _split(done: Sequence[Done], before: Scores, folder: Path, probed: Picked, own: Sequence[str]) -> tuple[int, int]:
    """Write the parts as the scores of the shortlist and of the probe; how many there are of each."""
    schema = pa.schema([field for field in schema_of(own) if field.name not in WITHIN])
    numbers = {file.path: number for number, file in enumerate(before.files)}
    ids = pa.array(probed.id, pa.string())
    counts = [0, 0]
    with (
        pq.ParquetWriter(folder / NAME, schema, compression="zstd") as shortlist,
        pq.ParquetWriter(folder / PROBE, schema, compression="zstd") as probe,
    ):
        for part in done:
            table = pq.read_table(part.stem.with_name(f"{part.stem.name}.parquet"))
            number = pa.array(np.full(len(table), numbers[part.shard.file.path], dtype=np.int32))
            table = table.set_column(table.schema.get_field_index("file"), "file", number).select(schema.names)
            of_probe = pc.is_in(table["id"], value_set=ids)
            for row, (out, mask) in enumerate(((shortlist, pc.invert(of_probe)), (probe, of_probe))):
                some = table.filter(mask)
                counts[row] += len(some)
                out.write_table(some)
    return counts[0], counts[1]


def _kept(folder: Path, budget: Budget, outside: int) -> KeptShare:
    """What share of the best by the dear encoder the shortlist holds, by the probe of the rest."""
    shortlist, probe = (pq.read_table(folder / name)["score"].to_numpy() for name in (NAME, PROBE))
    best = rank(partial(batches_of, folder / NAME), budget, len(shortlist), seed=0, worst=0).size
    return kept_share(shortlist, probe, outside, best)
