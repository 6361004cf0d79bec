"""Transformer encoders on one core: documents a second, padding, and what fewer bits do to the ranking.

The library's own batches (64 texts), batches of tokens, the same with products in bfloat16 (what gotd does where the
CPU has them), and int8 by ONNX Runtime, in turn, round after round, on the same documents; a figure is the median of
the rounds, by processor time, which another process on the machine does not stretch. Then each encoder has a potential
of its own fitted and ranks the pool: which share of the best is the same.

    OMP_NUM_THREADS=1 nice python benchmarks/encode.py MODEL_FOLDER [--data DIR] [--documents 3000] [--timed 512]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from tables import load, show, use_cores
from texts import Texts

from gotd import FitSettings
from gotd.corpus import Fields, sample
from gotd.encoders import Encoder, batching, fit_encoder
from gotd.encoders.sentence import SentenceEncoder
from gotd.encoders.weights import products
from gotd.engine.run import one_thread
from gotd.stages.fit import fitted

SCORED_AT_ONCE = 4_096  # as the scoring pass hands texts to an encoder
TARGET = 500
SHARES = (0.01, 0.05, 0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder with modules.json, or a name of the hub")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--documents", type=int, default=3_000, help="that are ranked")
    parser.add_argument("--timed", type=int, default=512, help="that are timed")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    use_cores(1)
    texts = Texts.of(given.data)
    pool = [document.text for document in sample(texts.candidates, Fields(), given.documents, 0).documents]
    np.random.default_rng(0).shuffle(pool)
    target = [document.text for document in sample(texts.target, Fields(), TARGET, 0).documents]
    plain = fit_encoder(given.model, [], device="cpu")
    if not isinstance(plain, SentenceEncoder) or not plain.by_tokens:
        raise SystemExit(
            f"{given.model} is no sentence-transformers model that takes tokens; this compares its batches"
        )
    with products(plain.model.device):
        if not torch.is_autocast_enabled("cpu"):
            print("this CPU has no instructions for bfloat16: both rows of batches of tokens are float32")
    encoders: dict[str, Encoder] = {
        "the library's batches": replace(plain, by_tokens=False),
        "batches of tokens": InFloat32(plain.spec, plain.model, plain.dim, plain.fingerprint, True),
        "with products in bfloat16": plain,
        "int8, ONNX Runtime": fit_encoder(f"onnx:{given.model}", [], device="cpu"),
    }
    with one_thread():
        speeds = timed(encoders, pool[: given.timed], given.rounds)
        best = {name: ranked(encoder, pool, target) for name, encoder in list(encoders.items())[1:]}
    own = next(iter(best.values()))
    rows = []
    for name, rates in speeds.items():
        alike = (
            [f"{np.isin(own[:k], best[name][:k]).mean():.1%}" for k in sizes(len(pool))]
            if name in best
            else ["", "", ""]
        )
        rows.append([name, f"{median(rates):.1f}", f"{min(rates):.1f} - {max(rates):.1f}", *alike])
    columns = ["", "documents / s", "least - most", *(f"best {share:.0%} alike" for share in SHARES)]
    show(f"{texts.name}, {len(pool):,} documents, {given.model}, one core, {load()}", columns, rows)
    library, ours = padding(plain, pool)
    print(f"\nof the tokens computed, padding is {library:.1%} in the library's batches and {ours:.1%} in ours")


class InFloat32(SentenceEncoder):
    """The encoder as it is on a CPU that has no instructions for bfloat16."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with patch.object(batching, "products", lambda device: nullcontext()):
            return super().encode(texts)


def timed(encoders: dict[str, Encoder], texts: list[str], rounds: int) -> dict[str, list[float]]:
    """Documents a second of processor time, of each encoder in each round."""
    rates: dict[str, list[float]] = {name: [] for name in encoders}
    for encoder in encoders.values():
        encoder.encode(texts[:32])
    for _ in range(rounds):
        for name, encoder in encoders.items():
            started = time.process_time()
            encoder.encode(texts)
            rates[name].append(len(texts) / (time.process_time() - started))
    return rates


def ranked(encoder: Encoder, pool: list[str], target: list[str]) -> NDArray[np.int64]:
    """The pool's rows, best first, by a potential fitted on the pool and the target in this encoder's vectors."""
    vectors = encoder.encode(pool)
    potential = fitted(encoder, vectors, encoder.encode(target), FitSettings())
    return np.argsort(potential.score(vectors), kind="stable")


def padding(encoder: SentenceEncoder, texts: list[str]) -> tuple[float, float]:
    """The share of padding where the library cuts a batch after 64 texts sorted by characters, and where we do."""
    lengths = np.array([len(tokens) for tokens in encoder.tokens(texts)])
    library = ours = 0
    for start in range(0, len(texts), SCORED_AT_ONCE):
        some = range(start, min(start + SCORED_AT_ONCE, len(texts)))
        order = sorted(some, key=lambda row: -len(texts[row]))
        library += sum(64 * int(lengths[order[i : i + 64]].max()) for i in range(0, len(order) - 63, 64))
        library += int(lengths[order[len(order) - len(order) % 64 :]].max(initial=0)) * (len(order) % 64)
    for start in range(0, len(texts), batching.WINDOW_TEXTS):
        window = lengths[start : start + batching.WINDOW_TEXTS]
        ours += sum(int(window[rows].max()) * len(rows) for rows in batching.by_length(window.tolist(), 4_096))
    whole = int(lengths.sum())
    return 1 - whole / library, 1 - whole / ours


def sizes(pool: int) -> list[int]:
    return [round(share * pool) for share in SHARES]


if __name__ == "__main__":
    main()
