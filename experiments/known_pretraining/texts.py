"""Which document serves for what: none has two uses.

A source's documents are put in the order of a hash of their article (or, where there is none, of their text) and
dealt out from the front:

    held out for mixtures | held out of D_P | targets of mixtures | pretraining | pools

Passages of one article so stay together, but for the article on each of the four borders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import zstandard
from plan import Plan

_MARKS = re.compile(r"<<|>>|\[\[|\]\]")
_PER_TOKEN = 3.4  # bytes, about


@dataclass(frozen=True, slots=True)
class Text:
    """One document: its id is `source:row`."""

    id: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Target:
    """What a warm-up is for.

    Attributes:
        shown: documents from which each seed's examples are drawn; mixtures hold as many of either source.
        held_out: what the loss is measured on; of a mixture the first half is its common source.
    """

    shown: list[Text]
    held_out: list[Text]


@dataclass(frozen=True, slots=True)
class Corpora:
    """Everything that is read, dealt out.

    Attributes:
        pretraining: D_P, in the order it is trained on.
        remembered: held-out documents in the proportions of D_P.
        stock: for each source, what pools are drawn from.
        targets: by name.
    """

    pretraining: list[Text]
    remembered: list[Text]
    stock: dict[str, list[Text]]
    targets: dict[str, Target]

    def pool(self, plan: Plan, seed: int) -> list[Text]:
        """The candidates of one seed, in random order."""
        rng = np.random.default_rng([seed, 1])
        drawn = []
        for source, texts in sorted(self.stock.items()):
            size = plan.pool_common if source in plan.common else plan.pool_rare
            drawn += [texts[i] for i in rng.choice(len(texts), min(size, len(texts)), replace=False)]
        return [drawn[i] for i in rng.permutation(len(drawn))]

    def reference(self, plan: Plan, seed: int) -> list[Text]:
        """A sample of D_P."""
        rng = np.random.default_rng([seed, 2])
        return [self.pretraining[i] for i in rng.choice(len(self.pretraining), plan.reference, replace=False)]

    def examples(self, plan: Plan, name: str, seed: int) -> tuple[list[Text], list[Text]]:
        """The examples of the target that a selector is shown, and those then all others, for target-only."""
        shown = self.targets[name].shown
        rng = np.random.default_rng([seed, 3])
        if name not in plan.mixtures:
            order = [shown[i] for i in rng.permutation(len(shown))]
            return order[: plan.targets], order
        half = len(shown) // 2
        pairs = zip(rng.permutation(half), half + rng.permutation(half))
        order = [shown[i] for pair in pairs for i in pair]
        return order[: plan.targets], order


def deal(data: Path, plan: Plan, extra: tuple[str, ...] = ()) -> Corpora:
    """Read a folder of `candidates/*.jsonl.zst` and `tasks/*.jsonl.zst`; `extra` names more tasks."""
    pretraining: list[Text] = []
    remembered: list[Text] = []
    stock: dict[str, list[Text]] = {}
    shown: dict[str, list[Text]] = {}
    held_out: dict[str, list[Text]] = {}
    whole = sum(plan.common.values())
    for path in sorted((data / "candidates").glob("*.jsonl.zst")):
        source = path.name.removesuffix(".jsonl.zst")
        texts = _shuffled(path, source, plan.chars)
        count = plan.common.get(source, plan.rare)
        of_reference = max(1, round(plan.remembered * count / whole))
        pool = 2 * (plan.pool_common if source in plan.common else plan.pool_rare)
        cuts = np.cumsum([plan.held_out, of_reference, plan.targets, count])
        if len(texts) < cuts[-1] + pool // 2:
            raise SystemExit(f"{path} holds {len(texts)} documents; wanted {cuts[-1] + pool // 2} or more")
        held_out[source], kept, shown[source], trained, left = (texts[a:b] for a, b in _spans(cuts, len(texts)))
        remembered += kept
        pretraining += trained
        stock[source] = left[:pool]
    order = np.random.default_rng(0).permutation(len(pretraining))
    targets = {name: _task(data / "tasks" / f"{name}.jsonl.zst", name, plan) for name in (*plan.tasks, *extra)}
    for name, (common, rare) in plan.mixtures.items():
        targets[name] = Target(shown[common] + shown[rare], held_out[common] + held_out[rare])
    return Corpora([pretraining[i] for i in order], remembered, stock, targets)


def _spans(cuts: np.ndarray[Any, Any], end: int) -> Iterator[tuple[int, int]]:
    edges = [0, *cuts.tolist(), end]
    return pairwise(edges)


def _task(path: Path, name: str, plan: Plan) -> Target:
    """Train rows to show (or dev where there is none), the others to judge; marks of entities taken out."""
    rows = [(str(row.get("split")), _clean(row["text"])) for row in _rows(path)]
    first = "train" if any(split == "train" for split, _ in rows) else "dev"
    seen: set[str] = set()
    parts: dict[bool, list[Text]] = {True: [], False: []}
    for train in (True, False):
        for number, (split, text) in enumerate(rows):
            if (split == first) == train and text and text not in seen:
                seen.add(text)
                parts[train].append(Text(f"{name}:{number}", name, text[: plan.chars]))
    judged = sorted(parts[False], key=lambda item: _hash(item.text))
    sizes = np.cumsum([len(item.text.encode()) for item in judged])
    enough = int((sizes < plan.held_out_tokens * _PER_TOKEN).sum()) + 1
    return Target(parts[True], judged[:enough])


def _clean(text: str) -> str:
    return " ".join(_MARKS.sub(" ", text).split())


def _shuffled(path: Path, source: str, chars: int) -> list[Text]:
    seen: set[str] = set()
    keyed = []
    for number, row in enumerate(_rows(path)):
        text = _cut(row["text"].strip(), chars)
        if text and text not in seen:
            seen.add(text)
            keyed.append((_hash(str(row.get("title") or text)), number, Text(f"{source}:{number}", source, text)))
    return [item for _, _, item in sorted(keyed, key=lambda entry: entry[:2])]


def _cut(text: str, chars: int) -> str:
    if len(text) <= chars:
        return text
    space = text.rfind(" ", chars // 2, chars + 1)
    return text[: space if space > 0 else chars]


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        content = zstandard.ZstdDecompressor().stream_reader(file).read()
    return (orjson.loads(line) for line in content.split(b"\n") if line)
