"""Which files a user means: paths, folders, globs and URLs become a sorted list of `File`.

A file's digest identifies its content in manifests and keys the sample, so that neither depends
on where the file lies or on the order of the arguments.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from glob import escape, has_magic
from multiprocessing.pool import ThreadPool
from typing import Any, Literal, NoReturn

import fsspec

from gotd.corpus.remote import fingerprint, gives_parts, kind, reaching, system_of
from gotd.corpus.streams import BLOCK, BrokenStream, Compression, chunks, open_raw
from gotd.durable import is_text
from gotd.errors import InputError

Format = Literal["jsonl", "parquet", "txt", "csv", "tsv"]

_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "txt",
    ".csv": "csv",
    ".tsv": "tsv",
}
_COMPRESSIONS: dict[str, Compression] = {".gz": "gz", ".zst": "zst", ".zstd": "zst"}
_OTHER_COMPRESSIONS = (".7z", ".br", ".bz2", ".lz4", ".lzma", ".snappy", ".xz", ".z", ".zip")
_TICK = 2_000_000_000  # ns: the coarsest times of files are two seconds apart
_TOGETHER = 8  # files that are looked at, and read for their digest, at the same time
READ_SUFFIXES = ".jsonl, .ndjson, .json, .txt, .csv, .tsv (each also with .gz or .zst), .parquet"


@dataclass(frozen=True, slots=True)
class File:
    """One input file.

    Attributes:
        path: absolute path, or URL.
        source: the name without folders and data suffixes; the default domain of its documents.
        bytes: size as stored, None where a remote system does not tell.
        digest: `sha256:` of a local file's bytes, `etag:` or `ukey:` and the fingerprint of a remote one,
            empty if not asked for.
    """

    path: str
    format: Format
    compression: Compression | None
    source: str
    bytes: int | None
    digest: str

    @property
    def as_input(self) -> str:
        """Path and digest: what a manifest names it by."""
        return f"{self.path} {self.digest}"


Inputs = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One or more files, folders, globs or URLs."""


