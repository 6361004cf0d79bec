"""Texts cut or joined to one length, as in the paper (1000 characters, 500 for GPT-2).

The documents of a file are joined in order, a blank line between them, and cut every
`chunk_chars` characters; the last piece of a file may be shorter. A piece belongs to the document
in which it starts, a separator to the document before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from gotd.corpus.batches import Item
from gotd.corpus.documents import Document, Reject, Unusable, reject
from gotd.corpus.fields import check_length
from gotd.corpus.files import File

SEPARATOR = "\n\n"


def cut(items: Iterator[Item], file: File, chunk_chars: int, min_chars: int) -> Iterator[Item]:
    """Documents of one whole file to pieces; rejects pass through, blank and short pieces join them."""
    cutter = _Cutter(file, chunk_chars, min_chars)
    for row, item in enumerate(items, start=1):
        if isinstance(item, Reject):
            yield item
        else:
            yield from cutter.add(item, row)
    yield from cutter.finish()


@dataclass(slots=True)
class _Held:
    document: Document
    row: int
    text: str
    at: int = 0  # characters already cut off


class _Cutter:
    """Holds the text that is not yet a piece, and whose it is."""

    def __init__(self, file: File, chunk_chars: int, min_chars: int) -> None:
        self._file = file
        self._size = chunk_chars
        self._min_chars = min_chars
        self._held: deque[_Held] = deque()
        self._chars = 0
        self._last = (-1, -1)  # position and number of the latest piece

    def add(self, document: Document, row: int) -> Iterator[Item]:
        if self._held:
            self._held[-1].text += SEPARATOR
            self._chars += len(SEPARATOR)
        self._held.append(_Held(document, row, document.text))
        self._chars += len(document.text)
        # Not >=: the last text must stay held until its separator is known to follow.
        while self._chars > self._size:
            yield self._piece(self._size)

    def finish(self) -> Iterator[Item]:
        if self._chars:
            yield self._piece(self._chars)

    def _piece(self, size: int) -> Item:
        owner, row = self._held[0].document, self._held[0].row
        text, covered = self._take(size)
        number = self._last[1] + 1 if self._last[0] == owner.position else 0
        self._last = (owner.position, number)
        try:
            check_length(text, self._min_chars)
        except Unusable as fault:
            return reject(self._file.path, row, fault, text)
        record = orjson.dumps({"text": text, "source": owner.source, "ids": covered})
        return Document(f"{owner.id}#{number}", text, owner.source, owner.position, number, record)

    def _take(self, size: int) -> tuple[str, list[str]]:
        """The next `size` characters, and the ids of the documents that they come from."""
        texts: list[str] = []
        ids: list[str] = []
        self._chars -= size
        while size:
            head = self._held[0]
            part = head.text[head.at : head.at + size]
            texts.append(part)
            ids.append(head.document.id)
            size -= len(part)
            head.at += len(part)
            if head.at == len(head.text):
                self._held.popleft()
        return "".join(texts), ids
