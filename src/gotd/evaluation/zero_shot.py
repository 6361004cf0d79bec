"""Classification without training: which label's words does the model expect after the prompt?

    class(x) = argmax_c mean over prompts of (1 / |w_c|) log p(w_c | prompt(x))

w_c are the words of class c and |w_c| their tokens: without the division short words would win (Brown et al. 2020).
Words that are likely after anything win all the same; `prior` takes off what they have without the text (Holtzman et
al. 2021),

    class(x) = argmax_c mean over prompts of log p(w_c | prompt(x)) - log p(w_c | prompt with its fields empty)

Causal models only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from gotd.corpus import Document, Fields, Inputs, Shard, find, read
from gotd.corpus.texts import field_list, parse_template, template_text
from gotd.engine import Progress, silent
from gotd.errors import InputError, SettingsError
from gotd.evaluation.classification import Classified, Judged
from gotd.evaluation.likelihood import language_model, nats_of, start_token
from gotd.evaluation.metrics import Labels
from gotd.evaluation.templates import Template, load_template
from gotd.training.memory import room_for
from gotd.training.models import check_finished, need_training

Normalise = Literal["tokens", "bytes", "none", "prior"]
NORMALISE = ("tokens", "bytes", "none", "prior")


@dataclass(frozen=True, slots=True)
class _Row:
    """One prompt with one label's words: the last `scored` of `ids` are the words."""

    ids: list[int]
    scored: int


def zero_shot(
    model: str,
    data: Inputs,
    template: str,
    *,
    label_field: str = "label",
    normalise: Normalise = "tokens",
    window: int | None = None,
    batch: int = 8,
    device: str = "auto",
    seed: int = 0,
    progress: Progress = silent,
) -> Classified:
    """Judge a language model on labelled examples that it was not trained on.

    Args:
        template: `agnews`, `boolq`, or a JSON file (see `gotd.evaluation.templates`).
        normalise: by what a log-likelihood is divided: the label's `tokens`, its `bytes`, or `none`; `prior` takes off
            that of the label where the prompt's fields are empty.
        window: tokens at once; a longer prompt loses its beginning, and is counted.
        batch: prompts with a label at a time.
        seed: of the bootstrap.
    """
    return guessed(model, data, template, label_field, normalise, window, batch, device, progress).summary(seed)


def guessed(
    model: str,
    data: Inputs,
    template: str,
    label_field: str = "label",
    normalise: Normalise = "tokens",
    window: int | None = None,
    batch: int = 8,
    device: str = "auto",
    progress: Progress = silent,
) -> Judged:
    """The likeliest class of each document."""
    need_training("evaluate zero-shot")
    check_finished(model)
    if normalise not in NORMALISE:
        raise SettingsError(f'normalise is "{normalise}"; wanted {", ".join(NORMALISE)}')
    task = load_template(template)
    prompts, true = read_prompts(data, task, label_field)
    if normalise == "prior":
        prompts = [[*filled, _blank(prompt)] for filled, prompt in zip(prompts, task.prompts)]
    reader = language_model(model, device, window, causal=True)
    rows, cut = _rows(prompts, task, reader.tokenizer, reader.window)
    with room_for(f"{batch} prompts", f"--batch-size {max(1, batch // 2)}"):
        likelihoods = _likelihoods(reader.model, rows, batch, progress)
    shape = len(task.prompts), -1, len(task.words)
    scores = likelihoods.reshape(shape)
    if normalise == "tokens":
        scores = scores / np.array([row.scored for row in rows]).reshape(shape)
    elif normalise == "bytes":
        scores = scores / np.array([len(word.encode()) for word in task.words])
    elif normalise == "prior":
        scores = scores[:, :-1] - scores[:, -1:]
    # (prompts of the task, documents, classes) -> (documents,)
    predicted = scores.mean(0).argmax(1)
    return Judged(true, [predicted], task.classes, cut, reader.window, [model])


def read_prompts(data: Inputs, task: Template, label_field: str) -> tuple[list[list[str]], Labels]:
    """The filled prompts of every record, and the number of its class.

    Raises:
        InputError: a record lacks its label, or has one that the template does not know.
    """
    prompts: list[list[str]] = [[] for _ in task.prompts]
    others = [parse_template(prompt) for prompt in task.prompts[1:]]
    true = []
    for file in find(data):
        for row, item in enumerate(read(Shard(file, 0, 0, -1), Fields(text=task.prompts[0]), "fail")):
            assert isinstance(item, Document)
            record = orjson.loads(item.record)
            where = f"{file.path}:{row + 1 + (file.format in ('csv', 'tsv'))}"
            label = record.get(label_field)
            if label is None:
                raise InputError(f'{where}: no label in "{label_field}"; found {field_list(record)}. Mend the row')
            if str(label) not in task.names:
                known = ", ".join(task.names)
                raise InputError(f"{where}: found class {label!r}, and the template {task.name} knows {known}")
            true.append(task.names[str(label)])
            prompts[0].append(item.text)
            for filled, parts in zip(prompts[1:], others):
                filled.append(template_text(record, parts))
    if not true:
        raise InputError("the data hold no example")
    return prompts, np.array(true)


def _blank(prompt: str) -> str:
    """The prompt with its fields empty."""
    return "".join(literal for literal, _ in parse_template(prompt))


def _rows(prompts: Sequence[Sequence[str]], task: Template, tokenizer: Any, longest: int) -> tuple[list[_Row], int]:
    """Every prompt with every label's words, cut from the left to the window; and how many prompts were cut."""
    first = start_token(tokenizer)
    rows, cut = [], 0
    for filled in prompts:
        for prompt in filled:
            before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            too_long = False
            for word in task.words:
                ids = tokenizer(prompt + word, add_special_tokens=False)["input_ids"]
                # Some tokenizers join the prompt's last blank to the word: what both have in common is the prompt.
                scored = len(ids) - sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, ids)))
                if scored < 1:
                    raise SettingsError(f"the label {word!r} adds no token to the prompt; begin it with a space")
                too_long |= len(ids) + 1 > longest
                rows.append(_Row([first, *ids[-(longest - 1) :]], min(scored, longest - 1)))
            cut += too_long
    return rows, cut


def _likelihoods(model: Any, rows: Sequence[_Row], batch: int, progress: Progress) -> NDArray[np.float64]:
    """(rows,) log-likelihood of the words of each row."""
    found = np.empty(len(rows))
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].ids))
    for start in range(0, len(order), batch):
        group = order[start : start + batch]
        progress("scoring", start, len(order))
        nats = nats_of(model, [rows[i].ids for i in group], [rows[i].scored for i in group])
        found[group] = -np.array(nats)
    return found
