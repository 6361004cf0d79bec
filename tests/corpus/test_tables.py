"""CSV, TSV and Parquet: whole-file faults stop the run, a bad row costs itself."""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd.corpus import Document, Fields, fetch, find, plan, read
from gotd.errors import InputError


def test_csv_rows_are_objects_of_their_cells(make, read_all):
    content = b'\xef\xbb\xbfid,text\r\n1,"two\nlines, ""quoted"""\r\n2,plain\r\n'
    first, second = read_all(make("pool.csv", content))
    assert (first.id, first.text, first.source, first.position) == ("1", 'two\nlines, "quoted"', "pool", 0)
    assert orjson.loads(first.record) == {"id": "1", "text": 'two\nlines, "quoted"'}
    assert (second.text, second.position) == ("plain", 1)


def test_utf16_is_called_so_not_bad_quoting(make, read_all):
    with pytest.raises(InputError, match=r"in the header found byte 0xff, wanted UTF-8. .*iconv"):
        read_all(make("pool.csv", "id,text\n1,a\n".encode("utf-16")))


def test_tsv(make, read_all):
    (item,) = read_all(make("pool.tsv", b"title\ttext\na, b\tc\n"), Fields(text="{title}: {text}"))
    assert item.text == "a, b: c"


def test_long_cells(make, read_all):
    (item,) = read_all(make("pool.csv", b'text\n"' + b"x" * 1_000_000 + b'"\n'))
    assert len(item.text) == 1_000_000


BAD_ROWS = [
    (b"3", "wrong-cell-count", "found 1 cells, wanted 2 as in the header. Quote cells that hold a comma."),
    (b"3,a,b", "wrong-cell-count", "found 3 cells, wanted 2"),
    (b"3,a\xff", "bad-utf8", "found byte 0xff, wanted UTF-8."),
    (b"3,a\0", None, None),
    (b"", "blank-line", "found a blank line, wanted a row of cells."),
    (b"3,", "text-blank", "found a blank text"),
    (b'3,"a"b', "malformed-csv", "found malformed quoting ("),
    (b'3,"a', "malformed-csv", "wanted quotes in pairs. Double quotes inside a cell."),
]


@pytest.mark.parametrize(("row", "reason", "part"), BAD_ROWS)
def test_a_bad_csv_row_costs_itself(make, read_all, row, reason, part):
    file = make("a.csv", b'id,text\n1,"two\nlines"\n' + row + b"\n4,four\n" + b'5,"five"\n')
    first, fault, fourth, fifth = read_all(file)
    assert [item.text for item in (first, fourth, fifth)] == ["two\nlines", "four", "five"]
    assert (fault.file, fault.row) == (file.path, 4)
    assert fault.reason == (reason or ("nul-bytes" if fault.reason == "nul-bytes" else "malformed-csv"))
    assert (part or "") in fault.message


HEADERS = [
    (b"id,body\n1,a\n", r'a\.csv: no column "text"; found "id", "body"\. Pass --text-field'),
    (b"text,text\n1,a\n", r'a\.csv:1: found column "text" twice'),
    (b'"text\n1\n', r"a\.csv:1: in the header found malformed quoting"),
    (b"t\xffext\n1\n", r"a\.csv:1: in the header found byte 0xff"),
]


@pytest.mark.parametrize(("content", "message"), HEADERS)
def test_a_bad_header_is_a_fault_of_the_file(make, read_all, content, message):
    with pytest.raises(InputError, match=message):
        read_all(make("a.csv", content))


@given(st.binary(max_size=60), st.booleans())
def test_random_bytes_in_a_csv_never_lose_a_later_row(junk, quoted):
    """A row before and the last row survive, unless the junk itself quotes across them."""
    good = b'1,"good"\n' if quoted else b"1,good\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_bytes(b"id,text\n" + good + junk.replace(b'"', b"'") + b"\n" + good)
        items = list(read(plan(find([str(path)]), Fields())[0], Fields()))
    assert isinstance(items[0], Document)
    assert isinstance(items[-1], Document)
    assert items[0].text == items[-1].text == "good"


