"""Documents of a shard: one entry for every format.

Shard -> batches (positions and a parser) -> Document | Reject -> pieces, where texts are cut
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import orjson

from gotd.corpus.batches import Batch, Item
from gotd.corpus.chunks import cut
from gotd.corpus.delimited import delimited_batches
from gotd.corpus.documents import Reject, Unusable, moved, reject
from gotd.corpus.fields import Fields, document_maker
from gotd.corpus.files import File
from gotd.corpus.json_lines import broken, decode, line_batches, without_bom
from gotd.corpus.parquet import group_batches
from gotd.corpus.shards import Shard, rows_before
from gotd.corpus.streams import BrokenStream, chunks
from gotd.errors import InputError, SettingsError

OnError = Literal["skip", "fail"]


def read(shard: Shard, fields: Fields, on_error: OnError = "skip", numbered: bool = True) -> Iterator[Item]:
    """Every row of a shard, in order, as a document or a reject.

    Args:
        on_error: `skip` hands rejects on; `fail` raises InputError at the first, unless it is a blank line.
        numbered: rejects have the row of their file. To find it in a file of lines, those before the shard are counted
            once there is a reject; False gives rejects the row of the shard.
    """
    check_on_error(on_error)
    items = _items(batches(shard, fields, numbered))
    if fields.chunk_chars is not None:
        items = cut(items, shard.file, fields.chunk_chars, fields.min_chars)
    return items if on_error == "skip" else _strict(items, shard, numbered)


def batches(shard: Shard, fields: Fields, numbered: bool = True) -> Iterator[Batch | Item]:
    """The rows of a shard, unparsed; a reject among them stands for the rest of a broken file."""
    file = shard.file
    if file.format == "parquet":
        return group_batches(file, fields, None if shard.stop < 0 else range(shard.start, shard.stop), numbered)
    if file.format in ("csv", "tsv"):
        return delimited_batches(file, fields)
    if file.format == "txt" and fields.text_per == "file":
        return _one_text(file, fields)
    return line_batches(file, fields, shard.start, shard.stop, numbered)


def check_on_error(on_error: str) -> None:
    """Refuse a misspelt setting before any work is done."""
    if on_error not in ("skip", "fail"):
        raise SettingsError(f'on_error is "{on_error}"; wanted "skip" or "fail".')


def stop_at(found: Reject, on_error: OnError) -> None:
    """InputError at a bad row under `--on-error fail`."""
    if on_error == "fail" and found.is_fault:
        raise InputError(f"{found.message} Or pass --on-error skip.")


def _items(found: Iterator[Batch | Item]) -> Iterator[Item]:
    for batch in found:
        if isinstance(batch, Batch):
            yield from batch.items(range(len(batch.positions)))
        else:
            yield batch


def _strict(items: Iterator[Item], shard: Shard, numbered: bool) -> Iterator[Item]:
    for item in items:
        if isinstance(item, Reject) and item.is_fault:
            stop_at(item if numbered else moved(item, rows_before(shard)), "fail")
        yield item


def _one_text(file: File, fields: Fields) -> Iterator[Batch | Item]:
    """A .txt file as one document; an empty file holds none."""
    try:
        data = without_bom(b"".join(chunks(file.path, file.compression)), 0)
    except BrokenStream as fault:
        yield broken(file, 0, fault)
        return
    if not data:
        return
    make = document_maker(fields, file.source, plain=True)

    def items(which: Iterable[int]) -> Iterator[Item]:
        for _ in which:
            try:
                text = decode(data)
                yield make({"text": text}, orjson.dumps({"text": text}), 0)
            except Unusable as fault:
                yield reject(file.path, 1, fault, data)

    yield Batch(np.zeros(1, dtype=np.int64), items)
