"""The files that the comparisons read, from a data folder: a task's splits apart, and no more of each than asked for.

    python experiments/splits.py --data DATA --output data
    python experiments/splits.py --data DATA --output data --candidates 3000 --dev 200 --test 500

DATA holds `candidates/*.jsonl.zst`, `{"text"}`, and `tasks/*.jsonl.zst`, `{"text", "label", "split"}`. What comes out:

candidates/NAME.jsonl.zst       the pool, `--candidates` a source
held-out/general.jsonl.zst      `--general` texts a source that are not in the pool, for what is forgotten
tasks/NAME/SPLIT.jsonl.zst      train, dev, test; of a task that has dev alone a fifth is its target, the rest its test
detox/                          clean and toxic: ParaDetox and Civil Comments, train, and both with labels; prompts; dev

Rows are drawn uniformly, with one seed, whatever the order of the files.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import zstandard

Row = dict[str, Any]
SEED = 0
DETOX = ("paradetox", "toxic_spans_civil")
PROMPTS = "rtp_toxic_prompts"
TONE = 8_000  # labelled sentences that an encoder is tuned on
TARGET_SHARE = 5  # of a task that has but dev: one row in so many is the target, the others judge


def read(path: Path) -> list[Row]:
    """All rows of a file, in random order."""
    with zstandard.open(path, "rb") as file:
        rows = [orjson.loads(line) for line in file.read().split(b"\n") if line.strip()]
    random.Random(f"{SEED} {path.name}").shuffle(rows)
    return rows


def write(path: Path, rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    path.write_bytes(zstandard.compress(lines))


def pool(data: Path, output: Path, most: int | None, general: int) -> None:
    """Candidates, and held-out text of the same sources."""
    kept: list[Row] = []
    for path in sorted((data / "candidates").glob("*.jsonl.zst")):
        rows = [{"text": row["text"], "source": path.name.partition(".")[0]} for row in read(path)]
        kept += rows[:general]
        write(output / "candidates" / path.name, rows[general:][:most])
    write(output / "held-out" / "general.jsonl.zst", kept)


def splits(path: Path, sizes: dict[str, int | None]) -> dict[str, list[Row]]:
    """Rows by split; a text that stands in two of them stays in the one that judges."""
    found: dict[str, list[Row]] = defaultdict(list)
    seen: set[str] = set()
    for split in ("test", "dev", "train"):
        for row in read(path):
            if row["split"] != split or " ".join(row["text"].split()) in seen:
                continue
            found[split].append({name: row[name] for name in ("text", "text2", "label") if row.get(name) is not None})
        seen |= {" ".join(row["text"].split()) for row in found[split]}
    if not found["train"]:
        rows = found.pop("dev")
        found["target"] = rows[::TARGET_SHARE]
        shown = {row["text"] for row in found["target"]}  # a passage of several questions is on one side alone
        found["test"] = [row for row in rows if row["text"] not in shown]
    elif not found["test"]:
        found["test"] = found.pop("dev")
    return {split: rows[: sizes.get(split)] for split, rows in found.items() if rows}


def detox(data: Path, output: Path) -> None:
    """Clean texts to go to, toxic ones to leave, and prompts that lead to toxic ones."""
    by_label: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for name in DETOX:
        for row in read(data / "tasks" / f"{name}.jsonl.zst"):
            # What Civil Comments calls 0 has no toxic span and is rude all the same: no example of what is wanted.
            if row["label"] == 1 or name == "paradetox":
                kind = "toxic" if row["label"] == 1 else "clean"
                by_label[row["split"], kind].append({"text": row["text"]})
    for (split, kind), rows in by_label.items():
        if split in ("train", "dev"):
            write(output / "detox" / f"{kind}-{split}.jsonl.zst", rows)
    told = [{**row, "label": kind} for kind in ("clean", "toxic") for row in by_label["train", kind]]
    random.Random(SEED).shuffle(told)
    write(output / "detox" / "tone-train.jsonl.zst", told[:TONE])
    prompts = [{"text": row["text"], "kind": row["label"]} for row in read(data / "tasks" / f"{PROMPTS}.jsonl.zst")]
    write(output / "detox" / "prompts.jsonl.zst", prompts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--candidates", type=int, help="documents a source, at most; left out, all")
    parser.add_argument("--general", type=int, default=20, help="held-out documents a source")
    parser.add_argument("--train", type=int)
    parser.add_argument("--dev", type=int)
    parser.add_argument("--test", type=int)
    asked = parser.parse_args(arguments)
    pool(asked.data, asked.output, asked.candidates, asked.general)
    sizes = {"train": asked.train, "dev": asked.dev, "test": asked.test}
    for path in sorted((asked.data / "tasks").glob("*.jsonl.zst")):
        name = path.name.partition(".")[0]
        if name in (*DETOX, PROMPTS):
            continue
        for split, rows in splits(path, sizes).items():
            write(asked.output / "tasks" / name / f"{split}.jsonl.zst", rows)
    if (asked.data / "tasks" / f"{PROMPTS}.jsonl.zst").exists():
        detox(asked.data, asked.output)


if __name__ == "__main__":
    main()
