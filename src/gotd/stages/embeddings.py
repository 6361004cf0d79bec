"""Vectors that are kept, so that the next target costs only scoring.

embeddings/00012.parquet    a row for each document of a shard: id, position, piece, text (CRC-32 of what was
                            embedded), vector (float16, scaled to unit length: a space sees directions alone)
embeddings/index.json       the encoder's fingerprint; of each part the file's digest and the stretch of it

They are found again by the digests of encoder and file, and a document of which the text differs is refused: a
vector never stands for anything but the text that it was made from.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gotd.artifacts import digest, read_json, write_json
from gotd.corpus import Document, Shard
from gotd.encoders import Encoder
from gotd.engine import Ran
from gotd.errors import ArtifactError, InputError, SettingsError
from gotd.potential import Potential

FOLDER = "embeddings"
_INDEX = "index.json"
_SUFFIX = ".vectors.parquet"
_FITTED = ("lsa", "lsa+static")
REUSED = ("taken", "embedded")  # how many kept vectors were taken, and how many were made beside them

Key = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Kept:
    """The vectors of a pool.

    Attributes:
        folder: where the parts are.
        encoder: `spec`, `dim` and `fingerprint` of what made them.
        parts: the stretches of each file that are kept, in order, and where, by the file's digest.
        lost: what was in quarantine when they were kept: it has no part.
    """

    folder: Path
    encoder: Mapping[str, Any]
    parts: Mapping[str, Sequence[tuple[int, int, Path]]]
    lost: frozenset[Key]

    @classmethod
    def load(cls, folder: Path | str) -> Kept:
        """The vectors that a folder of `score` or `select` holds.

        Raises:
            ArtifactError: it holds none.
        """
        given = Path(folder)
        inner = given / FOLDER if (given / FOLDER / _INDEX).exists() else given
        if not (inner / _INDEX).exists():
            raise ArtifactError(
                f"{given}: found no kept vectors; wanted a folder made by `gotd score` or `gotd select` with "
                "--keep-embeddings"
            )
        index = read_json(inner / _INDEX)
        parts: dict[str, list[tuple[int, int, Path]]] = {}
        for part in sorted(index["parts"], key=lambda part: part["start"]):
            parts.setdefault(part["digest"], []).append((part["start"], part["stop"], inner / part["name"]))
        lost = frozenset((part["digest"], part["start"], part["stop"]) for part in index["quarantined"])
        return cls(inner, index["encoder"], parts, lost)

    @property
    def key(self) -> str:
        """16 hex digits that change with the encoder and with any input."""
        keys = [(file, start, stop) for file, parts in self.parts.items() for start, stop, _ in parts]
        return digest([self.encoder["fingerprint"], sorted(keys)])

    def within(self, shard: Shard) -> list[Path]:
        """The parts that share documents with a shard, in the order of its file: they may be cut otherwise."""
        parts = self.parts.get(shard.file.digest, [])
        first = max(0, bisect_right(parts, shard.start, key=lambda part: part[0]) - 1)
        last = len(parts) if shard.stop < 0 else bisect_left(parts, shard.stop, key=lambda part: part[0])
        return [path for _, _, path in parts[first:last]]

    def check(self, encoder: Encoder, shards: Sequence[Shard]) -> None:
        """That they serve this encoder and these shards.

        Raises:
            ArtifactError: another encoder made them.
            InputError: a file was not there, or was another.
        """
        if encoder.fingerprint != self.encoder["fingerprint"]:
            spec = encoder.config()["kind"]
            remedy = (
                f"{spec} is fitted on every target anew: fit with --encoder and the folder whose vectors these are"
                if spec in _FITTED
                else f"fit with --encoder {self.encoder['spec']}, or leave out --embeddings"
            )
            raise ArtifactError(
                f"{self.folder}: found vectors of the encoder {self.encoder['spec']} ({self.encoder['fingerprint']}), "
                f"and the selector was fitted with {encoder.spec} ({encoder.fingerprint}); {remedy}"
            )
        whole = {file: parts[0][1] < 0 for file, parts in self.parts.items()}
        whole |= {file: stop < 0 for file, _, stop in self.lost}
        for shard in shards:
            known = shard.file.digest in whole
            if not known or whole[shard.file.digest] != (shard.stop < 0):
                why = "was cut otherwise when" if known else "is new, or changed since"
                raise InputError(
                    f"{shard.file.path}: {why} the vectors in {self.folder} were kept; leave out --embeddings, "
                    "or keep those of this pool with --keep-embeddings"
                )


def check_place(kept: Kept, output: Path | str, overwrite: bool) -> None:
    """SettingsError where the vectors would be deleted before they are read."""
    if overwrite and kept.folder.resolve().is_relative_to(Path(output).resolve()):
        raise SettingsError(f"--overwrite would delete the vectors in {kept.folder}; pass another --output")


def can_be_shared(potential: Potential) -> bool:
    """Whether its vectors of a pool serve other potentials as well, and it needs any."""
    embeds = potential.method is None or potential.method.needs_points
    return embeds and potential.encoder.config()["kind"] not in ("precomputed", *_FITTED)


def check_keeping(potential: Potential) -> None:
    """SettingsError where nothing is embedded that could be kept."""
    if potential.encoder.spec == "precomputed":
        raise SettingsError("the records carry their vectors already; leave out --keep-embeddings and --embeddings")
    if potential.method is not None and not potential.method.needs_points:
        raise SettingsError(
            f"method {potential.method.name} embeds no candidate; leave out --keep-embeddings and --embeddings"
        )


class Vectors:
    """The vectors of a shard's documents: those kept, else the encoder's; written down where they are to be kept.

    Attributes:
        taken: how many were kept ones.
        fresh: how many the encoder made.
    """

    def __init__(self, encoder: Encoder, shard: Shard, kept: _Part | None, sink: pq.ParquetWriter | None) -> None:
        self._encoder, self._shard, self._kept, self._sink = encoder, shard, kept, sink
        self.taken = self.fresh = 0

    def of(self, documents: Sequence[Document]) -> NDArray[np.float32]:
        """(n, d) vectors of documents that come in the order of the shard."""
        vectors = np.zeros((len(documents), self._encoder.dim), np.float32)
        have = np.zeros(len(documents), dtype=bool)
        if self._kept is not None:
            have = self._kept.fill(vectors, documents, self._shard.file.path)
        missing = np.flatnonzero(~have)
        if len(missing):
            vectors[missing] = self._encoder.encode([documents[row].text for row in missing.tolist()])
        self.taken += int(have.sum())
        self.fresh += len(missing)
        if self._sink is not None:
            self._sink.write_table(_table(documents, vectors))
        return vectors


@contextmanager
def open_vectors(encoder: Encoder, shard: Shard, stem: Path, kept: Path | None, keep: bool) -> Iterator[Vectors]:
    """The vectors of one shard.

    Args:
        stem: path of the shard's files, without suffix.
        kept: a folder that holds vectors, or None.
        keep: whether to write them down.
    """
    with ExitStack() as stack:
        part = None if kept is None else _Part(_loaded(kept).within(shard))
        sink = None
        if keep:
            sink = stack.enter_context(pq.ParquetWriter(_beside(stem), _schema(encoder.dim), compression="zstd"))
        yield Vectors(encoder, shard, part, sink)


def collect(ran: Ran, folder: Path, encoder: Encoder) -> None:
    """Move the vectors of all shards into `folder`/embeddings and write their index; what was moved before stays."""
    home = folder / FOLDER
    home.mkdir(exist_ok=True)
    parts = []
    for part in ran.done:
        name = f"{part.stem.name}.parquet"
        if _beside(part.stem).exists():
            _beside(part.stem).replace(home / name)
        parts.append({"name": name, **_indexed(part.shard)})
    about = {"spec": encoder.spec, "dim": encoder.dim, "fingerprint": encoder.fingerprint}
    lost = [_indexed(one.shard) for one in ran.lost]
    write_json(home / _INDEX, {"encoder": about, "parts": parts, "quarantined": lost})


class _Part:
    """The kept rows of one shard, a bounded number at a time: documents come in the order they were kept in."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._batches = _rows(paths)
        self._held: dict[tuple[int, int], tuple[int, NDArray[np.float16]]] = {}
        self._last = (-1, -1)

    def fill(self, vectors: NDArray[np.float32], documents: Sequence[Document], path: str) -> NDArray[np.bool_]:
        """Write kept vectors into the rows of their documents; which they are."""
        end = (documents[-1].position, documents[-1].piece)
        while self._last < end and (batch := next(self._batches, None)) is not None:
            self._add(batch)
        have = np.zeros(len(documents), dtype=bool)
        for row, document in enumerate(documents):
            found = self._held.get((document.position, document.piece))
            if found is None:
                continue
            if found[0] != _checksum(document.text):
                raise InputError(
                    f"{path}: the text of {document.id} is not the one whose vector was kept; pass the text field "
                    "and cuts of that run, or leave out --embeddings"
                )
            vectors[row], have[row] = found[1], True
        self._held = {key: value for key, value in self._held.items() if key > end}
        return have

    def _add(self, batch: pa.RecordBatch) -> None:
        """Hold the rows of one more batch."""
        positions, pieces, texts = (batch[name].to_pylist() for name in ("position", "piece", "text"))
        flat = batch["vector"].flatten().to_numpy(zero_copy_only=False)
        for position, piece, text, row in zip(positions, pieces, texts, flat.reshape(len(batch), -1)):
            self._held[position, piece] = (text, row)
        self._last = (positions[-1], pieces[-1])


