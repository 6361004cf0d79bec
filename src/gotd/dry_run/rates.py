"""A little of each part of the work, done and timed here.

Each part grows with something: files with their bytes, reading and scoring with rows, fitting an encoder and
embedding with texts, solving with n m, the documents of the reference times those of the target. What also has a fixed
cost is timed at two sizes, and the straight line through both is taken.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from gotd.corpus import Document, Fields, Reject, Shard, read
from gotd.corpus.batches import Batch
from gotd.corpus.readers import batches
from gotd.dry_run.sizes import Side
from gotd.encoder_folders import encoder_for
from gotd.encoders import Encoder
from gotd.encoders.precomputed import Precomputed
from gotd.encoders.weights import ON_GPU, resolve_device, transport_device
from gotd.engine.run import one_thread
from gotd.potential import Potential
from gotd.pricing import Pricer
from gotd.selection.budget import estimated_tokens
from gotd.selection.duplicates import Deduplicator, Mode
from gotd.stages.fit import fitted
from gotd.stages.fit_settings import FitSettings
from gotd.stages.more import is_cheap
from gotd.stages.points import vectors_of
from gotd.transport import Measure, SoftMin

_LEAST, _MOST = 0.2, 1.5  # seconds that one part is timed for
_HASHED = 8 << 20
_SMALL, _LARGE = (1000, 250), (4000, 1000)  # n, m to solve
_SCORED, _SCORED_GPU = 512, 16_384


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds as a straight line, `fixed + each * size`; neither is negative."""

    fixed: float
    each: float

    @classmethod
    def through(cls, small: tuple[float, float], large: tuple[float, float]) -> Line:
        """The line through two (size, seconds); where the larger took no longer, all is fixed."""
        (size, seconds), (other, longer) = small, large
        each = max(0.0, (longer - seconds) / (other - size)) if other > size else 0.0
        fixed = max(0.0, longer - each * other)
        return cls(fixed, each if fixed else longer / other)

    def at(self, size: float) -> float:
        return self.fixed + self.each * size


@dataclass(frozen=True, slots=True)
class Rates:
    """What was measured, in seconds.

    Attributes:
        hash_byte: to digest a byte of a file.
        scan_row: to pass over a row without parsing it.
        parse_row: to read a row as a document.
        fit_encoder: by texts.
        embed_text: by all threads, as in the fit.
        embed_alone: by one, as a scoring worker does.
        solve: a fit, by n m.
        again: to solve once more from a known potential, by n m.
        price_row: to score the vector of a document.
        keep_row: to write a score down.
        compare_text: to look for what a chosen text repeats.
        start: to start a worker.
        dim: length of a vector.
        encoder_bytes: of an encoder fitted on the sample, that the potential's file would hold.
        cheap: whether a fit is corrected by more than the sample, see `stages/more.py`.
        encoder_on: the device of the encoder.
        transport_on: the device that solves and prices, see `transport_device`.
    """

    hash_byte: float
    scan_row: float
    parse_row: float
    fit_encoder: Line
    embed_text: float
    embed_alone: float
    solve: Line
    again: Line
    price_row: float
    keep_row: float
    compare_text: float
    start: float
    dim: int
    encoder_bytes: int
    cheap: bool
    encoder_on: str
    transport_on: str


