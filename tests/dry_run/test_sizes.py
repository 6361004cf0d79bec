"""How much there is to read: counted where that is cheap, else estimated."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from gotd.corpus import Fields, find
from gotd.corpus.streams import head
from gotd.dry_run import sizes
from gotd.dry_run.sizes import look, rows
from gotd.errors import InputError

LINES = b"".join(b'{"text": "%d words and %s"}\n' % (i, b"more " * (i % 7)) for i in range(3000))


def counted(path: Path, **fields: object) -> tuple[int, bool]:
    return rows(find(path, digest=False)[0], Fields(**fields))


def test_small_files_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "unended.jsonl").write_bytes(LINES.rstrip(b"\n"))
    (tmp_path / "b.jsonl.zst").write_bytes(zstandard.compress(LINES))
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(LINES[:1000]) + gzip.compress(LINES[1000:]))
    (tmp_path / "d.txt").write_bytes(LINES)
    (tmp_path / "e.csv").write_bytes(b"text\n" + b"words\n" * 70)
    (tmp_path / "quoted.csv").write_bytes(b'text\n"one\ntwo"\n')
    (tmp_path / "empty.jsonl").write_bytes(b"")
    pq.write_table(pa.table({"text": ["words"] * 90}), tmp_path / "f.parquet", row_group_size=7)
    found = {path.name: counted(path) for path in tmp_path.iterdir()}
    assert found == {
        "a.jsonl": (3000, True),
        "unended.jsonl": (3000, True),
        "b.jsonl.zst": (3000, True),
        "c.jsonl.gz": (3000, True),
        "d.txt": (3000, True),
        "e.csv": (70, True),
        "quoted.csv": (2, False),
        "empty.jsonl": (0, True),
        "f.parquet": (90, True),
    }
    assert counted(tmp_path / "d.txt", text_per="file") == (1, True)


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_of_large_files_the_head_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """Within a tenth, from a part of the file, and said to be an estimate."""
    monkeypatch.setattr(sizes, "_HEAD", 20_000)
    monkeypatch.setattr("gotd.corpus.streams.FEED", 4_000)
    noise = random.Random(0)
    data = b"".join(b'{"text": "%032x"}\n' % noise.getrandbits(128) for _ in range(20_000))
    pack = {"jsonl": bytes, "jsonl.gz": gzip.compress, "jsonl.zst": zstandard.compress}[suffix]
    (tmp_path / f"a.{suffix}").write_bytes(pack(data))
    count, exact = counted(tmp_path / f"a.{suffix}")
    assert not exact
    assert count == pytest.approx(20_000, rel=0.1)


def test_a_head_ends_soon_after_its_size_and_before_a_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotd.corpus.streams.FEED", 100)
    packed = gzip.compress(LINES)
    (tmp_path / "a.gz").write_bytes(packed[: len(packed) // 2])
    data, stored = head(str(tmp_path / "a.gz"), "gz", 250)
    assert stored == 300
    assert LINES.startswith(data)
    whole, stored = head(str(tmp_path / "a.gz"), "gz", 1 << 20)
    assert stored == len(packed) // 2
    assert LINES.startswith(whole)
    assert len(whole) > len(data)


def test_pieces_are_reckoned_from_the_characters(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "%s"}\n' % (b"x" * 98) * 50)
    assert counted(tmp_path / "a.jsonl", chunk_chars=49) == (100, False)


def test_a_look_takes_of_every_file_and_keeps_what_it_would_reject(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "fine"}\n{"no": 1}\n' * 500)
    side = look("candidates", find(tmp_path, digest=False), Fields(), 400)
    assert (side.rows, side.counted, side.bytes) == (4000, True, sum(p.stat().st_size for p in tmp_path.iterdir()))
    assert side.sampled == 400
    assert len(side.rejects) == 50
    assert {document.source for document in side.documents} == {"a", "b"}


def test_nothing_to_read_is_the_error_that_it_will_be(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"body": "words"}\n')
    with pytest.raises(InputError, match=r'the target holds no document.*a\.jsonl:1: no field "text"'):
        look("target", find(tmp_path, digest=False), Fields(), 10)
