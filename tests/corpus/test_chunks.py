"""Texts cut and joined to a length: nothing is lost, every piece has its length and its owner."""

from __future__ import annotations

import tempfile
from pathlib import Path

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gotd.corpus import Document, Fields, Reject, fetch, find, plan, read


def as_jsonl(texts: list[str]) -> bytes:
    return b"".join(orjson.dumps({"text": text, "id": f"d{i}"}) + b"\n" for i, text in enumerate(texts))


@given(st.lists(st.text("abcé猫", min_size=1, max_size=40), max_size=8), st.integers(3, 30))
def test_pieces_join_to_the_joined_texts(texts, size):
    fields = Fields(chunk_chars=size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_bytes(as_jsonl(texts))
        (file,) = find([str(path)])
        (shard,) = plan([file], fields, shard_bytes=1)
        pieces = list(read(shard, fields))
        addresses = [(piece.position, piece.piece) for piece in pieces]
        again = list(fetch(file, addresses[::-2], fields))
    assert "".join(piece.text for piece in pieces) == "\n\n".join(texts)
    assert all(len(piece.text) == size for piece in pieces[:-1])
    assert all(1 <= len(piece.text) <= size for piece in pieces[-1:])
    assert len(set(addresses)) == len({piece.id for piece in pieces}) == len(pieces)
    assert again == [piece for piece in pieces if (piece.position, piece.piece) in addresses[::-2]]


def test_owner_and_record_of_a_piece(make, read_all):
    first, second, third = read_all(make("pool.jsonl", as_jsonl(["a" * 12, "b" * 9])), Fields(chunk_chars=10))
    assert (first.id, first.text, first.position, first.piece) == ("d0#0", "a" * 10, 0, 0)
    assert (second.id, second.text, second.position, second.piece) == ("d0#1", "aa\n\nbbbbbb", 0, 1)
    assert orjson.loads(second.record) == {"text": second.text, "source": "pool", "ids": ["d0", "d1"]}
    assert (third.id, third.text, third.piece) == ("d1#0", "bbb", 0)
    assert third.position == len(as_jsonl(["a" * 12]))


def test_rejects_pass_and_short_or_blank_pieces_join_them(make, read_all):
    content = as_jsonl(["a" * 10]) + b"bad\n" + as_jsonl([" " * 11 + "b"])
    items = read_all(make("pool.jsonl", content), Fields(chunk_chars=10, min_chars=5))
    assert [item.text for item in items if isinstance(item, Document)] == ["a" * 10]
    assert [(item.row, item.reason) for item in items if isinstance(item, Reject)] == [
        (2, "malformed-json"),
        (1, "text-blank"),
        (3, "text-too-short"),
    ]


def test_short_documents_are_joined_not_rejected(make, read_all):
    (piece,) = read_all(make("pool.jsonl", as_jsonl(["ab", "cd"])), Fields(chunk_chars=10, min_chars=4))
    assert piece.text == "ab\n\ncd"


def test_each_file_starts_anew(make):
    files = [make(name, as_jsonl(["abc"])) for name in ("a.jsonl", "b.jsonl")]
    fields = Fields(chunk_chars=100)
    texts = [piece.text for shard in plan(files, fields) for piece in read(shard, fields)]
    assert texts == ["abc", "abc"]


def test_a_long_text_is_cut_in_linear_time(make, read_all):
    pieces = read_all(make("pool.jsonl", as_jsonl(["x" * 5_000_000])), Fields(chunk_chars=100))
    assert len(pieces) == 50_000
