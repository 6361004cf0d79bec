"""Parts to scores.parquet: repeated ids are found in files of bounded size, and row groups are few."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd.corpus import File, Shard
from gotd.engine import Done
from gotd.stages import merging
from gotd.stages.merging import merge, repeats
from gotd.stages.scores import NAME, schema_of

FILE = File("pool.jsonl", "jsonl", None, "pool", None, "")


def part(folder: Path, index: int, keys: list[int]) -> Done:
    """A finished shard of rows with these keys."""
    count = len(keys)
    columns = {field.name: np.zeros(count, field.type.to_pandas_dtype()) for field in schema_of(())}
    columns |= {"id": [str(key) for key in keys], "source": ["pool"] * count, "key": np.array(keys, np.uint64)}
    columns["row"] = np.arange(1, count + 1)
    stem = folder / f"{index:05d}"
    pq.write_table(pa.table(columns, schema=schema_of(())), stem.with_name(f"{stem.name}.parquet"))
    stem.with_name(f"{stem.name}.rejects.jsonl").touch()
    counts = {"read": count, "scored": count, "outside": 0, "rejected": 0}
    return Done(Shard(FILE, index, 0, -1), stem, counts)


@given(
    st.lists(st.lists(st.sampled_from([0, 1, 2**31, 2**32, 2**63, 2**64 - 2, 2**64 - 1]), max_size=6), max_size=5),
    st.sampled_from([1, 3, 1000]),
)
def test_repeats_are_those_of_a_walk_that_remembers_all(parts: list[list[int]], sorted_together: int) -> None:
    """Over any parts, and however many files the keys are divided into."""
    seen: set[int] = set()
    wanted = []
    for row, key in enumerate(key for keys in parts for key in keys):
        if key in seen:
            wanted.append(row)
        seen.add(key)
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(merging, "_SORTED", sorted_together)
        done = [part(Path(folder), index, keys) for index, keys in enumerate(parts)]
        assert repeats(done).tolist() == wanted
        assert len(list(Path(folder).iterdir())) == 2 * len(done)


def test_row_groups_are_not_those_of_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten parts of 10 rows and groups of 30 or more: 30, 30, 30 and what is left."""
    monkeypatch.setattr(merging, "_GROUP", 30)
    done = [part(tmp_path, index, list(range(10 * index, 10 * index + 10))) for index in range(10)]
    merged = merge(done, [FILE], tmp_path, "skip", repeats(done))
    with pq.ParquetFile(tmp_path / NAME) as file:
        groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        assert groups == [30, 30, 30, 10]
        assert file.read()["id"].to_pylist() == [str(row) for row in range(100)]
    assert merged.counts["scored"] == 100
