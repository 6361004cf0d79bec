"""Lemma 1, measured: after a light warm-up on U, what mixture of P and U does a model of P behave like?

Small GPTs are pretrained from scratch on (1 - share) P + share U, one for each share, with the same tokens of training.
Their losses on held-out text of U make a curve: a loss for each share. Then the model of share 0 is warmed up on U, at
several rates, lengths and numbers of epochs. The share of a warm-up is where its loss on U meets the curve. Beside it
stand what `gotd.measured_mix` says of the losses before and after, and how much more of P is forgotten than by the
mixture of that share. Each result is a JSON line, written as it is found; what is there is not done again.

    python experiments/lemma_one/run.py train --data DIR --work DIR [--sources pubmed recipes]
    python experiments/lemma_one/run.py table
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "known_pretraining"))
from gpt import GPT, encoded, fit_tokenizer, item_bits, schedule, train, windows
from plan import Plan
from tokenizers import Tokenizer

from gotd import InputError, Losses, measured_mix
from gotd.corpus import Fields, find, sample

RESULTS = Path(__file__).resolve().parents[1] / "results" / "lemma_one" / "runs.jsonl"
SMALL = Plan(vocabulary=1_024, width=64, layers=2, heads=2, context=128, batch=16, micro=16)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything.

    Attributes:
        common: the sources of P, in equal parts.
        tokens: of each pretraining.
        shares: of U in the pretraining mixtures; the first is 0.
        rates: peak learning rates of the warm-ups.
        lengths: (steps, epochs) of the warm-ups.
        held_out: tokens that a loss is measured on, about.
        plan: of the model.
    """

    common: tuple[str, ...] = ("wikipedia", "novels", "movie_reviews", "product_reviews")
    tokens: int = 3_000_000
    shares: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.4, 0.7)
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    lengths: tuple[tuple[int, int], ...] = ((12, 1), (50, 1), (200, 1), (48, 4))
    held_out: int = 40_000
    plan: Plan = field(
        default_factory=lambda: Plan(vocabulary=1_024, width=64, layers=2, heads=2, context=128, batch=16)
    )


