"""The sample is uniform, and depends on the data and the seed alone."""

from __future__ import annotations

import gzip
import shutil
import tracemalloc
from collections import Counter

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gotd.corpus import Fields, find, sample, sample_sources, share_of_rows
from gotd.corpus import json_lines as json_lines_module
from gotd.errors import InputError, SettingsError


def as_jsonl(name: str, rows: int, bad_every: int = 0) -> bytes:
    lines = [
        b"bad" if bad_every and i % bad_every == 0 else orjson.dumps({"text": f"{name} {i}", "id": f"{name}{i}"})
        for i in range(rows)
    ]
    return b"\n".join(lines)


@pytest.fixture
def pool(make):
    return [make(f"{name}.jsonl", as_jsonl(name, 400)) for name in "abc"]


def test_a_sample_has_its_size_and_order(pool):
    drawn = sample(pool, Fields(), 50, seed=0)
    assert (len(drawn.documents), drawn.rows, drawn.rejects) == (50, 1200, [])
    assert len({document.id for document in drawn.documents}) == 50
    places = [(file.path, document.position) for file, document in zip(drawn.files, drawn.documents)]
    assert places == sorted(places)
    assert {file.source for file in drawn.files} == {"a", "b", "c"}


def test_the_order_of_files_and_the_block_size_do_not_matter(pool, monkeypatch):
    drawn = sample(pool, Fields(), 50, seed=0)
    assert sample(pool[::-1], Fields(), 50, seed=0) == drawn
    monkeypatch.setattr("gotd.corpus.lines.BLOCK", 64)
    monkeypatch.setattr("gotd.corpus.streams.BLOCK", 64)
    assert sample(pool, Fields(), 50, seed=0) == drawn
    assert sample(pool, Fields(), 50, seed=1) != drawn


