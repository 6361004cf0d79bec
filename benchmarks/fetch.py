"""The chosen documents from disk: 100,000 of a million, fetched by address and written with their scores.

    python benchmarks/fetch.py [--documents 1000000] [--choose 100000] [--kinds KIND ...] [--data DIR] [--folder DIR]

What is to be shown: the only part of `gotd choose` that touches the pool takes no longer than one pass over the files,
however many are chosen. How:
- documents are stretches of 1000 characters of real text (texts.py), in one file of each kind: `plain` JSONL; `zst`,
  one zstd frame; `frames`, zstd frames of 4 MB; `bgzf`, as `bgzip` writes; `parquet`, row groups of 8,000 rows.
- the chosen are drawn uniformly, the worst case for files that can only be read in large parts. Their addresses are
  known from the writing, so nothing is scored; they come in random order, as by score.
- each kind runs in a process of its own, with the functions that `gotd choose` calls; memory is the peak of its
  resident set, the documents fetched included. `one pass` reads and parses every document, and keeps none.
- the files were just written, and are in the memory of the system unless that is too small. On a machine that does
  other work too, trust CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from tables import load, show, use_cores
from texts import Texts, stretches

CHARS = 1000
DISK = 4_500  # bytes a document: of all kinds, and a selection
FRAME, BLOCK, ROWS = 4 << 20, 65_280, 8_000
FILES = {
    "plain": "plain/pool.jsonl",
    "zst": "zst/pool.jsonl.zst",
    "frames": "frames/pool.jsonl.zst",
    "bgzf": "bgzf/pool.jsonl.gz",
    "parquet": "parquet/pool.parquet",
}


def written(texts: Texts, documents: int, folder: Path) -> Path:
    """The plain file; beside it where each line begins, and its checksum, as `lines.npz`."""
    path, sizes, checksums = folder / FILES["plain"], np.zeros(documents, np.int64), np.zeros(documents, np.uint32)
    path.parent.mkdir()
    with path.open("wb") as out:
        for row, text in enumerate(islice(stretches(texts, CHARS), documents)):
            record = orjson.dumps({"id": f"d{row}", "text": text})
            sizes[row], checksums[row] = len(record) + 1, zlib.crc32(record)
            out.write(record + b"\n")
    np.savez(folder / "lines.npz", position=np.cumsum(sizes) - sizes, checksum=checksums)
    return path


def converted(plain: Path, kind: str, folder: Path) -> None:
    """The same documents in a file of another kind."""
    path = folder / FILES[kind]
    path.parent.mkdir()
    if kind == "parquet":
        with (
            plain.open("rb") as lines,
            pq.ParquetWriter(path, pa.schema([("id", "string"), ("text", "string")])) as out,
        ):
            while rows := [orjson.loads(line) for line in islice(lines, ROWS)]:
                out.write_table(pa.Table.from_pylist(rows, out.schema))
        return
    with plain.open("rb") as source, path.open("wb") as file:
        if kind == "zst":
            zstandard.ZstdCompressor(level=3).copy_stream(source, file)
        elif kind == "frames":
            file.writelines(zstandard.compress(piece, 3) for piece in pieces(source.read, FRAME))
        else:
            file.writelines(map(bgzf_block, [*pieces(source.read, BLOCK), b""]))


def pieces(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """What can be read, so many bytes at a time."""
    while piece := read(size):
        yield piece


def bgzf_block(piece: bytes) -> bytes:
    """A gzip member that states its own size, in the extra field BC (SAM specification, 4.1)."""
    packer = zlib.compressobj(level=1, wbits=-15)
    body = packer.compress(piece) + packer.flush()
    head = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff\x06\x00BC\x02\x00" + struct.pack("<H", 25 + len(body))
    return head + body + struct.pack("<II", zlib.crc32(piece), len(piece))


def told(kind: str, folder: Path, choose: int) -> str:
    """Seconds of each step for one kind, in this process, and its peak."""
    from gotd.corpus import Fields, find, plan, read
    from gotd.selection.ranking import Picked
    from gotd.stages.scores import Scores
    from gotd.stages.selected import fetched, write_records

    (file,) = find(str(folder / FILES[kind]), digest=False)
    lines = np.load(folder / "lines.npz")
    rows = np.random.default_rng(0).choice(len(lines["position"]), choose, replace=False)
    zeros = np.zeros(choose, np.int32)
    position = rows if kind == "parquet" else lines["position"][rows]
    ids = [f"d{row}" for row in rows.tolist()]
    picked = Picked(ids, zeros.astype(np.float32), zeros, zeros, position, zeros, lines["checksum"][rows])
    pa.array([0])  # imports pandas, where it is installed
    times = [now()]
    documents = fetched(Scores(folder, {"files": [asdict(file)], "settings": {"fields": {}}}), picked)
    times.append(now())
    write_records(folder / kind, "jsonl", documents, picked, picked.score.astype(np.float64), [])
    times.append(now())
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    del documents
    for shard in plan([file], Fields()):
        for _ in read(shard, Fields()):
            pass
    times.append(now())
    return json.dumps({"seconds": np.diff(times, axis=0).ravel().tolist(), "peak": int(peak) * 1024})


def now() -> tuple[float, float]:
    """Seconds of the clock, and of this process's work."""
    return time.perf_counter(), time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--choose", type=int, default=100_000)
    parser.add_argument("--kinds", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--data", type=Path, help="folder with candidates/; else the demo's texts")
    parser.add_argument("--folder", type=Path, help="where all is written for the time")
    parser.add_argument("--told", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.told:
        kind, folder = arguments.told
        print(told(kind, Path(folder), arguments.choose))
        return
    cores, texts, rows = use_cores(1), Texts.of(arguments.data), []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        folder, need = Path(place), arguments.documents * DISK
        free = shutil.disk_usage(folder).free
        print(f"{texts.name}, {len(cores)} core; {need / 1e9:.1f} GB of disk needed, {free / 1e9:.1f} free", flush=True)
        if free < need:
            raise SystemExit("too little disk: pass another --folder, or fewer --documents")
        plain = written(texts, arguments.documents, folder)
        for kind in arguments.kinds:
            if kind != "plain":
                converted(plain, kind, folder)
            asked = ["--told", kind, place, "--choose", str(arguments.choose)]
            found = json.loads(
                subprocess.run([sys.executable, __file__, *asked], check=True, capture_output=True).stdout
            )
            seconds = [f"{took:.1f}" for took in found["seconds"]]
            size = (folder / FILES[kind]).stat().st_size
            rows.append([kind, f"{size / 1e9:.2f}", *seconds, f"{found['peak'] / 1e6:,.0f}", load()])
    columns = ["file", "GB", "fetch s", "CPU s", "write s", "CPU s", "one pass s", "CPU s", "peak MB", ""]
    show(f"{arguments.choose:,} of {arguments.documents:,} documents", columns, rows)


if __name__ == "__main__":
    main()
