"""The selection in its folder: the records, the tables beside them, and how they are read again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gotd.artifacts import kind_of, load_manifest
from gotd.corpus import Document, OutputFormat, fetch, open_writer
from gotd.errors import InputError
from gotd.potential import Potential
from gotd.selection.duplicates import Duplicate
from gotd.selection.ranking import Picked
from gotd.stages.scores import NAME, Scores

DUPLICATES = "duplicates.parquet"
_TAKEN_BY = ("target", "target_score")
_SHOWN = 40  # records may name as many sources as there are records: a screen holds the first of them


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen: `gotd select` or `gotd choose`.

    Attributes:
        folder: where the files are.
        manifest: settings, inputs, counts, transport before and after, times.
    """

    folder: Path
    manifest: dict[str, Any] = field(repr=False)

    @classmethod
    def load(cls, folder: Path | str) -> Selection:
        """The selection that a finished folder holds."""
        kind = "select" if kind_of(folder) == "select" else "choose"
        return cls(Path(folder), load_manifest(folder, kind))

    def __len__(self) -> int:
        return count_of(self.manifest)

    @property
    def path(self) -> Path:
        """The file of selected records."""
        return self.folder / str(self.manifest["selected"])

    @property
    def scores(self) -> Path:
        """`scores.parquet`: every candidate."""
        return self.folder / NAME

    @property
    def potential(self) -> Potential:
        """The fitted selector, to score any other pool."""
        return Potential.load(self.folder)

    def to_arrow(self) -> pa.Table:
        """The selected documents, best first: rank, id, source, text, score, calibrated score."""
        return pa.ipc.open_file(self.folder / "selected.arrow").read_all()

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame."""
        return self.to_arrow().to_pandas()


def count_of(manifest: Mapping[str, Any]) -> int:
    """Documents that were chosen: of the pool, or under `all-target` of the target, when none of the pool is."""
    return int((manifest["from_target"] or manifest["counts"])["selected"])


def leading_sources(sources: Mapping[str, Mapping[str, int]]) -> list[tuple[str, Mapping[str, int]]]:
    """The sources with most of the choice; where there are too many to show, the last row is all the others."""
    rows = sorted(sources.items(), key=lambda item: (-item[1]["selected"], -item[1]["pool"]))
    if len(rows) <= _SHOWN:
        return rows
    rest = [row for _, row in rows[_SHOWN - 1 :]]
    others = {part: sum(row[part] for row in rest) for part in ("pool", "selected")}
    return [*rows[: _SHOWN - 1], (f"{len(rest):,} other sources", others)]


def fetched(scored: Scores, picked: Picked) -> list[Document]:
    """The documents of the picked rows, in their order."""
    rows: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    for row, (file, position, piece) in enumerate(zip(picked.file, picked.position, picked.piece)):
        rows[int(file)][int(position), int(piece)] = row
    found: list[Document | None] = [None] * len(picked)
    files, fields = scored.files, scored.fields
    for number, addresses in rows.items():
        for document in fetch(files[number], list(addresses), fields):
            row = addresses[document.position, document.piece]
            if document.id != picked.id[row] or crc32(document.record) != picked.checksum[row]:
                other = "another record under that id" if document.id == picked.id[row] else document.id
                raise InputError(
                    f"{files[number].path} changed since it was scored: found {other}, "
                    f"wanted {picked.id[row]}. Score it again"
                )
            found[row] = document
    return [document for document in found if document is not None]


def calibrated_scores(score: NDArray[np.float32], mean: float, pool: int) -> NDArray[np.float64]:
    """f_i - mean_{k != i} f_k over the pool (Just et al. 2023, LAVA): centred, and the ranking unchanged."""
    values = score.astype(np.float64)
    return (values - mean) * (pool / (pool - 1)) if pool > 1 else values * 0


def write_records(
    folder: Path,
    format: OutputFormat,
    documents: Sequence[Document],
    picked: Picked,
    calibrated: NDArray[np.float64],
    taken_by: Sequence[tuple[str, float]],
) -> Path:
    """selected.*: each record unchanged, with one more key; the path."""
    with open_writer(folder, format) as writer:
        for row, document in enumerate(documents):
            mark = {
                "id": document.id,
                "source": document.source,
                "score": float(picked.score[row]),
                "calibrated": float(calibrated[row]),
                "rank": row + 1,
                **(dict(zip(_TAKEN_BY, taken_by[row])) if taken_by else {}),
            }
            writer.write(document.record, mark)
    return writer.path


def write_arrow(
    folder: Path,
    documents: Sequence[Document],
    picked: Picked,
    calibrated: NDArray[np.float64],
    taken_by: Sequence[tuple[str, float]],
) -> None:
    """selected.arrow: the same documents as a table, with their texts."""
    table = pa.table(
        {
            "rank": np.arange(1, len(documents) + 1, dtype=np.int32),
            "id": [d.id for d in documents],
            "source": [d.source for d in documents],
            "text": [d.text for d in documents],
            "score": picked.score,
            "calibrated": calibrated,
            **(dict(zip(_TAKEN_BY, zip(*taken_by))) if taken_by else {}),
        }
    )
    with pa.OSFile(str(folder / "selected.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def write_duplicates(folder: Path, duplicates: Sequence[Duplicate]) -> None:
    """duplicates.parquet: what was passed over, the better document it repeats, and how alike they are."""
    rows = {name: [getattr(found, name) for found in duplicates] for name in ("id", "survivor", "similarity")}
    schema = pa.schema([("id", pa.string()), ("survivor", pa.string()), ("similarity", pa.float64())])
    pq.write_table(pa.table(rows, schema=schema), folder / DUPLICATES)
