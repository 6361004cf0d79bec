"""Pretrain on a known mixture, choose, warm up, fine-tune, measure: one JSON line a cell; a killed run goes on.

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
from typing import Any, NamedTuple

import numpy as np
import orjson
import torch
from choices import METHODS, choices
from gpt import GPT, encoded, item_bits, pretrained, train, windows
from numpy.typing import NDArray
from plan import LARGE, MEDIUM, TINY, TUNING, Plan
from texts import Text, deal
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer

RATES = (1e-4, 3e-4, 1e-3, 3e-3)
SIZES = {"small": Plan(), "medium": MEDIUM, "large": LARGE, "tiny": TINY}
NOTHING = "no warm-up"
RESULTS = Path(__file__).resolve().parents[1] / "results" / "known_pretraining"


class Key(NamedTuple):
    """What makes a cell: `tokens` and `rate` of the warm-up, `tuned_rate` of stage II."""

    target: str
    method: str
    seed: int
    tokens: int
    rate: float
    tuned_rate: float


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

    def chosen(self, name: str, seed: int) -> dict[str, dict[str, dict[str, Any]]]:
        """What each method chose for a target at each budget: kept in a file."""
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

    def cell(self, model: GPT, tokenizer: Tokenizer, wanted: Key) -> dict[str, Any]:
        """Warm a copy of the model up on a choice and measure it, then fine-tune it on the target and measure again."""
        plan, started = self.plan, time.perf_counter()
        model, about, documents = copy.deepcopy(model), dict[str, Any](), 0
        if wanted.tokens:
            about = self.chosen(wanted.target, wanted.seed)[wanted.method][str(wanted.tokens)]
            documents = self.warm_up(model, tokenizer, about.pop("ids"), wanted)
        held_out = self.corpora.targets[wanted.target].held_out
        warm = measured(model, tokenizer, held_out, plan)
        kept = measured(model, tokenizer, self.corpora.remembered, plan)
        self.finetune(model, tokenizer, wanted)
        tuned = measured(model, tokenizer, held_out, plan)
        return {
            **wanted._asdict(),
            "documents": documents,
            **about,
            "bits": warm[0],
            "tuned_bits": tuned[0],
            "bytes": warm[1],
            "kept_bits": kept[0],
            "kept_bytes": kept[1],
            "seconds": round(time.perf_counter() - started, 1),
        }

    def warm_up(self, model: GPT, tokenizer: Tokenizer, ids: Sequence[str], wanted: Key) -> int:
        """Stage I: exactly as many tokens of a choice as wanted, in an order of the seed's; how many documents."""
        read = cut(encoded(tokenizer, [self.by_id[id].text for id in ids]), wanted.tokens)
        order = np.random.default_rng([wanted.seed, 4]).permutation(len(read))
        train(model, windows([read[i] for i in order], self.plan.context), self.plan, wanted.rate)
        return len(read)

    def finetune(self, model: GPT, tokenizer: Tokenizer, wanted: Key) -> None:
        """Stage II: the target's examples, those that the selector was shown, the same for every method."""
        examples, _ = self.corpora.examples(self.plan, wanted.target, wanted.seed)
        read = encoded(tokenizer, [item.text for item in examples])
        while sum(map(len, read)) < self.plan.finetune:
            read = read + read
        rows = windows(cut(read, self.plan.finetune), self.plan.context)
        train(model, rows, self.plan, wanted.tuned_rate)

    def fill(self, wanted: Sequence[Key]) -> None:
        """The cells that are not there yet."""
        self.cells.parent.mkdir(parents=True, exist_ok=True)
        with self.cells.open("a+b") as file:
            # Half a line of a run that was killed must not swallow the next.
            if file.tell() and self.cells.read_bytes()[-1:] != b"\n":
                file.write(b"\n")
        done = {Key(*(cell[name] for name in Key._fields)) for cell in read_cells(self.cells)}
        model, tokenizer = self.pretrained()
        for key in wanted:
            if key in done:
                continue
            cell = self.cell(model, tokenizer, key)
            with self.cells.open("ab") as file:
                file.write(orjson.dumps(cell) + b"\n")
            warm, tuned = (sum(cell[bits]) / sum(cell["bytes"]) for bits in ("bits", "tuned_bits"))
            print(*key, f"{warm:.4f}, tuned {tuned:.4f} bits a byte, {cell['seconds']} s", sep=", ", flush=True)


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


def read_cells(path: Path) -> list[dict[str, Any]]:
    """The cells of a file; a line that a kill cut short is left out and measured again."""
    cells = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(orjson.JSONDecodeError):
            cells.append(orjson.loads(line))
    return cells


def every_cell(plan: Plan, names: Sequence[str], seeds: Sequence[int]) -> list[Key]:
    """Seed by seed; within a seed target by target, each with all methods and budgets."""
    rates = plan.warmup_rate, plan.finetune_rate
    return [
        Key(name, method, seed, tokens, *rates)
        for seed in seeds
        for name in names
        for method in (NOTHING, *METHODS)
        for tokens in ((0,) if method == NOTHING else plan.budgets)
    ]


def tuning(plan: Plan) -> list[Key]:
    """The rate of stage II without a warm-up, and that of the warm-up, on a target that is none of the others."""
    middle = plan.budgets[len(plan.budgets) // 2]
    cells = [Key(TUNING, NOTHING, 0, 0, plan.warmup_rate, rate) for rate in RATES]
    return cells + [
        Key(TUNING, method, 0, middle, rate, plan.finetune_rate) for rate in RATES for method in ("random", "gotd")
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("all", "pretrain", "choose", "tune"))
    parser.add_argument("--data", type=Path, required=True, help="candidates/*.jsonl.zst and tasks/*.jsonl.zst")
    parser.add_argument("--work", type=Path, required=True, help="model and choices are kept here")
    parser.add_argument("--cells", type=Path, default=RESULTS / "cells.jsonl")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--part", default="0/1", help="I/N: every N-th target from the I-th")
    parser.add_argument("--size", choices=SIZES, default="small", help="large is for a GPU, tiny for the test")
    given = parser.parse_args(arguments)
    # One thread in every library: several parts share the cores.
    torch.set_num_threads(1)
    threadpool_limits(1)
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    plan = SIZES[given.size]
    part, parts = (int(number) for number in given.part.split("/"))
    names = plan.names[part::parts]
    tunes = given.what == "tune"
    cells = given.work / "tuning.jsonl" if tunes else given.cells
    run = Experiment(given.data, given.work, plan, cells, (TUNING,) if tunes else ())
    if given.what == "pretrain":
        run.pretrained()
    elif given.what == "choose":
        for seed in given.seeds:
            for name in names:
                run.chosen(name, seed)
    else:
        run.fill(tuning(plan) if tunes else every_cell(plan, names, given.seeds))


if __name__ == "__main__":
    main()
