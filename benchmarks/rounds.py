"""The claim: where a selection weighs much, choosing it in rounds brings the reference closer than choosing it at once.

Of each target half is chosen for, and the other half judges: both objectives are solved again with the selection mixed
into the reference at a share lambda, and given as a change relative to the objective before. Toy: three clusters in
eight dimensions, pool 75/15/10 per cent, target 30/35/35. Real: a sample of the candidate sources, and three tasks.
Writes docs/figures/rounds.svg and prints the tables of docs/rounds.md.

    python benchmarks/rounds.py [--data DIR] [--documents 20000] [--budget 500] [--results FILE] [--redraw]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tables import load, show, use_cores
from texts import Texts
from torch import Tensor

from gotd.corpus import Document, Fields, find, sample
from gotd.encoders import fit_encoder
from gotd.selection.gradient import Gradient, Mixture, fit_gradient
from gotd.selection.methods import Batch, fit_method
from gotd.selection.methods.round_robin import NearestLists
from gotd.selection.rounds import descend, rounds_needed
from gotd.transport import Measure, Space, summarised

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "figures" / "rounds.svg"
TASKS = ("chemprot", "agnews", "acl_arc")
SHARES = (0.01, 0.03, 0.1, 0.3, 0.6)
ROUNDS = (1, 2, 3, 5, 10, 20)
DRAWN = (1, 2, 5, 10)
OTHERS = ("round-robin", "nearest", "dsir", "random")
REFERENCE, TARGET = 10_000, 2_000


@dataclass(frozen=True, slots=True)
class Case:
    """One pool and target.

    Attributes:
        candidates: (n, d) points, the first of which are the reference's sample.
        fit: half of the target, to choose for.
        judge: the other half.
        others: rows that each other method would take, best first.
    """

    name: str
    budget: int
    candidates: Tensor
    reference: Measure
    fit: Measure
    judge: Measure
    others: dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One selection at one share: changes relative to the objective before, -1 would be all of it.

    Attributes:
        advised: `rounds_needed` of a choice in one round; 0 for other choices.
    """

    case: str
    choice: str
    share: float
    fitted: float
    held_out: float
    advised: int


def toy() -> Case:
    generator = torch.Generator().manual_seed(0)

    def clusters(shares: tuple[float, ...], n: int) -> Tensor:
        parts = []
        for axis, share in enumerate(shares):
            x = 0.35 * torch.randn(round(share * n), 8, generator=generator)
            x[:, axis] += 1
            parts.append(x / x.norm(dim=1, keepdim=True))
        points = torch.cat(parts)
        return points[torch.randperm(len(points), generator=generator)]

    pool, target = clusters((0.75, 0.15, 0.10), 6000), clusters((0.30, 0.35, 0.35), 800)
    fit, judge = Measure.of(target[::2]), Measure.of(target[1::2])
    return Case("toy", 240, pool, Measure.of(pool[:3000]), fit, judge, in_other_ways(pool, fit, 240))


def real(task: str, given: argparse.Namespace) -> Case:
    texts = Texts.of(given.data)
    folder = Path(texts.candidates[0].path).parent.parent
    pool = shuffled(sample(texts.candidates, Fields(), given.documents, 0).documents)
    files = find([str(folder / "tasks" / f"{task}.jsonl.zst")])
    target = [document.text for document in shuffled(sample(files, Fields(), TARGET, 0).documents)]
    words = [document.text for document in pool]
    encoder = fit_encoder("lsa", words[:REFERENCE] + target)
    vectors = encoder.encode(words)
    space = Space.fit(vectors[:REFERENCE], centre=True)
    points, wanted = space(vectors), space(encoder.encode(target))
    fit, reference = Measure.of(wanted[::2]), Measure.of(points[:REFERENCE])
    others = in_other_ways(points, fit, given.budget)
    method = fit_method(
        "dsir", reference_texts=words[:REFERENCE], target_texts=target[::2], reference=reference, target=fit
    )
    batch = Batch(words, [d.id for d in pool], [d.source for d in pool], points)
    others["dsir"] = np.argsort(method.score(batch), kind="stable")[: given.budget].tolist()
    return Case(task, given.budget, points, reference, fit, Measure.of(wanted[1::2]), others)


def shuffled(documents: list[Document]) -> list[Document]:
    return [documents[i] for i in np.random.default_rng(0).permutation(len(documents))]


def in_other_ways(points: Tensor, target: Measure, budget: int) -> dict[str, list[int]]:
    lists = NearestLists(target.points.float(), budget)
    lists.add(points, np.arange(len(points)))
    nearest = 1 - (points @ target.points.T).amax(1)
    return {
        "round-robin": lists.take(budget).rows.tolist(),
        "nearest": torch.argsort(nearest, stable=True)[:budget].tolist(),
        "random": np.random.default_rng(1).choice(len(points), budget, replace=False).tolist(),
    }


