"""What was read can be fetched again by address, from every format."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from gotd.corpus import Fields, fetch, find
from gotd.corpus.readers import batches as read_batches
from gotd.corpus.streams import open_raw
from gotd.errors import InputError

LINES = [orjson.dumps({"text": f"words {i}"}) for i in range(3000)]
JSONL = b"\r\n".join(LINES)
CONTENTS = {
    "a.jsonl": b"\xef\xbb\xbf" + JSONL,
    "a.jsonl.gz": gzip.compress(JSONL),
    "a.jsonl.zst": zstandard.compress(JSONL),
    "a.csv": b"text\n" + b'"two\nlines"\n' * 3000,
    "a.txt": b"\n".join(b"line %d" % i for i in range(3000)),
}


@pytest.fixture(params=[*CONTENTS, "a.parquet"])
def file(request, make, tmp_path):
    if request.param in CONTENTS:
        return make(request.param, CONTENTS[request.param])
    pq.write_table(pa.table({"text": [f"t{i}" for i in range(3000)]}), tmp_path / "a.parquet", row_group_size=100)
    return find([str(tmp_path / "a.parquet")])[0]


def test_fetched_is_read(file, read_all):
    documents = read_all(file)
    assert len(documents) == 3000
    wanted = [documents[i] for i in (0, 1, 99, 100, 1500, 2999)]
    addresses = [(document.position, document.piece) for document in wanted]
    assert list(fetch(file, addresses[::-1] + addresses, Fields())) == wanted
    assert list(fetch(file, [], Fields())) == []


@pytest.mark.parametrize("address", [(7, 1), (1 << 40, 0)])
def test_an_address_that_is_not_there(file, address):
    with pytest.raises(InputError, match=r"wanted the document that was scored.*score it again"):
        list(fetch(file, [address], Fields()))


def test_the_middle_of_a_line_is_no_address(make):
    with pytest.raises(InputError, match=r"a\.jsonl: byte 7, piece 0: found no document there"):
        list(fetch(make("a.jsonl", JSONL), [(7, 0)], Fields()))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_the_middle_of_a_compressed_line_is_none_either(name, make, read_all):
    """Named among others that are there, of this batch and of what follows."""
    file = make(name, CONTENTS[name])
    there = [(document.position, 0) for document in read_all(file)]
    with pytest.raises(InputError, match=r"byte 7, piece 0: found no document there"):
        list(fetch(file, [there[0], (7, 0), there[1], there[-1]], Fields()))


def test_scattered_row_groups_are_read_from_one_opening(tmp_path, monkeypatch):
    """The footer tells of all row groups: to read it for each would take the square of their number."""
    pq.write_table(pa.table({"text": [f"t{i}" for i in range(3000)]}), tmp_path / "a.parquet", row_group_size=100)
    (file,) = find([str(tmp_path / "a.parquet")])
    opened = []

    def counted(path):
        opened.append(path)
        return open_raw(path)

    monkeypatch.setattr("gotd.corpus.parquet.open_raw", counted)
    wanted = [*range(0, 3000, 200), 2999]
    assert [document.position for document in fetch(file, [(row, 0) for row in wanted], Fields())] == wanted
    assert len(opened) == 2


def test_a_row_that_went_bad(make):
    file = make("a.jsonl", JSONL)
    Path(file.path).write_bytes(JSONL.replace(LINES[5], b"x" * len(LINES[5])))
    with pytest.raises(InputError, match=r"found malformed JSON.*score it again"):
        list(fetch(file, [(JSONL.index(LINES[5]), 0)], Fields()))
    packed = make("b.jsonl.gz", gzip.compress(b"bad\n" + JSONL))
    with pytest.raises(InputError, match="The file changed since it was scored"):
        list(fetch(packed, [(0, 0)], Fields()))


def test_streaming_stops_after_the_last_wanted(make, monkeypatch):
    file = make("a.csv", CONTENTS["a.csv"])
    seen = []

    def counted(shard, fields):
        for batch in read_batches(shard, fields):
            seen.append(batch)
            yield batch

    monkeypatch.setattr("gotd.corpus.fetching.batches", counted)
    (document,) = fetch(file, [(5, 0)], Fields())
    assert document.position == 5
    assert len(seen) == 1


def test_pieces_that_are_not_there(make):
    with pytest.raises(InputError, match="byte 0, piece 99"):
        list(fetch(make("a.jsonl", JSONL), [(0, 0), (0, 99)], Fields(chunk_chars=50)))
