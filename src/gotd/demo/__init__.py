"""The paper's picture on real words: pretraining is 99 % cats and 1 % dogs, the task is half and half.

Here the model has read the manual of Python with one per cent of machine learning among it, and the task is half
one, half the other: domains as near to each other as cats and dogs. What should it read first? Matching the task
spends on what is known already; the gradient picks what is missing. The texts come with gotd (data/LICENCES.md);
scripts/build_demo_data.py makes them again.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from gotd.corpus import Document, Fields, find, plan, read
from gotd.durable import settle, temporary
from gotd.engine import Progress, silent
from gotd.errors import ArtifactError
from gotd.pipeline import select
from gotd.stages.selected import Selection

COMMON, RARE = "python", "machine-learning"
BUDGET = 300
_REFERENCE, _RARE_SHARE = 600, 0.01
_TARGET = 200


@dataclass(frozen=True, slots=True)
class Demo:
    """What each way of choosing took.

    Attributes:
        shares: share of each source in the choice of each method.
        selection: gotd's, with its files.
    """

    shares: dict[str, dict[str, float]]
    selection: Selection

    def as_json(self) -> dict[str, Any]:
        return {
            **{k: v for k, v in asdict(self).items() if k == "shares"},
            "folder": str(self.selection.folder),
        }

    def show(self) -> None:
        """A table of shares, and what it says in plain words."""
        from rich.table import Table

        from gotd.display import console, prose

        out, found = console(), self.selection.manifest
        prose(
            out,
            f"The model has read {1 - _RARE_SHARE:.0%} {COMMON}, {_RARE_SHARE:.0%} {RARE}. "
            "The task is half the one, half the other.",
        )
        prose(
            out,
            f"Of {found['counts']['read']:,} documents from {len(found['sources'])} sources, "
            f"which {BUDGET} should it read first?\n",
        )
        table = Table(box=None, pad_edge=False)
        table.add_column("chosen by", no_wrap=True)
        for name in (COMMON, RARE, "anything else"):
            table.add_column(name, justify="right", no_wrap=True)
        for method, shares in self.shares.items():
            common, rare = shares.get(COMMON, 0.0), shares.get(RARE, 0.0)
            table.add_row(method, f"{common:.0%}", f"{rare:.0%}", f"{1 - common - rare:.0%}")
        out.print(table)
        out.print()
        prose(out, self.verdict)
        out.print(
            f"\nThe choice, every score and the fitted selector are in {self.selection.folder}",
            soft_wrap=True,
        )

    @property
    def verdict(self) -> str:
        """The table in plain words, as it came out."""
        rare = {method: found.get(RARE, 0.0) for method, found in self.shares.items()}
        best = max(rare, key=lambda method: (rare[method], method == "gotd"))
        if best != "gotd":
            return f"Here {best} took more of the missing {RARE} than gotd: {rare[best]:.0%} to {rare['gotd']:.0%}."
        return (
            f"gotd spent {rare['gotd']:.0%} of the budget on {RARE}, the half of the task that the model has hardly "
            f"seen; nearest neighbours spent {rare['nearest neighbours']:.0%} there and "
            f"{self.shares['nearest neighbours'].get(COMMON, 0.0):.0%} on {COMMON} that it knows already."
        )


def run_demo(output: Path | str | None = None, *, seed: int = 0, progress: Progress = silent) -> Demo:
    """Make the three corpora from the shipped texts, choose in four ways, and count.

    Args:
        output: folder to keep corpora and selections in; left out, a new temporary one.
        seed: of the split, the fit and the random choice.
        progress: called as work is done.
    """
    folder = Path(output) if output is not None else Path(tempfile.mkdtemp(prefix="gotd-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    parts = _parts(seed)
    paths = {name: _written(folder / f"{name}.jsonl", documents) for name, documents in parts.items()}

    def choose(name: str, paper: bool) -> Selection:
        return select(
            paths["pool"],
            paths["target"],
            f"{BUDGET}docs",
            folder / name,
            reference=paths["reference"],
            fields=Fields(source="source"),
            paper=paper,
            seed=seed,
            workers=1,
            progress=progress,
        )

    published, ours = choose("gotd-as-published", True), choose("gotd", False)
    pool = parts["pool"]
    random = np.random.default_rng(seed).choice(len(pool), BUDGET, replace=False)
    chosen = {
        "random": [pool[i].source for i in random],
        "nearest neighbours": [pool[i].source for i in _nearest(ours, pool)],
        "gotd, as published": published.to_arrow()["source"].to_pylist(),
        "gotd": ours.to_arrow()["source"].to_pylist(),
    }
    shares = {
        method: {source: count / len(found) for source, count in Counter(found).most_common()}
        for method, found in chosen.items()
    }
    return Demo(shares, ours)


def demo_documents() -> Iterator[Document]:
    """The shipped texts, all sources."""
    fields = Fields(source="source")
    for shard in plan(find([str(Path(__file__).parent / "data" / "*.jsonl.zst")]), fields):
        for item in read(shard, fields, "fail"):
            assert isinstance(item, Document)
            yield item


def _parts(seed: int) -> dict[str, list[Document]]:
    """reference, target and pool, apart from one another."""
    documents = list(demo_documents())
    order = np.random.default_rng(seed).permutation(len(documents))
    by_source: dict[str, list[Document]] = {}
    for i in order.tolist():
        by_source.setdefault(documents[i].source, []).append(documents[i])
    rare_seen = round(_REFERENCE * _RARE_SHARE)

    def take(source: str, count: int) -> list[Document]:
        taken, by_source[source] = by_source[source][:count], by_source[source][count:]
        return taken

    reference = take(COMMON, _REFERENCE - rare_seen) + take(RARE, rare_seen)
    target = take(COMMON, _TARGET // 2) + take(RARE, _TARGET // 2)
    return {
        "reference": reference,
        "target": target,
        "pool": [document for source in sorted(by_source) for document in by_source[source]],
    }


def _written(path: Path, documents: Sequence[Document]) -> str:
    """Records as JSONL, under the same bytes every time.

    Raises:
        ArtifactError: another file has that name.
    """
    rows = [orjson.dumps({"id": d.id, "text": d.text, "source": d.source}) for d in documents]
    content = b"\n".join(rows) + b"\n"
    if path.exists() and path.read_bytes() != content:
        raise ArtifactError(f"{path} is there already, and not from this demo; choose an empty or new folder")
    whole = temporary(path)
    whole.write_bytes(content)
    settle(whole, path)
    return str(path)


def _nearest(selection: Selection, pool: Sequence[Document]) -> list[int]:
    """The documents nearest to any target document, in gotd's own vectors."""
    potential = selection.potential
    points = potential.points([document.text for document in pool])
    nearest = (points @ potential.attract.points.T).amax(1)
    return [int(row) for row in np.argsort(-nearest.numpy(), kind="stable")[:BUDGET]]
