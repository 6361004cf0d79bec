"""How a task is put into words for a model that was not trained on it.

A template is JSON: `prompts` with fields of the record in braces, and for each class its `names` in the data and the
`word` that stands for it, with the space that goes before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson

from gotd.corpus.texts import parse_template
from gotd.errors import InputError, SettingsError

SHIPPED = ("agnews", "boolq")


@dataclass(frozen=True, slots=True)
class Template:
    """A task in words.

    Attributes:
        name: as the user wrote it.
        prompts: with fields of the record in braces.
        classes: the first name of each class.
        names: every name of a class, and the class's number.
        words: of each class.
    """

    name: str
    prompts: list[str]
    classes: list[str]
    names: dict[str, int]
    words: list[str]


def load_template(name: str) -> Template:
    """A shipped template, or one in a JSON file.

    Raises:
        SettingsError: no such template. InputError: the file does not hold one.
    """
    if name in SHIPPED:
        text = files(__name__).joinpath(f"{name}.json").read_bytes()
    elif Path(name).is_file():
        text = Path(name).read_bytes()
    else:
        raise SettingsError(f'no template "{name}" and no such file; wanted {", ".join(SHIPPED)} or a JSON file')
    try:
        found = orjson.loads(text)
        return _template(name, found)
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f'{name}: no template ({error!r}); wanted {{"prompts": ["{{text}} It is"], "labels": '
            '[{"names": ["0"], "word": " bad"}, {"names": ["1"], "word": " good"}]}'
        ) from error


def _template(name: str, found: dict[str, Any]) -> Template:
    labels = found["labels"]
    given = list(_names(labels))
    names = dict(given)
    for one, number in given:
        if names[one] != number:
            raise InputError(f"{name}: two labels are called {one}; wanted a name of one class alone")
    if len(labels) < 2 or not found["prompts"]:
        raise InputError(f"{name}: found {len(found['prompts'])} prompts and {len(labels)} labels; wanted 1 and 2")
    words = [str(label["word"]) for label in labels]
    for prompt in found["prompts"]:
        if all(field is None for _, field in parse_template(prompt)):
            raise InputError(f'{name}: the prompt "{prompt}" names no field of the record, such as {{text}}')
    return Template(
        name,
        list(found["prompts"]),
        [str(label["names"][0]) for label in labels],
        names,
        words,
    )


def _names(labels: list[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    for number, label in enumerate(labels):
        for name in label["names"]:
            yield str(name), number
