"""What is not divided among workers, and what lies on disk: digest, sample, merge; bytes a document.

    python benchmarks/passes.py [--documents 1000000] [--data DIR] [--folder DIR]

What is to be told: seconds of one core for a GB or for a document, from which docs/scale.md works out a pool that is
far larger. How:
- one plain JSONL file of stretches of 1000 characters of real text (texts.py), fitted on and scored first, by two
  workers; then each pass alone in this process, with one thread, over the same file and the same parts.
- `digest` is what `find` does; `sample` draws the 20,000 documents of a fit, and one alone, which is what a GB more
  costs: few of its documents are drawn and parsed; `merge` joins the parts, the search for repeated ids before it
  included.
- seconds are those of the CPU, so another load on the machine changes them little. The file was just written, and is
  in the memory of the system unless that is too small.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from end_to_end import CHARS, TARGET_DOCUMENTS
from tables import load, show, use_cores
from texts import Texts, stretches, target_lines, write_lines

if TYPE_CHECKING:
    from gotd.engine import Done

WORKERS = 2
SAMPLE = 20_000  # documents, as `gotd fit` draws


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the CPU seconds it took."""
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def parts_of(pool: Path, selector: Path, folder: Path) -> list[Done]:
    """The pool scored, by shards, and not merged yet."""
    from gotd.corpus import Fields, find, plan
    from gotd.engine import run
    from gotd.stages.shard_scorer import ShardScorer

    scorer = ShardScorer(selector, Fields(), "skip", None, "cpu")
    return run(plan(find(str(pool)), Fields()), scorer, folder, "key", workers=WORKERS).done


def measured(pool: Path, done: list[Done], folder: Path) -> tuple[dict[str, float], dict[str, int]]:
    """CPU seconds of each pass, and bytes on disk."""
    from gotd.corpus import Fields, find, sample
    from gotd.engine import one_thread
    from gotd.stages.merging import merge, repeats
    from gotd.stages.scores import NAME

    find(str(pool), digest=False)  # what is imported for it
    os.utime(pool)  # its digest is known from the scoring, for the file as it was then
    seconds = {}
    with one_thread():
        files, seconds["digest"] = timed(lambda: find(str(pool)))
        for size in (SAMPLE, 1):
            _, seconds[f"sample of {size:,}"] = timed(lambda size=size: sample(files, Fields(), size, 0))  # type: ignore[misc]
        gone, sought = timed(lambda: repeats(done))
        _, joined = timed(lambda: merge(done, files, folder, "skip", gone))
    seconds[f"merge of {len(done)} parts"] = sought + joined
    parts = sum(part.stem.with_name(f"{part.stem.name}.parquet").stat().st_size for part in done)
    return seconds, {"parts, but for rejects": parts, NAME: (folder / NAME).stat().st_size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, help="folder with candidates/ and tasks/; else the demo's texts")
    parser.add_argument("--folder", type=Path, help="where all is written for the time; 1.3 KB a document")
    arguments = parser.parse_args()

    cores, texts, documents = use_cores(WORKERS), Texts.of(arguments.data), arguments.documents
    import gotd

    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        folder = Path(place)
        target = target_lines(texts, folder / "target.jsonl", TARGET_DOCUMENTS)
        pool = write_lines(folder / "pool.jsonl", islice(stretches(texts, CHARS), documents))
        gotd.fit(str(target), str(pool), folder / "selector")
        done = parts_of(pool, folder / "selector", folder / "parts")
        seconds, sizes = measured(pool, done, folder)
        giga = pool.stat().st_size / 1e9
        print(f"{texts.name}, {documents:,} documents, {giga:.2f} GB, {len(cores)} cores, {load()}", flush=True)
        rows = [[name, f"{s:.2f}", f"{s / giga:.2f}", f"{s / documents * 1e6:.2f}"] for name, s in seconds.items()]
        show("Passes that are not divided", ["one core", "CPU s", "CPU s a GB", "CPU us a document"], rows)
        rows = [[name, f"{size / 1e6:.1f}", f"{size / documents:.1f}"] for name, size in sizes.items()]
        show("On disk", ["", "MB", "bytes a document"], rows)


if __name__ == "__main__":
    main()
