"""Compressed files of several members are read from their midst, with the same rows and addresses as the plain file."""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import accumulate, pairwise
from pathlib import Path

import fsspec
import orjson
import pytest
import zstandard

from gotd.corpus import Document, Fields, Reject, fetch, find, plan, rows_of
from gotd.corpus.members import members
from gotd.corpus.streams import FEED

LINES = [orjson.dumps({"id": f"d{i}", "text": "word " * (i % 7 + 1)}) + b"\n" for i in range(200)]
WHOLE = b"".join(LINES)


def cut(seed: int, count: int = 40) -> list[bytes]:
    """The content in pieces that begin anywhere, in the midst of lines mostly; some hold nothing."""
    rng = random.Random(seed)
    at = sorted([0, len(WHOLE), *(rng.randrange(len(WHOLE)) for _ in range(count - 2)), 0])
    return [WHOLE[a:b] for a, b in pairwise(at)]


def frame(piece: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=len(piece) % 2 == 0).compress(piece)


def skippable(piece: bytes) -> bytes:
    """A frame after one that readers pass over, as the seekable format has."""
    return struct.pack("<II", 0x184D2A5E, 5) + b"table" + frame(piece)


def nameless(piece: bytes) -> bytes:
    """A frame that does not state the size of its content."""
    return zstandard.ZstdCompressor(write_content_size=False).compress(piece)


def bgzf(piece: bytes) -> bytes:
    """A block as the SAM specification has it: the field BC holds the block's size less one."""
    packer = zlib.compressobj(wbits=-15)
    body = packer.compress(piece) + packer.flush()
    head = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff\x06\x00BC\x02\x00" + struct.pack("<H", 25 + len(body))
    return head + body + struct.pack("<II", zlib.crc32(piece), len(piece))


def seekable(pieces: list[bytes], checksums: bool) -> bytes:
    """Frames and the table of them, as zstd's seekable format has it."""
    frames, more = list(map(frame, pieces)), bytes(4) if checksums else b""
    rows = b"".join(struct.pack("<II", len(one), len(piece)) + more for one, piece in zip(frames, pieces))
    table = rows + struct.pack("<IB", len(pieces), 0x80 * checksums) + b"\xb1\xea\x92\x8f"
    return b"".join(frames) + struct.pack("<II", 0x184D2A5E, len(table)) + table


TOLD = pytest.mark.parametrize(
    ("name", "pack"),
    [("a.jsonl.zst", frame), ("a.jsonl.zst", skippable), ("a.jsonl.gz", bgzf)],
    ids=["zst", "skippable", "bgzf"],
)
Pack = Callable[[bytes], bytes]


@TOLD
@pytest.mark.parametrize("seed", range(5))
def test_rows_and_addresses_are_those_of_the_plain_file(name: str, pack: Pack, seed: int, make, read_all) -> None:
    """Wherever the members and the shards begin, each row comes once, and counts as it does when it is read."""
    plain = make("plain/a.jsonl", WHOLE)
    packed = make(name, b"".join(map(pack, cut(seed))))
    expected = [(d.id, d.position, d.record) for d in read_all(plain)]
    for size in (1, 1000, 3000):
        shards = plan([packed], Fields(), size)
        assert len(shards) > 2
        items = read_all(packed, shard_bytes=size)
        assert [(d.id, d.position, d.record) for d in items] == expected
        assert sum(rows_of(shard) or 0 for shard in shards) == 200
    wanted = [(position, 0) for _, position, _ in expected[::17]]
    assert [d.id for d in fetch(packed, wanted, Fields())] == [id for id, _, _ in expected[::17]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.zst", frame(WHOLE)),
        ("a.jsonl.zst", b"".join(map(nameless, cut(0)))),
        ("a.jsonl.zst", b"".join(map(frame, cut(0))) + bytes(100)),
        ("a.jsonl.gz", gzip.compress(WHOLE)),
        ("a.jsonl.gz", b"".join(map(gzip.compress, cut(0)))),
        ("a.jsonl.gz", b"".join(map(bgzf, cut(0)[:20])) + b"".join(map(gzip.compress, cut(0)[20:]))),
    ],
    ids=["one frame", "sizes not told", "padded", "one member", "plain members", "partly told"],
)
def test_where_headers_do_not_tell_the_file_stays_whole(name: str, content: bytes, make, read_all) -> None:
    file = make(name, content)
    assert [(shard.start, shard.stop) for shard in plan([file], Fields(), 1)] == [(0, -1)]
    assert [d.id for d in read_all(file)] == [f"d{i}" for i in range(200)]