@given(st.lists(st.sampled_from([b"1,a\n", b'2,"b\nc"\n', b'3,"d\n', b'4,d"\n', b"\n", b'"\n', b"\xff,\n"])))
def test_stray_quotes_never_crash_and_positions_count_rows(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_bytes(b"id,text\n" + b"".join(rows))
        items = list(read(plan(find([str(path)]), Fields())[0], Fields()))
    for position, item in enumerate(items):
        assert not isinstance(item, Document) or item.position == position


@pytest.fixture
def parquet(tmp_path):
    def write(columns: dict, name: str = "pool.parquet", **options):
        table = pa.table(columns)
        pq.write_table(table, tmp_path / name, **options)
        return find([str(tmp_path / name)])[0]

    return write


def test_parquet_rows(parquet, read_all):
    file = parquet({"text": [f"t{i}" for i in range(100)], "n": range(100)}, row_group_size=7)
    whole = read_all(file)
    assert [item.text for item in whole] == [f"t{i}" for i in range(100)]
    assert [item.position for item in whole] == list(range(100))
    assert orjson.loads(whole[3].record) == {"text": "t3", "n": 3}
    assert read_all(file, shard_bytes=1) == whole
    assert len(plan([file], Fields(), 1)) == 15
    assert len(plan([file], Fields())) == 1


def test_parquet_cells(parquet, read_all):
    null, blank, good = read_all(parquet({"text": [None, " ", "good"]}))
    assert (null.reason, null.row) == ("text-missing", 1)
    assert 'pool.parquet:1: found null in "text"' in null.message
    assert (blank.reason, blank.row, good.text) == ("text-blank", 2, "good")
    (fault,) = read_all(parquet({"text": [3]}))
    assert 'found int in "text", wanted a string' in fault.message


def test_parquet_bad_utf8_costs_its_row(parquet, read_all):
    cells = pa.array([b"a", b"\xff", b"c"]).cast(pa.binary()).view(pa.string())
    first, fault, last = read_all(parquet({"text": cells}))
    assert (first.text, last.text) == ("a", "c")
    assert (fault.reason, fault.row) == ("bad-utf8", 2)
    assert "found a cell that is not UTF-8" in fault.message


def test_parquet_types_that_json_lacks(parquet, read_all):
    (item,) = read_all(
        parquet(
            {
                "text": ["a"],
                "when": [datetime.datetime(2024, 1, 2)],
                "much": [decimal.Decimal("1.50")],
                "raw": [b"\x00\xff"],
                "deep": [{"a": [1, None]}],
                "span": pa.array([5], pa.duration("s")),
            }
        )
    )
    assert orjson.loads(item.record) == {
        "text": "a",
        "when": "2024-01-02T00:00:00",
        "much": "1.50",
        "raw": "AP8=",
        "deep": {"a": [1, None]},
        "span": "0:00:05",
    }


WITHOUT_PANDAS = """
import sys
from gotd.engine.processes import _NoPandas
sys.meta_path.insert(0, _NoPandas)
from gotd.corpus import Fields, find, plan, read
for item in read(plan(find(sys.argv[1]), Fields())[0], Fields()):
    sys.stdout.buffer.write(item.record + b"\\n")
"""


def test_times_of_nanoseconds_are_the_same_with_pandas_and_without(parquet, read_all):
    """A worker does without pandas, and whoever fetches what it scored may have it."""
    exact, finer = 1_700_000_000_123_456_000, 1_700_000_000_000_000_001
    times = pa.array([exact, finer], pa.timestamp("ns"))
    columns = {
        "text": ["a", "b"],
        "zoned": times.cast(pa.timestamp("ns", "Europe/Berlin")),
        "took": pa.array([86_400_000_000_000, 1], pa.duration("ns")),
        "of_day": pa.array([1000, 1], pa.time64("ns")),
        "nested": pa.array([[{"at": exact}], [{"at": finer}]], pa.list_(pa.struct([("at", pa.timestamp("ns"))]))),
        "map": pa.array([[("k", exact)], []], pa.map_(pa.string(), pa.timestamp("ns"))),
    }
    file = parquet(columns)
    first, second = (orjson.loads(item.record) for item in read_all(file))
    assert first == {
        "text": "a",
        "zoned": "2023-11-14T23:13:20.123456+01:00",
        "took": "1 day, 0:00:00",
        "of_day": "00:00:00.000001",
        "nested": [{"at": "2023-11-14T22:13:20.123456"}],
        "map": [["k", "2023-11-14T22:13:20.123456"]],
    }
    assert second["zoned"] == "2023-11-14 23:13:20.000000001+0100"
    assert (second["took"], second["of_day"], second["map"]) == ("1", "00:00:00.000000001", [])
    said = subprocess.run([sys.executable, "-c", WITHOUT_PANDAS, file.path], capture_output=True, check=True)
    assert said.stdout.splitlines() == [item.record for item in read_all(file)]


def test_a_type_that_arrow_takes_no_rows_of_is_sampled_and_fetched(parquet, read_all):
    file = parquet({"text": pa.array(["a", "b", "c"], pa.string_view())})
    found = read_all(file)
    assert [item.text for item in found] == ["a", "b", "c"]
    assert list(fetch(file, [(1, 0)], Fields())) == [found[1]]


def test_parquet_vectors(parquet, read_all):
    good, fault, missing = read_all(
        parquet({"text": ["a"] * 3, "v": [[1.0, 2.0], [float("nan"), 1.0], None]}), Fields(embedding="v")
    )
    assert good.vector.tolist() == [1.0, 2.0]
    assert (fault.reason, missing.reason) == ("vector-nan", "vector-missing")


def test_parquet_without_the_column(parquet, read_all):
    file = parquet({"body": ["a"], "n": [1]})
    with pytest.raises(InputError, match=r'pool\.parquet: no column "text"; found "body", "n"\. Pass --text'):
        read_all(file)
    with pytest.raises(InputError, match='no column "key", "title"; found'):
        read_all(file, Fields(text="{title} {body}", id="key"))


def test_an_empty_parquet_table(parquet, read_all):
    assert read_all(parquet({"text": pa.array([], pa.string())})) == []


@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_truncated_parquet_is_named(parquet, make, read_all, part):
    data = Path(parquet({"text": ["some words"] * 100}).path).read_bytes()
    file = make("cut.parquet", data[: int(part * len(data))])
    with pytest.raises(InputError, match=r"cut\.parquet: damaged Parquet \(.*Fetch or write it again"):
        read_all(file)


def test_damage_inside_a_parquet_is_named(parquet, make, read_all):
    words = [f"some words {i * 7919}" for i in range(3000)]
    data = bytearray(Path(parquet({"text": words}, compression="zstd").path).read_bytes())
    data[len(data) // 3 : len(data) // 2] = b"\xff" * (len(data) // 2 - len(data) // 3)
    with pytest.raises(InputError, match=r"hurt\.parquet: damaged Parquet"):
        read_all(make("hurt.parquet", bytes(data)))
