"""What each way to choose costs: seconds of `gotd score` on one pool and one target, as ratios to gotd's own.

One process, one thread, from files to scores.parquet: reading, words or vectors, scores and writing. Each method is
fitted once, all are scored in turn, several times over, and the least CPU seconds count: others' work on the machine
adds to all of them alike. Pool: documents of 1000 characters. Round-robin takes its turns within these seconds.

    python benchmarks/methods.py [--data DIR] [--documents 30000] [--target 4000] [--repeats 3] [--only METHOD ...]
                                 [--tokenizer FILE]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tables import load, show, use_cores
from texts import Texts, target_lines, tiled, write_lines

import gotd
from gotd import FitSettings

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gotd": ("gotd", {}),
    "random": ("random", {}),
    "nearest": ("nearest", {}),
    "nearest, kind=mean": ("nearest", {"kind": "mean"}),
    "round-robin": ("round-robin", {}),
    "mmd": ("mmd", {}),
    "mmd, kernel=gaussian": ("mmd", {"kernel": "gaussian"}),
    "dsir": ("dsir", {}),
    "knn-kde": ("knn-kde", {}),
    "all-target": ("all-target", {}),
}

COUNTED = "gotd, tokens counted"


@dataclass(frozen=True, slots=True)
class Took:
    """One scoring: seconds of the clock and of the CPU."""

    seconds: float
    cpu: float


def scored(selector: Path, pool: Path, output: Path, tokenizer: str | None) -> Took:
    """Score the pool in this process."""
    seconds, cpu = time.perf_counter(), time.process_time()
    gotd.score(selector, pool, output, polish=0, tokenizer=tokenizer, workers=1, overwrite=True)
    return Took(time.perf_counter() - seconds, time.process_time() - cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--documents", type=int, default=30_000)
    parser.add_argument("--target", type=int, default=4_000, help="documents of the target, at most")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CASES, help="gotd and these methods")
    parser.add_argument("--tokenizer", help="a tokenizer.json: gotd is scored once more, with tokens counted by it")
    given = parser.parse_args()
    use_cores(1)
    texts = Texts.of(given.data)
    cases = {name: case for name, case in CASES.items() if given.only is None or name in (*given.only, "gotd")}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        pool = write_lines(here / "pool.jsonl", tiled(texts, given.documents, 1000))
        target = target_lines(texts, here / "target.jsonl", given.target)
        wanted = sum(1 for _ in target.open("rb"))
        fits = {}
        for number, (name, (method, options)) in enumerate(cases.items()):
            settings = FitSettings(method=method, method_options=options)
            started = time.process_time()
            gotd.fit(target, pool, here / f"fit{number}", settings=settings)
            fits[name] = time.process_time() - started
        runs = [(name, here / f"fit{number}", None) for number, name in enumerate(cases)]
        if given.tokenizer is not None:
            runs.append((COUNTED, here / "fit0", given.tokenizer))
        took: dict[str, list[Took]] = {name: [] for name, _, _ in runs}
        for _ in range(given.repeats):
            for name, selector, tokenizer in runs:
                took[name].append(scored(selector, pool, here / "scores", tokenizer))
    cpu = {name: min(each.cpu for each in some) for name, some in took.items()}
    rows = [
        [
            name,
            f"{min(each.seconds for each in some):.2f}",
            f"{cpu[name]:.2f}",
            f"{given.documents / cpu[name]:,.0f}",
            f"{cpu[name] / cpu['gotd']:.2f}",
            f"{fits[name]:.1f}" if name in fits else "",
        ]
        for name, some in took.items()
    ]
    title = f"{texts.name}: {given.documents:,} documents, {wanted:,} of the target, one core, {load()}"
    show(title, ["method", "seconds", "CPU s", "documents / CPU s", "x gotd", "fit, CPU s"], rows)


if __name__ == "__main__":
    main()
