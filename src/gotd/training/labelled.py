"""Labelled examples: one text or a pair, and the name of its class."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from gotd.corpus import Document, Fields, File, Inputs, Shard, find, read
from gotd.corpus.texts import field_list
from gotd.errors import InputError, SettingsError

HELD_OUT = 0.1


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a record to look.

    Attributes:
        label: field with the class: a string, an integer or a boolean. None for texts without.
        text: field or template with the text; None as in `Fields`.
        pair: field with a second text, for tasks on pairs.
    """

    label: str | None
    text: str | None = None
    pair: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """One row."""

    text: str
    pair: str | None
    label: str | None


def read_examples(data: Inputs, columns: Columns, what: str) -> list[Example]:
    """Every row; labelled data are small and checked by hand, so the first bad row stops.

    Raises:
        InputError: a row without text, pair or label; or no row.
    """
    fields = Fields(text=columns.text)
    found = []
    files = find(data)
    for file in files:
        for row, item in enumerate(read(Shard(file, 0, 0, -1), fields, "fail")):
            assert isinstance(item, Document)
            found.append(_example(item, columns, file, row + 1))
    if not found:
        raise InputError(f"the {what} holds no example; {files[0].path} is empty")
    return found


def _example(document: Document, columns: Columns, file: File, row: int) -> Example:
    record = orjson.loads(document.record)
    where = f"{file.path}:{row + (file.format in ('csv', 'tsv'))}"
    pair = None
    if columns.pair is not None:
        pair = record.get(columns.pair)
        if type(pair) is not str:
            raise InputError(_missing(where, "second text", columns.pair, record, "--pair-field"))
    label = None
    if columns.label is not None:
        given = record.get(columns.label)
        if given is None or given == "":
            raise InputError(_missing(where, "label", columns.label, record, "--label-field"))
        if type(given) not in (str, int, bool):
            raise InputError(
                f'{where}: found {type(given).__name__} in "{columns.label}", wanted the name or number of a class. '
                "Mend the row."
            )
        label = str(given)
    return Example(document.text, pair, label)


def _missing(where: str, what: str, name: str, record: dict[str, Any], flag: str) -> str:
    return f'{where}: no {what} in "{name}"; found {field_list(record)}. Pass another {flag} or mend the row.'


def classes_of(examples: Sequence[Example], what: str) -> list[str]:
    """The names of the classes, in order of their numbers or letters.

    Raises:
        InputError: fewer than two.
    """
    names = {example.label for example in examples if example.label is not None}
    if len(names) < 2:
        raise InputError(
            f"the {what} has one class only, {next(iter(names), None)!r}, in {len(examples)} examples; "
            "wanted two or more. Pass another --label-field or add examples"
        )
    numbers = all(re.fullmatch(r"-?\d+", name) for name in names)
    return sorted(names, key=int) if numbers else sorted(names)


def check_classes(examples: Sequence[Example], classes: Sequence[str], what: str) -> None:
    """Refuse classes that the model does not know."""
    for label, count in Counter(example.label for example in examples).items():
        if label not in classes:
            known = ", ".join(classes[:8]) + (", ..." if len(classes) > 8 else "")
            raise InputError(f"the {what} has {count} examples of class {label!r}; the training data has only {known}")


def stratified(examples: Sequence[Example], size: int, seed: int) -> tuple[list[Example], list[Example]]:
    """`size` examples with the shares of the classes as they are, and the rest; both in the order given.

    Classes get the whole part of their share, then those with the largest remainder one more; none stays empty
    where there is room for all.
    """
    if size >= len(examples):
        return list(examples), []
    rng = np.random.default_rng(seed)
    rows: dict[str | None, list[int]] = defaultdict(list)
    for i in rng.permutation(len(examples)):
        rows[examples[i].label].append(int(i))
    labels = sorted(rows, key=str)
    shares = np.array([len(rows[label]) * size / len(examples) for label in labels])
    taken = np.floor(shares).astype(int)
    if size >= len(labels):
        taken = np.maximum(taken, 1)
    # A class that was given its first has had more than its share.
    remainders = np.argsort(-(shares - taken), kind="stable")
    for place in remainders[: max(0, size - taken.sum())]:
        taken[place] += 1
    while taken.sum() > size:
        taken[np.argmax(taken)] -= 1
    chosen = {i for label, count in zip(labels, taken) for i in rows[label][:count]}
    inside = [example for i, example in enumerate(examples) if i in chosen]
    return inside, [example for i, example in enumerate(examples) if i not in chosen]


def held_out(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """A tenth to choose the checkpoint by, and the rest, which keeps every class: no only example is held out."""
    size = max(1, round(HELD_OUT * len(examples)))
    rest, judged = stratified(examples, len(examples) - size, seed)
    return judged, rest


def documents_of(text: str | int) -> int:
    """`5000docs` or 5000, as a number."""
    found = re.fullmatch(r"\s*([0-9][0-9_,]*)\s*(docs?|documents?|examples?)?\s*", str(text))
    size = int(re.sub("[_,]", "", found[1])) if found else 0
    if size < 1:
        raise SettingsError(f'max-train is "{text}"; wanted a number of examples, such as 5000docs')
    return size
