"""DSIR (`data-selection`, hashed n-grams) from a JSONL pool and a JSONL target to its selection, measured.

The three calls of its README on two processes: `fit_importance_estimator`, `compute_importance_weights`,
`resample`. All parameters are its defaults: WordPunct tokens (no NLTK data needed), unigrams and bigrams in
10,000 buckets, each n-gram hashed by SHA-256.

What its defaults do that one may not expect:
- documents under 100 tokens are never selected (`min_example_length`); K at or above the number of the others
  ends in NumPy's "kth out of bounds", after all the work;
- the selection is a sample (Gumbel noise from NumPy's global generator, no seed argument); `top_k` ranks;
- the pool is tokenised and hashed twice (fit on up to 10^9 n-grams, then weights); each process parses the
  JSON of the whole file to use its share of the lines;
- duplicates are kept; a blank line, malformed JSON or a missing "text" raises and ends the run;
- selected records are lines of one file for each process, in the order of that process, without a score; an
  output folder that exists gets them in a subfolder.

    python benchmarks/peers_dsir.py --pool pool.jsonl --target target.jsonl --select 1000

prints one line of JSON: seconds by stage, documents a second over all three stages, and of the process tree
the CPU seconds and the peak memory in MB (10^6 bytes; pages that processes share are counted once, by PSS).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from process_tree import ProcessTree


def run_dsir(pool: Path, target: Path, select: int, processes: int = 2, min_tokens: int = 100) -> dict[str, Any]:
    """Seconds of the three stages, documents a second, peak memory and what came out."""
    from data_selection import HashedNgramDSIR

    tree = ProcessTree()
    tree.start()
    seconds: dict[str, float] = {}

    def stage(name: str, call: Callable[[], None]) -> None:
        start = time.perf_counter()
        call()
        seconds[name] = round(time.perf_counter() - start, 3)

    np.random.seed(0)  # noqa: NPY002  the library draws from the global generator
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        dsir = HashedNgramDSIR(
            [str(pool)],
            [str(target)],
            cache_dir=str(work / "cache"),
            num_proc=processes,
            min_example_length=min_tokens,
        )
        stage("fit", dsir.fit_importance_estimator)
        stage("weights", dsir.compute_importance_weights)
        stage("resample", lambda: dsir.resample(str(work / "out"), select, cache_dir=str(work / "resampled")))
        lengths = np.concatenate([np.load(p) for p in sorted((work / "cache/perexample_metadata").glob("*.npy"))])
        selected = sum(_lines(path) for path in (work / "out").rglob("*.jsonl"))
    tree.stop()

    total = sum(seconds.values())
    return {
        "peer": "dsir",
        "documents": len(lengths),
        "selected": selected,
        "too_short": int((lengths < min_tokens).sum()),
        "processes": processes,
        "seconds": {**seconds, "total": round(total, 3)},
        "cpu_seconds": round(tree.cpu_seconds, 1),
        "documents_per_second": round(len(lengths) / total, 1),
        "peak_mb": round(tree.peak / 1e6, 1),
    }


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", required=True, type=Path, help='plain JSONL with "text"')
    parser.add_argument("--target", required=True, type=Path, help='plain JSONL with "text"')
    parser.add_argument("--select", required=True, type=int, metavar="K", help="documents to select")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--min-tokens", type=int, default=100, help="its min_example_length")
    arguments = parser.parse_args()
    result = run_dsir(arguments.pool, arguments.target, arguments.select, arguments.processes, arguments.min_tokens)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
