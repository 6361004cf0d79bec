"""scores.parquet is read in bounded memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gotd.stages.scores import NAME, Scores


def test_reading_holds_a_row_group_and_not_the_file(tmp_path: Path) -> None:
    """Eight times the row groups, none of which compress: what Arrow holds at the last stays."""
    rng = np.random.default_rng(0)
    held = []
    for groups in (10, 80):
        with pq.ParquetWriter(tmp_path / NAME, pa.schema([("score", pa.float64())])) as out:
            for _ in range(groups):
                out.write_table(pa.table({"score": rng.normal(size=20_000)}))
        before = pa.total_allocated_bytes()
        held.append(max(pa.total_allocated_bytes() for _ in Scores(tmp_path, {}).batches(["score"])) - before)
    assert held[1] < 1.5 * held[0]
