"""One shard to one part, and the marker that says that it is done.

    work(shard, parts/.00012.1f0c.tmp/00012)      files 00012.* in a folder of their own
    -> flushed to disk, renamed to parts/00012.*
    -> parts/00012.done.json                      its counts, under a key of the shard's input and the settings

A kill between any two of these leaves no marker, and the shard is done again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gotd.artifacts import digest, read_json, write_json
from gotd.corpus import Shard
from gotd.durable import refusal, sync, temporary
from gotd.errors import ArtifactError


class Work(Protocol):
    """A picklable function from a shard to the files `stem.*` and the counts of what went in and out."""

    def __call__(self, shard: Shard, stem: Path) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Done:
    """A finished shard.

    Attributes:
        shard: what was read.
        stem: path of its files, without suffix.
        counts: what the work returned.
    """

    shard: Shard
    stem: Path
    counts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lost:
    """A shard in quarantine: each worker that tried it died.

    Attributes:
        shard: what could not be read.
        reason: how the last of them died.
    """

    shard: Shard
    reason: str


Task = Callable[[Shard], Done]


@dataclass(frozen=True, slots=True)
class Part:
    """What a worker does with a shard.

    Attributes:
        work: the function.
        folder: where parts go.
        key: digest of the settings; a part made under another key is made again.
    """

    work: Work
    folder: Path
    key: str

    def __call__(self, shard: Shard) -> Done:
        stem = self.folder / f"{shard.index:05d}"
        scratch = temporary(stem)
        try:
            scratch.mkdir()
            try:
                counts = self.work(shard, scratch / stem.name)
                # A part of another key gives way: its marker first.
                _marker(stem).unlink(missing_ok=True)
                for path in scratch.iterdir():
                    sync(path)
                    os.replace(path, self.folder / path.name)
                sync(self.folder)
                write_json(_marker(stem), {"key": self._key(shard), "counts": counts})
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        except OSError as error:
            raise refusal(error, stem) or ArtifactError(
                f"{shard.file.path} to {stem}: {error}. Run it again"
            ) from error
        return Done(shard, stem, counts)

    def finished(self, shard: Shard) -> Done | None:
        """The shard's part, if it was made under this key."""
        stem = self.folder / f"{shard.index:05d}"
        if not _marker(stem).exists():
            return None
        found = read_json(_marker(stem))
        return Done(shard, stem, found["counts"]) if found.get("key") == self._key(shard) else None

    def _key(self, shard: Shard) -> str:
        return digest([self.key, shard.file.path, shard.file.digest, shard.start, shard.stop])


def _marker(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.done.json")
