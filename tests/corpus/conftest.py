"""Helpers that every test of the corpus layer needs: make a file, read it whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gotd.corpus import Document, Fields, File, Reject, find, plan, read

Item = Document | Reject
ReadAll = Callable[..., list[Item]]


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str, bytes], File]:
    """make(name, content) -> File, found on disk."""

    def make_file(name: str, content: bytes) -> File:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return find([str(path)])[0]

    return make_file


@pytest.fixture
def read_all() -> ReadAll:
    """read_all(file, fields, shard_bytes) -> every item of the file, shard after shard."""

    def read_file(file: File, fields: Fields | None = None, shard_bytes: int = 1 << 20) -> list[Item]:
        fields = fields or Fields()
        return [item for shard in plan([file], fields, shard_bytes) for item in read(shard, fields)]

    return read_file


@pytest.fixture
def only_reject(make, read_all):
    """only_reject(name, content, fields) -> the single reject of a file; its other rows are good."""

    def find_it(name: str, content: bytes, fields: Fields | None = None) -> Reject:
        (fault,) = [item for item in read_all(make(name, content), fields) if isinstance(item, Reject)]
        return fault

    return find_it
