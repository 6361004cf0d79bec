"""Some documents of a pool by their addresses, so that a second pass reads the same shards and scores those alone.

One file for each file of the pool: an array (k, 2) int64 of position and piece, ascending, mapped into memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gotd.artifacts import digest
from gotd.corpus import Document, File
from gotd.selection.ranking import Picked


class Addresses:
    """The wanted documents of one file; asked in the order of the file, from anywhere on, it walks along."""

    def __init__(self, pairs: NDArray[np.int64]) -> None:
        self._pairs, self._at = pairs, -1

    @classmethod
    def of(cls, folder: Path, file: File) -> Addresses:
        path = _path(folder, file)
        return cls(np.load(path, mmap_mode="r") if path.exists() else np.zeros((0, 2), np.int64))

    def has(self, document: Document) -> bool:
        """Whether it is wanted; documents come in ascending order of position and piece."""
        here = [document.position, document.piece]
        if self._at < 0:
            self._at = int(np.searchsorted(self._pairs[:, 0], document.position))
        while self._at < len(self._pairs) and self._pairs[self._at].tolist() < here:
            self._at += 1
        return self._at < len(self._pairs) and self._pairs[self._at].tolist() == here


def write_addresses(folder: Path, files: Sequence[File], picked: Sequence[Picked]) -> None:
    """Write down where the picked rows are; `files` are those that their numbers count into."""
    folder.mkdir(parents=True, exist_ok=True)
    number, position, piece = (
        np.concatenate([getattr(some, name) for some in picked]) for name in ("file", "position", "piece")
    )
    order = np.lexsort((piece, position, number))
    pairs = np.stack([position, piece], axis=1)[order].astype(np.int64)
    for file in np.unique(number).tolist():
        start, stop = np.searchsorted(number[order], [file, file + 1])
        np.save(_path(folder, files[file]), pairs[start:stop])


def _path(folder: Path, file: File) -> Path:
    return folder / f"{digest(file.path)}.npy"
