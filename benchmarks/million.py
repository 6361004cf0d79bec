"""A million documents, start to finish, where the time goes, and how far each stage is from what the machine can do.

    python benchmarks/million.py [--documents 1000000] [--workers 2] [--data DIR] [--folder DIR]
    python benchmarks/million.py --documents 100000 300000 1000000 3000000 --workers 1 2

What is to be shown: on two cores, with the embedded encoder, a million documents of 1000 characters take under 6
minutes and 1.5 GB; and documents a second stay within 10 % from 100,000 to 3,000,000 documents, in the score stage: the
whole has the fit besides, which costs the same for every pool. How:
- one plain JSONL file a pool, each document another stretch of text (see texts.py); a target of about 4,000; 5,000 to
  select. A data folder of 400 MB of text serves 3,000,000; the demo's texts, which overlap more, are for trials.
- each run is a process of its own: the clock runs from its start to its end, so imports and the start of workers are
  in it; memory is the peak of the whole tree by PSS, seen every 0.1 s (end_to_end.py).
- after a run the parts of scoring are timed alone, on 16 MB of the same pool, by as many processes at a time as there
  were workers, with one thread each. The ceilings are the tokeniser alone, and float32 matrix products of the shape
  that pricing has, in the library that gotd calls: no scoring with these two can be faster than both together.
- on a machine that does other work too, trust the ratio of CPU seconds rather than that of the clock.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from end_to_end import CHARS, TARGET_DOCUMENTS, Measured, run_gotd, stage_rows
from tables import load, show, use_cores
from texts import Texts, stretches, target_lines, write_lines

CORES = 2
GOAL_SECONDS, GOAL_BYTES, GOAL_DOCUMENTS, GOAL_LINEAR = 360, 1.5e9, 1_000_000, 0.1
SHARDS = 2  # of 8 MB, that each process times its parts on
Run = tuple[int, Measured, float]  # workers, the whole, seconds of the score stage
CEILINGS = ("tokeniser alone", "matrix product alone")


def alone(pool: str, folder: str, number: int) -> dict[str, float]:
    """Documents a second of each part of scoring, in this process, on its own shards of the pool."""
    import numpy as np
    import torch
    from threadpoolctl import threadpool_limits

    from gotd.corpus import Document, Fields, find, plan, read
    from gotd.encoders.hashing import batches, count_words
    from gotd.potential import Potential

    torch.set_num_threads(1)
    threadpool_limits(1)
    potential = Potential.load(folder)
    shards = plan(find(pool, digest=False), Fields())
    shards = [shards[(number * SHARDS + turn) % len(shards)] for turn in range(SHARDS)]
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = work()
        seconds[name] = time.perf_counter() - start
        return found

    items = timed("read", lambda: [item for shard in shards for item in read(shard, Fields())])
    texts = [item.text for item in items if isinstance(item, Document)]
    potential.encoder.encode(texts[:256])
    timed(CEILINGS[0], lambda: [count_words(batch) for batch in batches(texts)])
    vectors = timed("embed, tokeniser included", lambda: potential.encoder.encode(texts))
    points = timed("centre, scale", lambda: potential.points(vectors))
    weights = torch.ones(len(points))
    timed("price, products included", lambda: potential.priced(points, weights))
    sides = [potential.attract.points, *([] if potential.repel is None else [potential.repel.points])]
    places = [torch.empty(1024, len(side)) for side in sides]
    blocks = [points[start : start + 1024] for start in range(0, len(points) - 1023, 1024)]

    def products() -> None:
        for block in blocks:
            for side, place in zip(sides, places):
                torch.mm(block, side.T, out=place)

    timed(CEILINGS[1], products)
    seconds[CEILINGS[1]] *= len(points) / (1024 * len(blocks))
    return {name: len(texts) / took for name, took in seconds.items() if np.isfinite(took)}


def alone_rows(pool: Path, output: Path, workers: int, manifest: dict[str, Any]) -> tuple[list[list[str]], float]:
    """The parts of scoring, each alone, and the share of the score stage that both ceilings together are."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as processes:
        found = list(processes.map(alone, [str(pool)] * workers, [str(output)] * workers, range(workers)))
    documents, took = manifest["counts"]["read"], manifest["seconds"]["score"]
    rows, ceilings = [], 0.0
    for name in found[0]:
        rate = sum(rates[name] for rates in found)
        share = documents / rate / took
        ceilings += share if name in CEILINGS else 0
        rows.append([name, f"{rate:,.0f}", f"{documents / rate:.1f}", f"{share:.0%}"])
    return rows, ceilings


