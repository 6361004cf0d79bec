"""The texts behind the rows, read again where they came from; what is gone or changed is said, not raised.

Candidates are fetched by their address, as `choose` does. A target is sampled as `fit` did: same files by their
digests, same seed, so the same documents in the same order as the potential's points.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from zlib import crc32

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from gotd.corpus import Document, Fields, File, fetch, find
from gotd.engine import Progress
from gotd.errors import GotdError
from gotd.potential import Potential
from gotd.selection.several import Term
from gotd.stages.points import points_of
from gotd.stages.samples import sample_alike

_BATCH = 1024
_CHECKED = 16  # target documents that are embedded again, to be sure that they are the ones that were fitted
_TOLERANCE = 1e-2  # of a coordinate: other machines and batches round otherwise
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

Addresses = dict[tuple[int, int], int]


@dataclass(frozen=True, slots=True)
class Read:
    """Documents of the pool, read again.

    Attributes:
        texts: of each row, cut; None where it could not be read.
        points: (n, d) float32, NaN where the document has no place.
        missing: one line for each file that is gone or changed.
    """

    texts: list[str | None]
    points: NDArray[np.float32]
    missing: list[str]


def clean(text: str) -> str:
    """Text that every browser and parser takes: no control characters, no half of a surrogate pair."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def cut(text: str, chars: int) -> str:
    """The first characters, with a mark if there were more."""
    text = text.strip()
    return clean(text if len(text) <= chars else f"{text[:chars].rstrip()} \N{HORIZONTAL ELLIPSIS}")


def read_rows(
    rows: pa.Table,
    chars: Sequence[int],
    files: Sequence[File],
    fields: Fields,
    potential: Potential,
    progress: Progress,
) -> Read:
    """Texts, each cut to its number of characters, and points of rows of scores.parquet."""
    texts: list[str | None] = [None] * len(rows)
    points = np.full((len(rows), potential.reference.points.shape[1]), np.nan, dtype=np.float32)
    scored = list(zip(rows["id"].to_pylist(), rows["checksum"].to_pylist()))
    missing, done = [], 0
    for file, addresses in _by_file(rows, files):
        try:
            documents = _same(file, fields, {address: scored[row] for address, row in addresses.items()})
            while some := list(islice(documents, _BATCH)):
                where = [addresses[document.position, document.piece] for document in some]
                points[where] = points_of(some, potential).numpy()
                for row, document in zip(where, some):
                    texts[row] = cut(document.text, chars[row])
                done += len(some)
                progress("reading the pool", done, len(rows))
        except (GotdError, OSError, pa.ArrowException) as error:
            missing.append(clean(str(error)))
    return Read(texts, points, missing)


def _by_file(rows: pa.Table, files: Sequence[File]) -> Iterator[tuple[File, Addresses]]:
    wanted: dict[int, Addresses] = {}
    columns = (rows[name].to_pylist() for name in ("file", "position", "piece"))
    for row, (file, position, piece) in enumerate(zip(*columns)):
        wanted.setdefault(file, {})[position, piece] = row
    for number, addresses in sorted(wanted.items()):
        yield files[number], addresses


def _same(file: File, fields: Fields, scored: dict[tuple[int, int], tuple[str, int]]) -> Iterator[Document]:
    """The documents at these addresses while they are those that were scored."""
    if "://" not in file.path and os.path.getsize(file.path) != file.bytes:
        raise GotdError(f"{file.path}: {os.path.getsize(file.path):,} bytes, {file.bytes:,} when it was scored")
    for document in fetch(file, list(scored), fields):
        id, checksum = scored[document.position, document.piece]
        if document.id != id or crc32(document.record) != checksum:
            other = "another record under that id" if document.id == id else document.id
            raise GotdError(f"{file.path}: found {other} where {id} was when it was scored")
        yield document


@dataclass(frozen=True, slots=True)
class Target:
    """The documents that one term of the potential was fitted on.

    Attributes:
        ids: of each; empty if they could not be read.
        texts: of each, cut; empty if they could not be read.
        missing: why not, or empty.
    """

    ids: list[str]
    texts: list[str]
    missing: str


def read_targets(potential: Potential, chars: int) -> list[Target]:
    """The texts of each term of the potential, in the order of its points."""
    about = potential.settings["targets"]
    fields = Fields(**about["fields"])
    kept = [[File(**file) for file in of_one] for of_one in about["files"]]
    return [
        _target(potential, term, files, fields, about["size"], about["seed"], chars)
        for term, files in zip(potential.terms, kept)
    ]


def _target(
    potential: Potential, term: Term, kept: Sequence[File], fields: Fields, size: int, seed: int, chars: int
) -> Target:
    try:
        files = find([file.path for file in kept])
        for now, then in zip(files, kept):
            if now.digest != then.digest:
                raise GotdError(f"{then.path} changed since the potential was fitted")
        documents = sample_alike(files, fields, size, seed, "skip").documents
        if not _are_fitted(documents, potential, term.attract.points):
            raise GotdError(f"{kept[0].path}: other documents than the potential was fitted on")
    except (GotdError, OSError, pa.ArrowException) as error:
        return Target([], [], clean(str(error)))
    return Target([d.id for d in documents], [cut(d.text, chars) for d in documents], "")


def _are_fitted(documents: Sequence[Document], potential: Potential, fitted: torch.Tensor) -> bool:
    """Whether documents spread over the sample lie where the potential has them."""
    if len(documents) != len(fitted):
        return False
    rows = np.unique(np.linspace(0, len(documents) - 1, _CHECKED).astype(int)).tolist()
    return torch.allclose(points_of([documents[row] for row in rows], potential), fitted[rows], atol=_TOLERANCE)
