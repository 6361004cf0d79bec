"""Documents a second from 100,000 to 3,000,000 documents: by one worker, by two, and by two actors of Ray.

    python benchmarks/linear.py [--documents 100000 300000 1000000 3000000] [--ways 1 2 ray] [--data DIR] [--folder DIR]

What is to be shown: a pool of any size is scored at the same speed: within 10 % from the smallest to the largest, for
each number of workers. The whole has the fit besides, which costs the same for every pool. How:
- the documents are written once: each pool is the first files of the largest, plain JSONL. Each document is another
  stretch of 1000 characters of text (see texts.py). A data folder of 400 MB of text serves 3,000,000; the demo's texts,
  which overlap more, are for trials. A target of about 4,000; 5,000 to select.
- each run is a process of its own, `gotd.select`: end to end is from its start to its end; memory is the peak of the
  whole tree by PSS, seen every 0.1 s, the processes of Ray included (end_to_end.py).
- the score stage is timed by gotd itself. Its workers start while the fit runs, so their start is in the whole, not in
  the stage; those of Ray, and Ray itself, start in the stage. What each pool has more than the one before it has no
  start in it, and its rate is told beside.
- on a machine that does other work too, trust documents a CPU second rather than those of the clock.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from end_to_end import CHARS, TARGET_DOCUMENTS, Measured, run_gotd
from tables import load, show, use_cores
from texts import Texts, stretches, target_lines, write_lines

CORES = 2
GOAL = 0.1
DISK = 1_300  # bytes a document: of the pool, and of what one run writes
WAYS = ("1", "2", "ray")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one way.

    Attributes:
        way: a number of workers, or `ray`.
        whole: the process.
        scoring: seconds of the score stage.
    """

    way: str
    whole: Measured
    scoring: float

    @property
    def rate(self) -> float:
        """Documents a second in the score stage."""
        return self.whole.documents / self.scoring


def written(texts: Texts, sizes: Sequence[int], folder: Path) -> dict[int, list[str]]:
    """The files of each pool, the smallest first: those of the one before, and one more."""
    pieces, pools, files = stretches(texts, CHARS), {}, []
    for number, (start, stop) in enumerate(zip([0, *sizes], sizes)):
        files.append(str(write_lines(folder / f"pool-{number}.jsonl", islice(pieces, stop - start))))
        pools[stop] = list(files)
    return pools


def rows(runs: Sequence[Run]) -> list[list[str]]:
    """A row for each run; the deviation is from the first of its way."""
    found = []
    for run in runs:
        first, whole = next(other for other in runs if other.way == run.way), run.whole
        rates = [f"{run.rate:,.0f}", f"{run.rate / first.rate - 1:+.1%}", f"{whole.rate:,.0f}"]
        figures = [f"{whole.seconds:.1f}", f"{whole.cpu_seconds:.1f}", f"{whole.documents / whole.cpu_seconds:,.0f}"]
        found.append(
            [run.way, f"{whole.documents:,}", *rates, *figures, f"{whole.peak / 1e6:,.0f}", f"{whole.load:.1f}"]
        )
    return found


def verdicts(runs: Sequence[Run]) -> list[str]:
    """How far each way is from linear: the whole stage, and what each pool has more than the one before it."""
    said = []
    for way in dict.fromkeys(run.way for run in runs):
        series = [run for run in runs if run.way == way]
        spread = _spread([run.rate for run in series])
        met = "met" if spread <= GOAL else "MISSED"
        said.append(f"{way}: documents/s in the score stage differ by {spread:.1%}, goal {GOAL:.0%}: {met}")
        if len(series) > 2:
            more = _further(series)
            rates, start = ", ".join(f"{rate:,.0f}" for rate in more), _start(series)
            said.append(f"{way}: of the further documents alone {rates}: {_spread(more):.1%}; start {start:.1f} s")
    return said


def _further(series: Sequence[Run]) -> list[float]:
    """Documents a second of those that a pool has more than the one before it: a start takes no part in it."""
    return [
        (larger.whole.documents - smaller.whole.documents) / (larger.scoring - smaller.scoring)
        for smaller, larger in pairwise(series)
    ]


def _start(series: Sequence[Run]) -> float:
    """Seconds of the score stage for no documents: on the line through the smallest and the largest pool."""
    small, large = series[0], series[-1]
    slope = (large.scoring - small.scoring) / (large.whole.documents - small.whole.documents)
    return small.scoring - slope * small.whole.documents


def _spread(rates: Sequence[float]) -> float:
    """The fastest over the slowest, less one."""
    return max(rates) / min(rates) - 1


def check_disk(folder: Path, documents: int) -> None:
    """Say how much the series needs, and end where that is not free."""
    need, free = documents * DISK, shutil.disk_usage(folder).free
    print(f"disk: {need / 1e9:.1f} GB needed in {folder}, {free / 1e9:.1f} GB free", flush=True)
    if free < need:
        raise SystemExit("too little disk: pass another --folder, or fewer --documents")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", nargs="+", type=int, default=[100_000, 300_000, 1_000_000, 3_000_000])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="numbers of processes, or actors of Ray")
    parser.add_argument("--data", type=Path, help="folder with candidates/ and tasks/; else the demo's texts")
    parser.add_argument("--folder", type=Path, help="where pools and results are written for the time")
    arguments = parser.parse_args()

    cores, sizes = use_cores(CORES), sorted(set(arguments.documents))
    texts = Texts.of(arguments.data)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        folder = Path(place)
        check_disk(folder, sizes[-1])
        print(f"{texts.name}, documents of {CHARS} characters, {len(cores)} cores, {load()}", flush=True)
        target = target_lines(texts, folder / "target.jsonl", TARGET_DOCUMENTS)
        pools = written(texts, sizes, folder)
        for way in arguments.ways:
            for size, pool in pools.items():
                executor = "ray" if way == "ray" else None
                workers = CORES if way == "ray" else int(way)
                whole, manifest = run_gotd(pool, target, size, folder / "out", workers, executor)
                shutil.rmtree(folder / "out")
                runs.append(Run(way, whole, manifest["seconds"]["score"]))
                print(f"{way}, {size:,}: {runs[-1].rate:,.0f} scored/s, {whole.seconds:.0f} s ({load()})", flush=True)
    columns = ["way", "documents", "scored/s", "of first", "end to end/s", "seconds", "CPU s", "docs/CPU s", "peak MB"]
    show("From the smallest pool to the largest", [*columns, "load"], rows(runs))
    print("\n" + "\n".join(verdicts(runs)))


if __name__ == "__main__":
    sys.exit(main())
