"""Files that are whole or not there, after a power cut too; and what a disk refuses, in plain words."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from pathlib import Path

from gotd.errors import ArtifactError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_FLUSH = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}


def is_text(name: str) -> bool:
    """Whether a name can be written into a manifest: bytes that are not UTF-8 come from the system as surrogates."""
    return name.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in name)


def temporary(path: Path) -> Path:
    """A name beside `path` that no other process takes, on this machine or another that shares the folder."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folder, and writes its names through
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems of networks and objects flush files, and know of nothing to flush in a folder.
        if error.errno not in _NO_FLUSH or not path.is_dir():
            raise
    finally:
        os.close(handle)


def settle(written: Path, path: Path) -> None:
    """Give a file that is written its name; both are on disk when this returns."""
    sync(written)
    os.replace(written, path)
    sync(path.parent)


def linked(source: Path | str, target: Path | str) -> None:
    """The same file under a second name; a copy where the file system has no such thing."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def refusal(error: Exception, path: Path | str | None = None) -> ArtifactError | None:
    """What a disk that is full or may not be written has to say, with its remedy; None for other errors."""
    number, named = (error.errno, error.filename) if isinstance(error, OSError) else (_by_words(error), None)
    where = path or named or "the output"
    if number in _FULL:
        why = os.strerror(number)
        return ArtifactError(f"cannot write {where}: {why}. Make room and run the same command again: it goes on")
    if number in _REFUSED:
        return ArtifactError(f"{where}: {os.strerror(number)}. Mend its rights, or choose another folder")
    return None


def _by_words(error: Exception) -> int:
    """The number that safetensors hides in its message; torch's writer of archives says only that it could not."""
    if found := re.search(r"\(os error (\d+)\)", str(error)):
        return int(found[1])
    return errno.ENOSPC if re.search(r"PytorchStreamWriter|inline_container.* unexpected pos", str(error)) else 0
