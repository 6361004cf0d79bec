"""Any bytes: the reader ends in rows or in a GotdError, and the good rows around the bad ones all come through.

`scripts/fuzz_reader.py` drives the same checks with atheris, which looks for new paths through the code.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gotd.corpus import Document, Fields, Reject, fetch, find, plan, read, sample
from gotd.corpus.writers import with_key, without_key
from gotd.errors import GotdError

GOOD = [
    {"text": f"good row {i}", "id": f"g{i}", "source": "here", "v": [0.5, float(i)], "title": "t", "n": i}
    for i in range(4)
]
_TABLE = [Fields(), Fields(text="{title}\\n{text}", min_chars=3), Fields(id="id", source="source")]
FIELDS = {"jsonl": [*_TABLE, Fields(embedding="v")], "csv": _TABLE, "tsv": _TABLE, "txt": [Fields()]}
TYPES = [
    pa.timestamp("ms"),
    pa.timestamp("us", tz="Europe/Paris"),
    pa.timestamp("ns", tz="+01:00"),
    pa.duration("s"),
    pa.duration("ns"),
    pa.time64("us"),
    pa.time64("ns"),
    pa.int64(),
    pa.uint64(),
    pa.float64(),
]


def lines(suffix: str, data: bytes) -> tuple[bytes, int | None]:
    """A file of lines with `data` between good ones, and how many rows it has; None where quotes may join lines."""
    if suffix == "jsonl":
        rows = [orjson.dumps(row) for row in GOOD]
    elif suffix == "txt":
        rows = [str(row["text"]).encode() for row in GOOD]
    else:
        mark = b"," if suffix == "csv" else b"\t"
        rows = [mark.join(str(cell).encode() for name, cell in row.items() if name != "v") for row in GOOD]
        head = mark.join(name.encode() for name in GOOD[0] if name != "v")
        return b"\n".join([head, *rows[:2], data, *rows[2:]]), None
    return b"\n".join([*rows[:2], data, *rows[2:]]), len(rows) + len(data.split(b"\n"))


def gz(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data)


PACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gz, ".zst": zst}


def check_lines(folder: Path, suffix: str, packed: str, fields: Fields, data: bytes) -> None:
    """`data` stands between good rows: they all come through, and each line is one row."""
    content, count = lines(suffix, data)
    path = folder / f"a.{suffix}{packed}"
    path.write_bytes(PACK[packed](content))
    items = checked(path, fields)
    assert count is None or len(items) == count
    around = [*items[:2], *items[-2:]]
    assert [getattr(item, "text", item).removeprefix("t\n") for item in around] == [row["text"] for row in GOOD]


def check_tail(folder: Path, suffix: str, packed: str, data: bytes) -> None:
    """`data` follows a whole compressed member: its rows come through, and what follows it is told."""
    content = lines(suffix, b"")[0] + b"\n"
    path = folder / f"b.{suffix}{packed}"
    path.write_bytes(PACK[packed](content) + data)
    items = checked(path, Fields())
    kept = [item.text for item in items[: len(GOOD) + 1] if isinstance(item, Document)]
    assert kept == [row["text"] for row in GOOD]


def check_whole(folder: Path, name: str, data: bytes) -> None:
    """`data` is the whole file."""
    path = folder / name
    path.write_bytes(data)
    told(path)


def check_damaged(folder: Path, name: str, at: int, data: bytes) -> None:
    """`data` is put over some of a good file."""
    whole = good_file(name)
    at %= len(whole)
    path = folder / name
    path.write_bytes(whole[:at] + data + whole[at + len(data) :])
    told(path)


def check_cell(folder: Path, form: pa.DataType, data: bytes) -> None:
    """`data` stands in a row of a Parquet file, as text and as a value of some type: it costs that row at most."""
    texts = [str(row["text"]).encode() for row in GOOD]
    texts.insert(2, data)
    ends = np.cumsum([0, *map(len, texts)]).astype(np.int32)
    text = pa.Array.from_buffers(pa.string(), 5, [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))])
    bits = np.frombuffer(data.ljust(8, b"\0")[:8], np.int64)
    other = pa.array(np.insert(np.zeros(4, np.int64), 2, bits[0]))
    path = folder / "c.parquet"
    pq.write_table(pa.table({"text": text, "other": other.view(form)}), path)
    items = checked(path, Fields())
    kept = [item.text for at, item in enumerate(items) if at != 2 and isinstance(item, Document)]
    assert len(items) == 5
    assert kept == [row["text"] for row in GOOD]


@lru_cache
def good_file(name: str) -> bytes:
    """A whole file of good rows."""
    _, suffix, *packed = name.split(".")
    if suffix != "parquet":
        return PACK[f".{packed[0]}" if packed else ""](lines(suffix, b"")[0])
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(GOOD), out, row_group_size=2)
    return out.getvalue()


def checked(path: Path, fields: Fields) -> list[Document | Reject]:
    """Every item of a file; what is downstream of the reader can use them, and other ways to the rows agree."""
    (file,) = find([str(path)])
    items = [item for shard in plan([file], fields) for item in read(shard, fields)]
    documents = [item for item in items if isinstance(item, Document)]
    for item in items:
        if isinstance(item, Reject):
            assert "\n" not in item.message
            orjson.dumps(asdict(item))
    pa.array([text for found in documents for text in (found.id, found.source, found.text)], pa.string())
    for found in documents:
        assert orjson.loads(with_key(without_key(found.record)[0], {"rank": 1}))["gotd"] == {"rank": 1}
    pieces = [item for shard in plan([file], fields, 16) for item in read(shard, fields)]
    assert pieces == items
    assert list(fetch(file, [(found.position, found.piece) for found in documents], fields)) == documents
    assert sample([file], fields, None, 0).documents == documents
    return items


def told(path: Path) -> None:
    """The same of a file that may be damaged as a whole: then one line says so."""
    try:
        checked(path, Fields())
    except GotdError as error:
        if "\n" in str(error):
            raise AssertionError("an error of several lines") from error


def check(folder: Path, data: bytes) -> None:
    """One check of all, by the first bytes: for fuzzers that know bytes alone."""
    kind, first, second, third = data[:4].ljust(4, b"\0")
    body = data[4:]
    suffix = ("jsonl", "jsonl", "csv", "tsv", "txt")[first % 5]
    packed = ("", "", ".gz", ".zst")[second % 4]
    if kind % 5 == 0:
        check_lines(folder, suffix, packed, FIELDS[suffix][third % len(FIELDS[suffix])], body)
    elif kind % 5 == 1:
        check_tail(folder, suffix, packed or ".gz", body)
    elif kind % 5 == 2:
        check_whole(folder, "w.parquet" if second % 2 else f"w.{suffix}{packed}", body)
    elif kind % 5 == 3:
        at = first | second << 8
        check_damaged(folder, ("d.parquet", "d.jsonl.gz", "d.jsonl.zst", "d.parquet")[third % 4], at, body)
    else:
        check_cell(folder, TYPES[first % len(TYPES)], body)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


# Bytes that mean something to one of the formats, and those that mean nothing.
PARTS = [*b'{}[]",:\n\r\t\\\0', *b"PAR1\x1f\x8b\x28\xb5\x2f\xfd\xef\xbb\xbf\xff"]
WORDS = [b'{"text": "', b'"}', b'"id": ', b'"v": [', b"\\ud800", b"NaN", b"1e999", b"good row 1", bytes(8), b'""']
SOUP = st.lists(st.sampled_from([bytes((part,)) for part in PARTS] + WORDS) | st.binary(max_size=4)).map(b"".join)


@given(st.sampled_from(["jsonl", "csv", "tsv", "txt"]), st.sampled_from(["", ".gz", ".zst"]), st.data())
def test_any_lines_leave_their_neighbours(folder: Path, suffix: str, packed: str, data: st.DataObject) -> None:
    check_lines(folder, suffix, packed, data.draw(st.sampled_from(FIELDS[suffix])), data.draw(SOUP))


@given(st.sampled_from(["jsonl", "csv", "txt"]), st.sampled_from([".gz", ".zst"]), SOUP)
def test_any_bytes_after_a_member_leave_its_rows(folder: Path, suffix: str, packed: str, data: bytes) -> None:
    check_tail(folder, suffix, packed, data)


@given(st.sampled_from(["jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "txt.zst", "parquet"]), SOUP)
def test_any_bytes_are_a_file(folder: Path, suffix: str, data: bytes) -> None:
    check_whole(folder, f"w.{suffix}", data)


@given(st.sampled_from(["parquet", "parquet", "jsonl.gz", "jsonl.zst"]), st.integers(0, 9999), st.binary(min_size=1))
def test_any_damage_is_told(folder: Path, suffix: str, at: int, data: bytes) -> None:
    check_damaged(folder, f"d.{suffix}", at, data)


def test_damage_in_a_row_group_leaves_the_next_alone(folder: Path) -> None:
    """Arrow, given both at once, would fill up the rows of the second with what the first lost of its lists."""
    whole = good_file("d.parquet")
    (column,) = (
        pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(0).column(at)
        for at, name in enumerate(GOOD[0])
        if name == "v"
    )
    path, read_all = folder / "d.parquet", 0
    for at in range(column.dictionary_page_offset, column.dictionary_page_offset + column.total_compressed_size):
        path.write_bytes(whole[:at] + b"\0" + whole[at + 1 :])
        with suppress(GotdError):
            assert [orjson.loads(item.record)["v"] for item in checked(path, Fields())[2:]] == [[0.5, 2.0], [0.5, 3.0]]
            read_all += 1
    assert read_all


@given(st.sampled_from(TYPES), SOUP | st.binary(min_size=8, max_size=8))
def test_any_cell_costs_its_own_row(folder: Path, form: pa.DataType, data: bytes) -> None:
    check_cell(folder, form, data)


@pytest.mark.parametrize("header", [b'"a\nb",c\n', b'text,"a\nb","a\nb"\n'])
def test_a_column_with_a_line_break_is_named_in_one_line(folder: Path, header: bytes) -> None:
    (folder / "header.csv").write_bytes(header)
    with pytest.raises(GotdError, match="found") as caught:
        checked(folder / "header.csv", Fields())
    assert "\n" not in str(caught.value)


def test_a_column_whose_name_is_not_utf8_is_damage(folder: Path) -> None:
    path = folder / "name.parquet"
    path.write_bytes(good_file("d.parquet").replace(b"title", b"ti\xffle"))
    with pytest.raises(GotdError, match="damaged Parquet"):
        checked(path, Fields())


def test_a_column_that_no_json_can_hold_is_named_in_every_row(folder: Path) -> None:
    """Arrow does not know the time zone: as if each of the cells were bad."""
    path = folder / "zone.parquet"
    zone = pa.array([0, 1], pa.int64()).view(pa.timestamp("us", tz="no/such"))
    pq.write_table(pa.table({"text": ["a", "b"], "zone": zone}), path)
    items = checked(path, Fields())
    assert [item.reason for item in items if isinstance(item, Reject)] == ["record-not-json"] * 2