@TOLD
def test_a_damaged_member_costs_its_shard_and_the_next_and_no_other(name: str, pack: Pack, make, read_all) -> None:
    """And what comes after it can be fetched as it can be read."""
    pieces = [b"".join(LINES[i : i + 20]) for i in range(0, 200, 20)]
    packed = [pack(piece) for piece in pieces]
    packed[4] = packed[4][:-12] + bytes(byte ^ 0xFF for byte in packed[4][-12:-8]) + packed[4][-8:]
    items = read_all(make(name, b"".join(packed)), shard_bytes=1)
    file = make(name, b"".join(packed))
    found = [item.id for item in items if isinstance(item, Document)]
    # The member after it is lost too: whether a line begins with it, the byte before would tell.
    assert set(found) >= {f"d{i}" for i in range(200) if not 80 <= i < 120}
    assert any(isinstance(item, Reject) and item.reason == "corrupt-stream" for item in items)
    last = next(item for item in items if isinstance(item, Document) and item.id == "d199")
    assert [d.id for d in fetch(file, [(last.position, 0)], Fields())] == ["d199"]


@TOLD
def test_a_file_that_ends_early_is_read_to_its_end(name: str, pack: Pack, make, read_all) -> None:
    content = b"".join(map(pack, cut(1)))
    *documents, fault = read_all(make(name, content[: len(content) * 2 // 3]), shard_bytes=1)
    assert [d.id for d in documents] == [f"d{i}" for i in range(len(documents))]
    assert len(documents) > 100
    assert fault.reason == "truncated-stream"


@pytest.mark.parametrize(("name", "pack"), [("a.jsonl.zst", frame), ("a.jsonl.gz", bgzf)], ids=["zst", "bgzf"])
def test_a_few_documents_take_a_few_members(name: str, pack: Pack, make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not all up to the last; and members that follow each other are read once, in one go."""
    rng = random.Random(0)
    lines = [orjson.dumps({"id": f"d{i}", "text": rng.randbytes(500).hex()}) + b"\n" for i in range(4000)]
    starts = [0, *accumulate(map(len, lines))]
    file = make(name, b"".join(pack(b"".join(lines[i : i + 40])) for i in range(0, 4000, 40)))
    read: list[int] = []

    class Counted(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            read.append(size or 0)
            return super().read(size)

    content = Path(file.path).read_bytes()
    monkeypatch.setattr("gotd.corpus.streams.open_raw", lambda path: Counted(content))
    for rows, most in (([2000], 1), (range(2000, 2200), 2), ([2000, 3000], 2)):
        read.clear()
        assert [d.id for d in fetch(file, [(starts[row], 0) for row in rows], Fields())] == [f"d{row}" for row in rows]
        assert sum(read) <= most * FEED
    assert len(content) > 15 * FEED


def test_blocks_that_repeat_one_byte_are_stepped_over(make, read_all) -> None:
    """They store a single byte, whatever size they tell."""
    pieces = [b'{"text": "a"}\n', b'{"text": "' + b"x" * 400_000 + b'"}\n', b'{"text": "b"}\n']
    file = make("a.jsonl.zst", b"".join(map(frame, pieces)))
    assert len(plan([file], Fields(), 1)) == 3
    assert [len(d.text) for d in read_all(file, shard_bytes=1)] == [1, 400_000, 1]


def test_a_file_that_changed_is_looked_at_again(make) -> None:
    """Under the same name and of the same size."""
    packed = [frame(piece) for piece in cut(1)]
    before = plan([make("a.jsonl.zst", b"".join(packed))], Fields(), 1)
    after = plan([make("a.jsonl.zst", b"".join(reversed(packed)))], Fields(), 1)
    assert before[0].file.bytes == after[0].file.bytes
    assert [shard.start for shard in before] != [shard.start for shard in after]


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/seekable", recursive=True)


@pytest.mark.parametrize("checksums", [False, True])
def test_a_remote_file_with_a_table_is_cut_as_a_local_one(checksums, store, make, read_all) -> None:
    content = seekable([piece for piece in cut(1) if piece], checksums)
    store.pipe("/seekable/a.jsonl.zst", content)
    (remote,), local = find("memory://seekable/a.jsonl.zst"), make("a.jsonl.zst", content)
    assert members(remote.path, "zst") == members(local.path, "zst")
    shards = plan([remote], Fields(), 500)
    assert [(shard.start, shard.stop) for shard in shards] == [
        (shard.start, shard.stop) for shard in plan([local], Fields(), 500)
    ]
    found = read_all(remote, shard_bytes=500)
    assert found == read_all(local)
    assert list(fetch(remote, [(found[150].position, 0)], Fields())) == [found[150]]


@pytest.mark.parametrize("wrong", ["shorter", "longer", "none", "moved"])
def test_a_table_that_does_not_list_the_whole_file_is_not_believed(wrong, store, read_all) -> None:
    content = seekable([piece for piece in cut(2) if piece], checksums=False)
    changed = {
        "shorter": frame(LINES[0]) + content,
        "longer": content[content.index(frame(LINES[0])[:4], 10) :],
        "none": content[: -9 - 8 * content[-9] - 8],
        "moved": content[:-9] + struct.pack("<I", 7) + content[-5:],
    }
    store.pipe("/seekable/a.jsonl.zst", changed[wrong])
    (file,) = find("memory://seekable/a.jsonl.zst")
    assert members(file.path, "zst") == []
    assert len(plan([file], Fields(), 500)) == 1
    assert len(read_all(file)) >= 150
