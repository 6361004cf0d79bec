"""The claim: of a pool in which the target is known, gotd takes the half that the reference lacks.

Pool and reference = the candidate sources at their natural shares. Target = 500 documents taken out of the pool, half
of one source, half of the commonest. A perfect choice of K is all of the rarer source; the table shows its share,
averaged over the sources that hold at least K more. Each method is fitted and scored by gotd's own code, and its best
are taken as `gotd choose` takes them: near duplicates of a better document are passed over.

    python benchmarks/recovery.py [--data DIR] [--documents 60000] [--encoder lsa]
    python benchmarks/recovery.py --vectors --encoder static        what is done to the vectors, gotd alone
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tables import load, show, use_cores
from texts import Texts
from torch import Tensor

from gotd import FitSettings
from gotd.corpus import Document, Fields, sample
from gotd.encoders import fit_encoder
from gotd.potential import Potential
from gotd.selection.duplicates import Deduplicator
from gotd.selection.gradient import between_halves
from gotd.selection.methods import Batch, NearestLists, fit_method
from gotd.stages.fit import fitted
from gotd.stages.more import TIMES
from gotd.transport import Cost, Measure, Problem, solve

HALF = 250
BUDGETS = (200, 1000, 5000)
METHODS = ("random", "in-domain", "nearest", "round-robin", "mmd", "knn-kde", "dsir")
NEAREST, PER_SOURCE = 3, 2_000  # sources of in-domain, as `gotd select` takes them; documents each is measured on
VARIANTS = {
    "gotd": FitSettings(),
    "gotd, not trimmed": replace(FitSettings(), trim=0.0),
    "gotd, not centred": replace(FitSettings(), centre=False),
    "gotd, not debiased": replace(FitSettings(), debias=False),
    "gotd, as published": FitSettings().as_published(),
}
# What `--vectors` compares: the same vectors, prepared in other ways; whitening wants a larger reg (docs/log.md).
VECTORS = {
    "gotd": FitSettings(),
    "reg 0.2": replace(FitSettings(), reg=0.2),
    "not centred": replace(FitSettings(), centre=False),
    "whitened by half": replace(FitSettings(), whiten=0.5),
    "whitened by half, reg 0.2": replace(FitSettings(), whiten=0.5, reg=0.2),
    "whitened": replace(FitSettings(), whiten=1.0),
    "whitened, reg 0.2": replace(FitSettings(), whiten=1.0, reg=0.2),
    "top 1 removed": replace(FitSettings(), remove_top=1),
    "top 3 removed": replace(FitSettings(), remove_top=3),
}
# Fitted on the texts of each pair anew; any other encoder gives a text one vector.
FITTED = ("lsa", "lsa+static")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--documents", type=int, default=60_000)
    parser.add_argument("--encoder", default="lsa")
    parser.add_argument("--only", nargs="*", help="rows to measure, such as gotd and in-domain")
    parser.add_argument("--seed", type=int, default=0, help="of the order in which documents become the target")
    parser.add_argument("--vectors", action="store_true", help="compare what is done to the vectors, not methods")
    parser.add_argument("--cache", type=Path, help="an .npy file to keep the pool's vectors in, or to take them from")
    given = parser.parse_args()
    use_cores(2)
    variants, methods = (VECTORS, ()) if given.vectors else (VARIANTS, METHODS)
    if given.only:
        variants = {name: how for name, how in variants.items() if name in (*given.only, "gotd")}
        methods = tuple(name for name in methods if name in given.only)
    texts = Texts.of(given.data)
    pool = sample(texts.candidates, Fields(), given.documents, 0).documents
    order = np.random.default_rng(given.seed).permutation(len(pool))
    known = None if given.encoder in FITTED else embedded(pool, given.encoder, given.cache)[order]
    pool = [pool[i] for i in order]
    sources = np.array([document.source for document in pool])
    names, counts = np.unique(sources, return_counts=True)
    common = str(names[counts.argmax()])
    shares: dict[tuple[str, int], list[float]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    for name, count in zip(names.tolist(), counts.tolist()):
        if name != common and count >= HALF + BUDGETS[0]:
            found = one_pair(pool, sources, name, common, given.encoder, known, variants, methods, seconds)
            for method, taken in found.items():
                for budget in BUDGETS:
                    if count - HALF >= budget:
                        shares[method, budget].append(float((taken[:budget] == name).mean()))
    pairs = {budget: len(shares["gotd", budget]) for budget in BUDGETS}
    rows = [
        [method, *(f"{np.mean(shares[method, b]):.1%}" if pairs[b] else "-" for b in BUDGETS), f"{seconds[method]:.0f}"]
        for method in seconds
    ]
    title = f"{texts.name.partition(' ')[0]}, {len(pool):,} documents, {given.encoder}, common {common}, {load()}"
    show(title, ["method", *(f"K = {b} ({pairs[b]} pairs)" for b in BUDGETS), "seconds"], rows)


def one_pair(
    pool: list[Document],
    sources: NDArray[np.str_],
    rare: str,
    common: str,
    encoder_name: str,
    known: NDArray[np.float32] | None,
    variants: dict[str, FitSettings],
    methods: Sequence[str],
    seconds: dict[str, float],
) -> dict[str, NDArray[np.str_]]:
    """The sources of the pool in the order in which each method would take them.

    Args:
        known: vectors of the pool (n, d), where the encoder is not fitted on the texts of the pair.
    """
    taken = np.concatenate([np.flatnonzero(sources == name)[:HALF] for name in (rare, common)])
    left = np.setdiff1d(np.arange(len(pool)), taken)
    target = [pool[i].text for i in taken]
    rest = [pool[i] for i in left]
    texts = [document.text for document in rest]
    size = min(len(rest), FitSettings().fit_sample)
    encoder = fit_encoder(encoder_name, texts[:size] + target)  # loaded again for each pair, where it is not fitted
    if known is None:
        vectors, wanted = encoder.encode(texts), encoder.encode(target)
    else:
        vectors, wanted = known[left], known[taken]
    found = {}
    most = max(budget for budget in BUDGETS if (sources == rare).sum() - HALF >= budget)

    def ranked(name: str, scores: NDArray[np.float32], started: float) -> None:
        seconds[name] += time.perf_counter() - started
        found[name] = sources[left[taken_first(rest, scores, most)]]

    potentials: dict[str, Potential] = {}
    for name, settings in variants.items():
        started = time.perf_counter()
        potentials[name] = fitted(encoder, vectors[:size], wanted, settings, more=vectors[: TIMES * size])
        ranked(name, potentials[name].score(vectors), started)
    ours = potentials["gotd"]
    points = ours.space(vectors)
    batch = Batch(texts, [document.id for document in rest], [document.source for document in rest], points)
    for name in methods:
        started = time.perf_counter()
        if name == "in-domain":
            ranked(name, in_domain(points, sources[left], ours), started)
        elif name == "round-robin":
            ranked(name, in_turns(points, ours.objective.target, 2 * most), started)
        else:
            method = fit_method(
                name,
                reference_texts=texts[:size],
                target_texts=target,
                reference=Measure.of(points[:size]),
                target=ours.objective.target,
            )
            ranked(name, method.score(batch), started)
    return found


def in_domain(points: Tensor, sources: NDArray[np.str_], fitted: Potential) -> NDArray[np.float32]:
    """By chance, those of the sources nearest to the target first; distances as `gotd domains` measures them."""
    target, reg = fitted.objective.target, fitted.objective.reg
    distances = {}
    for source in np.unique(sources).tolist():
        some = Measure.of(points[np.flatnonzero(sources == source)[:PER_SOURCE]])
        solved = solve(Problem(some, target, reg), init=fitted.attract.g)
        distances[source] = solved.value - between_halves(some, reg, Cost.COSINE) / 2
    nearest = sorted(distances, key=distances.__getitem__)[:NEAREST]
    return (np.random.default_rng(0).random(len(sources)) + ~np.isin(sources, nearest)).astype(np.float32)


def in_turns(points: Tensor, target: Measure, most: int) -> NDArray[np.float32]:
    """The turn in which each document of the target, one after the other, takes its nearest."""
    lists = NearestLists(target.points.float(), most)
    lists.add(points, np.arange(len(points)))
    turns = np.full(len(points), len(points), dtype=np.float32)
    rows = lists.take(most).rows
    turns[rows] = np.arange(len(rows))
    return turns


def embedded(pool: list[Document], encoder: str, cache: Path | None) -> NDArray[np.float32]:
    """Vectors of the pool (n, d); a transformer takes minutes, so they may be kept."""
    if cache is not None and cache.exists():
        vectors: NDArray[np.float32] = np.load(cache)
        if len(vectors) != len(pool):
            raise SystemExit(f"{cache} holds {len(vectors)} vectors and the pool {len(pool)} documents; delete it")
        return vectors
    vectors = fit_encoder(encoder, []).encode([document.text for document in pool])
    if cache is not None:
        np.save(cache, vectors)
    return vectors


def taken_first(documents: list[Document], scores: NDArray[np.float32], most: int) -> list[int]:
    """The rows that a budget of `most` takes, best first."""
    twins, rows = Deduplicator("near"), []
    for row in np.argsort(scores, kind="stable").tolist():
        if twins.offer(documents[row].id, documents[row].text) is None:
            rows.append(row)
            if len(rows) == most:
                break
    return rows


if __name__ == "__main__":
    main()
