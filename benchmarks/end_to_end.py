"""From a pool in a file to a selection in a file: gotd.select and DSIR, documents a second and memory.

    python benchmarks/select.py [--data DIR] [--peers-python PATH] [--documents 50000 200000] [--skip-dsir]

What is to be shown: on real text cut into documents of 1000 characters, on two cores, with the embedded encoder,
gotd.select handles at least five times the documents a second of DSIR (`data-selection`), and its memory does not
grow with the pool: within 10 % from 50,000 to 200,000 documents, and under 1.5 GB. How:
- one plain JSONL file a pool, each document another stretch of text; a target of about 4,000; 5,000 to select.
- each run is a process of its own under the same interpreter rules: the clock runs from its start to its end, so
  imports and the start of workers are in it; memory is the peak of the whole tree by PSS, seen every 0.1 s.
- DSIR gets the largest pool, right after gotd, on two processes; what its defaults do is in peers_dsir.py.
- on a machine that does other work too, trust the ratio of documents a CPU second rather than that of the clock.
- stages come from gotd's own manifest. `fit` reads all rows and embeds and solves on a sample; `score` reads,
  embeds and scores all; `choose` ranks all, fetches and writes the chosen, and solves again for its figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from process_tree import ProcessTree
from tables import load, show, use_cores
from texts import Texts, target_lines, tiled, write_lines

CHARS = 1000
TARGET_DOCUMENTS = 4_000
BUDGET = 5_000
WORKERS = 2
SELECT = """
import json, sys
import gotd
gotd.select(**json.loads(sys.argv[1]))
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One process from start to end.

    Attributes:
        documents: in the pool.
        seconds: of the wall clock.
        cpu_seconds: of the whole tree.
        peak: bytes of the whole tree.
        load: load average of the last minute, at the end.
    """

    documents: int
    seconds: float
    cpu_seconds: float
    peak: int
    load: float

    @property
    def rate(self) -> float:
        """Documents a second."""
        return self.documents / self.seconds

    def cpu_rate_of(self, other: Measured) -> float:
        """How many times this one's documents a CPU second the other handles."""
        return (other.documents / other.cpu_seconds) / (self.documents / self.cpu_seconds)