def _rows(paths: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    """The rows of several parts, one after the other."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=1024, columns=["position", "piece", "text", "vector"])


def _table(documents: Sequence[Document], vectors: NDArray[np.float32]) -> pa.Table:
    """The part's rows for these documents, their vectors of unit length."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float16)
    columns = [
        pa.array([document.id for document in documents]),
        pa.array([document.position for document in documents], pa.int64()),
        pa.array([document.piece for document in documents], pa.int32()),
        pa.array([_checksum(document.text) for document in documents], pa.uint32()),
        pa.FixedSizeListArray.from_arrays(pa.array(unit.ravel()), vectors.shape[1]),
    ]
    return pa.Table.from_arrays(columns, schema=_schema(vectors.shape[1]))


def _schema(dim: int) -> pa.Schema:
    """The columns of a part; `text` is a checksum."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("position", pa.int64()),
            ("piece", pa.int32()),
            ("text", pa.uint32()),
            ("vector", pa.list_(pa.float16(), dim)),
        ]
    )


def _checksum(text: str) -> int:
    """CRC-32 of a text, by which another one in its place is found out."""
    return crc32(text.encode("utf-8", "surrogatepass"))


def _indexed(shard: Shard) -> dict[str, Any]:
    """What the index says of a shard."""
    digest_, start, stop = _key(shard)
    return {"file": shard.file.path, "digest": digest_, "start": start, "stop": stop}


def _key(shard: Shard) -> Key:
    """What names the content of a shard, wherever its file lies."""
    return shard.file.digest, shard.start, shard.stop


def _beside(stem: Path) -> Path:
    """Where the work of a shard leaves its vectors."""
    return stem.with_name(f"{stem.name}{_SUFFIX}")


def _loaded(folder: Path) -> Kept:
    """The vectors that a worker takes from a folder."""
    return _read(folder, (folder / _INDEX).stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _read(folder: Path, _: int) -> Kept:
    """A worker reads the index once, and again if it was written anew."""
    return Kept.load(folder)
