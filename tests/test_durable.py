"""What is flushed to disk, and what a file system that cannot flush it may answer."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from gotd.artifacts import read_json, write_json


@pytest.mark.parametrize("answer", [errno.EINVAL, errno.ENOSYS])
def test_a_file_system_that_flushes_no_folder_will_do(
    answer: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As over SMB, or a bucket that is mounted; a file that is not flushed is an error all the same."""
    flush = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(answer, os.strerror(answer))
        flush(handle)

    def no_fsync(handle: int) -> None:
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "a.json", {"a": 1})
    assert read_json(tmp_path / "a.json") == {"a": 1}
    monkeypatch.setattr(os, "fsync", no_fsync)
    with pytest.raises(OSError, match=os.strerror(answer)):
        write_json(tmp_path / "b.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
