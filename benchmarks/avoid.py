"""The claim: with `--avoid`, a selection moves toward the target and leaves what the target is easily mistaken for.

Comments, civil and toxic, of a data folder's `tasks/`; of both kinds one half of the examples is target and `--avoid`,
the other half lies in the pool among the candidates. A perfect choice is all civil; the table shows what each weight of
`--avoid` takes. How much the vectors can tell at all, a classifier says: a logistic regression on the same vectors,
taught the two kinds on the same examples, which ranks the comments of the pool alone.

    python benchmarks/avoid.py --data DIR [--documents 20000] [--encoder lsa]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from tables import load, show, use_cores
from texts import DEFAULT

import gotd
from gotd.corpus import Document, Fields, find, plan, read, sample

TASKS = ("paradetox", "toxic_spans_civil")
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
CIVIL, TOXIC = 0, 1
MOST = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT)
    parser.add_argument("--documents", type=int, default=20_000, help="candidates in the pool, beside the comments")
    parser.add_argument("--encoder", default="lsa")
    parser.add_argument("--weights", type=float, nargs="*", default=WEIGHTS)
    given = parser.parse_args()
    if not (given.data / "tasks").is_dir():
        parser.error(f"{given.data} holds no tasks/; pass --data")
    use_cores(2)
    candidates = sample(find(given.data / "candidates"), Fields(), given.documents, 0).documents
    for task in TASKS:
        with tempfile.TemporaryDirectory() as folder:
            counts, rows = one_task(given, task, candidates, Path(folder))
        pool = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
        columns = ["weight of --avoid", "civil", "toxic", "other", "toxic of comments", "seconds"]
        show(f"{task}, pool of {pool}, {given.encoder}, {load()}", columns, rows)


def one_task(
    given: argparse.Namespace, task: str, candidates: list[Document], folder: Path
) -> tuple[Counter[str], list[list[str]]]:
    """What is in the pool, and a row for each weight."""
    comments = [orjson.loads(document.record) for document in _read(given.data / "tasks" / f"{task}.jsonl.zst")]
    # A toxic sentence and its civil rewrites lie on one side.
    halves = [[c for row, c in enumerate(comments) if (c.get("pair", row) % 2 == 0) is even] for even in (True, False)]
    kinds: dict[str, Callable[[Any], bool]] = {
        "civil": lambda comment: comment["label"] == CIVIL,
        "toxic": lambda comment: comment["label"] == TOXIC,
    }
    pool = [{"text": d.text, "source": "other"} for d in candidates]
    paths = {}
    for kind, belongs in kinds.items():
        paths[kind] = _write(folder / f"{kind}.jsonl", [{"text": c["text"]} for c in halves[0] if belongs(c)])
        pool += [{"text": c["text"], "source": kind} for c in halves[1] if belongs(c)]
    counts = Counter(record["source"] for record in pool)
    path, budget = _write(folder / "pool.jsonl", pool), min(MOST, counts["civil"])
    rows = []
    for weight in given.weights:
        started = time.perf_counter()
        found = gotd.select(
            path,
            paths["civil"],
            budget,
            folder / f"{weight}",
            avoid=gotd.Target(paths["toxic"], weight) if weight else None,
            encoder=given.encoder,
            fields=Fields(source="source"),
        )
        taken = {kind: row["selected"] / len(found) for kind, row in found.manifest["sources"].items()}
        of_comments = taken["toxic"] / max(taken["toxic"] + taken["civil"], 1e-9)
        shares = (taken["civil"], taken["toxic"], taken["other"], of_comments)
        rows.append([f"{weight:g}", *(f"{share:.1%}" for share in shares), f"{time.perf_counter() - started:.0f}"])
    toxic = _classified(found.potential, halves, budget)
    rows.append(["classifier, of comments alone", f"{1 - toxic:.1%}", f"{toxic:.1%}", "-", f"{toxic:.1%}", "-"])
    return counts, rows


def _classified(potential: gotd.Potential, halves: list[list[dict[str, Any]]], budget: int) -> float:
    """Share of toxic comments among the most civil of the pool, by a classifier taught on the other half."""
    from sklearn.linear_model import LogisticRegression

    vectors = [potential.points([comment["text"] for comment in half]).numpy() for half in halves]
    labels = [np.array([comment["label"] for comment in half]) for half in halves]
    taught = LogisticRegression(C=10, max_iter=1000, class_weight="balanced").fit(vectors[0], labels[0])
    order = np.argsort(taught.decision_function(vectors[1]), kind="stable")[:budget]
    return float((labels[1][order] == TOXIC).mean())


def _read(path: Path) -> list[Document]:
    shards = plan(find(path), Fields())
    return [item for shard in shards for item in read(shard, Fields()) if isinstance(item, Document)]


def _write(path: Path, records: list[dict[str, str]]) -> str:
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    return str(path)


if __name__ == "__main__":
    main()
