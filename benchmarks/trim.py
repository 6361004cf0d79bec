"""The claim: trimming by pull takes strays of the target out of the choice, and bounding the price does not.

Target = 300 documents of a task and three strays; the share of the best 300 / 1000 of the pool that is the same as
without strays. Beside `--trim 2%`: partial transport (the targets dearest to reach lose up to 2 % of the mass; fitted
anew on what each keeps), unbalanced transport (prices bent by a KL of strength 0.2), and the 2 % of the target that
are farthest from their 2 % nearest fellows.

    python benchmarks/trim.py [--data DIR] [--documents 25000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tables import load, show, use_cores
from texts import Texts
from torch import Tensor

from gotd.corpus import Document, Fields, find, sample
from gotd.encoders import fit_encoder
from gotd.selection.gradient import Gradient, fit_gradient
from gotd.selection.trimming import pull_of_few, trimmed
from gotd.transport import Kernel, Measure, Space

TASKS = ("chemprot", "agnews", "acl_arc")
SHARE, REFERENCE, TARGET = 0.02, 20_000, 300
BUDGETS = (300, 1000)
BENT = 0.2  # strength of the KL, in units of the cost


def partial(gradient: Gradient, reference: Measure) -> Tensor:
    """What each target keeps (m,), at most b / (1 - SHARE): Sinkhorn steps toward the capped mass.

    At the optimum of partial transport the prices of targets that lose mass are equal, and highest.
    """
    target, g = gradient.objective.target, gradient.attract.g.double()
    kernel = Kernel(reference.points, target.points, gradient.attract.cost, passes=200)
    cap = target.weights.double() / (1 - SHARE)
    for _ in range(200):
        col = kernel.plan_pass(g.float(), target.log_weights, gradient.attract.reg, reference.weights).col
        kept = filled(cap, col * ((g.max() - g) / gradient.attract.reg).exp())
        if float((col - kept).abs().sum()) <= 1e-3:
            break
        g = g + gradient.attract.reg * (kept / col.clamp_min(1e-38)).clamp_min(1e-38).log()
    return kept


def filled(cap: Tensor, wanted: Tensor) -> Tensor:
    """min(cap, t wanted) with the t at which that sums to 1."""
    low, high = 0.0, 1e12
    for _ in range(200):
        t = (low * high) ** 0.5 if low else high / 2
        low, high = (t, high) if float(torch.minimum(cap, t * wanted).sum()) < 1 else (low, t)
    return torch.minimum(cap, high * wanted)


def unbalanced(gradient: Gradient, reference: Measure) -> Tensor:
    """What each target keeps (m,) where a KL of strength BENT stands for the marginal of the target."""
    target, reg = gradient.objective.target, gradient.attract.reg
    kernel = Kernel(reference.points, target.points, gradient.attract.cost, passes=200)
    b, g = target.weights.double(), torch.zeros(len(target), dtype=torch.float64)
    for _ in range(200):
        col = kernel.plan_pass(g.float(), target.log_weights, reg, reference.weights).col
        bent = BENT / (BENT + reg) * (g + reg * (b / col.clamp_min(1e-38)).log())
        bent += BENT * (b * (-bent / BENT).exp()).sum().log()
        if float((bent - g).abs().max()) < 1e-4:
            break
        g = bent
    return b * (-g / BENT).exp()


def isolated(gradient: Gradient, reference: Measure) -> Tensor:
    """The target without the SHARE that is farthest from the SHARE of it that is nearest to each."""
    target = gradient.objective.target
    count = round(SHARE * len(target))
    costs = (1 - target.points @ target.points.T).fill_diagonal_(9).kthvalue(count + 1, 1).values
    weights = target.weights.clone()
    weights[costs.argsort(descending=True)[:count]] = 0
    return weights


WAYS: dict[str, Callable[[Gradient, Measure], Tensor]] = {
    "partial": partial,
    "unbalanced": unbalanced,
    "isolated": isolated,
    "--trim 2%": lambda gradient, reference: trimmed(gradient, reference, SHARE).weights,
}


def strays(texts: list[str], sources: NDArray[np.str_], vectors: NDArray[np.float32]) -> dict[str, list[int] | None]:
    stubs = [i for i, text in enumerate(texts) if "common year" in text[:200]]
    law, recipes = np.flatnonzero(sources == "law").tolist(), np.flatnonzero(sources == "recipes").tolist()
    return {"none": [], "law": law[:3], "stubs": stubs[:3], "one of each": [stubs[0], law[0], recipes[0]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--documents", type=int, default=25_000)
    given = parser.parse_args()
    use_cores(1)
    torch.set_num_threads(1)
    corpus = Texts.of(given.data)
    folder = Path(corpus.candidates[0].path).parent.parent
    pool = shuffled(sample(corpus.candidates, Fields(), given.documents, 0).documents)
    texts, sources = [document.text for document in pool], np.array([document.source for document in pool])
    rows = []
    for task in TASKS:
        files = find([str(folder / "tasks" / f"{task}.jsonl.zst")])
        target = [document.text for document in sample(files, Fields(), 1000, 0).documents]
        encoder = fit_encoder("lsa", texts[:REFERENCE] + target)
        vectors, wanted = encoder.encode(texts), encoder.encode(target)[:TARGET]
        space = Space.fit(vectors[:REFERENCE], centre=True)
        points, clean = space(vectors), space(wanted)
        drawn = np.random.default_rng(1).normal(size=(3, vectors.shape[1])).astype(np.float32)
        kinds = {name: points[found] for name, found in strays(texts, sources, vectors).items()}
        kinds |= {"unknown words": torch.zeros(3, points.shape[1]), "random vectors": space(drawn)}
        for name, added in kinds.items():
            rows.append([task, name, *compared(points, clean, added)])
            print(".", end="", flush=True)
    shown = ["task", "strays", "pull of 2 %", "no trimming", *WAYS]
    show(f"{corpus.name.partition(' ')[0]}, best {BUDGETS} alike, {load()}", shown, rows)


def shuffled(documents: list[Document]) -> list[Document]:
    return [documents[i] for i in np.random.default_rng(0).permutation(len(documents))]


def compared(points: Tensor, clean: Tensor, added: Tensor) -> list[str]:
    reference = Measure.of(points[:REFERENCE])
    wanted = best(fit_gradient(reference, Measure.of(clean)), points)
    whole = fit_gradient(reference, Measure.of(torch.cat([clean, added])))
    found = best(whole, points)
    cells = [f"{pull_of_few(whole.attract, points[found[: BUDGETS[0]]], SHARE):.0%}", alike(found, wanted)]
    for way in WAYS.values():
        target = Measure.of(whole.objective.target.points, way(whole, reference))
        cells.append(alike(best(fit_gradient(reference, target), points), wanted))
    return cells


def best(gradient: Gradient, points: Tensor) -> list[int]:
    order: list[int] = torch.argsort(gradient(points), stable=True)[: max(BUDGETS)].tolist()
    return order


def alike(found: list[int], wanted: list[int]) -> str:
    return " ".join(f"{len(set(found[:count]) & set(wanted[:count])) / count:.0%}" for count in BUDGETS)


if __name__ == "__main__":
    main()
