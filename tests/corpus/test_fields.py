"""Where text, id, source and vector come from, and what is said when they do not."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from gotd.corpus import Document, Fields, Reject, fields_from
from gotd.errors import SettingsError


@pytest.fixture
def read_one(make, read_all):
    def read_record(record: dict | bytes, fields: Fields | None = None):
        line = record if isinstance(record, bytes) else orjson.dumps(record)
        (item,) = read_all(make("pool.jsonl", line), fields)
        return item

    return read_record


TEXTS = [
    ({"text": "a", "content": "b"}, None, "a"),
    ({"content": "b", "messages": []}, None, "b"),
    ({"text": None, "content": "b"}, None, "b"),
    (
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]},
        None,
        "hi\n\nho",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}, {"content": None}]},
        None,
        "hi",
    ),
    ({"instruction": "do", "input": "", "output": "done"}, None, "do\n\ndone"),
    ({"instruction": "do", "input": "this", "output": "done"}, None, "do\n\nthis\n\ndone"),
    ({"text": "a", "body": "b"}, "body", "b"),
    ({"title": "T", "year": 1999}, "{title}\\n({year})", "T\n(1999)"),
    ({"title": "T"}, "{{{title}}}", "{T}"),
]


@pytest.mark.parametrize(("record", "text", "wanted"), TEXTS)
def test_text(read_one, record, text, wanted):
    assert read_one(record, Fields(text=text)).text == wanted


BAD = [
    ({"a": 1}, Fields(text="b"), "text-missing", 'no field "b"; found "a". Fill it in'),
    ({"title": None}, Fields(text="{title}"), "text-missing", 'found null in "title"'),
    ({"title": "a"}, Fields(text="{title} {abstract}"), "text-missing", 'no field "abstract"; found "title"'),
    ({"title": ["a"]}, Fields(text="{title}"), "text-not-text", 'found list in "title", wanted a string'),
    ({"title": True}, Fields(text="{title}"), "text-not-text", 'found bool in "title"'),
    ({"messages": "hi"}, Fields(), "text-not-text", 'found str in "messages"'),
    ({"messages": ["hi"]}, Fields(), "text-not-text", 'wanted a list of {"role", "content"}'),
    ({"messages": []}, Fields(), "text-blank", "found a blank text"),
    (
        {"text": "abc"},
        Fields(min_chars=4),
        "text-too-short",
        "found a text of 3 characters, wanted 4 or more",
    ),
    ({"text": "a"}, Fields(id="key"), "id-missing", 'no id in "key"; found "text". Pass another --id-field'),
    ({"text": "a", "key": None}, Fields(id="key"), "id-missing", 'no id in "key"'),
    ({"text": "a", "key": 1.5}, Fields(id="key"), "id-not-text", 'found float in "key"'),
    ({"text": "a"}, Fields(source="site"), "source-missing", 'no source in "site"; found "text"'),
    ({"text": "a"}, Fields(embedding="v"), "vector-missing", 'no vector in "v"; found "text"'),
    (
        {"text": "a", "v": "1,2"},
        Fields(embedding="v"),
        "vector-not-numbers",
        'found str in "v", wanted a list',
    ),
    ({"text": "a", "v": []}, Fields(embedding="v"), "vector-not-numbers", "found an empty list"),
    (
        {"text": "a", "v": [1, None]},
        Fields(embedding="v"),
        "vector-not-numbers",
        "a list with NoneType in it",
    ),
    ({"text": "a", "v": [1, 1e300]}, Fields(embedding="v"), "vector-nan", "found 1e+300 at index 1"),
    ({"text": "a", "v": [1, 2]}, Fields(embedding="v", vector_length=3), "vector-length", "found 2 numbers in"),
    (b'{"text": "a", "v": [0, NaN]}', Fields(embedding="v"), "vector-nan", 'found nan at index 1 of "v"'),
]


@pytest.mark.parametrize(("record", "fields", "reason", "part"), BAD)
def test_faults(read_one, record, fields, reason, part):
    fault = read_one(record, fields)
    assert isinstance(fault, Reject)
    assert fault.reason == reason
    assert part in fault.message


def test_a_message_is_one_line_whatever_the_fields_are_called(read_one):
    fault = read_one({"a\nb": "words"})
    assert 'found "a b". Pass --text-field a b.' in fault.message
    assert "\n" not in fault.message


def test_given_ids_are_kept(read_one):
    assert read_one({"text": "a", "id": "x"}).id == "x"
    assert read_one({"text": "a", "id": 7}).id == "7"
    assert read_one({"text": "a", "key": "k", "id": "x"}, Fields(id="key")).id == "k"


@pytest.mark.parametrize("given", [None, "", True, 1.5, ["x"]])
def test_an_id_is_made_where_none_serves(read_one, given):
    item = read_one({"text": "a", "id": given})
    assert item.id.startswith("pool:0:")
    assert len(item.id) == len("pool:0:") + 16


def test_made_ids_are_stable_and_follow_the_content(make, read_all):
    first, second = read_all(make("pool.jsonl", b'{"text": "a"}\n{"text": "a"}'))
    assert first.id != second.id
    assert first.id == read_all(make("pool.jsonl", b'{"text": "a"}'))[0].id
    assert first.id != read_all(make("pool.jsonl", b'{"text": "b"}'))[0].id


def test_source(make, read_all):
    (item,) = read_all(make("wiki.v2.jsonl", b'{"text": "a", "site": "x"}'))
    assert item.source == "wiki.v2"
    (item,) = read_all(make("wiki.jsonl", b'{"text": "a", "site": "x"}'), Fields(source="site"))
    assert item.source == "x"


def test_vectors(read_one):
    item = read_one({"text": "a", "v": [1, 0.5]}, Fields(embedding="v"))
    assert isinstance(item, Document)
    assert item.vector.dtype == np.float32
    np.testing.assert_array_equal(item.vector, [1, 0.5])


SETTINGS = [
    ({"chunk_chars": 0}, "chunk_chars is 0; wanted 1 or more"),
    ({"min_chars": -1}, "min_chars is -1; wanted 0 or more"),
    ({"text_per": "page"}, 'text_per is "page"; wanted "line" or "file"'),
    ({"chunk_chars": 10, "embedding": "v"}, "exclude each other"),
    ({"text": "{a"}, "is no template"),
    ({"text": "{}"}, "wanted plain field names in braces"),
    ({"text": "{a:>3}"}, "wanted plain field names in braces"),
]


@pytest.mark.parametrize(("settings", "part"), SETTINGS)
def test_settings_are_checked_where_they_are_made(settings, part):
    with pytest.raises(SettingsError, match=part):
        Fields(**settings)


def test_fields_may_be_a_mapping_of_some_of_their_names() -> None:
    base = Fields(source="domain", chunk_chars=500)
    assert fields_from(None, base) is base
    assert fields_from(Fields(text="body"), base) == Fields(text="body")
    assert fields_from({"text": "body"}, base) == Fields(text="body", source="domain", chunk_chars=500)
    assert fields_from({}, base) == base


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"txt": "body"}, 'no field "txt"; known: text, id, .*Did you mean text?'),
        ({1: "body"}, 'no field "1"; known: '),
        ("body", "fields are 'body'; wanted gotd.Fields, or a mapping"),
        ({"min_chars": -1}, "min_chars is -1"),
    ],
)
def test_a_mapping_with_other_names_is_refused(given: object, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        fields_from(given, Fields())  # type: ignore[arg-type]