def outcomes(case: Case) -> Iterator[Outcome]:
    start, judge = fit_gradient(case.reference, case.fit), fit_gradient(case.reference, case.judge)
    summary = summarised(case.reference)

    def judged(choice: str, rows: list[int], share: float, advised: int = 0) -> Outcome:
        picks = Measure.of(case.candidates[rows])
        mixture = Mixture.of(case.reference, summary, picks, share)

        def change(here: Gradient) -> float:
            return here.toward(mixture).value / here.value - 1

        return Outcome(case.name, choice, share, change(start), change(judge), advised)

    for share in SHARES:
        for rounds in ROUNDS:
            found = descend(start, case.reference, summary, case.candidates, taking(case.budget), rounds, share)
            first = found.rounds[0]
            advised = rounds_needed(start.value, first.predicted, first.solved) if rounds == 1 else 0
            yield judged(f"gotd {rounds}", found.rows, share, advised)
        for name, rows in case.others.items():
            yield judged(name, rows, share)


def taking(budget: int) -> Callable[[Tensor, int, int], list[int]]:
    def take(order: Tensor, number: int, of: int) -> list[int]:
        return order[: budget * number // of - budget * (number - 1) // of].tolist()

    return take


def tables(found: list[Outcome]) -> None:
    cases = list(dict.fromkeys(row.case for row in found))
    choices = list(dict.fromkeys(row.choice for row in found))
    value = {(row.case, row.choice, row.share): row for row in found}
    for case in cases:
        rows = [
            [choice, *(f"{value[case, choice, share].held_out:+.1%}" for share in SHARES)]
            for choice in choices
            if (case, choice, SHARES[0]) in value
        ]
        show(f"{case}: change of the objective to the held-out half", ["choice", *map(str, SHARES)], rows)
    rows = []
    for case in cases:
        for share in SHARES:
            advised = value[case, "gotd 1", share].advised
            at = min((rounds for rounds in ROUNDS if rounds >= min(advised, ROUNDS[-1])), default=ROUNDS[-1])
            changes = [value[case, f"gotd {rounds}", share].held_out for rounds in (1, at, 20)]
            rows.append([case, share, advised, *(f"{change:+.1%}" for change in changes)])
    show("what rounds_needed advises", ["case", "lambda", "advised", "1 round", "as advised", "20 rounds"], rows)


def draw(found: list[Outcome], path: Path) -> None:
    """Mid-tones on no background: readable on light and on dark; told apart by marker and dash as well as colour."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    grey = "#808080"
    plt.rcParams.update(
        {
            "svg.hashsalt": "gotd",
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 9,
            **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), grey),
        }
    )
    looks = {
        "gotd 1": ("#56b4e9", "o", "-"),
        "gotd 2": ("#2f9bdc", "s", "-"),
        "gotd 5": ("#1f83c4", "^", "-"),
        "gotd 10": ("#0072b2", "D", "-"),
        "round-robin": ("#e69f00", "v", "--"),
        "nearest": ("#d55e00", "x", "--"),
        "dsir": ("#009e73", "+", "--"),
        "random": (grey, ".", ":"),
    }
    cases = list(dict.fromkeys(row.case for row in found))
    figure, axes = plt.subplots(1, len(cases), figsize=(10.5, 3.4), layout="constrained")
    for axis, case in zip(np.atleast_1d(axes), cases):
        for choice, (colour, marker, dash) in looks.items():
            rows = [row for row in found if (row.case, row.choice) == (case, choice)]
            if rows:
                xy = [row.share for row in rows], [100 * row.held_out for row in rows]
                axis.plot(*xy, color=colour, marker=marker, ls=dash, ms=4.5, lw=1.4, label=choice)
        axis.axhline(0, color=grey, lw=0.6)
        axis.set(xscale="log", title=case, xlabel="share λ of the selection", xticks=SHARES, xticklabels=SHARES)
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
        low = min(row.held_out for row in found if row.case == case)
        axis.set_ylim(115 * low, max(20.0, -40 * low))
    np.atleast_1d(axes)[0].set_ylabel("change of the divergence, %\n(held-out half of the target)")
    handles, labels = np.atleast_1d(axes)[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, transparent=True, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--budget", type=int, default=500)
    parser.add_argument("--results", type=Path, default=Path("runs") / "rounds.json")
    parser.add_argument("--redraw", action="store_true", help="figure and tables from --results")
    given = parser.parse_args()
    if given.redraw:
        found = [Outcome(**row) for row in json.loads(given.results.read_text())]
    else:
        use_cores(1)
        torch.set_num_threads(1)
        found = []
        given.results.parent.mkdir(parents=True, exist_ok=True)
        for case in (toy(), *(real(task, given) for task in TASKS)):
            found += list(outcomes(case))
            given.results.write_text(json.dumps([asdict(row) for row in found]))
            print(case.name, load(), flush=True)
    tables(found)
    draw(found, FIGURE)


if __name__ == "__main__":
    main()