def find(inputs: Inputs, digest: bool = True) -> list[File]:
    """The files that `inputs` name, sorted by path, none twice.

    In folders and globs, files with other suffixes are passed over, but not texts in another compression, such as
    `a.jsonl.xz`; named one by one they are all an error.
    """
    paths: dict[str, Any] = {}
    several = [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs
    for given in (os.fspath(one) for one in several):
        if not given:
            raise InputError("an empty path names no file; pass a file, folder, glob or URL. Is a variable unset?")
        system, path = _system(given)
        for found in _expand(system, path, given):
            paths[_full_path(system, found)] = system
    for path in paths:
        if not is_text(path):
            raise InputError(f"{path!a}: the name is not UTF-8. Rename it, or set PYTHONUTF8=1.")
    if len(paths) < 2:
        return [_file(path, system, digest) for path, system in paths.items()]
    # Threads that end with the process: a digest of a large file does not hold up Ctrl-C.
    with ThreadPool(min(_TOGETHER, len(paths))) as threads:
        return list(threads.imap(lambda path: _file(path, paths[path], digest), sorted(paths)))


def split_name(path: str) -> tuple[str, Format, Compression | None] | None:
    """A path's source, format and compression, read off its suffixes; None for a foreign one."""
    if path.startswith(("http://", "https://")):
        path = path.partition("?")[0].partition("#")[0]
    stem, suffix = os.path.splitext(path.rstrip("/").rpartition("/")[2])
    compression = _COMPRESSIONS.get(suffix.lower())
    if compression is not None:
        stem, suffix = os.path.splitext(stem)
    form = _FORMATS.get(suffix.lower())
    if form is None or (form == "parquet" and compression is not None):
        return None
    return stem, form, compression


def _named(path: str) -> tuple[str, Format, Compression | None]:
    """The same for a file that was named itself: passing over it would surprise."""
    named = split_name(path)
    if named is None:
        raise InputError(f"{path}: unknown suffix; wanted one of {READ_SUFFIXES}. Rename or convert it.")
    return named


def _is_packed_otherwise(path: str) -> bool:
    """Whether a file that is not read holds texts by its name: passing it over would lose them in silence."""
    stem, suffix = os.path.splitext(path.lower())
    known = suffix in _COMPRESSIONS or suffix in _OTHER_COMPRESSIONS
    return known and os.path.splitext(stem)[1] in _FORMATS and split_name(path) is None


def _system(given: str) -> tuple[Any, str]:
    """The fsspec file system of an input, and the path in it."""
    if "://" in given:
        return system_of(given)
    return fsspec.filesystem("file"), os.path.abspath(os.path.expanduser(given))


def _expand(system: Any, path: str, given: str) -> list[str]:
    """One input as the files under it."""
    there = _kind(system, path, given)
    if there == "file":
        _named(path)
        return [path]
    if there == "directory":
        found, root = _below(system, path, given), path
    elif has_magic(path):
        if _is_local(system):
            root = _literal(path)
            path = escape(root) + path[len(root) :]
        else:
            root = path[: min(path.find(sign) for sign in "*?[" if sign in path)].rpartition("/")[0]
            kind(system, root, given)  # a glob finds nothing in a bucket that is not there, and does not say so
        found = [inner for hit in system.glob(path) for inner in _below(system, hit, given)]
    else:
        raise InputError(f"{given}: no such file or folder. Check the path; a glob wants quotes around it.")
    seen = [inner for inner in found if not _hidden(inner, root)]
    readable = [inner for inner in seen if split_name(inner) is not None]
    packed = next((inner for inner in seen if _is_packed_otherwise(inner)), None)
    if packed is not None:
        raise InputError(
            f"{packed}: texts in a compression that gotd does not read; wanted {READ_SUFFIXES}. "
            "Compress it anew, or name the files to read."
        )
    if not readable:
        raise InputError(
            f"{given}: holds no file to read ({len(found)} of other kinds); wanted {READ_SUFFIXES}. "
            "Pass the files that hold the texts."
        )
    return readable


def _kind(system: Any, path: str, given: str) -> str | None:
    """`file` or `directory`; None for nothing, which may be a glob."""
    if "://" in given and not has_magic(path):
        return kind(system, path, given)
    if system.isfile(path):
        return "file"
    return "directory" if _is_local(system) and system.isdir(path) else None


def _literal(path: str) -> str:
    """The longest beginning of a local glob that is a folder: what looks like a sign in it is part of a name."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _below(system: Any, path: str, given: str) -> list[str]:
    if _is_local(system):
        return _walked(path) if os.path.isdir(path) else [path]
    with reaching(given):
        found: list[str] = system.find(path)
        return found


def _walked(folder: str) -> list[str]:
    """The files below a local folder, through links too, but no folder twice."""
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    for inner, folders, names in os.walk(folder, followlinks=True, onerror=_unreadable):
        state = os.stat(inner)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders.sort()
        found += (os.path.join(inner, name) for name in names)
    return found


def _unreadable(error: OSError) -> NoReturn:
    raise InputError(f"{error.filename}: cannot be opened ({error.strerror}). Check path and rights.") from error


def _hidden(path: str, root: str) -> bool:
    """Caches and half-written files below what the user named are not part of a corpus."""
    return any(part.startswith(".") for part in path.removeprefix(root).split("/"))


def _full_path(system: Any, path: str) -> str:
    if _is_local(system):
        return os.path.abspath(path)
    return str(system.unstrip_protocol(path))


def _is_local(system: Any) -> bool:
    return "file" in system.protocol


def _file(path: str, system: Any, digest: bool) -> File:
    source, form, compression = _named(path)
    if _is_local(system):
        try:
            size = os.stat(path).st_size
        except OSError as error:  # a link that leads nowhere
            _unreadable(error)
    else:
        with reaching(path):
            size = system.info(path).get("size")
        if form == "parquet" and not gives_parts(path):
            raise InputError(
                f"{path}: the server gives no parts of a file, and Parquet cannot be read from its start. "
                "Download it, and pass the local file."
            )
    if form == "jsonl":
        _refuse_array(path, compression)
    return File(path, form, compression, source, size, _digest(path, system) if digest else "")


def _refuse_array(path: str, compression: Compression | None) -> None:
    """A .json file may hold one object a line or one array of all; only the first can be streamed."""
    if ".json." not in f"{os.path.basename(path).lower()}.":
        return
    try:
        head = next(chunks(path, compression, stop=0), b"")
    except BrokenStream:
        return  # the reader rejects it with a place
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        raise InputError(
            f"{path}:1: found one JSON array, wanted one object a line. "
            f"Convert it: jq -c '.[]' {os.path.basename(path)} > {os.path.basename(path)}l"
        )


def _digest(path: str, system: Any) -> str:
    if "://" in path:
        return fingerprint(system, path)
    state = os.stat(path)
    # Each stage looks at the files again. One written within the resolution of its time is read again each time.
    settled = time.time_ns() - state.st_mtime_ns > _TICK
    return (_sha256_kept if settled else _sha256)(path, state.st_ino, state.st_size, state.st_mtime_ns)


def _sha256(path: str, *_: int) -> str:
    state = hashlib.sha256()
    with open_raw(path) as raw:
        while block := raw.read(BLOCK):
            state.update(block)
    return f"sha256:{state.hexdigest()}"


_sha256_kept = lru_cache(maxsize=1 << 16)(_sha256)
