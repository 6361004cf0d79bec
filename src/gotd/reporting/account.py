"""All that the page says about one selection, gathered from its folder and the files that it names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from gotd.corpus import Fields, File, Reject
from gotd.engine import Progress, silent
from gotd.potential import Potential
from gotd.reporting.dots import Dots, chars, dots, room
from gotd.reporting.lacks import Lack, lacks, nearest
from gotd.reporting.plane import Projection
from gotd.reporting.scored import Scored, look
from gotd.reporting.texts import read_rows, read_targets
from gotd.stages.scores import REJECTS
from gotd.stages.selected import DUPLICATES, Selection, count_of

_DUPLICATES = 10
_EXAMPLES = 3
_LOOKED_AT = 100_000  # lines of rejects.jsonl: what is rarer is counted in the manifest all the same


@dataclass(frozen=True, slots=True)
class Account:
    """A finished selection, ready to be told.

    Attributes:
        folder: of the selection.
        manifest: its settings, counts and figures.
        potential: that it was chosen by.
        scored: the shape of all scores.
        dots: the map.
        near: from each chosen document to its nearest target document and back, by number of the dot.
        lacks: what the model has least of, and what answers it.
        duplicates: the first that were passed over: id, survivor, similarity.
        rejects: some rejected rows, by reason.
        missing: inputs that are gone or changed, one line each.
    """

    folder: Path
    manifest: dict[str, Any]
    potential: Potential
    scored: Scored
    dots: Dots
    near: dict[int, int]
    lacks: list[Lack]
    duplicates: pa.Table
    rejects: dict[str, list[Reject]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def chosen(self) -> int:
        """Documents chosen."""
        return count_of(self.manifest)

    @property
    def pool(self) -> int:
        """Candidates that were scored."""
        return self.scored.total


def gather(
    folder: Path | str,
    *,
    points: int,
    projection: Projection,
    seed: int,
    device: str = "auto",
    progress: Progress = silent,
) -> Account:
    """Read a finished selection, and again the documents that the page shows."""
    selection = Selection.load(folder)
    manifest, potential = selection.manifest, Potential.load(folder, device=device)
    fields = Fields(**manifest["fields"])
    duplicates = pq.read_table(selection.folder / DUPLICATES)
    shown = duplicates.slice(0, _DUPLICATES)
    named = [row["id"] for row in manifest["worst"]] + shown["id"].to_pylist()
    progress("reading the scores", 0, 1)
    scored = look(selection, named, duplicates["id"].to_pylist(), points, seed)
    rows, files = scored.rows, [File(**file) for file in manifest["files"]]
    read = read_rows(rows, chars(rows, {*named, *scored.outside}), files, fields, potential, progress)
    targets = read_targets(potential, room(sum(len(term.attract.g) for term in potential.terms)))
    progress("drawing the map", 0, 1)
    found = dots(rows, read, selection.to_arrow(), targets, potential, projection, seed)
    return Account(
        folder=selection.folder,
        manifest=manifest,
        potential=potential,
        scored=scored,
        dots=found,
        near=nearest(found, potential),
        lacks=lacks(found, potential),
        duplicates=shown,
        rejects=_rejects(selection.folder / REJECTS),
        missing=[*read.missing, *dict.fromkeys(target.missing for target in targets if target.missing)],
    )


def _rejects(path: Path) -> dict[str, list[Reject]]:
    """The first rejected rows of each reason."""
    found: dict[str, list[Reject]] = {}
    seen: Counter[str] = Counter()
    with path.open("rb") as lines:
        for number, line in enumerate(lines):
            if number == _LOOKED_AT:
                break
            reject = Reject(**orjson.loads(line))
            seen[reject.reason] += 1
            if seen[reject.reason] <= _EXAMPLES:
                found.setdefault(reject.reason, []).append(reject)
    return found
