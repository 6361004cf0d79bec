"""Compressed files: all members are read, and a break costs nothing that came before it."""

from __future__ import annotations

import gzip
import random

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gotd.corpus import Document, Fields, Reject
from gotd.corpus.streams import BrokenStream, chunks

rng = random.Random(0)
LINES = [orjson.dumps({"text": " ".join(str(rng.random()) for _ in range(20))}) for _ in range(3000)]
PLAIN = b"".join(line + b"\n" for line in LINES)


def gz(data: bytes) -> bytes:
    return gzip.compress(data, 1)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data)


PACKERS = pytest.mark.parametrize(("suffix", "pack"), [("gz", gz), ("zst", zst)])


@PACKERS
def test_several_members_are_one_file(make, read_all, suffix, pack):
    half = PLAIN[:1000]
    file = make(f"a.jsonl.{suffix}", pack(half) + pack(b"") + pack(PLAIN[1000:]))
    items = read_all(file)
    assert [item.record for item in items] == LINES
    positions = [item.position for item in items]
    assert positions == [PLAIN.index(line) for line in LINES]


@PACKERS
def test_zeros_after_the_end_are_padding(make, read_all, suffix, pack):
    assert len(read_all(make(f"a.jsonl.{suffix}", pack(PLAIN) + bytes(512)))) == len(LINES)


def test_zstd_skippable_frames_are_skipped(make, read_all):
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"meta"
    assert len(read_all(make("a.jsonl.zst", skippable + zst(PLAIN) + skippable))) == len(LINES)


@PACKERS
@pytest.mark.parametrize("kept", [0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_stream_keeps_the_rows_before(make, read_all, suffix, pack, kept):
    packed = pack(PLAIN)
    *good, fault = read_all(make(f"a.jsonl.{suffix}", packed[: int(kept * len(packed))]))
    assert all(isinstance(item, Document) for item in good)
    assert [item.record for item in good] == LINES[: len(good)]
    # gzip decodes to the last bits, zstd by blocks of 128 KiB.
    assert len(good) >= kept * len(LINES) - (5 if suffix == "gz" else 500)
    assert (fault.reason, fault.row) == ("truncated-stream", len(good) + 1)
    assert f"a.jsonl.{suffix}:{len(good) + 1}: the compressed stream ends early, wanted a whole file." in fault.message
    assert LINES[len(good)].startswith(fault.excerpt.encode()[:200])


@PACKERS
def test_a_wrong_checksum_costs_no_row(make, read_all, suffix, pack):
    packed = bytearray(pack(PLAIN))
    packed[-5 if suffix == "gz" else -1] ^= 1
    *good, fault = read_all(make(f"a.jsonl.{suffix}", bytes(packed)))
    assert [item.record for item in good] == LINES
    assert fault.reason == "corrupt-stream"
    assert "the compressed stream is damaged (" in fault.message
    assert fault.row == len(LINES) + 1


@PACKERS
def test_damage_in_the_second_member_keeps_the_first(make, read_all, suffix, pack):
    packed = pack(PLAIN) + b"garbage that is no member"
    *good, fault = read_all(make(f"a.jsonl.{suffix}", packed))
    assert [item.record for item in good] == LINES
    assert fault.reason == "corrupt-stream"


@PACKERS
def test_damage_far_into_a_stream_keeps_what_was_decoded(make, read_all, suffix, pack):
    packed = bytearray(pack(PLAIN * 3))
    middle = len(packed) // 2
    packed[middle : middle + 64] = b"\xff" * 64
    items = read_all(make(f"a.jsonl.{suffix}", bytes(packed)))
    good = [item for item in items if isinstance(item, Document)]
    assert len(good) > 3000
    assert [item.record for item in good[:3000]] == LINES
    assert isinstance(items[-1], Reject)
    assert items[-1].reason in ("corrupt-stream", "truncated-stream")


@given(st.sampled_from(["gz", "zst"]), st.data())
def test_random_damage_never_crashes(tmp_path_factory, suffix, data):
    packed = bytearray((gz if suffix == "gz" else zst)(PLAIN[:4000]))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damage") / f"a.{suffix}"
    path.write_bytes(bytes(packed))
    out, reason = b"", None
    try:
        for chunk in chunks(str(path), suffix):
            out += chunk
    except BrokenStream as fault:
        reason = fault.reason
    assert reason in ("corrupt-stream", "truncated-stream", None)
    # Bytes of a header, such as gzip's time, are not covered by the checksum.
    assert reason is not None or out in (PLAIN[:4000], b"")


def test_truncated_csv_and_text_files(make, read_all):
    rows = b"text\n" + b"".join(b"row %d of many\n" % i for i in range(5000))
    *good, fault = read_all(make("a.csv.gz", gz(rows)[:-2000]))
    assert good[0].text == "row 0 of many"
    assert fault.reason == "truncated-stream"
    assert fault.row == len(good) + 2
    (fault,) = read_all(make("a.txt.gz", gz(rows)[:-2000]), Fields(text_per="file"))
    assert fault.reason == "truncated-stream"
    (fault,) = read_all(make("b.csv.gz", gz(rows)[:5]))
    assert (fault.reason, fault.row) == ("truncated-stream", 1)
