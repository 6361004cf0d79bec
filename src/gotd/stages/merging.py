"""Parts to scores.parquet and rejects.jsonl, in the order of the pool.

Of documents with one id the first stays. They are found by keys that are sorted in files of bounded size, so that no
pool is too large for memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gotd.corpus import File, OnError, Reject, RejectWriter, Shard, rows_of
from gotd.corpus.delimited import row_lines
from gotd.durable import settle, temporary
from gotd.engine import Done, Lost
from gotd.errors import InputError
from gotd.stages.scores import CONTAMINATED, NAME, REJECTS, WITHIN, schema_of

QUARANTINED = "quarantined"
_KEYED = np.dtype([("key", np.uint64), ("row", np.int64)])
_SORTED = 1 << 22  # keys that are sorted together
_GROUP = 1 << 17  # rows of a row group: what is read of each costs once a group


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of all shards.

    Attributes:
        counts: rows read, scored, outside the kept sources, rejected: read is the sum of the other three.
        rejects: rejected rows by reason.
        sources: scored documents by source.
    """

    counts: dict[str, int]
    rejects: dict[str, int]
    sources: dict[str, int]


def merge(
    done: Sequence[Done],
    files: Sequence[File],
    folder: Path,
    on_error: OnError,
    gone: NDArray[np.int64],
    *,
    rescored: Callable[[pa.Table, int], pa.Table] | None = None,
    pieces: bool = False,
    own: Sequence[str] = (),
    lost: Sequence[Lost] = (),
) -> Merged:
    """Join parts in the order of the pool; of documents with one id, the first stays and the others are rejected.

    Args:
        gone: the rows that `repeats` finds.
        rescored: what makes of the rows of a part, and the number of the first among all parts, the same with scores
            that depend on the whole pool.
        pieces: the rows are pieces of a file, not its lines.
        own: the columns of targets of their own.
        lost: shards in quarantine: each is named among the rejects, and counted as nothing, since no row was read.
    """
    written = pa.schema([field for field in schema_of(own) if field.name not in WITHIN])
    numbers = {file.path: number for number, file in enumerate(files)}
    first = 0
    counts = Counter({"read": 0, "scored": 0, "outside": 0, "rejected": 0})
    sources: Counter[str] = Counter()
    rows_before: Counter[str] = Counter()  # of each file, in the parts before
    beside = temporary(folder / NAME)
    with RejectWriter(folder / REJECTS) as rejects, pq.ParquetWriter(beside, written, compression="zstd") as out:
        group: list[pa.Table] = []
        for part in done:
            counts.update(part.counts)
            before = rows_before[part.shard.file.path] + _lost_before(part.shard, lost)
            for reject in _rejects(part):
                rejects.write(_placed(reject, part, before, pieces) if reject.reason == CONTAMINATED else reject)
            with pq.ParquetFile(_named(part, ".parquet")) as file:
                for batch in file.iter_batches():
                    table = pa.Table.from_batches([batch])
                    if rescored is not None:
                        table = rescored(table, first)
                    start, stop = np.searchsorted(gone, [first, first + len(table)])
                    again = (gone[start:stop] - first).tolist()
                    kept = _without(table, again)
                    first += len(table)
                    for reject in _duplicates(table, again, part, before, pieces):
                        if on_error == "fail":
                            raise InputError(reject.message)
                        rejects.write(reject)
                    counts["scored"] -= len(again)
                    counts["rejected"] += len(again)
                    number = pa.array(np.full(len(kept), numbers[part.shard.file.path], dtype=np.int32))
                    kept = kept.set_column(kept.schema.get_field_index("file"), "file", number).select(written.names)
                    sources.update(dict(zip(*_value_counts(kept["source"]))))
                    group.append(kept)
                    if sum(map(len, group)) >= _GROUP:
                        out.write_table(pa.concat_tables(group))
                        group.clear()
            rows_before[part.shard.file.path] += part.counts["read"]
        if group:
            out.write_table(pa.concat_tables(group))
        by_reason = dict(rejects.counts)
        for one in lost:
            before = rows_of(replace(one.shard, start=0, stop=one.shard.start)) or 0
            rejects.write(Reject(one.shard.file.path, before + 1, QUARANTINED, _quarantined(one), ""))
    settle(beside, folder / NAME)
    return Merged(dict(counts), by_reason, dict(sources))


