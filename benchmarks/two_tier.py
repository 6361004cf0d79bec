"""Two tiers against one: what a cheap encoder loses of a dear one's choice, what it saves, and whether gotd says so.

Overlap: the best K of a pool by the dear encoder alone, and how many of them are on the shortlist of the cheap one, for
several tasks. Beside it what gotd would have said from a probe: the mean of its estimate over 200 probes, the mean low
end of its interval, and how often the interval holds the truth.

Time: `gotd.select` on a part of the pool with one tier and with two, in turn, by processor time on one core.

    OMP_NUM_THREADS=1 nice python benchmarks/two_tier.py MODEL [--data DIR] [--documents 10000] [--cache VECTORS.npy]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray
from recovery import embedded
from tables import load, show, use_cores
from texts import Texts

import gotd
from gotd import FitSettings
from gotd.corpus import Document, Fields, find, sample
from gotd.encoders import Encoder, fit_encoder
from gotd.engine.run import one_thread
from gotd.selection.kept_share import kept_share
from gotd.stages.fit import fitted

COARSE = ("static", "lsa")
TASKS = ("chemprot", "acl_arc", "agnews")
TARGET = 500
BEST = 100
SHORTLISTS = (5, 10, 20)
PROBED = 1_000
DRAWS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the dear encoder")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument(
        "--cache", type=Path, help="an .npy file to keep the pool's dear vectors in, or to take them from"
    )
    parser.add_argument("--timed", type=int, default=4_000, help="documents of the timed runs; 0 for none")
    given = parser.parse_args()
    use_cores(1)
    pool = sample(Texts.of(given.data).candidates, Fields(), given.documents, 0).documents
    with one_thread():
        overlap(given.model, given.data, pool, given.cache)
    if given.timed:
        timed(given.model, given.data, pool[: given.timed])


def overlap(model: str, data: Path, pool: list[Document], cache: Path | None) -> None:
    texts = [document.text for document in pool]
    vectors, fine = embedded(pool, model, cache), fit_encoder(model, [], device="cpu")
    rows = []
    for task in TASKS:
        files = find([str(data / "tasks" / f"{task}.jsonl.zst")])
        target = [document.text for document in sample(files, Fields(), TARGET, 0).documents]
        wanted = scores(fine, vectors, target)
        for name in COARSE:
            cheap = fit_encoder(name, texts + target)
            found = scores(cheap, cheap.encode(texts), target)
            for times in SHORTLISTS:
                rows.append([task, name, f"{times}x", *told(wanted, found, times * BEST)])
    columns = ["task", "coarse", "shortlist", "kept", "estimate", "low end", "covered"]
    show(f"the best {BEST} of {len(pool):,} by {model}, {PROBED:,} probed, {load()}", columns, rows)


def scores(encoder: Encoder, vectors: NDArray[np.float32], target: list[str]) -> NDArray[np.float32]:
    potential = fitted(encoder, vectors, encoder.encode(target), FitSettings())
    return potential.score(vectors)


def told(fine: NDArray[np.float32], coarse: NDArray[np.float32], length: int) -> list[str]:
    """The share that is kept, and what probes of the rest say of it."""
    order = np.argsort(coarse, kind="stable")
    inside, outside = order[:length], order[length:]
    truth = float(np.isin(np.argsort(fine, kind="stable")[:BEST], inside).mean())
    rng = np.random.default_rng(0)
    draws = [rng.choice(outside, PROBED, replace=False) for _ in range(DRAWS)]
    found = [kept_share(fine[inside], fine[some], len(outside), BEST) for some in draws]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    mean, low = np.mean([one.share for one in found]), np.mean([one.low for one in found])
    return [f"{truth:.0%}", f"{mean:.0%}", f"{low:.0%}", f"{covered:.0%}"]


def timed(model: str, data: Path, pool: list[Document]) -> None:
    budget = max(1, len(pool) // 200)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.jsonl"
        lines = [orjson.dumps({"id": one.id, "text": one.text, "source": one.source}) + b"\n" for one in pool]
        path.write_bytes(b"".join(lines))
        task = data / "tasks" / f"{TASKS[0]}.jsonl.zst"
        shared = {"fit_sample": len(pool) // 10, "target_sample": 200, "workers": 1, "device": "cpu", "dedup": "off"}
        tiers = {"coarse": COARSE[0], "fine": model, "probe": budget * 10}
        for name, asked in (("one tier", {"encoder": model}), ("two tiers", tiers)):
            started, wall = time.process_time(), time.perf_counter()
            found = gotd.select(path, task, budget, Path(folder) / name, **shared, **asked)
            took, seconds = time.process_time() - started, time.perf_counter() - wall
            ids = set(found.to_arrow()["id"].to_pylist())
            same = ids if not rows else ids & rows[0][-1]
            about = found.manifest.get("tiers")
            said = f"{about['share']:.0%} ({about['low']:.0%} - {about['high']:.0%})" if about else ""
            rows.append([name, f"{took:.0f}", f"{seconds:.0f}", f"{len(same) / budget:.0%}", said, ids])
    columns = ["", "CPU seconds", "seconds", "of the choice of one tier", "as estimated"]
    title = f"choose {budget} of {len(pool):,} for {TASKS[0]}, shortlist 10x, one core, {load()}"
    show(title, columns, [row[:-1] for row in rows])


if __name__ == "__main__":
    main()
