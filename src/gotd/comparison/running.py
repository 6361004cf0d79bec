"""`gotd compare`: every cell, then the table, the verdict and the manifest.

selections/    fits, scores and choices, shared by the cells
cells/         one folder a cell
work/          models of the cell at hand; removed when it is done, unless models are kept
cells.parquet  one row a cell and figure
table.md, table.csv, results.json
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from gotd.artifacts import load_manifest, open_artifact, paths_in, read_json, released_by_errors, versions, write_json
from gotd.comparison.config import Config, Task
from gotd.corpus.temporary import Replacement
from gotd.engine import Progress, silent
from gotd.training.models import need_training

if TYPE_CHECKING:
    from gotd.comparison.results import Results

RAW, MARKDOWN, CSV, RESULTS = "cells.parquet", "table.md", "table.csv", "results.json"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The folder of a finished comparison.

    Attributes:
        folder: where the files are.
        manifest: settings, inputs, tokens, the verdict, times.
    """

    folder: Path
    manifest: dict[str, Any] = field(repr=False)

    @classmethod
    def load(cls, folder: Path | str) -> Comparison:
        """The comparison that a finished folder holds."""
        return cls(Path(folder), load_manifest(folder, "compare"))

    @property
    def config(self) -> Config:
        """What was compared."""
        told = self.manifest["config"]
        tasks = tuple(Task(**_tuples(task)) for task in told["tasks"])
        return Config(**{**_tuples(told), "tasks": tasks})

    @property
    def results(self) -> Results:
        """The table."""
        from gotd.comparison.results import Agreement, Results, Row
        from gotd.comparison.statistics import Interval

        found = read_json(self.folder / RESULTS)
        rows = [
            Row(
                **{
                    **_tuples(row),
                    "value": Interval(**row["value"]),
                    "difference": row["difference"] and Interval(**row["difference"]),
                }
            )
            for row in found["rows"]
        ]
        agreements = [Agreement(**_tuples(one)) for one in found["agreements"]]
        return Results(rows, agreements, found["cells"], found["baseline"])

    @property
    def verdict(self) -> list[str]:
        """Sentences, the main one first."""
        return list(self.manifest["verdict"])

    def to_arrow(self) -> pa.Table:
        """One row a cell and figure."""
        return pq.read_table(self.folder / RAW)


@released_by_errors()
def compare(
    config: Config | Path | str,
    output: Path | str,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Comparison:
    """Compare ways to choose by what a warm-up on their choice is worth.

    Every row trains the same model, from the same weights, on the same number of tokens; differences to the baseline
    are of the same seed, the same task and the same test items.

    Args:
        config: a YAML file, or what `gotd.comparison.read_comparison` made of one.
        output: folder for the result. One that was stopped goes on from its last finished cell; a row, a budget or a
            seed that is added to the config costs its own cells alone.
        overwrite: begin anew.
        progress: called as work is done.

    Raises:
        SettingsError: an unknown or unfit setting, or test data that choose or train.
        InputError: files that cannot be read.
    """
    need_training("compare")
    started = time.perf_counter()
    from gotd.comparison.cells import Runner
    from gotd.comparison.checks import prepared
    from gotd.comparison.choices import checks_contamination
    from gotd.comparison.results import as_csv, raw, results
    from gotd.comparison.table import markdown
    from gotd.comparison.verdict import verdict
    from gotd.training.warmup import PACKAGES

    work = prepared(config)
    asked = work.config
    # Which cells there are is no matter of the folder: each cell knows what it depends on.
    reads = [asked.model, *paths_in(work.digests)]
    artifact = open_artifact(output, "compare", {}, {}, overwrite=overwrite, reads=reads)
    if artifact.finished is not None:
        # Finished it is held by nobody, and cells may be added to it.
        artifact = artifact.held()
    Runner(work, artifact.folder).sweep()
    cells, ran = [], 0
    for number, cell in enumerate(work.cells, 1):
        runner = Runner(work, artifact.folder, _counted(progress, number, len(work.cells)))
        done = runner.done(cell)
        ran += done is None
        cells.append(done or runner.run(cell))
    progress("resampling", 0, 1)
    found = results(asked, cells, artifact.folder)
    said = verdict(asked, found)
    pq.write_table(raw(cells), artifact.folder / f".{RAW}.tmp")
    (artifact.folder / f".{RAW}.tmp").replace(artifact.folder / RAW)
    write_json(artifact.folder / RESULTS, asdict(found))
    _write(artifact.folder / CSV, as_csv(found.rows))
    _write(artifact.folder / MARKDOWN, markdown(asked, found, said))
    manifest = artifact.finish(
        {
            "verdict": said,
            "config": asked.told(),
            "files": work.digests,
            "counts": {"cells": len(cells), "ran": ran, "found": len(cells) - ran},
            "tokens": _tokens(work.tokens, cells),
            "repeated": work.repeated,
            "contamination": checks_contamination(asked),
            "seconds": {"total": time.perf_counter() - started, "cells": sum(cell["seconds"] for cell in cells)},
            "versions": versions(PACKAGES),
        }
    )
    return Comparison(artifact.folder, manifest)


def _tokens(wanted: dict[str, int], cells: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """At each budget the tokens asked for, and the least and most that a cell read."""
    found = {}
    for budget, tokens in wanted.items():
        read = [cell["tokens"] for cell in cells if cell["budget"] == budget]
        found[budget] = {"wanted": tokens, "least": min(read), "most": max(read)}
    return found


def _counted(progress: Progress, number: int, of: int) -> Progress:
    """Progress that says which cell it is of."""
    return lambda stage, done, total: progress(f"{number}/{of} {stage}", done, total)


def _write(path: Path, text: str) -> None:
    out = Replacement(path)
    out.file.write(text.encode())
    out.commit()


def _tuples(told: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples that they were."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
