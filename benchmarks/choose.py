"""The best of 100 million scores: seconds and memory, beside numpy's argpartition of all of them.

    python benchmarks/choose.py [--rows 100000000] [--choose 100000] [--folder DIR]

What is to be shown: choosing holds what it chooses, not the pool: on two cores, its memory is the same from a tenth of
the rows to all of them, far below the scores alone, and its time is that of reading. How:
- scores.parquet as `gotd score` writes it, in columns, types, row groups and compression, but with shorter ids: 11
  bytes, and one of 20 sources; the scores are normal, in random order. About 2 GB for 100 million rows; made first.
- each way runs as a process of its own; memory is the peak of its resident set, with the interpreter and libraries,
  which a way of its own shows alone.
- `choose` here is what `gotd choose` does until documents are fetched: the best by documents, by tokens, under a cap
  of 10 % a source, with the worst and a random choice to compare with.
- the floor is one `numpy.argpartition` of a score vector in memory, and then reading the ids as `choose` does: what
  only reads less can be faster. `all in memory` is the plain way: read the table, argsort, take.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tables import load, show, use_cores

GROUP = 1 << 17  # rows of a row group, as `gotd score` writes them
TOKENS = 250  # a document, on average
SOURCES = [f"source-{number:02d}" for number in range(20)]


def made(path: Path, rows: int) -> Path:
    """A file of scores, and the scores alone beside it as `.npy`."""
    from gotd.stages.scores import SCHEMA

    schema = pa.schema([field for field in SCHEMA if field.name not in ("key", "row")])
    rng = np.random.default_rng(0)
    alone = np.lib.format.open_memmap(path.with_suffix(".npy"), "w+", np.float32, (rows,))
    with pq.ParquetWriter(path, schema, compression="zstd") as out:
        for start in range(0, rows, GROUP):
            count = min(GROUP, rows - start)
            numbers = np.arange(start, start + count, dtype=np.int64)
            score = alone[start : start + count] = rng.normal(size=count).astype(np.float32)
            named = pc.binary_join_element_wise("d", pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 10, "0"), "")
            source = pa.DictionaryArray.from_arrays(rng.integers(0, 20, count).astype(np.int32), SOURCES)
            columns = {
                "id": named,
                "source": source.cast(pa.string()),
                "score": score,
                "tokens": rng.integers(1, 2 * TOKENS, count).astype(np.int32),
                "file": np.zeros(count, np.int32),
                "position": numbers * 1000,
                "piece": np.zeros(count, np.int32),
                "checksum": rng.integers(0, 1 << 32, count).astype(np.uint32),
            }
            out.write_table(pa.table(columns, schema=schema))
    return path


def run(way: str, path: str, choose: int) -> list[str]:
    """One way of choosing, in this process: ids of the best."""
    if way == "nothing, imports alone":
        import gotd.selection.ranking  # noqa: F401

        return []
    if way == "argpartition, scores alone":
        scores = np.load(Path(path).with_suffix(".npy"))
        best = np.argpartition(scores, choose)[:choose]
        return [str(row) for row in best[np.lexsort((best, scores[best]))].tolist()]
    if way == "all in memory":
        table = pq.read_table(path)
        best = np.argsort(table["score"].to_numpy(), kind="stable")[:choose]
        chosen: list[str] = table.take(pa.array(best))["id"].to_pylist()
        return chosen
    from gotd.selection.budget import Budget
    from gotd.selection.caps import Cap
    from gotd.selection.ranking import rank
    from gotd.stages.scores import Scores

    scored = Scores(Path(path).parent, {})
    with pq.ParquetFile(path) as file:
        pool = file.metadata.num_rows
    by_tokens = way == "gotd, as many in tokens"
    budget = Budget(choose * TOKENS, "tokens") if by_tokens else Budget(choose, "docs")
    cap = Cap.parse("10%") if way == "gotd, capped" else None
    return rank(scored.batches, budget, pool, seed=0, worst=5, cap=cap).best.id


WAYS = (
    "nothing, imports alone",
    "gotd",
    "gotd, as many in tokens",
    "gotd, capped",
    "argpartition, scores alone",
    "all in memory",
)


def measured(way: str, path: Path, choose: int) -> dict[str, float | str]:
    """Seconds, peak in bytes and a digest of the choice, of a process of its own."""
    command = [sys.executable, __file__, "--way", way, "--path", str(path), "--choose", str(choose)]
    found: dict[str, float | str] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def told(way: str, path: str, choose: int) -> str:
    """What `measured` reads."""
    start = time.perf_counter()
    ids = run(way, path, choose)
    seconds = time.perf_counter() - start
    # Not ru_maxrss, which a process takes over from the one that started it.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    names = [name[1:].lstrip("0") or "0" if name.startswith("d") else name for name in ids]
    return json.dumps(
        {"seconds": seconds, "peak": int(peak) * 1024, "chosen": len(names), "first": ",".join(names[:1000])}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--choose", type=int, default=100_000, help="documents")
    parser.add_argument("--folder", type=Path, help="where the scores are written for the time; 30 bytes a row")
    parser.add_argument("--skip-all-in-memory", action="store_true", help="it needs 60 bytes a row")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(told(arguments.way, arguments.path, arguments.choose))
        return
    cores = use_cores(2)
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        for size in (arguments.rows // 10, arguments.rows):
            path = made(Path(place) / "scores.parquet", size)
            ways = [way for way in WAYS if way != "all in memory" or not arguments.skip_all_in_memory]
            found = {way: measured(way, path, arguments.choose) for way in ways}
            alike = {found[way]["first"] for way in found if way in ("gotd", *WAYS[-2:])}
            if len(alike) != 1:
                raise SystemExit("the ways choose differently")
            for way, run_ in found.items():
                seconds, peak = float(run_["seconds"]), float(run_["peak"])
                rate = f"{size / seconds / 1e6:,.1f}" if way != WAYS[0] else ""
                rows.append(
                    [way, f"{size:,}", f"{int(run_['chosen']):,}", f"{seconds:.1f}", rate, f"{peak / 1e6:,.0f}"]
                )
            print(f"{size:,} rows: {path.stat().st_size / 1e9:.2f} GB, {len(cores)} cores, {load()}", flush=True)
    show("Choosing", ["", "rows", "chosen", "seconds", "million rows/s", "peak MB"], rows)


if __name__ == "__main__":
    main()
