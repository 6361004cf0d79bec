"""A million documents, start to finish, where the time goes, and how far each stage is from what the machine can do.

    python benchmarks/million.py [--documents 1000000] [--workers 2] [--data DIR] [--folder DIR]

What is to be shown: on two cores, with the embedded encoder, a million documents of 1000 characters take under 6
minutes and 1.5 GB. How they grow from there is for linear.py. How:
- one plain JSONL file, each document another stretch of text (see texts.py); a target of about 4,000; 5,000 to
  select. A data folder of 400 MB of text serves 3,000,000; the demo's texts, which overlap more, are for trials.
- the run is a process of its own: the clock runs from its start to its end, so imports and the start of workers are
  in it; memory is the peak of the whole tree by PSS, seen every 0.1 s (end_to_end.py).
- after it the parts of scoring are timed alone, on 16 MB of the same pool, by as many processes at a time as there
  were workers, with one thread each. The ceilings are the tokeniser alone, and float32 matrix products of the shape
  that pricing has, in the library that gotd calls: no scoring with these two can be faster than both together.
- on a machine that does other work too, trust CPU seconds rather than those of the clock.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from end_to_end import CHARS, TARGET_DOCUMENTS, Measured, run_gotd, stage_rows
from tables import load, show, use_cores
from texts import Texts, stretches, target_lines, write_lines

CORES = 2
GOAL_SECONDS, GOAL_BYTES, GOAL_DOCUMENTS = 360, 1.5e9, 1_000_000
SHARDS = 2  # of 8 MB, that each process times its parts on
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


def verdicts(run: Measured) -> list[str]:
    """Whether the goals are met, which are of a million documents."""
    if run.documents < GOAL_DOCUMENTS:
        return []
    seconds = GOAL_SECONDS * run.documents / GOAL_DOCUMENTS
    found = (("s", run.seconds, seconds), ("GB", run.peak / 1e9, GOAL_BYTES / 1e9))
    return [
        f"{value:,.2f} {unit}, goal below {goal:,.2f}: {'met' if value < goal else 'MISSED'}"
        for unit, value, goal in found
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=GOAL_DOCUMENTS, help="size of the pool")
    parser.add_argument("--workers", type=int, default=CORES, help="number of processes that score")
    parser.add_argument("--data", type=Path, help="folder with candidates/ and tasks/; else the demo's texts")
    parser.add_argument("--folder", type=Path, help="where all is written for the time; 1.3 KB a document")
    arguments = parser.parse_args()

    size, workers, cores = arguments.documents, arguments.workers, use_cores(CORES)
    texts = Texts.of(arguments.data)
    print(f"{texts.name}, documents of {CHARS} characters, {len(cores)} cores, {load()}", flush=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        output = Path(place) / "out"
        target = target_lines(texts, Path(place) / "target.jsonl", TARGET_DOCUMENTS)
        pool = write_lines(Path(place) / "pool.jsonl", islice(stretches(texts, CHARS), size))
        found, manifest = run_gotd(pool, target, size, output, workers)
        columns = ["", "documents", "seconds", "documents/s", "share"]
        show(f"{size:,} documents, {workers} workers, by stage ({load()})", columns, stage_rows(manifest, found))
        rows, ceilings = alone_rows(pool, output, workers, manifest)
        columns = ["part of scoring, alone", "documents/s", "seconds for the pool", "of the score stage"]
        show(f"The parts, {workers} processes at a time ({load()})", columns, rows)
        print(f"\nboth ceilings together: {ceilings:.0%} of the score stage", flush=True)
    print(f"\n{found.seconds:.1f} s, {found.rate:,.0f} documents/s, {found.cpu_seconds:.1f} CPU s", flush=True)
    print("\n".join(verdicts(found)))


if __name__ == "__main__":
    sys.exit(main())
