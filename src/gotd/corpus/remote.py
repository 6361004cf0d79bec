"""Files behind a URL, through fsspec: `s3://`, `hf://`, `https://` and others, and what goes wrong there in one line.

A read asks for little more than is wanted: s3fs alone would fetch 50 MB for a shard of 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from typing import Any

import fsspec

from gotd.errors import GotdError, InputError, MissingExtra, SettingsError

AHEAD = 1 << 20  # bytes that are fetched beyond those asked for
_EXTRAS = {"hf": ("huggingface-hub", "hub"), "s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3")}
# What names the content of a file, in the words of each system; a listing and a look at the file agree on these.
_FINGERPRINTS = ("ETag", "etag", "blob_id", "md5Hash", "content_md5", "Content-MD5", "checksum")


def system_of(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises:
        MissingExtra: the package of an `s3://` or `hf://` URL is not installed.
        SettingsError: the same of another protocol, or one that nobody knows.
    """
    protocol = url.partition("://")[0]
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        if protocol in _EXTRAS:
            raise MissingExtra(url, *_EXTRAS[protocol]) from error
        raise SettingsError(f"{url}: {error}. Install that package with pip, or pass a local path.") from error
    except ValueError as error:
        raise SettingsError(f"{url}: {error}. Pass a path, or a URL that fsspec knows.") from error
    return system, path


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """What goes wrong within becomes one line about the URL.

    Raises:
        InputError: nothing is there, access is denied, or the connection or the system failed.
    """
    try:
        yield
    except GotdError:
        raise
    except FileNotFoundError as error:
        raise InputError(
            f"{url}: no such file, folder or bucket ({_line(error)}). Check the path; a glob wants quotes around it."
        ) from error
    except PermissionError as error:
        raise InputError(
            f"{url}: access is denied ({_line(error)}). Check the credentials and their rights."
        ) from error
    except Exception as error:  # each system has errors of its own, and no common root
        raise InputError(
            f"{url}: cannot be read ({type(error).__name__}: {_line(error)}). Check connection, endpoint and "
            "credentials, and run the same command again: it goes on where it was."
        ) from error


def kind(system: Any, path: str, url: str) -> str:
    """`file` or `directory`: what is at the URL."""
    with reaching(url):
        return str(system.info(path)["type"])


def fingerprint(system: Any, path: str) -> str:
    """What changes when the content does: the system's own, else fsspec's, with the size and time that are told."""
    with reaching(path):
        info = system.info(path)
        found = next((info[name] for name in _FINGERPRINTS if info.get(name)), None)
        if found:
            return f"etag:{found}:{info.get('size')}"
        # Of a file behind https, fsspec's own is made of its URL alone.
        told = f"{system.ukey(path)} {info.get('size')} {info.get('Last-Modified')}"
        return f"ukey:{sha256(told.encode()).hexdigest()[:32]}"


@lru_cache(maxsize=1 << 16)
def gives_parts(url: str) -> bool:
    """Whether a part of a file can be read without what comes before it: some web servers send the whole each time."""
    if not url.startswith(("http://", "https://")):
        return True
    system, path = system_of(url)
    with reaching(url):
        size = system.info(path).get("size")
        if not size:
            return bool(size == 0)
        try:
            with system.open(path, "rb", block_size=1) as raw:
                raw.seek(size - 1)
                return len(raw.read(1)) == 1
        except ValueError:  # fsspec's word for it; the content is not read
            return False


def open_remote(url: str) -> Remote:
    """Open a URL for reading, undecoded; where the system gives no parts of a file, only from the start."""
    system, path = system_of(url)
    with reaching(url):
        if gives_parts(url):
            return Remote(url, system.open(path, "rb", block_size=AHEAD))
        from aiohttp import ClientTimeout

        # One answer lasts as long as the work on it: aiohttp by itself would end it after five minutes.
        patient = ClientTimeout(total=None, sock_connect=30, sock_read=300)
        # With any size fsspec does not ask for it, a question that would take the limit for its own.
        return Remote(url, system.open(path, "rb", block_size=0, size=1, timeout=patient))


def ranges(url: str, starts: Sequence[int], size: int) -> list[bytes]:
    """`size` bytes from each of these offsets, or fewer at the end of the file; asked for at the same time.

    Raises:
        InputError: the server would give the whole file for each.
    """
    system, path = system_of(url)
    if not gives_parts(url):
        raise InputError(f"{url}: the server gives no parts of a file. Download it, and pass the local file.")
    with reaching(url):
        end = int(system.info(path)["size"])
        stops = [min(start + size, end) for start in starts]
        found: list[bytes] = system.cat_ranges([path] * len(starts), list(starts), stops, on_error="raise")
        return found


class Remote:
    """A remote file, whose errors are one line too."""

    def __init__(self, url: str, raw: Any) -> None:
        self._url, self._raw = url, raw

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._told(self._raw.read, size)
        return data

    def readline(self) -> bytes:
        line: bytes = self._told(self._raw.readline)
        return line

    def seek(self, offset: int, whence: int = 0) -> int:
        self._told(self._raw.seek, offset, whence)  # which does not always say where it got to
        return self.tell()

    def tell(self) -> int:
        return int(self._raw.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._raw.seekable())

    @property
    def closed(self) -> bool:
        return bool(self._raw.closed)

    def close(self) -> None:
        self._raw.close()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _told(self, work: Callable[..., Any], *given: int) -> Any:
        with reaching(self._url):
            return work(*given)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
