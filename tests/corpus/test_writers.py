"""Selected records come out as they went in, plus one key; rejects are counted; files appear whole."""

from __future__ import annotations

import json
import resource
from hashlib import sha256

import orjson
import pyarrow.parquet as pq
import pytest
import zstandard

from gotd.corpus import Fields, Reject, RejectWriter, find, open_writer, plan, read
from gotd.errors import SettingsError

GOTD = {"score": 0.5, "rank": 1}
KEY = b'"gotd":{"score":0.5,"rank":1}}'


def lines_of(path) -> list[bytes]:
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data.splitlines()


@pytest.mark.parametrize("form", ["jsonl", "jsonl.zst"])
def test_records_are_unchanged_but_for_the_key(tmp_path, form):
    odd = b'{"text": "\\u00e9", "n": 1.0E2, "big": 12345678901234567890123 }'
    with open_writer(tmp_path, form) as writer:
        for record in (odd, b"{}", b'{ "gotd-like": 1}'):
            writer.write(record, GOTD)
        assert not writer.path.exists()
    assert writer.path.name == f"selected.{form}"
    assert lines_of(writer.path) == [odd[:-1] + b"," + KEY, b"{" + KEY, b'{ "gotd-like": 1,' + KEY]
    assert (writer.written, writer.replaced) == (3, 0)
    assert list(tmp_path.iterdir()) == [writer.path]


def test_an_earlier_key_is_replaced_and_counted(tmp_path):
    with open_writer(tmp_path) as writer:
        writer.write(b'{"a": 1, "gotd": {"rank": 9}, "b": [{"gotd": 2}]}', GOTD)
        writer.write(b'{"a": {"gotd": 3}}', GOTD)
        writer.write(b'{"gotd": 3}', GOTD)
    assert lines_of(writer.path) == [
        b'{"a":1,"b":[{"gotd":2}],' + KEY,
        b'{"a": {"gotd": 3},' + KEY,
        b"{" + KEY,
    ]
    assert writer.replaced == 2


def test_what_is_written_can_be_read(tmp_path):
    with open_writer(tmp_path, "jsonl.zst", "part") as writer:
        writer.write(b'{"text":"a"}', GOTD)
    (item,) = read(plan(find([str(writer.path)]), Fields())[0], Fields())
    assert orjson.loads(item.record) == {"text": "a", "gotd": GOTD}


@pytest.mark.parametrize("form", ["jsonl", "jsonl.zst", "parquet"])
def test_an_error_leaves_no_file(tmp_path, form):
    def fail():
        with open_writer(tmp_path, form) as writer:
            writer.write(b"{}", GOTD)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["jsonl", "jsonl.zst", "parquet"])
def test_an_existing_file_stays_until_the_new_one_is_whole(tmp_path, form):
    path = tmp_path / f"selected.{form}"
    path.write_text("old")
    writer = open_writer(tmp_path, form)
    writer.write(b"{}", GOTD)
    assert path.read_text() == "old"
    writer.close()
    writer.close()
    assert path.read_bytes() != b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_parquet_finds_one_schema_for_all_rows(tmp_path):
    with open_writer(tmp_path, "parquet") as writer:
        for i in range(2500):
            record = {
                "text": f"t{i}",
                "n": i if i < 2000 else i + 0.5,
                "meta": {"k": None if i < 1500 else "v"},
            }
            if i >= 2400:
                record["late"] = True
            writer.write(orjson.dumps(record), {"score": i / 2, "rank": i})
    rows = pq.read_table(writer.path).to_pylist()
    assert len(rows) == 2500
    assert rows[3] == {
        "text": "t3",
        "n": 3.0,
        "meta": {"k": None},
        "late": None,
        "gotd": {"score": 1.5, "rank": 3},
    }
    assert rows[2499]["n"] == 2499.5
    assert rows[2499]["late"] is True
    assert list(tmp_path.iterdir()) == [writer.path]


def test_parquet_of_nothing(tmp_path):
    with open_writer(tmp_path, "parquet") as writer:
        pass
    assert pq.read_table(writer.path).num_rows == 0


@pytest.mark.parametrize("records", [[{"a": 1}, {"a": "x"}], [{"a": 1}] * 1500 + [{"a": "x"}], [{"a": {}}]])
def test_parquet_of_mixed_types_says_what_to_do(tmp_path, records):
    writer = open_writer(tmp_path, "parquet")
    for record in records:
        writer.write(json.dumps(record).encode(), GOTD)
    with pytest.raises(SettingsError, match=r"selected\.parquet: Parquet cannot hold .*Pass --format jsonl"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_formats_and_records_are_checked(tmp_path):
    with pytest.raises(SettingsError, match=r'format is "csv"; wanted "jsonl", "jsonl\.zst" or "parquet"'):
        open_writer(tmp_path, "csv")
    with (
        open_writer(tmp_path) as writer,
        pytest.raises(ValueError, match="wanted the bytes of one JSON object"),
    ):
        writer.write(b"[1]", GOTD)


def fault(row: int, reason: str) -> Reject:
    return Reject("a.jsonl", row, reason, f"a.jsonl:{row}: found é", "é\ufffd")


def test_rejects_are_written_and_counted(tmp_path):
    path = tmp_path / "run" / "rejects.jsonl"
    with RejectWriter(path) as writer:
        writer.write(fault(1, "bad-utf8"))
        writer.write(fault(2, "blank-line"))
        writer.write(fault(3, "bad-utf8"))
        assert not path.exists()
    assert writer.counts == {"bad-utf8": 2, "blank-line": 1}
    assert writer.total == 3
    assert orjson.loads(path.read_bytes().splitlines()[0]) == {
        "file": "a.jsonl",
        "row": 1,
        "reason": "bad-utf8",
        "message": "a.jsonl:1: found é",
        "excerpt": "é\ufffd",
    }
    with RejectWriter(path) as writer:
        pass
    assert path.read_bytes() == b""


def test_rejects_of_a_failed_run_leave_the_old_file(tmp_path):
    path = tmp_path / "rejects.jsonl"
    path.write_text("")

    def fail():
        with RejectWriter(path) as writer:
            writer.write(fault(1, "bad-utf8"))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert path.read_text() == ""
    assert list(tmp_path.iterdir()) == [path]


def fill(folder, form, rows):
    """Write so many rows of a form, or rejects."""
    texts = [sha256(b"%d" % i).hexdigest() for i in range(rows)]
    if form == "rejects":
        with RejectWriter(folder / "rejects.jsonl") as rejects:
            for text in texts:
                rejects.write(Reject("f", 1, "r", text, ""))
    else:
        with open_writer(folder, form) as records:
            for text in texts:
                records.write(b'{"text":"%b"}' % text.encode(), {})


@pytest.mark.parametrize("form", ["jsonl", "jsonl.zst", "parquet", "rejects"])
@pytest.mark.parametrize("rows", [5, 2000])
def test_a_disk_that_fills_up_is_left_as_it_was(tmp_path, form, rows):
    """While rows are written, or only as the last are flushed: the half file would take the room that is wanted."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            fill(tmp_path, form, rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
