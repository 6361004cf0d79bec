"""Pretrain on a known mixture, choose, warm up, measure: one JSON line a cell, and a run that was killed goes on.

    python experiments/known_pretraining/run.py all --data DIR --work DIR [--seeds 0 1 2] [--part 0/2]

`pretrain`, `choose` and `tune` do one part alone. Several processes with different parts share one work folder.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from choices import METHODS, choices
from gpt import GPT, encoded, item_bits, pretrained, train, windows
from numpy.typing import NDArray
from plan import TASKS, TINY, TUNING, Plan
from texts import Text, deal
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer

CORE = ("random", "gotd", "gotd as published", "gotd reg .2", "gotd reg .05")
MAIN = (*CORE, "nearest", "mmd", "dsir")
RATES = (3e-4, 1e-3, 3e-3)
NOTHING = "no warm-up"
RESULTS = Path(__file__).resolve().parents[1] / "results" / "known_pretraining"


class Experiment:
    """The texts, the model and the folder in which the parts of a run are kept."""

    def __init__(self, data: Path, work: Path, plan: Plan, cells: Path, extra: tuple[str, ...] = ()) -> None:
        self.plan, self.work, self.cells = plan, work, cells
        self.corpora = deal(data, plan, extra)
        everything = [text for texts in self.corpora.stock.values() for text in texts]
        everything += [text for target in self.corpora.targets.values() for text in target.shown]
        self.by_id = {text.id: text for text in everything}
        self.pool = lru_cache(maxsize=1)(self._pool)

    def pretrained(self) -> tuple[GPT, Tokenizer]:
        """The model, trained first if need be."""
        return pretrained(self.work / "model", self.plan, [text.text for text in self.corpora.pretraining])

    def _pool(self, seed: int) -> tuple[list[Text], NDArray[np.int64]]:
        tokenizer = Tokenizer.from_file(str(self.work / "model" / "tokenizer.json"))
        pool = self.corpora.pool(self.plan, seed)
        return pool, np.array([len(found) for found in encoded(tokenizer, [text.text for text in pool])])

    def chosen(self, name: str, seed: int) -> dict[str, dict[str, Any]]:
        """What each method chose for a target: kept in a file."""
        path = self.work / "choices" / f"{seed}-{name}.json"
        if not path.exists():
            started = time.perf_counter()
            pool, lengths = self.pool(seed)
            found = choices(self.corpora, pool, lengths, self.plan, name, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{path.name}.{os.getpid()}")
            temporary.write_bytes(orjson.dumps(found))
            temporary.replace(path)
            print(f"chose for {name}, seed {seed}: {time.perf_counter() - started:.0f} s", flush=True)
        return orjson.loads(path.read_bytes())  # type: ignore[no-any-return]

    def cell(self, model: GPT, tokenizer: Tokenizer, name: str, method: str, seed: int, rate: float) -> dict[str, Any]:
        """Warm a copy of the model up on a choice, and measure it."""
        plan, started = self.plan, time.perf_counter()
        model, about, documents = copy.deepcopy(model), dict[str, Any](), 0
        if method != NOTHING:
            about = self.chosen(name, seed)[method]
            read = cut(encoded(tokenizer, [self.by_id[id].text for id in about.pop("ids")]), plan.tokens)
            documents = len(read)
            order = np.random.default_rng([seed, 4]).permutation(documents)
            train(model, windows([read[i] for i in order], plan.context), plan, rate)
        trained = time.perf_counter()
        target = measured(model, tokenizer, self.corpora.targets[name].held_out, plan)
        kept = measured(model, tokenizer, self.corpora.remembered, plan)
        return {
            "target": name,
            "method": method,
            "seed": seed,
            "rate": rate,
            "tokens": plan.tokens if documents else 0,
            "documents": documents,
            **about,
            "bits": target[0],
            "bytes": target[1],
            "kept_bits": kept[0],
            "kept_bytes": kept[1],
            "seconds": [round(trained - started, 1), round(time.perf_counter() - trained, 1)],
        }

    def fill(self, wanted: Sequence[tuple[str, str, int]], rate: float) -> None:
        """The cells that are not there yet: (target, method, seed)."""
        self.cells.parent.mkdir(parents=True, exist_ok=True)
        with self.cells.open("a+b") as file:
            # Half a line of a run that was killed must not swallow the next.
            if file.tell() and self.cells.read_bytes()[-1:] != b"\n":
                file.write(b"\n")
        done = {key(cell) for cell in read_cells(self.cells)}
        model, tokenizer = self.pretrained()
        for name, method, seed in wanted:
            tokens = 0 if method == NOTHING else self.plan.tokens
            if (name, method, seed, tokens, rate) in done:
                continue
            cell = self.cell(model, tokenizer, name, method, seed, rate)
            with self.cells.open("ab") as file:
                file.write(orjson.dumps(cell) + b"\n")
            bits = sum(cell["bits"]) / sum(cell["bytes"])
            print(f"{name}, {method}, seed {seed}: {bits:.4f} bits a byte, {cell['seconds']} s", flush=True)


def cut(documents: list[list[int]], tokens: int) -> list[list[int]]:
    """The first documents that hold exactly so many tokens, the last one cut."""
    left, found = tokens, []
    for document in documents:
        if left <= 0:
            break
        found.append(document[:left])
        left -= len(found[-1])
    if left:
        raise SystemExit(f"a choice holds {tokens - left} tokens; wanted {tokens}")
    return found


def measured(model: GPT, tokenizer: Tokenizer, texts: list[Text], plan: Plan) -> tuple[list[float], list[int]]:
    """Bits and bytes of held-out texts, summed in blocks."""
    bits = item_bits(model, encoded(tokenizer, [text.text for text in texts]), plan)
    block = np.arange(len(texts)) * plan.blocks // len(texts)
    sizes = np.array([len(text.text.encode()) for text in texts])
    return np.bincount(block, bits).round(1).tolist(), np.bincount(block, sizes).astype(int).tolist()


def key(cell: dict[str, Any]) -> tuple[str, str, int, int, float]:
    """What makes a cell."""
    return cell["target"], cell["method"], cell["seed"], cell["tokens"], cell["rate"]


def read_cells(path: Path) -> list[dict[str, Any]]:
    """The cells of a file; a line that a kill cut short is left out and measured again."""
    cells = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(orjson.JSONDecodeError):
            cells.append(orjson.loads(line))
    return cells


def order(names: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, str, int]]:
    """Every cell, in the order of what tells most: all that the first seed has of the main methods, then the tasks."""

    def block(of: Sequence[str], methods: Sequence[str], seed: int) -> list[tuple[str, str, int]]:
        return [(name, method, seed) for name in of for method in methods]

    first, *later = seeds
    others = [method for method in METHODS if method not in MAIN]
    tasks = [name for name in names if name in TASKS]
    cells = block(names, [NOTHING], 0) + block(names, MAIN, first)
    for seed in later:
        cells += block(tasks, CORE, seed)
        cells += [(name, method, first) for method in others for name in tasks]
    for seed in seeds:
        cells += block(names, MAIN, seed) + block(names, others, seed)
    return list(dict.fromkeys(cells))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("all", "pretrain", "choose", "tune"))
    parser.add_argument("--data", type=Path, required=True, help="candidates/*.jsonl.zst and tasks/*.jsonl.zst")
    parser.add_argument("--work", type=Path, required=True, help="model and choices are kept here")
    parser.add_argument("--cells", type=Path, default=RESULTS / "cells.jsonl")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--part", default="0/1", help="I/N: every N-th target (or rate) from the I-th")
    parser.add_argument("--tiny", action="store_true", help="the sizes of the test")
    given = parser.parse_args(arguments)
    # One thread in every library: several parts share the cores.
    torch.set_num_threads(1)
    threadpool_limits(1)
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    plan = TINY if given.tiny else Plan()
    part, parts = (int(number) for number in given.part.split("/"))
    names = plan.names[part::parts]
    tuning = given.what == "tune"
    cells = given.work / "tuning.jsonl" if tuning else given.cells
    run = Experiment(given.data, given.work, plan, cells, (TUNING,) if tuning else ())
    if given.what == "pretrain":
        run.pretrained()
    elif given.what == "choose":
        for seed in given.seeds:
            for name in names:
                run.chosen(name, seed)
    elif tuning:
        for rate in RATES[part::parts]:
            run.fill([(TUNING, method, 0) for method in (NOTHING, "random", "gotd")], rate)
    else:
        run.fill(order(names, given.seeds), plan.warmup_rate)


if __name__ == "__main__":
    main()
