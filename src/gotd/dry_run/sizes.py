"""How much there is to read: counted where that costs little, else estimated from pieces of each file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from gotd.corpus import Document, Fields, File, Reject, Shard, read
from gotd.corpus.parquet import group_starts
from gotd.corpus.streams import head
from gotd.errors import InputError

_HEAD = 4 << 20  # stored bytes of a file that are looked at


@dataclass(frozen=True, slots=True)
class Side:
    """One of candidates, target and reference.

    Attributes:
        role: which.
        files: that would be read.
        bytes: as stored; None where a remote system does not tell.
        rows: lines, rows or, where texts are cut, pieces.
        counted: whether `rows` is a count and no estimate.
        sampled: rows looked at.
        documents: those of them that can be used.
        rejects: those that would be rejected.
    """

    role: str
    files: Sequence[File]
    bytes: int | None
    rows: int
    counted: bool
    sampled: int
    documents: Sequence[Document]
    rejects: Sequence[Reject]

    @property
    def mean_chars(self) -> float:
        return sum(len(document.text) for document in self.documents) / len(self.documents)

    @property
    def mean_record(self) -> float:
        """Bytes of a record, as JSON."""
        return sum(len(document.record) for document in self.documents) / len(self.documents)


def look(role: str, files: Sequence[File], fields: Fields, size: int) -> Side:
    """Count or estimate the rows of `files` and read some `size` of them, from all files alike.

    Raises:
        InputError: none of the rows that were looked at is a document.
    """
    counts = [rows(file, fields) for file in files]
    total = sum(count for count, _ in counts)
    documents, rejects = [], []
    for file, (count, _) in zip(files, counts):
        share = max(1, round(size * count / max(1, total)))
        for item in islice(read(Shard(file, 0, 0, -1), fields), share):
            if isinstance(item, Document):
                documents.append(item)
            else:
                rejects.append(item)
    if not documents:
        why = rejects[0].message if rejects else f"{files[0].path} is empty"
        raise InputError(f"the {role} holds no document among the first rows; {why}")
    known = [file.bytes for file in files if file.bytes is not None]
    return Side(
        role=role,
        files=files,
        bytes=sum(known) if len(known) == len(files) else None,
        rows=total,
        counted=all(counted for _, counted in counts),
        sampled=len(documents) + len(rejects),
        documents=documents,
        rejects=rejects,
    )


def rows(file: File, fields: Fields) -> tuple[int, bool]:
    """Rows of a file, and whether they were counted."""
    if file.format == "parquet":
        count, counted = group_starts(file)[-1], True
    elif file.format == "txt" and fields.text_per == "file":
        count, counted = 1, True
    else:
        count, counted = _lines(file)
    if fields.chunk_chars is None:
        return count, counted
    return _pieces(file, fields, count), False


def _lines(file: File) -> tuple[int, bool]:
    data, stored = head(file.path, file.compression, _HEAD)
    header = 1 if file.format in ("csv", "tsv") else 0
    lines = data.count(b"\n") + (1 if data and not data.endswith(b"\n") else 0) - header
    whole = file.bytes is None or stored >= file.bytes
    # A quoted cell may hold newlines, which are no rows.
    plain = not header or b'"' not in data
    if whole:
        return max(0, lines), plain and file.bytes is not None
    assert file.bytes is not None
    return max(1, round(lines * file.bytes / stored)), False


def _pieces(file: File, fields: Fields, count: int) -> int:
    """Pieces of so many characters that the texts of a file come to."""
    assert fields.chunk_chars is not None
    uncut = Fields(text=fields.text, id=fields.id, source=fields.source, text_per=fields.text_per)
    texts = [len(item.text) for item in islice(_documents(file, uncut), 200)]
    return max(1, round(count * sum(texts) / max(1, len(texts)) / fields.chunk_chars))


def _documents(file: File, fields: Fields) -> Iterator[Document]:
    return (item for item in read(Shard(file, 0, 0, -1), fields) if isinstance(item, Document))