def test_a_moved_file_gives_the_same_rows(pool, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in pool:
        shutil.copy(file.path, moved)
    again = sample(find([str(moved)]), Fields(), 50, seed=0)
    assert again.documents == sample(pool, Fields(), 50, seed=0).documents


def test_a_smaller_sample_is_part_of_a_larger(pool):
    small, large = (sample(pool, Fields(), size, seed=3).documents for size in (40, 200))
    assert {document.id for document in small} < {document.id for document in large}


def test_rejects_of_joined_texts_are_sampled_too(make):
    """A book of a billion blank lines does not fill the memory; of a small file all are named, as is a broken end."""
    plain = b"".join(b"%d words of a paragraph\n\n" % i for i in range(3000))
    fields = Fields(chunk_chars=20)
    few = sample([make("few.txt", plain[:2000])], fields, 1000, 0)
    assert len(few.rejects) > 35
    assert few.rows == len(few.documents) + len(few.rejects)
    packed = gzip.compress(plain)
    drawn = sample([make("cut.txt.gz", packed[: len(packed) - 9])], fields, 10, 0)
    assert len(drawn.rejects) < 200
    assert drawn.rows > 6000
    assert [reject.reason for reject in drawn.rejects if reject.is_fault] == ["truncated-stream"]


def test_each_source_is_sampled_as_if_it_were_alone(make):
    """By file or by field: the rows of lowest hash, all of a small source; bad rows are passed over or stop it."""
    rows = [{"text": f"{i}", "id": f"{i}", "site": "few" if i % 100 == 7 else "many"} for i in range(1000)]
    file = make("x.jsonl", b"\n".join([b"bad", *map(orjson.dumps, rows)]))
    found = sample_sources([file], Fields(source="site"), 30, 5)
    assert {source: len(documents) for source, documents in found.items()} == {"many": 30, "few": 10}
    few = {row["id"] for row in rows if row["site"] == "few"}
    larger = (sample([file], Fields(), size, 5).documents for size in range(30, 41))
    lowest = ([document.id for document in documents if document.id not in few] for documents in larger)
    assert [document.id for document in found["many"]] == next(ids for ids in lowest if len(ids) == 30)
    assert {document.id for document in found["few"]} == few
    (by_file,) = sample_sources([file], Fields(), 30, 5).items()
    assert by_file == ("x", sample([file], Fields(), 30, 5).documents)
    with pytest.raises(InputError, match=r"x\.jsonl:1"):
        sample_sources([file], Fields(source="site"), 30, 5, on_error="fail")


def test_a_sample_by_source_holds_no_more_than_it_draws(make, monkeypatch):
    """Ten of 200 texts of 100,000 characters."""
    monkeypatch.setattr("gotd.corpus.lines.BLOCK", 1 << 16)
    monkeypatch.setattr("gotd.corpus.streams.BLOCK", 1 << 16)
    file = make("x.jsonl", b"\n".join(orjson.dumps({"text": f"{i} " * 20_000, "site": f"{i % 2}"}) for i in range(200)))
    tracemalloc.start()
    try:
        found = sample_sources([file], Fields(source="site"), 5, 0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [len(documents) for documents in found.values()] == [5, 5]
    assert peak < 10 << 20


def test_a_share_of_the_rows_holds_the_sample_and_passes_bad_rows_over(pool):
    every = [document.id for document in share_of_rows(pool, Fields(), 1.0, 3)]
    assert every == [document.id for document in sample(pool, Fields(), None, 3).documents]
    some = {document.id for document in share_of_rows(pool, Fields(), 0.4, 3)}
    assert abs(len(some) - 0.4 * len(every)) < 4 * (0.24 * len(every)) ** 0.5
    assert {document.id for document in sample(pool, Fields(), 100, 3).documents} < some < set(every)


def test_a_bad_row_is_passed_over_in_a_share_or_stops_it(make):
    bad = [make("bad.jsonl", as_jsonl("x", 40, bad_every=10))]
    assert len(list(share_of_rows(bad, Fields(), 1.0, 0))) == 36
    with pytest.raises(InputError, match=r"bad\.jsonl"):
        list(share_of_rows(bad, Fields(), 1.0, 0, on_error="fail"))


def test_copies_of_a_file_are_drawn_apart(make):
    files = [make(f"{name}.jsonl", as_jsonl("x", 500)) for name in "ab"]
    drawn = sample(files, Fields(), 200, seed=0)
    by_file = [{d.position for d, f in zip(drawn.documents, drawn.files) if f is file} for file in files]
    assert len(by_file[0] & by_file[1]) < 80  # two independent draws of 100 from 500 share 20


def test_every_row_is_drawn_equally_often(make):
    """Chi-square of 300 rows over 400 seeds: mean 299 by (1 - 30/300), standard deviation 23."""
    files = [make(f"{name}.jsonl", as_jsonl(name, 100, bad_every=0)) for name in "abc"]
    counts = Counter(d.id for seed in range(400) for d in sample(files, Fields(), 30, seed).documents)
    observed = np.array([counts[f"{name}{i}"] for name in "abc" for i in range(100)])
    assert observed.sum() == 400 * 30
    assert 180 < ((observed - 40) ** 2 / 40).sum() < 360


def test_rejects_do_not_enter_and_are_reported_alike_in_any_order(make):
    files = [make(f"{name}.jsonl", as_jsonl(name, 300, bad_every=5)) for name in "abc"]
    drawn = sample(files, Fields(), 100, seed=0)
    assert len(drawn.documents) == 100
    assert drawn.rows == 900
    assert 5 < len(drawn.rejects) < 60
    assert sample(files[::-1], Fields(), 100, seed=0) == drawn
    with pytest.raises(InputError, match="malformed JSON"):
        sample(files, Fields(), 100, seed=0, on_error="fail")


def test_without_a_size_all_rows_come(make):
    files = [make(f"{name}.jsonl", as_jsonl(name, 30, bad_every=10)) for name in "ab"]
    drawn = sample(files, Fields(), None, seed=0)
    assert (len(drawn.documents), len(drawn.rejects), drawn.rows) == (54, 6, 60)
    assert sample(files, Fields(), 1000, seed=0).documents == drawn.documents


def test_lines_that_are_out_are_not_parsed(make, monkeypatch):
    file = make("a.jsonl", as_jsonl("a", 20_000))
    parsed = Counter()
    loads = orjson.loads

    def counting(line):
        parsed["lines"] += 1
        return loads(line)

    monkeypatch.setattr("gotd.corpus.lines.BLOCK", 4096)
    monkeypatch.setattr("gotd.corpus.streams.BLOCK", 4096)
    monkeypatch.setattr(json_lines_module.orjson, "loads", counting)
    sample([file], Fields(), 50, seed=0)
    assert parsed["lines"] < 50 * (1 + np.log(20_000 / 50)) * 2


@pytest.mark.parametrize("form", ["jsonl.gz", "csv", "parquet", "txt"])
def test_every_format_can_be_sampled(make, tmp_path, form):
    texts = [f"text {i}" for i in range(3000)]
    if form == "parquet":
        pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=700)
        files = find([str(tmp_path / "a.parquet")])
    else:
        lines = [orjson.dumps({"text": text}) if "json" in form else text.encode() for text in texts]
        content = b"\n".join([b"text", *lines] if form == "csv" else lines)
        files = [make(f"a.{form}", gzip.compress(content) if form.endswith("gz") else content)]
    drawn = sample(files, Fields(), 100, seed=0)
    assert len(drawn.documents) == 100
    assert drawn.rows == 3000
    numbers = [int(document.text.split()[1]) for document in drawn.documents]
    assert numbers == sorted(numbers)
    assert 1000 < np.mean(numbers) < 2000


def test_pieces_can_be_sampled(pool):
    drawn = sample(pool, Fields(chunk_chars=20), 30, seed=0)
    assert len({(f.path, d.position, d.piece) for d, f in zip(drawn.documents, drawn.files)}) == 30
    assert sample(pool[::-1], Fields(chunk_chars=20), 30, seed=0) == drawn


def test_a_broken_file_is_reported(make):
    packed = gzip.compress(as_jsonl("a", 2000))[:-3000]
    drawn = sample([make("a.jsonl.gz", packed)], Fields(), 20, seed=0)
    assert len(drawn.documents) == 20
    assert [fault.reason for fault in drawn.rejects] == ["truncated-stream"]


def test_settings(pool):
    with pytest.raises(SettingsError, match="sample size is 0; wanted 1 or more documents"):
        sample(pool, Fields(), 0, seed=0)