def measured(command: list[str], documents: int) -> Measured:
    """Run a command to its end; its errors are shown, its output is not."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    tree = ProcessTree(process.pid)
    tree.start()
    failed = process.wait()
    seconds = time.perf_counter() - start
    tree.stop()
    if failed:
        raise SystemExit(f"{command[0]} {command[1]} ended with {failed}")
    return Measured(documents, seconds, tree.cpu_seconds, tree.peak, os.getloadavg()[0])


def run_gotd(
    pool: Path | list[str],
    target: Path,
    documents: int,
    output: Path,
    workers: int = WORKERS,
    executor: str | None = None,
) -> tuple[Measured, dict[str, Any]]:
    """gotd.select with its defaults; also its manifest."""
    asked = {
        "candidates": pool if isinstance(pool, list) else str(pool),
        "target": str(target),
        "budget": f"{min(BUDGET, documents // 2)}docs",
        "output": str(output),
        "workers": workers,
        "executor": executor,
    }
    found = measured([sys.executable, "-c", SELECT, json.dumps(asked)], documents)
    manifest: dict[str, Any] = json.loads((output / "manifest.json").read_text())
    counts = manifest["counts"]
    if counts["read"] != documents or counts["selected"] != min(BUDGET, documents // 2):
        raise SystemExit(f"gotd read {counts['read']} of {documents} documents: {manifest['rejects']}")
    return found, manifest


def run_dsir(pool: Path, target: Path, documents: int, python: str) -> Measured:
    """The three calls of DSIR's README on the same file."""
    script = str(Path(__file__).with_name("peers_dsir.py"))
    asked = ["--pool", str(pool), "--target", str(target), "--select", str(min(BUDGET, documents // 2))]
    return measured([python, script, *asked, "--processes", str(WORKERS)], documents)


def stage_rows(manifest: dict[str, Any], found: Measured) -> list[list[str]]:
    """Seconds and documents a second of each stage of one run."""
    seconds, documents = manifest["seconds"], found.documents
    counts = manifest["fit"]["counts"]
    sampled = counts["reference"]["fitted"]
    fitted = sampled + counts["target"]["fitted"]
    stages = [
        ("fit: read", documents, seconds["fit: read"]),
        ("fit: embed (sample)", fitted, seconds["fit: embed"]),
        ("fit: more of it, up to five samples", min(documents, 5 * sampled), seconds["fit: embed more"]),
        ("fit: solve (sample)", fitted, seconds["fit: solve"]),
        ("score", documents, seconds["score"]),
        ("choose", documents, seconds["choose"]),
    ]
    rest = found.seconds - sum(took for _, _, took in stages)
    stages.append(("start, imports, the rest", documents, rest))
    return [
        [name, str(count), f"{took:.2f}", f"{count / took:,.0f}", f"{took / found.seconds:.0%}"]
        for name, count, took in stages
    ]


def whole_rows(runs: list[tuple[str, Measured]], yardstick: Measured | None) -> list[list[str]]:
    """End to end, with ratios to DSIR where it ran."""
    rows = []
    for name, run in runs:
        ratio = f"{run.rate / yardstick.rate:.1f}" if yardstick else ""
        memory = f"{run.peak / yardstick.peak:.2f}" if yardstick else ""
        work = f"{yardstick.cpu_rate_of(run):.1f}" if yardstick else ""
        figures = [f"{run.seconds:.1f}", f"{run.rate:,.0f}", ratio, f"{run.cpu_seconds:.1f}", work]
        rows.append([name, str(run.documents), *figures, f"{run.peak / 1e6:,.0f}", memory, f"{run.load:.1f}"])
    return rows


def growth(runs: list[Measured]) -> str:
    """How memory changed from the smallest pool to the largest."""
    small, large = runs[0], runs[-1]
    return (
        f"memory from {small.documents:,} to {large.documents:,} documents: {large.peak / small.peak - 1:+.1%} "
        f"(peak {large.peak / 1e9:.2f} GB)"
    )


def compare(texts: Texts, sizes: list[int], repeats: int, python: str | None, folder: Path) -> None:
    """Make the pools, run gotd on each and DSIR on the largest, print the tables."""
    target = target_lines(texts, folder / "target.jsonl", TARGET_DOCUMENTS)
    pieces = tiled(texts, sizes[-1], CHARS)
    pools = {size: write_lines(folder / f"pool-{size}.jsonl", pieces[:size]) for size in sizes}
    del pieces
    peers: list[Measured] = []
    runs: dict[int, list[Measured]] = {size: [] for size in sizes}
    for turn in range(repeats):
        for size, pool in pools.items():
            found, manifest = run_gotd(pool, target, size, folder / f"out-{size}-{turn}")
            runs[size].append(found)
            columns = ["", "documents", "seconds", "documents/s", "share"]
            show(f"gotd.select by stage ({load()})", columns, stage_rows(manifest, found))
        if python is not None:
            peers.append(run_dsir(pool, target, size, python))
    yardstick = min(peers, key=lambda run: run.seconds) if peers else None
    named = [("gotd.select", run) for some in runs.values() for run in some] + [("DSIR", run) for run in peers]
    columns = ["", "documents", "seconds", "documents/s", "x DSIR", "CPU s", "x DSIR", "peak MB", "of DSIR's", "load"]
    show("End to end, the whole process", columns, whole_rows(named, yardstick))
    print(f"\n{growth([max(some, key=lambda run: run.peak) for some in runs.values()])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with candidates/ and tasks/; else the demo's texts")
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter with requirements.txt")
    parser.add_argument("--documents", nargs="+", type=int, default=[50_000, 200_000], help="sizes of the pools")
    parser.add_argument("--repeats", type=int, default=1, help="the ratio is to DSIR's fastest run")
    parser.add_argument("--skip-dsir", action="store_true")
    arguments = parser.parse_args()

    cores = use_cores(WORKERS)
    texts = Texts.of(arguments.data)
    print(f"{texts.name}, documents of {CHARS} characters, {len(cores)} cores, {load()}")
    python = None if arguments.skip_dsir else arguments.peers_python
    with tempfile.TemporaryDirectory() as folder:
        compare(texts, sorted(arguments.documents), arguments.repeats, python, Path(folder))


if __name__ == "__main__":
    main()