def measure(
    pool: Side,
    target: Side,
    targets: int,
    settings: FitSettings,
    fields: Fields,
    dedup: Mode,
    device: str,
    *,
    processes: bool,
) -> Rates:
    """Do a little of everything.

    Args:
        pool: the side that is scored.
        target: the task.
        targets: documents of the target that the fit would take.
        processes: whether scoring would start workers.
    """
    texts, wanted = ([document.text for document in side.documents] for side in (pool, target))
    given = pool.documents[0].vector is not None
    encoder: Encoder
    if given:
        vectors, goals, embed, fit_line = vectors_of(pool.documents), vectors_of(target.documents), 0.0, Line(0.0, 0.0)
        encoder = Precomputed(len(vectors[0]))
    else:
        encoder, fit_line = _fit(texts + wanted, settings, device)
        vectors, embed = _embedded(encoder, texts)
        goals = encoder.encode(wanted[:256])
    config = encoder.config()
    where = transport_device(device, config)
    solve, again, potential = _solving(encoder, vectors, goals, settings, where)
    few = pool.documents[:: max(1, len(pool.documents) // 64)]
    largest = max(pool.files, key=lambda file: file.bytes or 0)
    with one_thread():
        alone = 0.0 if given else _rate(lambda: encoder.encode([document.text for document in few]), len(few))
        price = _pricing(potential, vectors, targets, where)
    return Rates(
        hash_byte=_hashing(),
        scan_row=_passing(batches(Shard(largest, 0, 0, -1), fields)),
        parse_row=_passing(read(Shard(largest, 0, 0, -1), fields)),
        fit_encoder=fit_line,
        embed_text=embed,
        embed_alone=alone,
        solve=solve,
        again=again,
        price_row=price,
        keep_row=_keeping(pool.documents),
        compare_text=_comparing(few, dedup),
        start=_starting() if processes else 0.0,
        dim=encoder.dim,
        encoder_bytes=sum(tensor.nbytes for tensor in encoder.tensors().values()),
        cheap=is_cheap(encoder),
        encoder_on=str(resolve_device(device)) if config.get("kind") in ON_GPU else "cpu",
        transport_on=str(where),
    )


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _rate(work: Callable[[], object], size: int) -> float:
    """Seconds for each of `size` things that `work` does, from the quickest of some runs: the others were disturbed."""
    runs = [_timed(work)]
    while sum(runs) < _LEAST:
        runs.append(_timed(work))
    return min(runs) / size


def _fit(texts: Sequence[str], settings: FitSettings, device: str) -> tuple[Encoder, Line]:
    """The encoder as the sample gives it, and what it costs to fit or load one."""

    def fit(some: Sequence[str]) -> Encoder:
        return encoder_for(settings.encoder, some, device=device, seed=settings.seed)

    few = texts[::4]
    fit(few)  # the first loads libraries
    small = _timed(lambda: fit(few))
    made: list[Encoder] = []
    large = _timed(lambda: made.append(fit(texts)))
    return made[0], Line.through((len(few), small), (len(texts), large))


def _embedded(encoder: Encoder, texts: Sequence[str]) -> tuple[NDArray[np.float32], float]:
    """Vectors of as many texts as some time allows, and the seconds that each took."""
    encoder.encode(texts[:2])
    first = _timed(lambda: encoder.encode(texts[:16])) / min(16, len(texts))
    some = texts[:: max(1, int(len(texts) * first / _MOST))]
    made: list[NDArray[np.float32]] = []
    seconds = _timed(lambda: made.append(encoder.encode(some)))
    return made[0], seconds / len(some)


def _solving(
    encoder: Encoder,
    vectors: NDArray[np.float32],
    goals: NDArray[np.float32],
    settings: FitSettings,
    where: torch.device,
) -> tuple[Line, Line, Potential]:
    """Fits of two sizes, on vectors like those of the sample, and the larger potential."""
    fits, agains = [], []
    fitted(encoder, _like(vectors, 50, 0), _like(goals, 20, 1), settings, device=where)  # the first loads libraries
    for n, m in (_SMALL, _LARGE):
        reference, target = _like(vectors, n, settings.seed), _like(goals, m, settings.seed + 1)
        made: list[Potential] = []
        seconds = _timed(lambda: made.append(fitted(encoder, reference, target, settings, device=where)))  # noqa: B023
        potential = made[0]
        start, summary = potential.gradient()
        mixed = potential.reference.mixed_with(Measure.of(potential.space(_like(vectors, n // 10, settings.seed))), 0.1)
        fits.append((n * m, seconds))
        agains.append((n * m, _timed(lambda: start.at(mixed, summary))))  # noqa: B023
    return Line.through(*fits), Line.through(*agains), potential


def _like(vectors: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """`count` vectors drawn from some, each moved a little, so that no two are one."""
    rng = np.random.default_rng(seed)
    drawn = vectors[rng.integers(len(vectors), size=count)]
    moved = drawn + 0.1 * vectors.std(0) * rng.standard_normal(drawn.shape) + 1e-6 * rng.standard_normal(drawn.shape)
    few: NDArray[np.float32] = moved.astype(np.float32)
    return few


def _pricing(potential: Potential, vectors: NDArray[np.float32], targets: int, where: torch.device) -> float:
    """With as many targets as there will be: those of a small potential over and over."""
    attract = potential.attract
    which = torch.arange(targets) % len(attract.g)
    whole = SoftMin(attract.points[which], attract.g[which], attract.log_b[which], attract.reg, attract.cost)
    count = _SCORED if where.type == "cpu" else _SCORED_GPU
    points = potential.space(_like(vectors, count, 0))
    weights = torch.ones(count)
    if where.type != "cpu":
        pricer = Pricer.of(potential.space, (whole,), potential.repel, where)
        pricer.points(points, weights)  # the first loads libraries
        return _rate(lambda: pricer.points(points, weights), count)

    def priced() -> None:
        whole.plan_pass(points, weights)
        if potential.repel is not None:
            potential.repel(points)

    with one_thread():
        return _rate(priced, count)


def _hashing() -> float:
    data = bytes(_HASHED)
    return _rate(lambda: hashlib.sha256(data).digest(), _HASHED)


def _passing(rows: Iterator[Batch | Document | Reject]) -> float:
    """Seconds a row, of as many as come in a moment."""
    started, seen = time.perf_counter(), 0
    for found in rows:
        seen += len(found.positions) if isinstance(found, Batch) else 1
        if time.perf_counter() - started > _LEAST:
            break
    return (time.perf_counter() - started) / max(1, seen)


def _keeping(documents: Sequence[Document]) -> float:
    """To count a document's tokens and to write its row of scores, once in a part and once in the whole."""
    some = documents[:_SCORED]
    ids = [document.id for document in some]

    def keep() -> None:
        tokens = [estimated_tokens(document.text) for document in some]
        keys = [blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest() for id in ids]
        table = pa.table({"id": ids, "source": ids, "tokens": tokens, "key": keys, "position": tokens})
        for _ in range(2):
            pq.write_table(table, BytesIO(), compression="zstd")

    return _rate(keep, len(some))


def _comparing(documents: Sequence[Document], dedup: Mode) -> float:
    def compare() -> None:
        twins = Deduplicator(dedup)
        for document in documents:
            twins.offer(document.id, document.text)

    return _rate(compare, len(documents))


def _starting() -> float:
    """A Python that imports what a worker does; workers start beside one another."""
    return _timed(lambda: subprocess.run([sys.executable, "-c", "import gotd.stages.score"], check=True))
