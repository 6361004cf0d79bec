"""What the whole should take, from the rates of its parts: arithmetic alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gotd.dry_run.rates import Rates
from gotd.stages.domains import PER_SOURCE
from gotd.stages.more import TIMES
from gotd.stages.moved import SOLVE_AGAIN_ON


@dataclass(frozen=True, slots=True)
class Job:
    """The sizes that time depends on.

    Attributes:
        bytes: of the candidates, and `other_bytes` of target and of a reference of its own.
        rows: of the candidates.
        reference_rows: of what the fit draws its sample from.
        fitted: documents of that sample.
        targets: documents of the target that are fitted on.
        chosen: documents of the budget.
        workers: processes that score.
        longest: the largest share of the rows that cannot be split.
        streamed: whether chosen records are found by reading the files again.
        rounds: in which the budget is taken.
        shortlist: budgets that the rounds choose from.
        sources: measured by `--keep`; 0 where it is not asked for.
        separate: whether the reference is not the candidates.
        embeds: whether the method looks at the candidates' vectors.
    """

    bytes: int
    other_bytes: int
    rows: int
    reference_rows: int
    fitted: int
    targets: int
    chosen: int
    workers: int
    longest: float
    streamed: bool
    rounds: int
    shortlist: float
    sources: int
    separate: bool
    embeds: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the work and the seconds that it should take."""

    name: str
    seconds: float


def steps(job: Job, rates: Rates) -> list[Step]:
    """The parts in their order."""
    found = [Step("digest the files", _digests(job) * rates.hash_byte)]
    if job.sources:
        found.append(Step("measure the sources", _sources(job, rates)))
    found += [
        Step("read target and reference", _reading(job, rates)),
        Step("fit the encoder", rates.fit_encoder.at(job.fitted + job.targets)),
        Step("embed target and reference", (job.fitted + job.targets) * rates.embed_text),
        Step("embed more of the reference", _more(job, rates)),
        Step("solve", rates.solve.at(job.fitted * job.targets)),
        Step("score", further_pass(job, rates)),
        Step("choose", _choosing(job, rates)),
    ]
    return found


def _digests(job: Job) -> int:
    """Bytes that are digested: by the whole, by the fit and by the scoring, each file for itself."""
    pool = 2 if job.separate else 3
    return (pool + bool(job.sources)) * job.bytes + 2 * job.other_bytes


def _reading(job: Job, rates: Rates) -> float:
    """All rows are passed over; a sample of n parses about n (1 + ln(rows / n)) of them (corpus/sampling.py)."""
    parsed = job.fitted * (1 + math.log(max(1.0, job.reference_rows / max(1, job.fitted)))) + job.targets
    return job.reference_rows * rates.scan_row + min(parsed, job.reference_rows + job.targets) * rates.parse_row


def _more(job: Job, rates: Rates) -> float:
    """Read more of the reference than the sample, and price it once, where vectors are cheap (stages/more.py)."""
    more = min(job.reference_rows, TIMES * job.fitted)
    if not rates.cheap or more <= job.fitted:
        return 0.0
    return job.reference_rows * rates.scan_row + more * (rates.parse_row + rates.embed_text + rates.price_row)


def _sources(job: Job, rates: Rates) -> float:
    """Read some of each, fit an encoder on all and solve for each, and each with itself (stages/domains.py)."""
    measured = min(job.rows, job.sources * PER_SOURCE)
    fitted = min(measured, 20_000) + job.targets
    embedding = rates.fit_encoder.at(fitted) + (measured + fitted) * rates.embed_text
    solving = 2 * rates.again.at(measured / job.sources * job.targets) * job.sources
    return job.rows * rates.scan_row + measured * rates.parse_row + embedding + solving


def further_pass(job: Job, rates: Rates) -> float:
    """To score all once more. Workers share the rows, but for a file that only one of them can read."""
    row = rates.parse_row + rates.price_row + rates.keep_row
    return rates.start + _slowest(job) * row + embedding(job, rates)


def embedding(job: Job, rates: Rates) -> float:
    """What of such a pass embeds the candidates."""
    return _slowest(job) * rates.embed_alone if job.embeds else 0.0


def foretelling(job: Job, rates: Rates) -> float:
    """What `gotd compare` asks of a choice besides: to embed it, and to solve by a potential that all rows share."""
    few = min(job.chosen, SOLVE_AGAIN_ON)
    return job.chosen * rates.embed_text + rates.again.at((job.fitted + few) * job.targets)


def _slowest(job: Job) -> float:
    """Rows of the worker that has the most."""
    return max(job.rows / job.workers, job.longest * job.rows)


def _choosing(job: Job, rates: Rates) -> float:
    """Fetch the shortlist, the worst and a random choice; pass over twins; solve again for two of them; any rounds."""
    several = job.rounds if job.rounds > 1 else 0
    listed = job.chosen * (job.shortlist if several else 1.25)
    fetched = (listed + job.chosen) * rates.parse_row + (3 * job.rows * rates.scan_row if job.streamed else 0.0)
    few = min(job.chosen, SOLVE_AGAIN_ON)
    solved = rates.again.at((job.fitted + few) * job.targets)
    embedded = (2 * few + (listed if several else 0)) * rates.embed_text
    priced = several * listed * rates.price_row
    return fetched + job.chosen * rates.compare_text + (2 + several) * solved + embedded + priced