def given_up(lost: Sequence[Lost]) -> list[dict[str, Any]]:
    """What a manifest says of shards in quarantine; `rows` is None where only reading them would tell."""
    return [
        {
            "file": one.shard.file.path,
            "start": one.shard.start,
            "stop": one.shard.stop,
            "rows": rows_of(one.shard),
            "reason": one.reason,
            "message": _quarantined(one),
        }
        for one in lost
    ]


def _quarantined(one: Lost) -> str:
    return (
        f"{one.shard}: in quarantine, its worker died twice ({one.reason}). None of its rows was scored. Run the same "
        "command again with fewer --workers or more memory: it tries what is in quarantine again."
    )


def _lost_before(shard: Shard, lost: Sequence[Lost]) -> int:
    """Rows of the same file in quarantined shards before this one."""
    before = (one.shard for one in lost if one.shard.file == shard.file and one.shard.index < shard.index)
    return sum(rows_of(one) or 0 for one in before)


def repeats(done: Sequence[Done]) -> NDArray[np.int64]:
    """Rows, counted over all parts, whose id was there before.

    The keys are divided by their size into files of about 64 MB, 16 bytes a document on disk, and each is sorted alone.
    """
    count = -(-sum(part.counts["scored"] for part in done) // _SORTED) or 1
    found = [np.zeros(0, np.int64)]
    with ExitStack() as stack:
        files = [stack.enter_context(TemporaryFile(dir=part.stem.parent)) for part in done[:1] for _ in range(count)]
        first = 0
        for part in done:
            keys = pq.read_table(_named(part, ".parquet"), columns=["key"])["key"].to_numpy()
            rows = np.rec.fromarrays([keys, np.arange(first, first + len(keys))], dtype=_KEYED)
            owners = (keys >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)
            order = np.argsort(owners, kind="stable")
            ends = np.searchsorted(owners[order], np.arange(count + 1, dtype=np.uint64))
            for file, start, stop in zip(files, ends, ends[1:]):
                file.write(rows[order[start:stop]].tobytes())
            first += len(keys)
        for file in files:
            file.seek(0)
            together = np.frombuffer(file.read(), _KEYED)
            order = np.argsort(together["key"], kind="stable")
            ordered = together["key"][order]
            found.append(together["row"][order[1:][ordered[1:] == ordered[:-1]]])
    return np.sort(np.concatenate(found))


def _without(table: pa.Table, rows: Sequence[int]) -> pa.Table:
    if not rows:
        return table
    stay = np.ones(len(table), dtype=bool)
    stay[rows] = False
    return table.filter(pa.array(stay))


def _duplicates(table: pa.Table, rows: Sequence[int], part: Done, before: int, pieces: bool) -> Iterator[Reject]:
    for row in rows:
        at, place = _place(part, before, table["row"][row].as_py(), pieces)
        name = table["id"][row].as_py()
        message = f'{place}: id "{name}" was there before, wanted one record an id. Pass another --id-field.'
        yield Reject(part.shard.file.path, at, "duplicate-id", message, name[:200])


def _place(part: Done, before: int, row: int, pieces: bool) -> tuple[int, str]:
    """The row of the file that a row of the shard is, of CSV the line it begins at, and how a message names it."""
    file = part.shard.file
    at = before + row
    if file.format in ("csv", "tsv") and not pieces:
        at = row_lines(file)[at - 1]  # a quoted cell may hold newlines
    return at, f"{file.path}: piece {at}" if pieces else f"{file.path}:{at}"


def _placed(found: Reject, part: Done, before: int, pieces: bool) -> Reject:
    """A contaminated row of a shard as one of its file, in words: it carries the run as message, the id as excerpt."""
    at, place = _place(part, before, found.row, pieces)
    message = f'{place}: id "{found.excerpt}" shares "{found.message}" with a held-out text. It is left out.'
    return Reject(found.file, at, CONTAMINATED, message, found.excerpt)


def _rejects(part: Done) -> Iterator[Reject]:
    with _named(part, ".rejects.jsonl").open("rb") as lines:
        for line in lines:
            yield Reject(**orjson.loads(line))


def _value_counts(column: pa.ChunkedArray) -> tuple[list[str], list[int]]:
    counted = pc.value_counts(column)
    return counted.field("values").to_pylist(), counted.field("counts").to_pylist()


def _named(part: Done, suffix: str) -> Path:
    return part.stem.with_name(f"{part.stem.name}{suffix}")
