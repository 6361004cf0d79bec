"""Encoders of the selection, judged by training: general ones, and MiniLM tuned on each target by `gotd tune-encoder`.

    python experiments/known_pretraining/encoders.py --data DIR --work WORK --minilm FOLDER [--seeds 0] [--part 0/2]

The smallest budget, from the first 4,000 documents of a seed's pool, with a reference of 1,500: a transformer reads
them anew for each target that it was tuned on. FOLDER is `experiments/models.py minilm`, whose encoder is as its
authors left it. The tuned ones have read the 500 examples that the selector is shown: with their labels, or told from
one another. `encoders.jsonl` has a line a cell, and a killed run goes on; without `--part` it ends with the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import orjson
import torch
import zstandard
from choices import Walk, first
from numpy.typing import NDArray
from plan import Plan
from run import RESULTS, Experiment, read_cells
from settings import filled, told
from texts import Text
from threadpoolctl import threadpool_limits

from gotd import FitSettings
from gotd.encoders import Encoder, fit_encoder
from gotd.stages.fit import fitted
from gotd.training.encoder import tune_encoder
from gotd.training.settings import Machine

POOL, REFERENCE = 4_000, 1_500
DEFAULT, MINILM, BY_LABELS, CONTRASTIVE = "lsa", "minilm", "minilm, tuned by labels", "minilm, tuned without"
# What each reads with, and its reg.
TITLES: dict[str, tuple[str, float]] = {
    DEFAULT: ("lsa", 0.1),
    "static": ("static", 0.1),
    MINILM: (MINILM, 0.1),
    "minilm, reg .05": (MINILM, 0.05),
    "minilm, reg .2": (MINILM, 0.2),
    BY_LABELS: (BY_LABELS, 0.1),
    CONTRASTIVE: (CONTRASTIVE, 0.1),
}


class Encoders:
    """The encoders of one run, and the vectors of the pools by those that no target changes.

    Args:
        minilm: folder of the model.
        tasks: folder of the tasks, whose rows have the labels.
    """

    def __init__(self, minilm: Path, tasks: Path) -> None:
        self.minilm, self.tasks = str(minilm), tasks
        self._read: dict[tuple[str, int], tuple[NDArray[np.float32], NDArray[np.float32]]] = {}

    def orders(self, run: Experiment, name: str, seed: int) -> Iterator[tuple[str, list[str]]]:
        """For each encoder the ids that gotd chose by it."""
        plan, (whole, sizes) = run.plan, run.pool(seed)
        pool, lengths, tokens = whole[:POOL], sizes[:POOL], plan.budgets[0]
        examples, _ = run.corpora.examples(plan, name, seed)
        reference = run.corpora.reference(plan, seed)[:REFERENCE]
        known, aim, texts = ([item.text for item in part] for part in (reference, examples, pool))
        made: dict[str, tuple[Encoder, tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]] = {}
        for title, (kind, reg) in TITLES.items():
            if kind not in made:
                encoder = self._encoder(kind, run.work / "encoders" / f"{seed}-{name}", examples, known, seed)
                if kind not in ("static", MINILM):
                    left, right = encoder.encode(known), encoder.encode(texts)
                else:
                    if (kind, seed) not in self._read:
                        self._read[kind, seed] = encoder.encode(known), encoder.encode(texts)
                    left, right = self._read[kind, seed]
                made[kind] = encoder, (left, encoder.encode(aim), right)
            encoder, vectors = made[kind]
            potential = fitted(encoder, *vectors[:2], FitSettings(encoder=kind, reg=reg, seed=seed))
            order = np.argsort(potential.score(vectors[2]), kind="stable")
            rows = first(Walk(pool, lengths, potential)(order, tokens), lengths, tokens)
            yield title, [pool[row].id for row in rows]

    def _encoder(self, kind: str, folder: Path, examples: Sequence[Text], known: Sequence[str], seed: int) -> Encoder:
        if kind in ("lsa", "static"):
            return fit_encoder(kind, [*known, *(item.text for item in examples)], seed=seed)
        if kind == MINILM:
            return fit_encoder(self.minilm, [], device="cpu")
        by_labels = kind == BY_LABELS
        tuned = folder / ("by-labels" if by_labels else "contrastive")
        train = folder / "examples.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        labels = self._labels(examples)
        rows = [{"text": item.text, "label": label} for item, label in zip(examples, labels, strict=True)]
        train.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        field, how = "label" if by_labels else None, {"precision": "mixed", "seed": seed}
        tune_encoder(self.minilm, str(train), tuned, label_field=field, machine=Machine(device="cpu"), **how)
        return fit_encoder(str(tuned), [], device="cpu")

    def _labels(self, examples: Sequence[Text]) -> list[str]:
        """The label of each example, by the row that its id names."""
        [name] = {item.source for item in examples}
        content = zstandard.ZstdDecompressor().stream_reader((self.tasks / f"{name}.jsonl.zst").read_bytes()).read()
        rows = [line for line in content.split(b"\n") if line]
        return [str(orjson.loads(rows[int(item.id.partition(":")[2])])["label"]) for item in examples]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="where run.py keeps the model")
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--cells", type=Path, default=RESULTS / "encoders.jsonl")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--part", help="I/N: every N-th task from the I-th")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    threadpool_limits(1)
    part, parts = (int(number) for number in (given.part or "0/1").split("/"))
    run = Experiment(given.data, given.work, Plan(), given.cells)
    encoders = Encoders(given.minilm, given.data / "tasks")
    filled(run, run.plan.tasks[part::parts], given.seeds, run.plan.budgets[0], TITLES, encoders.orders)
    if given.part is None:
        print(told(read_cells(given.cells), TITLES, DEFAULT))


if __name__ == "__main__":
    main()
