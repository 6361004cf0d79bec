"""The plan of shards: where a pool is cut, and what it does not depend on."""

from __future__ import annotations

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd.corpus import SHARD_BYTES, Fields, File, Shard, find, plan, read
from gotd.errors import SettingsError

LINE = b'{"text":"a"}\n'


def sized(*sizes: int | None) -> list[File]:
    """Plain JSONL of these sizes: a plan asks the disk for nothing else."""
    return [File(f"/{i:03d}.jsonl", "jsonl", None, "s", size, str(i)) for i, size in enumerate(sizes)]


def stretches(shards: list[Shard]) -> list[tuple[str, int, int]]:
    return [(shard.file.path, shard.start, shard.stop) for shard in shards]


def lengths(shards: list[Shard]) -> list[int]:
    return [shard.stop - shard.start for shard in shards]


def test_a_small_pool_is_cut_evenly(make) -> None:
    files = [make("a.jsonl", LINE * 10), make("b.jsonl.gz", b""), make("c.csv", b""), make("d.jsonl", b"")]
    shards = plan(files, Fields(), 100)
    assert [(s.file.source, s.start, s.stop) for s in shards] == [
        ("a", 0, 100),
        ("a", 100, 130),
        ("b", 0, -1),
        ("c", 0, -1),
        ("d", 0, -1),
    ]
    assert [s.index for s in shards] == list(range(5))
    assert len(plan(files, Fields(chunk_chars=5), 100)) == 4
    assert len(plan(files, Fields())) == 4
    assert SHARD_BYTES == 8 << 20
    with pytest.raises(SettingsError, match="shard_bytes is 0; wanted 1 or more bytes"):
        plan(files, Fields(), 0)


def test_the_end_of_a_larger_pool_is_cut_ever_smaller() -> None:
    """A quarter of what is left, of 100 bytes at most and 25 at least: 1/4 of 240, of 180, ..."""
    assert lengths(plan(sized(400), Fields(), 100)) == [100] * 4
    assert lengths(plan(sized(540), Fields(), 100)) == [100, 100, 85, 63, 48, 36, 27, 25, 25, 25, 6]
    # The end is that of the pool, not of each file.
    assert lengths(plan(sized(290, 250), Fields(), 100)) == [100, 100, 85, 5, 62, 47, 35, 26, 25, 25, 25, 5]


def test_a_hundred_megabytes() -> None:
    shards = plan(sized(102 * 10**6), Fields())
    assert [round(size / 2**20, 1) for size in lengths(shards)] == [8.0] * 9 + [6.3, 4.7, 3.6, 2.7] + [2.0] * 4


@given(st.lists(st.one_of(st.none(), st.integers(0, 3000)), min_size=1, max_size=8), st.integers(1, 400))
def test_shards_cover_each_file_once_and_are_neither_large_nor_many(sizes: list[int | None], full: int) -> None:
    files = sized(*sizes)
    shards = plan(files, Fields(), full)
    assert [shard.index for shard in shards] == list(range(len(shards)))
    for file in files:
        own = [shard for shard in shards if shard.file == file]
        if not file.bytes:
            assert stretches(own) == [(file.path, 0, -1)]
            continue
        assert [shard.start for shard in own] == [0, *(shard.stop for shard in own[:-1])]
        assert own[-1].stop == file.bytes
        assert max(lengths(own)) <= full
        assert min(lengths(own[:-1]), default=full) >= full // 4  # but for the last of a file
    even = sum(max(1, -(-(file.bytes or 0) // full)) for file in files)
    assert len(shards) <= even + (12 if full >= 4 else 4 * full)


def test_row_groups_too(tmp_path) -> None:
    """Of equal groups: as many as fit a quarter of what is left, and at least one."""
    table = pa.table({"text": [f"{i:06d}" for i in range(4000)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100, compression="none", use_dictionary=False)
    (file,) = find(str(tmp_path / "a.parquet"))
    group = pq.ParquetFile(file.path).metadata.row_group(0).total_byte_size
    shards = plan([file], Fields(), 8 * group)
    assert lengths(shards) == [8, 8, 6, 4, 3, 2, 2, 2, 2, 2, 1]
    assert shards[-1].stop == 40
    texts = [item.text for shard in shards for item in read(shard, Fields())]
    assert texts == table["text"].to_pylist()


def test_a_tapered_pool_reads_as_a_whole_one(make) -> None:
    rows = [orjson.dumps({"text": f"{i}" * (i % 90 + 1)}) for i in range(300)]
    files = [make("a.jsonl", b"\n".join(rows[:200])), make("b.jsonl", b"\n".join(rows[200:]) + b"\n")]
    for size in (97, 1000, 5000):
        shards = plan(files, Fields(), size)
        assert [item.record for shard in shards for item in read(shard, Fields())] == rows
