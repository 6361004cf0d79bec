"""JSONL and text lines: what each bad line is called, and that it costs nothing but itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd.corpus import Document, Fields, Reject, find, plan, read, sample, share_of_rows
from gotd.errors import InputError, SettingsError

GOOD = b'{"text": "good words"}'

# name, the bad second line, reason, parts of the message
BAD_LINES = [
    ("blank", b"", "blank-line", "found a blank line, wanted a JSON object. Remove the line."),
    ("spaces", b" \t ", "blank-line", "found a blank line"),
    ("cut short", b'{"text": "a', "malformed-json", "found malformed JSON ("),
    ("two objects", b"{} {}", "malformed-json", "Mend or remove the line."),
    ("an array", b'["a"]', "not-an-object", "found JSON of type list, wanted an object"),
    ("a number", b"17", "not-an-object", "found JSON of type int"),
    ("bad byte", b'{"text": "a\xff"}', "bad-utf8", "found byte 0xff at byte 12 of the line, wanted UTF-8."),
    ("lone surrogate", b'{"text": "\\ud800x"}', "lone-surrogate", r"half of a surrogate pair (\ud800)"),
    ("NUL byte", b'{"text": "a\0"}', "nul-bytes", "found NUL bytes, wanted UTF-8."),
    ("NaN", b'{"text": "a", "x": NaN}', "malformed-json", "found NaN or Infinity, which JSON does not have"),
    ("deep", b"[" * 100_000, "malformed-json", "found malformed JSON"),
    ("no text", b'{"body": "a"}', "text-missing", 'no field "text"; found "body". Pass --text-field body.'),
    ("no field", b"{}", "text-missing", 'no field "text"; found no field at all.'),
    ("null text", b'{"text": null}', "text-missing", 'found null in "text", wanted a string.'),
    ("number as text", b'{"text": 3}', "text-not-text", 'found int in "text", wanted a string.'),
    ("empty text", b'{"text": ""}', "text-blank", "found a blank text, wanted words."),
    ("blank text", b'{"text": " \\n\\u00a0"}', "text-blank", "found a blank text"),
]


@pytest.mark.parametrize(("line", "reason", "part"), [case[1:] for case in BAD_LINES], ids=lambda x: str(x)[:20])
def test_a_bad_line_is_named_and_costs_only_itself(make, read_all, line, reason, part):
    file = make("a.jsonl", GOOD + b"\n" + line + b"\n" + GOOD + b"\n")
    first, fault, last = read_all(file)
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert last.position == len(GOOD) + len(line) + 2
    assert (fault.file, fault.row, fault.reason) == (file.path, 2, reason)
    assert fault.message.startswith(f"{file.path}:2: ")
    assert part in fault.message
    assert "\n" not in fault.message
    assert fault.excerpt == line[:200].decode("utf-8", "replace")


@pytest.mark.parametrize("line", [case[1] for case in BAD_LINES[2:]], ids=[case[0] for case in BAD_LINES[2:]])
def test_on_error_fail_stops_with_the_message(make, line):
    shard = plan([make("a.jsonl", GOOD + b"\n" + line + b"\n")], Fields())[0]
    with pytest.raises(InputError, match=r"a\.jsonl:2: .*Or pass --on-error skip"):
        list(read(shard, Fields(), on_error="fail"))


@pytest.mark.parametrize(
    ("name", "lines"), [("a.txt", b"a\n\nb\n \n"), ("a.jsonl", GOOD + b"\n\n"), ("a.csv", b"text\na\n\nb\n")]
)
def test_a_blank_line_is_named_and_stops_nothing(make, name, lines):
    """Files of lines have them between texts and at the end: nothing is lost, and it is counted all the same."""
    file = make(name, lines)
    items = list(read(plan([file], Fields())[0], Fields(), on_error="fail"))
    drawn = sample([file], Fields(), None, 0, on_error="fail")
    texts = [item.text for item in items if isinstance(item, Document)]
    assert [document.text for document in drawn.documents] == texts
    assert [document.text for document in share_of_rows([file], Fields(), 1.0, 0, on_error="fail")] == texts
    assert [item for item in items if isinstance(item, Reject)] == drawn.rejects
    assert {reject.reason for reject in drawn.rejects} == {"blank-line"}
    assert len(texts) + len(drawn.rejects) == drawn.rows == len(items)


def test_on_error_is_checked_before_reading(make):
    shard = plan([make("a.jsonl", GOOD)], Fields())[0]
    with pytest.raises(SettingsError, match='on_error is "ignore"; wanted "skip" or "fail"'):
        read(shard, Fields(), on_error="ignore")


def test_records_are_the_bytes_of_the_lines(make, read_all):
    odd = b'{"text" :"\\u00e9", "n":1.0E2 , "a":12345678901234567890123}'
    items = read_all(make("a.jsonl", b"\xef\xbb\xbf" + odd + b"\r\n  " + odd + b" \n" + odd))
    assert [item.record for item in items] == [odd] * 3
    assert [item.text for item in items] == ["é"] * 3
    assert [item.position for item in items] == [0, len(odd) + 5, 2 * len(odd) + 9]


def test_bom_is_removed_at_the_start_only(make, read_all):
    first, second = read_all(make("a.jsonl", b"\xef\xbb\xbf" + GOOD + b"\n\xef\xbb\xbf" + GOOD))
    assert first.record == GOOD
    assert second.reason == "malformed-json"


def test_other_line_ends_do_not_cut(make, read_all):
    text = "a\u2028b\x0bc\x1cd\x85e"
    (item,) = read_all(make("a.jsonl", orjson.dumps({"text": text})))
    assert item.text == text


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.csv", "a.tsv", "a.jsonl.gz", "a.jsonl.zst"])
def test_an_empty_file_gives_nothing(make, read_all, name):
    assert read_all(make(name, b"")) == []


def test_a_file_of_one_newline_holds_one_blank_line(make, read_all):
    (fault,) = read_all(make("a.jsonl", b"\n"))
    assert (fault.row, fault.reason) == (1, "blank-line")


def test_very_long_lines(make, read_all):
    long = orjson.dumps({"text": "x" * 9_000_000})
    items = read_all(make("a.jsonl", GOOD + b"\n" + long + b"\n" + GOOD), shard_bytes=5 << 20)
    assert [len(item.text) for item in items] == [10, 9_000_000, 10]


def test_any_script_and_one_word_documents(make, read_all):
    texts = ["猫", "кот", "قط", "🐈", "cat"]
    file = make("a.jsonl", b"\n".join(orjson.dumps({"text": text}) for text in texts))
    assert [item.text for item in read_all(file)] == texts


def test_text_lines(make, read_all):
    file = make("pool.txt", b"\xef\xbb\xbfone\r\n  two\n\nbad \xff\nnul \0\nlast")
    one, two, blank, bad, nul, last = read_all(file)
    assert (one.text, one.source, one.record) == ("one", "pool", b'{"text":"one"}')
    assert (two.text, two.position) == ("  two", 8)
    assert (blank.reason, bad.reason, nul.reason) == ("blank-line", "bad-utf8", "nul-bytes")
    assert "found byte 0xff at byte 5 of the line" in bad.message
    assert (last.text, bad.row) == ("last", 4)


def test_text_per_file(make, read_all):
    whole = Fields(text_per="file")
    (item,) = read_all(make("a.txt", b"\xef\xbb\xbfone\ntwo\n"), whole, 1)
    assert (item.text, item.position) == ("one\ntwo\n", 0)
    (fault,) = read_all(make("b.txt", b"one\n\xfe"), whole)
    assert (fault.reason, fault.row) == ("bad-utf8", 1)
    assert read_all(make("c.txt", b""), whole) == []


def test_row_numbers_in_a_later_shard_count_from_the_start_of_the_file(make):
    content = (GOOD + b"\n") * 50 + b"bad\n" + (GOOD + b"\n") * 50
    shards = plan([make("a.jsonl", content)], Fields(), shard_bytes=100)
    faults = [item for shard in shards for item in read(shard, Fields()) if isinstance(item, Reject)]
    assert [fault.row for fault in faults] == [51]
    assert len(shards) > 20


lines = st.one_of(
    st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")),
    st.sampled_from([GOOD, b"", b"\r", b'{"text": "\xe2\x80\xa8"}', b'{"text": "\\udfff"}', b"\xef\xbb\xbf" + GOOD]),
)


@given(st.lists(lines, max_size=8), st.integers(1, 60), st.sampled_from(["a.jsonl", "a.txt"]), st.booleans())
def test_sharded_reading_is_whole_reading(rows, shard_bytes, name, newline_at_end):
    content = b"\n".join(rows) + (b"\n" if newline_at_end else b"")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        files = find([str(path)])
        parts = [list(read(shard, Fields())) for shard in plan(files, Fields(), shard_bytes)]
        whole = [item for shard in plan(files, Fields()) for item in read(shard, Fields())]
    assert [item for part in parts for item in part] == whole
    expected = content.split(b"\n")
    assert len(whole) == len(expected) - (expected[-1] == b"")


@given(st.lists(lines, min_size=1, max_size=6), st.integers(0, 5))
def test_random_bytes_never_cost_a_neighbour(rows, at):
    at = min(at, len(rows))
    content = b"\n".join([*rows[:at], GOOD, *rows[at:]])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_bytes(content)
        items = list(read(plan(find([str(path)]), Fields())[0], Fields()))
    assert isinstance(items[at], Document)
    assert items[at].record == GOOD
