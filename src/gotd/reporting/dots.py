"""Everything that the map shows, one row a dot: the page and map.parquet are made from the same table.

selected     by rank
candidate    by score; a sample of a large pool
target       by price, highest first
avoid        what is to be left, the same
reference    a sample, without texts: the potential keeps points alone

The price of a target document is its g less the mean of its target's: g itself is defined up to a constant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gotd.errors import GotdError
from gotd.potential import Potential
from gotd.reporting.plane import Plane, Projection, project
from gotd.reporting.texts import Read, Target, cut

ROLES = ("selected", "candidate", "target", "avoid", "reference")
CHARS = 200
MAP = "map.parquet"
_FULLER = 2_000
_ALL_FULLER = 2_000_000  # characters that the longer texts of a role may take together
_MOST = 5_000  # target or reference points


@dataclass(frozen=True, slots=True)
class Dots:
    """The dots of the map.

    Attributes:
        table: role, id, source, score, rank, price, text, file, position, piece, x, y; null where it does not apply.
        points: (n, d) float32 in the potential's space, NaN where a dot has no place.
        plane: how the points came to lie where they do.
    """

    table: pa.Table
    points: NDArray[np.float32]
    plane: Plane

    def rows(self, role: str) -> NDArray[np.int64]:
        """The numbers of a role's dots."""
        return np.flatnonzero(self.table["role"].to_numpy() == role)

    def numbers(self, role: str) -> dict[str, int]:
        """The number of each id of a role."""
        rows = self.rows(role)
        return dict(zip(self.table["id"].take(pa.array(rows)).to_pylist(), rows.tolist()))


def room(documents: int) -> int:
    """How many characters each of so many documents may show in full view."""
    return max(CHARS, min(_FULLER, _ALL_FULLER // max(1, documents)))


def chars(rows: pa.Table, named: set[str]) -> list[int]:
    """How much of each row's text the page holds: more of what is selected, or named in a table."""
    selected = room(len(rows) - rows["rank"].null_count)
    return [
        selected if rank is not None else _FULLER if id in named else CHARS
        for id, rank in zip(rows["id"].to_pylist(), rows["rank"].to_pylist())
    ]


def dots(
    rows: pa.Table,
    read: Read,
    selected: pa.Table,
    targets: Sequence[Target],
    potential: Potential,
    projection: Projection,
    seed: int,
) -> Dots:
    """The table of all dots.

    Args:
        rows: candidates to draw, see `Scored`.
        read: their texts and points.
        selected: the selection with its texts, for those that the pool no longer holds.
        targets: the documents of each term of the potential.
        potential: where targets and reference lie.
        projection: onto the plane.
        seed: of samples and projection.
    """
    texts, points = _with_kept_texts(rows, read, selected, potential)
    wanted, wanted_points = _aimed(potential, targets, avoid=False)
    left, left_points = _aimed(potential, targets, avoid=True)
    rng = np.random.default_rng(seed)
    reference = potential.reference.points.numpy()
    reference = reference[np.sort(rng.choice(len(reference), min(len(reference), _MOST), replace=False))]
    placed = np.concatenate([points, wanted_points, left_points, reference]).astype(np.float32)
    known = ~np.isnan(placed).any(1)
    # Reference and target span the plane, alike: what parts them is what the choice is about.
    counts = [len(points), len(wanted_points), len(left_points), len(reference)]
    weights = np.repeat([0.0, 1 / max(1, counts[1]), 0.0, 1 / counts[3]], counts)
    plane = project(placed[known], weights[known], projection, seed)
    xy = np.full((len(placed), 2), np.nan)
    xy[known] = plane.xy
    candidates = {
        "role": ["candidate" if rank is None else "selected" for rank in rows["rank"].to_pylist()],
        "id": rows["id"].to_pylist(),
        "source": rows["source"].to_pylist(),
        "score": rows["score"].to_pylist(),
        "rank": rows["rank"].to_pylist(),
        "text": texts,
        **{name: rows[name].to_pylist() for name in ("file", "position", "piece")},
    }
    seen = {"role": ["reference"] * len(reference)}
    table = pa.concat_tables([_table(columns) for columns in (candidates, wanted, left, seen)])
    table = table.append_column("x", pa.array(xy[:, 0], from_pandas=True))
    return Dots(table.append_column("y", pa.array(xy[:, 1], from_pandas=True)), placed, plane)


_SCHEMA = pa.schema(
    [
        ("role", pa.string()),
        ("id", pa.string()),
        ("source", pa.string()),
        ("score", pa.float32()),
        ("rank", pa.int32()),
        ("price", pa.float32()),
        ("text", pa.string()),
        ("file", pa.int32()),
        ("position", pa.int64()),
        ("piece", pa.int32()),
    ]
)


def _table(columns: dict[str, list[Any]]) -> pa.Table:
    length = len(columns["role"])
    return pa.table({field.name: pa.array(columns.get(field.name, [None] * length), field.type) for field in _SCHEMA})


def _aimed(
    potential: Potential, targets: Sequence[Target], *, avoid: bool
) -> tuple[dict[str, list[Any]], NDArray[np.float32]]:
    """The columns and points of all targets, or of all that is to be left, dearest first."""
    columns: dict[str, list[Any]] = {name: [] for name in ("role", "id", "source", "price", "text")}
    points = [np.zeros((0, potential.reference.points.shape[1]), dtype=np.float32)]
    for term, target in zip(potential.terms, targets):
        if (term.weight < 0) is avoid:
            g, weights = term.attract.g.double(), term.attract.log_b.double().exp()
            unknown = [None] * len(g)
            columns["role"] += ["avoid" if avoid else "target"] * len(g)
            columns["id"] += target.ids or unknown
            columns["source"] += unknown if potential.plain else [term.name] * len(g)
            columns["price"] += (g - weights @ g).tolist()
            columns["text"] += target.texts or unknown
            points.append(term.attract.points.numpy())
    order = np.argsort(-np.array(columns["price"], dtype=np.float64), kind="stable")[:_MOST].tolist()
    return {name: [column[row] for row in order] for name, column in columns.items()}, np.concatenate(points)[order]


def _with_kept_texts(
    rows: pa.Table, read: Read, selected: pa.Table, potential: Potential
) -> tuple[list[str | None], NDArray[np.float32]]:
    """Texts and points, those of lost selected documents from the selection itself."""
    texts, points = list(read.texts), read.points.copy()
    lost = [(row, rank - 1) for row, rank in _ranks(rows) if texts[row] is None]
    if lost:
        whole = selected["text"].take(pa.array([rank for _, rank in lost])).to_pylist()
        for (row, _), text in zip(lost, whole):
            texts[row] = cut(text, room(len(selected)))
        with suppress(GotdError):  # where vectors came with the records, they are gone with them
            points[[row for row, _ in lost]] = potential.points(whole).numpy()
    return texts, points


def _ranks(rows: pa.Table) -> Iterator[tuple[int, int]]:
    return ((row, rank) for row, rank in enumerate(rows["rank"].to_pylist()) if rank is not None)


def write_map(dots: Dots, folder: Path) -> None:
    """map.parquet: the dots as `embedding-atlas` and any other tool reads them."""
    path = folder / MAP
    temporary = path.with_name(f".{MAP}.tmp")
    placed = dots.table.filter(dots.table["x"].is_valid())
    pq.write_table(placed.select(["id", "source", "score", "x", "y", "role", "text"]), temporary)
    temporary.replace(path)
