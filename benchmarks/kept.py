"""Vectors kept in half precision: how far scores move, whether the ranking stays, how much disk a document takes.

A potential is fitted on fresh vectors; the pool is scored by fresh vectors and by those read back.

    python benchmarks/kept.py [--data DIR] [--documents 10000] [--model MODEL --cache VECTORS.npy]
    python benchmarks/kept.py --speed recipes.jsonl.zst medquad.jsonl.zst --target chemprot.jsonl.zst
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from recovery import embedded
from tables import load, show, use_cores
from texts import Texts

import gotd
from gotd import FitSettings
from gotd.corpus import Fields, sample
from gotd.encoders import fit_encoder
from gotd.engine.run import one_thread
from gotd.stages.fit import fitted

TARGET = 500
SHARES = (0.01, 0.05, 0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--model", help="a transformer too")
    parser.add_argument("--cache", type=Path, help="an .npy file to keep its vectors in, or to take them from")
    parser.add_argument("--speed", nargs="+", help="files to score afresh and from kept vectors, for the time it takes")
    parser.add_argument("--target", help="a target for that")
    given = parser.parse_args()
    use_cores(1)
    if given.speed:
        speed(given.speed, given.target)
        return
    texts = Texts.of(given.data)
    pool = sample(texts.candidates, Fields(), given.documents, 0).documents
    target = [document.text for document in sample(texts.target, Fields(), TARGET, 0).documents]
    rows = []
    with one_thread():
        for name in ("lsa", "static", *([given.model] if given.model else [])):
            encoder = fit_encoder(name, [document.text for document in pool] + target)
            vectors = (
                embedded(pool, name, given.cache) if name == given.model else encoder.encode([d.text for d in pool])
            )
            potential = fitted(encoder, vectors, encoder.encode(target), FitSettings())
            fresh, kept = potential.score(vectors), potential.score(read_back(vectors))
            alike = [same(fresh, kept, round(share * len(pool))) for share in SHARES]
            rows.append([name, f"{np.abs(fresh - kept).max() / fresh.std():.1e}", *(f"{one:.2%}" for one in alike)])
    columns = ["encoder", "largest change / deviation", *(f"best {share:.0%} alike" for share in SHARES)]
    show(f"{texts.name}, {len(pool):,} documents, vectors in float16 against float32", columns, rows)


def speed(pool: list[str], target: str) -> None:
    """Documents a second of processor time, in one process, and bytes on disk."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("static", "lsa"):
            settings = FitSettings(encoder=name, fit_sample=2_000, target_sample=200)
            gotd.fit(target, pool, Path(folder) / name, settings=settings)
            rates = []
            kept = Path(folder) / f"{name}-keeping"
            for how, asked in (("afresh", {}), ("keeping", {"keep_embeddings": True}), ("kept", {"embeddings": kept})):
                started = time.process_time()
                output = Path(folder) / f"{name}-{how}"
                found = gotd.score(Path(folder) / name, pool, output, polish=0, workers=1, **asked)
                rates.append(found.manifest["counts"]["read"] / (time.process_time() - started))
            size = sum(path.stat().st_size for path in (kept / "embeddings").iterdir())
            each = size / found.manifest["counts"]["scored"]
            rows.append([name, *(f"{rate:,.0f}" for rate in rates), f"{each:.0f}"])
    columns = ["encoder", "afresh", "and keeping", "from kept", "bytes a document"]
    show(f"documents a second of processor time, one core, {load()}", columns, rows)


def read_back(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """As `stages/embeddings.py` writes them: of unit length, in half precision."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    half: NDArray[np.float16] = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float16)
    return half.astype(np.float32)


def same(one: NDArray[np.float32], other: NDArray[np.float32], size: int) -> float:
    best = [np.argsort(scores, kind="stable")[:size] for scores in (one, other)]
    return float(np.isin(*best).mean())


if __name__ == "__main__":
    main()
