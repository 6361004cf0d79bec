"""From a record to a document: which fields hold the text, the id, the source and the vector.

The rules are fixed once by `Fields`; `document_maker` turns them into one function, because it
runs for every row of the pool and must not look the rules up again each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gotd.corpus.documents import Document, Unusable
from gotd.corpus.texts import Record, field_list, known_text, one_field, parse_template, template_text
from gotd.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Fields:
    """Where in a record to look.

    Attributes:
        text: a field, or a template over several such as `"{title}\\n{abstract}"`; None tries `text`,
            `content`, chat `messages`, then alpaca `instruction`, `input`, `output`. Lines of a .txt
            file have no fields, so this does not touch them.
        id: a field that every record has; None takes `id` where it is there and makes one elsewhere.
        source: a field that every record has; None takes the file's name.
        embedding: a field with a list of finite numbers; None where vectors are computed.
        chunk_chars: join the texts of a file and cut them into pieces of this many characters.
        min_chars: shorter documents (pieces, where texts are cut) are rejected.
        text_per: whether a .txt file holds a document a line or is one.
        vector_length: how many numbers a vector must have; None takes any.
    """

    text: str | None = None
    id: str | None = None
    source: str | None = None
    embedding: str | None = None
    chunk_chars: int | None = None
    min_chars: int = 0
    text_per: Literal["line", "file"] = "line"
    vector_length: int | None = None

    def __post_init__(self) -> None:
        if self.chunk_chars is not None and not self.chunk_chars >= 1:
            raise SettingsError(f"chunk_chars is {self.chunk_chars}; wanted 1 or more characters.")
        if not self.min_chars >= 0:
            raise SettingsError(f"min_chars is {self.min_chars}; wanted 0 or more characters.")
        if self.text_per not in ("line", "file"):
            raise SettingsError(f'text_per is "{self.text_per}"; wanted "line" or "file".')
        if self.chunk_chars is not None and self.embedding is not None:
            raise SettingsError(
                f'chunk_chars and the embedding field "{self.embedding}" exclude each other: a given vector '
                "stands for a whole record. Drop one of the two."
            )
        if self.text is not None and "{" in self.text:
            parse_template(self.text)

    def of_target(self) -> Fields:
        """The same for a target: it needs neither ids nor sources, and keeps its short examples."""
        return replace(self, id=None, source=None, min_chars=0)

    def missing_columns(self, columns: Sequence[str]) -> list[str]:
        """The fields that a table with these columns lacks altogether; empty if it will serve."""
        wanted = [name for name in (self.id, self.source, self.embedding) if name is not None]
        if self.text is None:
            if not {"text", "content", "messages", "instruction"} & set(columns):
                wanted.append("text")
        elif "{" in self.text:
            wanted.extend(name for _, name in parse_template(self.text) if name is not None)
        else:
            wanted.append(self.text)
        return [name for name in wanted if name not in columns]


GivenFields = Fields | Mapping[str, Any]
"""All fields, or some of their names and what they are: `{"text": "body"}`."""


def fields_from(given: GivenFields | None, base: Fields) -> Fields:
    """What was given; of a mapping, its names put over `base`; where nothing was, `base`.

    Raises:
        SettingsError: a name that `Fields` does not have, or what is neither.
    """
    if given is None or isinstance(given, Fields):
        return given or base
    if not isinstance(given, Mapping):
        raise SettingsError(f'fields are {given!r:.60}; wanted gotd.Fields, or a mapping such as {{"text": "body"}}')
    known = list(Fields.__dataclass_fields__)
    for name in given:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            guess = f" Did you mean {near[0]}?" if near else ""
            raise SettingsError(f'no field "{name}"; known: {", ".join(known)}.{guess}')
    return replace(base, **given)


def document_maker(fields: Fields, source: str, *, plain: bool = False) -> Callable[[Record, bytes, int], Document]:
    """The function (record, its JSON bytes, position) -> Document; it raises `Unusable`.

    Args:
        source: the name of the file's source, for records that need not name theirs.
        plain: the records are lines of plain text, `{"text": line}`.
    """
    text_of = _text_rule(None if plain else fields.text)
    # Where texts are joined, a short one is part of a piece: the chunker holds pieces to min_chars.
    shortest = 0 if fields.chunk_chars is not None else fields.min_chars
    id_field, source_field, embedding, length = fields.id, fields.source, fields.embedding, fields.vector_length

    def make(row: Record, record: bytes, position: int) -> Document:
        text = text_of(row)
        check_length(text, shortest)
        where = source if source_field is None else _label(row, source_field, "source")
        if id_field is not None:
            name = _label(row, id_field, "id")
        else:
            given = row.get("id")
            if type(given) is str and given:
                name = given
            elif type(given) is int:
                name = str(given)
            else:
                name = stable_id(where, position, record)
        vector = None if embedding is None else vector_of(row, embedding, length)
        return Document(name, text, where, position, 0, record, vector)

    return make


def stable_id(source: str, position: int, record: bytes) -> str:
    """An id that is the same in each run and changes when the record does."""
    return f"{source}:{position:x}:{blake2b(record, digest_size=8).hexdigest()}"


def check_length(text: str, shortest: int) -> None:
    """Blank and too short texts say nothing about their source."""
    if not text or text.isspace():
        raise Unusable("text-blank", "found a blank text, wanted words. Fill it in or remove the row.")
    if len(text) < shortest:
        raise Unusable(
            "text-too-short",
            f"found a text of {len(text)} characters, wanted {shortest} or more. Lower min_chars to keep it.",
        )


def vector_of(row: Record, name: str, length: int | None) -> NDArray[np.float32]:
    """The vector that a record carries, checked: (d,) float32, finite, of this length if one is given."""
    value = row.get(name)
    if value is None:
        raise Unusable(
            "vector-missing",
            f'no vector in "{name}"; found {field_list(row)}. Pass another --embedding-field.',
        )
    if not isinstance(value, list) or not value or not all(type(x) in (int, float) for x in value):
        raise Unusable(
            "vector-not-numbers",
            f'found {_shape(value)} in "{name}", wanted a list of numbers. Mend the row.',
        )
    if length is not None and len(value) != length:
        raise Unusable(
            "vector-length",
            f'found {len(value)} numbers in "{name}", wanted {length} as in the others. Embed the row alike.',
        )
    with np.errstate(over="ignore"):
        vector = np.asarray(value, dtype=np.float64).astype(np.float32)
    finite = np.isfinite(vector)
    if not finite.all():
        at = int(np.flatnonzero(~finite)[0])
        raise Unusable(
            "vector-nan",
            f'found {value[at]} at index {at} of "{name}", wanted finite float32. Embed the row again.',
        )
    return vector


def _shape(value: object) -> str:
    if isinstance(value, list):
        odd = next((x for x in value if type(x) not in (int, float)), None)
        return f"a list with {type(odd).__name__} in it" if value else "an empty list"
    return type(value).__name__


def _text_rule(text: str | None) -> Callable[[Record], str]:
    if text is None:
        return known_text
    if "{" in text:
        parts = parse_template(text)
        return lambda row: template_text(row, parts)
    return lambda row: one_field(row, text)


def _label(row: Record, name: str, what: str) -> str:
    value = row.get(name)
    if type(value) is str and value:
        return value
    if type(value) is int:
        return str(value)
    if value is None or value == "":
        raise Unusable(
            f"{what}-missing",
            f'no {what} in "{name}"; found {field_list(row)}. Pass another --{what}-field or mend the row.',
        )
    raise Unusable(
        f"{what}-not-text",
        f'found {type(value).__name__} in "{name}", wanted a string or an integer as {what}. Mend the row.',
    )