def summary(runs: Sequence[Run]) -> list[list[str]]:
    """Each run; documents a second beside those of the first run with as many workers."""
    rows = []
    for workers, run, scoring in runs:
        first = next(other for count, other, _ in runs if count == workers)
        rates = [f"{run.rate:,.0f}", f"{run.rate / first.rate - 1:+.1%}", f"{run.documents / scoring:,.0f}"]
        figures = [f"{run.seconds:.1f}", *rates]
        cpu = [f"{run.cpu_seconds:.1f}", f"{run.documents / run.cpu_seconds:,.0f}"]
        rows.append([f"{run.documents:,}", str(workers), *figures, *cpu, f"{run.peak / 1e6:,.0f}", f"{run.load:.1f}"])
    return rows


def verdicts(runs: Sequence[Run]) -> list[str]:
    """Whether the goals are met, where these runs can say so."""
    said = []
    for workers, run, _ in runs:
        if run.documents >= GOAL_DOCUMENTS and workers == CORES:
            for name, found, goal in (("s", run.seconds, GOAL_SECONDS), ("GB", run.peak / 1e9, GOAL_BYTES / 1e9)):
                goal = goal * run.documents / GOAL_DOCUMENTS if name == "s" else goal
                met = "met" if found < goal else "MISSED"
                said.append(f"{run.documents:,} documents: {found:,.2f} {name}, goal below {goal:,.2f}: {met}")
    for workers in sorted({count for count, _, _ in runs}):
        rates = [run.documents / scoring for count, run, scoring in runs if count == workers]
        if len(rates) > 1:
            spread = max(rates) / min(rates) - 1
            met = "met" if spread <= GOAL_LINEAR else "MISSED"
            said.append(
                f"documents/s scored with {workers} workers differ by {spread:.1%}, goal {GOAL_LINEAR:.0%}: {met}"
            )
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", nargs="+", type=int, default=[GOAL_DOCUMENTS], help="sizes of the pools")
    parser.add_argument("--workers", nargs="+", type=int, default=[CORES], help="numbers of processes that score")
    parser.add_argument("--data", type=Path, help="folder with candidates/ and tasks/; else the demo's texts")
    parser.add_argument(
        "--folder", type=Path, help="where pools and results are written for the time; 2.5 KB a document"
    )
    arguments = parser.parse_args()

    cores = use_cores(CORES)
    texts = Texts.of(arguments.data)
    print(f"{texts.name}, documents of {CHARS} characters, {len(cores)} cores, {load()}", flush=True)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        folder = Path(place)
        target = target_lines(texts, folder / "target.jsonl", TARGET_DOCUMENTS)
        for size in sorted(arguments.documents):
            pool = write_lines(folder / "pool.jsonl", islice(stretches(texts, CHARS), size))
            for workers in arguments.workers:
                output = folder / f"out-{size}-{workers}"
                found, manifest = run_gotd(pool, target, size, output, workers)
                runs.append((workers, found, manifest["seconds"]["score"]))
                columns = ["", "documents", "seconds", "documents/s", "share"]
                title = f"{size:,} documents, {workers} workers, by stage ({load()})"
                show(title, columns, stage_rows(manifest, found))
                rows, ceilings = alone_rows(pool, output, workers, manifest)
                columns = ["part of scoring, alone", "documents/s", "seconds for the pool", "of the score stage"]
                show(f"The parts, {workers} processes at a time ({load()})", columns, rows)
                print(f"\nboth ceilings together: {ceilings:.0%} of the score stage", flush=True)
            pool.unlink()
    columns = [
        "documents",
        "workers",
        "seconds",
        "documents/s",
        "of first",
        "scored/s",
        "CPU s",
        "docs/CPU s",
        "peak MB",
        "load",
    ]
    show("End to end, the whole process", columns, summary(runs))
    print("\n" + "\n".join(verdicts(runs)))


if __name__ == "__main__":
    sys.exit(main())
