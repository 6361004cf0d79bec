"""Settings of gotd, one changed at a time, judged on tasks that the comparison does not use: where defaults come from.

    python experiments/known_pretraining/settings.py --data DIR --work DIR [--seeds 0 1] [--part 0/2]

One budget, the middle one; the loss after the warm-up, in bits a byte. `settings.jsonl` has a line a cell, and a killed
run goes on; without `--part` it ends with the table: each setting less the default, mean over the tasks, with how many
tasks are better and 95 % of resampled tasks.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from analyse import table
from choices import Walk, first
from gpt import GPT
from plan import Plan
from run import NOTHING, RESULTS, Experiment, Key, measured, read_cells
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer

from gotd import FitSettings
from gotd.encoders import fit_encoder
from gotd.stages.fit import fitted

DEVELOPMENT = ("rte", "cola", "mrpc", "sst2", "stsb", "paradetox", "toxic_spans_civil")
DEFAULT = "default"
# What is changed of FitSettings; `rounds` is of the walk.
CHANGES: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "reg .05": {"reg": 0.05},
    "reg .2": {"reg": 0.2},
    "no trimming": {"trim": 0.0},
    "trim 5 %": {"trim": 0.05},
    "whitened by half, reg .2": {"whiten": 0.5, "reg": 0.2},
    "reg .03": {"reg": 0.03},
    "5 rounds": {"rounds": 5},
    "5 rounds, reg .05": {"rounds": 5, "reg": 0.05},
    "static": {"encoder": "static"},
    "lsa+static": {"encoder": "lsa+static"},
    "lsa+static, reg .05": {"encoder": "lsa+static", "reg": 0.05},
}

# For each setting of a task and seed the ids it chose.
Orders = Callable[[Experiment, str, int], Iterator[tuple[str, list[str]]]]


def middle(plan: Plan) -> int:
    """The middle budget, in tokens."""
    return plan.budgets[len(plan.budgets) // 2]


def orders(run: Experiment, name: str, seed: int) -> Iterator[tuple[str, list[str]]]:
    """For each setting the ids it chose."""
    plan, (pool, lengths) = run.plan, run.pool(seed)
    examples, _ = run.corpora.examples(plan, name, seed)
    reference = [item.text for item in run.corpora.reference(plan, seed)]
    aim, texts = [item.text for item in examples], [item.text for item in pool]
    vectors = {}
    for title, given in CHANGES.items():
        change = dict(given)
        kind, rounds = change.pop("encoder", "lsa"), change.pop("rounds", 1)
        if kind not in vectors:
            encoder = fit_encoder(kind, reference + aim, seed=seed)
            vectors[kind] = (encoder, *(encoder.encode(part) for part in (reference, aim, texts)))
        encoder, known, wanted, points = vectors[kind]
        potential = fitted(encoder, known, wanted, replace(FitSettings(encoder=kind, seed=seed), **change))
        order = np.argsort(potential.score(points), kind="stable")
        rows = first(Walk(pool, lengths, potential)(order, middle(plan), rounds), lengths, middle(plan))
        yield title, [pool[row].id for row in rows]


def cells(
    run: Experiment, name: str, seed: int, tokens: int, titles: Iterable[str], orders: Orders, kept: Path
) -> Iterator[dict[str, Any]]:
    """The cells of one task and seed that the file does not have yet."""
    done = {(cell["target"], cell["setting"], cell["seed"]) for cell in read_cells(kept)}
    if all((name, title, seed) in done for title in (NOTHING, *titles)):
        return
    plan, (model, tokenizer) = run.plan, run.pretrained()
    key = Key(name, NOTHING, seed, tokens, plan.warmup_rate, plan.finetune_rate)
    if (name, NOTHING, seed) not in done:
        yield _cell(run, model, tokenizer, key)
    for title, ids in orders(run, name, seed):
        if (name, title, seed) in done:
            continue
        warm = copy.deepcopy(model)
        run.warm_up(warm, tokenizer, ids, key)
        yield _cell(run, warm, tokenizer, key._replace(method=title))


def _cell(run: Experiment, model: GPT, tokenizer: Tokenizer, key: Key) -> dict[str, Any]:
    bits, sizes = measured(model, tokenizer, run.corpora.targets[key.target].held_out, run.plan)
    return {"target": key.target, "setting": key.method, "seed": key.seed, "bits": sum(bits) / sum(sizes)}


def filled(
    run: Experiment, names: Sequence[str], seeds: Sequence[int], tokens: int, titles: Iterable[str], orders: Orders
) -> None:
    """Add to the file of `run` what it lacks."""
    for seed in seeds:
        for name in names:
            for cell in cells(run, name, seed, tokens, titles, orders, run.cells):
                with run.cells.open("ab") as file:
                    file.write(orjson.dumps(cell) + b"\n")
                print(cell, flush=True)


def told(found: Sequence[dict[str, Any]], titles: Iterable[str], default: str) -> str:
    """Markdown: each setting less the default, thousandths of a bit a byte."""
    loss = {(cell["target"], cell["setting"], cell["seed"]): cell["bits"] for cell in found}
    rng, rows = np.random.default_rng(0), []
    for title in (NOTHING, *titles):
        pairs = [(task, loss[task, title, s] - loss[task, default, s]) for task, c, s in loss if c == title]
        if title == default or not pairs:
            continue
        means = np.array([np.mean([d for task, d in pairs if task == name]) for name in {task for task, _ in pairs}])
        drawn = rng.choice(means, (2_000, len(means))).mean(1)
        low, high = np.quantile(drawn, (0.025, 0.975))
        shown = f"{1000 * means.mean():+.1f} [{1000 * low:+.1f}, {1000 * high:+.1f}]"
        rows.append([title, shown, f"{(means < 0).sum()} of {len(means)}", str(len(pairs))])
    return table(["less default", "tasks drawn again", "better in", "pairs"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="where run.py keeps the model")
    parser.add_argument("--cells", type=Path, default=RESULTS / "settings.jsonl")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--part", help="I/N: every N-th task from the I-th")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    threadpool_limits(1)
    part, parts = (int(number) for number in (given.part or "0/1").split("/"))
    run = Experiment(given.data, given.work, Plan(), given.cells, DEVELOPMENT)
    filled(run, DEVELOPMENT[part::parts], given.seeds, middle(run.plan), CHANGES, orders)
    if given.part is None:
        print(told(read_cells(given.cells), CHANGES, DEFAULT))


if __name__ == "__main__":
    main()
