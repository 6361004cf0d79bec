"""scores.parquet: one row for every candidate, and how it is read.

    id, source, score (float32, lower is better), tokens, file, position, piece, checksum
    score_NAME (float32) for each of several targets: the score as if it were the only one

Tokens are estimated, or those of the manifest's `tokenizer`. `file` counts into the manifest's `files`; with `position`
and `piece` it is the address of the record, and `checksum` is the record's CRC-32, by which `choose` sees that it is
still the one that was scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gotd.artifacts import kind_of, load_manifest
from gotd.corpus import Fields, File
from gotd.errors import SettingsError
from gotd.selection.budget import Budget
from gotd.selection.caps import Cap
from gotd.selection.ranking import Ranking, rank

NAME = "scores.parquet"
REJECTS = "rejects.jsonl"
CONTAMINATED = "contaminated"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("score", pa.float32()),
        ("tokens", pa.int32()),
        ("file", pa.int32()),
        ("position", pa.int64()),
        ("piece", pa.int32()),
        ("checksum", pa.uint32()),
        ("key", pa.uint64()),  # 64 bits of the id's digest: duplicates are found without holding the ids
        ("row", pa.int64()),  # 1-based in the shard, to name duplicates by
    ]
)
WITHIN = ("key", "row")


def own_column(name: str) -> str:
    """The column of the score by one of several targets alone."""
    return f"score_{name}"


def schema_of(own: Sequence[str]) -> pa.Schema:
    """The schema of a part, with columns for targets of their own."""
    return pa.schema([*SCHEMA, *((name, pa.float32()) for name in own)])


@dataclass(frozen=True, slots=True)
class Scores:
    """A finished scoring: `gotd score`.

    Attributes:
        folder: where `scores.parquet`, the potential and the manifest are.
        manifest: settings, inputs, counts, certificate and times.
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def load(cls, folder: Path | str) -> Scores:
        return cls(Path(folder), load_manifest(folder, "score"))

    @classmethod
    def within(cls, folder: Path | str) -> Scores:
        """The scoring that a finished folder of `score` or of `select` holds."""
        if kind_of(folder) != "select":
            return cls.load(folder)
        selected = load_manifest(folder, "select")
        scored = sum(row["pool"] for row in selected["sources"].values())
        return cls(Path(folder), {**selected, "counts": {**selected["counts"], "scored": scored}})

    @property
    def files(self) -> list[File]:
        return [File(**file) for file in self.manifest["files"]]

    @property
    def fields(self) -> Fields:
        """Where text, id and source are in a record."""
        return Fields(**self.manifest["settings"]["fields"])

    @property
    def pool(self) -> int:
        """Documents that were scored."""
        return int(self.manifest["counts"]["scored"])

    @property
    def tokenizer(self) -> dict[str, str] | None:
        """Name and digest of what counted the tokens; None where they are estimated."""
        found: dict[str, str] | None = self.manifest["settings"]["tokenizer"]
        return found

    @property
    def more(self) -> str:
        """What would make more documents to choose from."""
        if self.manifest["settings"].get("sources") is None:
            return "add candidates"
        left = self.manifest["counts"]["outside"]
        return f"raise --keep: {left:,} documents are from sources that were not kept"

    def ranked(
        self, budget: Budget, *, seed: int = 0, worst: int = 0, stretch: float = 1.0, cap: Cap | None = None
    ) -> Ranking:
        """The best of the pool: see `rank`. Where the pool is too small, so are the reasons why it is."""
        how: dict[str, Any] = {"estimated": self.tokenizer is None, "more": self.more, "cap": cap}
        try:
            return rank(self.batches, budget, self.pool, seed=seed, worst=worst, stretch=stretch, **how)
        except SettingsError as error:
            rejects = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.manifest["rejects"].items()))
            if not rejects:
                raise
            raise SettingsError(f"{error}. Rejected: {rejects}; see {self.folder / REJECTS}") from error

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of `scores.parquet`, a bounded number at a time."""
        return batches_of(self.folder / NAME, columns)

    def to_arrow(self) -> pa.Table:
        """All rows as one table."""
        return pq.read_table(self.folder / NAME)


def batches_of(path: Path, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """Some columns of a table, or all, a bounded number of rows at a time."""
    # Read ahead, Arrow holds the compressed bytes of every row group until the last.
    with pq.ParquetFile(path, pre_buffer=False) as file:
        yield from file.iter_batches(batch_size=1 << 16, columns=None if columns is None else list(columns))
