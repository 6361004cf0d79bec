"""Bytes of a file, local or remote, plain or compressed, as far as they can be had.

The decompressors are driven by hand: `gzip` and `zstandard` file objects drop what they already
decoded when a stream breaks, and zstandard's takes a truncated frame for a whole one. Here every
byte before the break comes out first, then `BrokenStream` is raised.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Literal, Protocol, cast

import zstandard

from gotd.corpus.members import nearest
from gotd.corpus.remote import open_remote
from gotd.errors import InputError

Compression = Literal["gz", "zst"]
BLOCK = 4 << 20  # bytes a read of a plain file
BROKEN = ("truncated-stream", "corrupt-stream")
FEED = 128 << 10  # compressed bytes a call, so that what comes out stays within a few blocks
LONGEST_WINDOW = 1 << 31  # bytes: `zstd --long=31` is legal


class BrokenStream(Exception):
    """A compressed stream that ends early or is damaged.

    Attributes:
        reason: one of BROKEN.
        fragment: the bytes of the line that the break cut off.
    """

    def __init__(self, reason: str, detail: str, fragment: bytes = b"") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.fragment = fragment


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def open_raw(path: str) -> BinaryIO:
    """Open a local path or an fsspec URL for reading, undecoded."""
    if "://" in path:
        return cast(BinaryIO, open_remote(path))
    try:
        return open(path, "rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror or error}). Check path and rights.") from error


def chunks(path: str, compression: Compression | None, start: int = 0, stop: int = -1) -> Iterator[bytes]:
    """The decompressed bytes from `start` on.

    Args:
        start: offset in bytes of the content; what comes before it is decompressed from the nearest member on.
        stop: where the caller's interest mostly ends; read on in small steps from there.
    """
    with open_raw(path) as raw:
        if compression is not None:
            stored, begun = nearest(path, compression, start)
            raw.seek(stored)
            yield from _after(_inflate(raw, _MACHINES[compression], stored), start - begun)
            return
        raw.seek(start)
        step = BLOCK
        while chunk := raw.read(step):
            yield chunk
            start += len(chunk)
            if stop >= 0:
                step = min(BLOCK, max(stop - start, 1 << 16))


def head(path: str, compression: Compression | None, size: int) -> tuple[bytes, int]:
    """The first bytes of a file, decompressed, and how many stored bytes they came from: `size` or a little more."""
    with open_raw(path) as raw:
        counted = _Counted(raw)
        found: list[bytes] = []
        plain = iter(lambda: counted.read(size), b"")  # a web server gives less than was asked for
        try:
            for piece in plain if compression is None else _inflate(cast(BinaryIO, counted), _MACHINES[compression]):
                found.append(piece)
                if counted.read_so_far >= size:
                    break
        except BrokenStream:
            pass  # what came before the break is the head all the same; the reader rejects the rest with a place
        return b"".join(found), counted.read_so_far


class _Counted:
    """A file that counts what is read of it."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.read_so_far = 0

    def read(self, size: int) -> bytes:
        data = self._raw.read(size)
        self.read_so_far += len(data)
        return data

    def seek(self, offset: int) -> int:
        return self._raw.seek(offset)


_MACHINES: dict[Compression, Callable[[], _Decompressor]] = {
    "gz": lambda: cast(_Decompressor, zlib.decompressobj(wbits=31)),
    "zst": lambda: cast(_Decompressor, zstandard.ZstdDecompressor(max_window_size=LONGEST_WINDOW).decompressobj()),
}


def _after(pieces: Iterator[bytes], start: int) -> Iterator[bytes]:
    """The bytes from `start` on."""
    for piece in pieces:
        if start < len(piece):
            yield piece[start:]
        start = max(0, start - len(piece))


def _inflate(raw: BinaryIO, new: Callable[[], _Decompressor], read: int = 0) -> Iterator[bytes]:
    """Decompress one member after another, each with a fresh machine, from byte `read` of the file on."""
    machine: _Decompressor | None = None
    begun = read  # offset in the raw file where the member being read starts
    while chunk := raw.read(FEED):
        read += len(chunk)
        while chunk:
            if machine is None:
                if not chunk.strip(b"\0"):
                    break  # tapes and gzip pad with zeros; both tools ignore them
                machine, begun = new(), read - len(chunk)
            try:
                out = machine.decompress(chunk)
            except (zlib.error, zstandard.ZstdError) as error:
                yield from _salvage(raw, new(), begun, read - len(chunk), read)
                raise BrokenStream("corrupt-stream", f"the compressed stream is damaged ({error})") from None
            if out:
                yield out
            chunk = machine.unused_data if machine.eof else b""
            if machine.eof:
                machine = None
    if machine is not None:
        raise BrokenStream("truncated-stream", "the compressed stream ends early")


def _salvage(raw: BinaryIO, machine: _Decompressor, begun: int, known: int, end: int) -> Iterator[bytes]:
    """What the failed call decoded before it failed, had by going through the member again.

    A call that fails returns nothing of the chunk it was given. Up to `known` the output has been
    handed out; from there a byte at a time gives the rest, up to the damage.
    """
    try:
        raw.seek(begun)
    except InputError:
        return  # a web server that gives the whole only
    while begun < known:
        chunk = raw.read(min(FEED, known - begun))
        machine.decompress(chunk)
        begun += len(chunk)
    try:
        for byte in raw.read(end - known):
            yield machine.decompress(bytes((byte,)))
    except (zlib.error, zstandard.ZstdError):
        return
