"""Documents by their address, for the few that are chosen after all were scored.

plain JSONL, text    seek to each line
Parquet              read the row groups that hold a wanted row
compressed, CSV      stream the file, parse only the wanted rows, stop after the last
pieces               read and cut the file again, stop after the last
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gotd.corpus.batches import Batch, Item
from gotd.corpus.documents import Document, Unusable
from gotd.corpus.fields import Fields
from gotd.corpus.files import File
from gotd.corpus.json_lines import line_parser
from gotd.corpus.members import members
from gotd.corpus.parquet import group_batches, group_starts
from gotd.corpus.readers import batches, read
from gotd.corpus.remote import ranges
from gotd.corpus.shards import Shard, by_line, splits_by_bytes
from gotd.corpus.streams import open_raw
from gotd.errors import InputError

Address = tuple[int, int]  # position, piece
_AT_ONCE = 256  # ranges of a remote file
_LINE_BYTES = 16 << 10  # longer than most lines


def fetch(file: File, wanted: Sequence[Address], fields: Fields) -> Iterator[Document]:
    """The documents at these addresses, by ascending address, each once.

    Raises:
        InputError: there is no document at an address any more.
    """
    addresses = sorted(set(wanted))
    if not addresses:
        return iter(())
    if fields.chunk_chars is not None:
        return _pieces(file, addresses, fields)
    whole = next((address for address in addresses if address[1] != 0), None)
    if whole is not None:
        raise _changed(file, whole)
    positions = np.array([position for position, _ in addresses], dtype=np.int64)
    if splits_by_bytes(file, fields):
        return _by_seeking(file, positions, fields)
    if file.format == "parquet":
        starts = np.array(group_starts(file), dtype=np.int64)
        return _by_streaming(file, positions, group_batches(file, fields, _stretches(file, positions, starts).tolist()))
    shards = [Shard(file, 0, 0, -1)]
    if by_line(file, fields) and (found := members(file.path, file.compression or "")):
        shards = _members(file, positions, np.array([start for _, start in found], dtype=np.int64))
    return _by_streaming(file, positions, (batch for shard in shards for batch in batches(shard, fields)))


def _by_seeking(file: File, positions: NDArray[np.int64], fields: Fields) -> Iterator[Document]:
    """Each line from where it begins."""
    parse = line_parser(file, fields)
    lines = _remote_lines if "://" in file.path else _local_lines
    for position, before, line in lines(file.path, positions.tolist()):
        try:
            if not line or before not in (b"", b"\n"):
                raise _changed(file, (position, 0))
            yield parse(line.removesuffix(b"\n"), position)
        except Unusable as fault:
            raise _changed(file, (position, 0), fault.detail) from None


def _local_lines(path: str, positions: list[int]) -> Iterator[tuple[int, bytes, bytes]]:
    """Each position, the byte before it (none at the start), and the line from there."""
    with open_raw(path) as raw:
        for position in positions:
            raw.seek(max(position - 1, 0))
            yield position, raw.read(min(position, 1)), raw.readline()


def _remote_lines(path: str, positions: list[int]) -> Iterator[tuple[int, bytes, bytes]]:
    """The same, many at a time: each alone would wait for its own answer."""
    for start in range(0, len(positions), _AT_ONCE):
        some = positions[start : start + _AT_ONCE]
        for position, data in zip(some, ranges(path, [max(position - 1, 0) for position in some], _LINE_BYTES)):
            before, rest = data[: min(position, 1)], data[min(position, 1) :]
            line = rest[: rest.find(b"\n") + 1]
            # A line that is longer, or the last one without its newline, is read alone.
            yield next(_local_lines(path, [position])) if not line else (position, before, line)


def _by_streaming(file: File, positions: NDArray[np.int64], found: Iterable[Batch | Item]) -> Iterator[Document]:
    """The documents at these ascending positions, out of batches that come in ascending order."""
    left = positions
    for batch in found:
        if isinstance(batch, Batch) and len(batch.positions):
            here, left = np.split(left, [np.searchsorted(left, batch.positions[-1], side="right")])
            rows = np.searchsorted(batch.positions, here)
            gone = here[batch.positions[rows] != here]
            if gone.size:
                raise _changed(file, (int(gone[0]), 0))
            for item in batch.items(rows.tolist()):
                yield _document(file, item)
        if not left.size:
            return
    if left.size:
        raise _changed(file, (int(left[0]), 0))


def _members(file: File, positions: NDArray[np.int64], starts: NDArray[np.int64]) -> list[Shard]:
    """A shard for each run of members with wanted rows: what lies between need not be whole."""
    which = _stretches(file, positions, starts)
    runs = np.split(which, np.flatnonzero(np.diff(which) > 1) + 1)
    return [Shard(file, index, int(starts[run[0]]), int(starts[run[-1] + 1])) for index, run in enumerate(runs)]


def _stretches(file: File, positions: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of the stretches of a file that hold a wanted row, by where each begins and the last one ends."""
    outside = positions[(positions < 0) | (positions >= starts[-1])]
    if outside.size:
        raise _changed(file, (int(outside[0]), 0))
    return np.unique(np.searchsorted(starts, positions, side="right") - 1)


def _pieces(file: File, addresses: Sequence[Address], fields: Fields) -> Iterator[Document]:
    """Pieces of texts that were joined and cut, by doing so again."""
    missing: dict[int, set[int]] = defaultdict(set)
    for position, piece in addresses:
        missing[position].add(piece)
    left = len(addresses)
    for item in read(Shard(file, 0, 0, -1), fields):
        if isinstance(item, Document) and item.piece in missing.get(item.position, ()):
            missing[item.position].discard(item.piece)
            left -= 1
            yield item
        if not left:
            return
    raise _changed(file, next((at, min(pieces)) for at, pieces in missing.items() if pieces))


def _document(file: File, item: Item) -> Document:
    """InputError where what was a document is none any more."""
    if isinstance(item, Document):
        return item
    raise InputError(f"{item.message} The file changed since it was scored: score it again.")


def _changed(file: File, address: Address, detail: str = "found no document there") -> InputError:
    """What to say where an address leads nowhere."""
    unit = "row" if file.format in ("parquet", "csv", "tsv") else "byte"
    return InputError(
        f"{file.path}: {unit} {address[0]}, piece {address[1]}: {detail}, wanted the document "
        "that was scored. The file or the field settings changed since: score it again."
    )