class Lemma:
    """The texts and models of one U."""

    def __init__(self, data: Path, work: Path, source: str, sizes: Sizes) -> None:
        self.work, self.source, self.sizes = work, source, sizes
        work.mkdir(parents=True, exist_ok=True)
        each = sizes.tokens // len(sizes.common)
        parts = [_texts(data, name, (each + sizes.held_out) // 250) for name in sizes.common]
        wanted = math.ceil(max(sizes.shares) * sizes.tokens) + max(s for s, _ in sizes.lengths) * self._step
        own = _texts(data, source, (wanted + sizes.held_out) // 250)
        self.tokenizer = self._tokenizer([text for part in parts for text in part[:1_000]])
        rare = encoded(self.tokenizer, own)
        self.held_out_rare, self.rare = _split(rare, sizes.held_out)
        common = [_split(encoded(self.tokenizer, part), sizes.held_out // len(parts)) for part in parts]
        self.held_out_common = [document for held, _ in common for document in held]
        self.common = _shuffled([document for _, rest in common for document in rest[: _count(rest, each)]])

    @property
    def _step(self) -> int:
        return self.sizes.plan.batch * self.sizes.plan.context

    def _tokenizer(self, texts: Sequence[str]) -> Tokenizer:
        path = self.work / "tokenizer.json"
        if not path.exists():
            fit_tokenizer(texts, self.sizes.plan.vocabulary).save(str(path))
        return Tokenizer.from_file(str(path))

    def pretrained(self, share: float) -> GPT:
        """A model of (1 - share) P + share U, trained where it is not there yet."""
        path = self.work / (f"{self.source}-{share}.pt" if share else "common.pt")
        torch.manual_seed(0)
        model = GPT(self.sizes.plan)
        if path.exists():
            model.load_state_dict(torch.load(path))
            return model
        tokens = self.sizes.tokens
        few = self.rare[: _count(self.rare, share * tokens)]
        documents = _shuffled([*self.common[: _count(self.common, (1 - share) * tokens)], *few])
        train(model, windows(documents, self.sizes.plan.context), self.sizes.plan, self.sizes.plan.pretraining_rate)
        torch.save(model.state_dict(), path)
        return model

    def warmed_up(self, model: GPT, rate: float, steps: int, epochs: int) -> tuple[GPT, float]:
        """A copy after `steps` steps on U in `epochs` epochs, and learning rate x steps; on texts from the end."""
        rows = windows(self.rare[::-1], self.sizes.plan.context)[: steps * self.sizes.plan.batch // epochs]
        model = copy.deepcopy(model)
        train(model, rows.repeat(epochs, 1), self.sizes.plan, rate)
        return model, rate * sum(schedule(step, steps, max(1, steps // 10)) for step in range(steps))

    def losses(self, model: GPT) -> Losses:
        """Nats a token, on held-out text of P and of U."""
        found = []
        for documents in (self.held_out_common, self.held_out_rare):
            bits = item_bits(model, documents, self.sizes.plan).sum()
            found.append(float(bits * math.log(2) / sum(len(document) - 1 for document in documents)))
        return Losses(*found)


def run(data: Path, work: Path, sources: Sequence[str], results: Path, sizes: Sizes) -> None:
    """Everything that is not in `results` yet."""
    results.parent.mkdir(parents=True, exist_ok=True)
    done = {_key(row) for row in read(results)}
    for source in sources:
        lemma = Lemma(data, work, source, sizes)
        for share in sizes.shares:
            if _key(row := {"source": source, "share": share}) not in done:
                _append(results, {**row, **_told(lemma.losses(lemma.pretrained(share)))})
        start = lemma.pretrained(0.0)
        for steps, epochs in sizes.lengths:
            for rate in sizes.rates:
                row = {"source": source, "rate": rate, "steps": steps, "epochs": epochs}
                if _key(row) not in done:
                    model, travel = lemma.warmed_up(start, rate, steps, epochs)
                    _append(results, {**row, "travel": travel, **_told(lemma.losses(model))})


@dataclass(frozen=True, slots=True)
class Reading:
    """What one warm-up did.

    Attributes:
        run: its line in the results.
        share: by the curve; `inside` says whether its loss lies between the curve's ends.
        measured: what `measured_mix` says, None where it refuses.
        beyond: nats a token of P that it forgot more than the mixture of that share did.
    """

    run: dict[str, Any]
    share: float
    inside: bool
    measured: float | None
    beyond: float


def readings(results: Path) -> list[Reading]:
    """Of all warm-ups, U after U, the shortest travel first."""
    rows, found = read(results), []
    for source in dict.fromkeys(row["source"] for row in rows):
        own = [row for row in rows if row["source"] == source]
        curve = sorted((row for row in own if "share" in row), key=lambda row: row["share"])
        shares, references = [row["share"] for row in curve], [row["reference"] for row in curve]
        before = Losses(curve[0]["reference"], curve[0]["selection"])
        for row in sorted((row for row in own if "rate" in row), key=lambda row: row["travel"]):
            share = share_at(curve, row["selection"])
            inside = curve[-1]["selection"] < row["selection"] < curve[0]["selection"]
            try:
                measured = measured_mix(before, Losses(row["reference"], row["selection"]))
            except InputError:
                measured = None
            beyond = row["reference"] - float(np.interp(share, shares, references))
            found.append(Reading(row, share, inside, measured, beyond))
    return found


def table(results: Path) -> list[str]:
    """Markdown: a row for each warm-up."""
    names = ("U", "rate", "steps", "epochs", "travel", "share by the curve", "`measured_mix`", "P beyond the mixture")
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for one in readings(results):
        run = one.run
        share = f"{one.share:.3f}" if one.inside else "beyond the curve"
        measured = "-" if one.measured is None else f"{one.measured:.3f}"
        about = (run["source"], f"{run['rate']:g}", run["steps"], run["epochs"], f"{run['travel']:.5f}")
        lines.append("| " + " | ".join(map(str, (*about, share, measured, f"{one.beyond:+.3f}"))) + " |")
    return lines


def share_at(curve: Sequence[dict[str, Any]], loss: float) -> float:
    """The share at which the curve has this loss on U: between its points linear in loss and log(share + .01)."""
    at = np.array([math.log(row["share"] + 0.01) for row in curve])
    losses = np.minimum.accumulate([row["selection"] for row in curve])
    return max(0.0, math.exp(float(np.interp(-loss, -losses, at))) - 0.01)


def law(results: Path) -> tuple[float, float, float]:
    """(scale, power, spread) of 1 - exp(-(travel / scale)^power), through all warm-ups inside the curves.

    By least squares of log(-log(1 - share)) on log(travel); spread is the standard deviation of what is left, in
    natural logarithms.
    """
    inside = [one for one in readings(results) if one.inside]
    x = np.log([one.run["travel"] for one in inside])
    y = np.log([-math.log1p(-one.share) for one in inside])
    power, start = np.polyfit(x, y, 1)
    return math.exp(-start / power), float(power), float((y - power * x - start).std())


def read(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("source", "share", "rate", "steps", "epochs"))


def _told(losses: Losses) -> dict[str, float]:
    return {"reference": losses.reference, "selection": losses.selection}


def _append(path: Path, row: dict[str, Any]) -> None:
    with path.open("ab") as file:
        file.write(orjson.dumps(row) + b"\n")
    print(row, flush=True)


def _texts(data: Path, source: str, count: int) -> list[str]:
    drawn = sample(find(str(data / "candidates" / f"{source}.jsonl*")), Fields(), count, 0).documents
    return _shuffled([document.text[:1_000] for document in drawn])


def _shuffled(items: Sequence[Any]) -> list[Any]:
    return [items[i] for i in np.random.default_rng(0).permutation(len(items))]


def _split(documents: list[list[int]], tokens: int) -> tuple[list[list[int]], list[list[int]]]:
    few = _count(documents, tokens)
    return documents[:few], documents[few:]


def _count(documents: Sequence[Sequence[int]], tokens: float) -> int:
    """How many of the first documents hold so many tokens."""
    return int(np.searchsorted(np.cumsum([len(document) for document in documents]), tokens))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["train", "table"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("lemma_one_work"))
    parser.add_argument("--sources", nargs="*", default=["pubmed", "recipes"])
    given = parser.parse_args()
    if given.part == "train":
        if given.data is None:
            parser.error("--data DIR is wanted")
        torch.set_num_threads(1)
        with threadpool_limits(1):
            run(given.data, given.work, given.sources, RESULTS, Sizes())
        return
    print("\n".join(table(RESULTS)))
    scale, power, spread = law(RESULTS)
    print(f"\nshare = 1 - exp(-(travel / {scale:.3g})^{power:.3g}), off by a factor of {math.exp(spread):.2f}")


if __name__ == "__main__":
    main()
