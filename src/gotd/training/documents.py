"""The texts that a model reads: a selection of gotd, or any files of the corpus reader."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gotd.artifacts import MANIFEST, read_json
from gotd.corpus import Fields, Inputs, OnError, Reject, find, sample
from gotd.encoders.local import file_digest
from gotd.errors import InputError, SettingsError

_SELECTIONS = ("select", "choose")


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts and where they came from.

    Attributes:
        texts: in the order of the files; of a selection, best first.
        rejects: rows that gave no text.
        rows: rows read.
    """

    texts: list[str]
    rejects: list[Reject]
    rows: int


def inputs_of(data: Inputs) -> list[str]:
    """Path and digest of each file, without reading the texts."""
    chosen = selection_folder(data)
    if chosen is not None:
        return [f"{chosen.resolve()} {file_digest(chosen / 'selected.arrow')}"]
    return [file.as_input for file in find(data)]


def check_dev(train: Sequence[str], dev: Sequence[str]) -> None:
    """SettingsError where a file of dev is one of training too, by content; both as `inputs_of` has them."""
    if {line.split()[-1] for line in dev} & {line.split()[-1] for line in train}:
        raise SettingsError("a file of --dev is one of --train too; a checkpoint is chosen on what was not trained")


def texts_of(
    data: Inputs,
    fields: Fields | None = None,
    *,
    size: int | None = None,
    seed: int = 0,
    on_error: OnError = "skip",
    what: str = "data",
) -> Texts:
    """Read all texts, or a uniform sample of `size` of them.

    Of a folder made by `gotd select` or `gotd choose` the chosen texts are read, as they were scored, and not the
    scores of the others that lie beside them.

    Args:
        what: the name of the data in messages.
    """
    chosen = selection_folder(data)
    if chosen is not None:
        from gotd.stages.selected import Selection

        texts = Selection.load(chosen).to_arrow()["text"].to_pylist()
        return Texts(texts[:size], [], len(texts))
    files = find(data)
    found = sample(files, replace(fields or Fields(), embedding=None), size, seed, on_error)
    if not found.documents:
        why = found.rejects[0].message if found.rejects else f"{files[0].path} is empty"
        raise InputError(f"the {what} holds no document; {why}")
    return Texts([document.text for document in found.documents], found.rejects, found.rows)


def selection_folder(data: Inputs) -> Path | None:
    """The folder of a finished selection, if that is what the data is."""
    several: Sequence[str | os.PathLike[str]] = [data] if isinstance(data, (str, os.PathLike)) else data
    if len(several) != 1 or "://" in os.fspath(several[0]):
        return None
    folder = Path(several[0])
    if not (folder / MANIFEST).is_file() or read_json(folder / MANIFEST).get("kind") not in _SELECTIONS:
        return None
    return folder
