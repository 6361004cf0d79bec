"""The work of one shard: documents to scores, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from gotd.corpus import Document, Fields, OnError, Reject, RejectWriter, Shard, find, plan, read
from gotd.errors import InputError
from gotd.potential import Potential, Priced
from gotd.selection.contamination import Contamination
from gotd.selection.methods import Batch, NearestLists
from gotd.selection.tokens import Tokenizer, load_tokenizer, token_counts
from gotd.stages.addresses import Addresses
from gotd.stages.arithmetic import priced_with
from gotd.stages.embeddings import REUSED, Vectors, open_vectors
from gotd.stages.more import is_cheap
from gotd.stages.points import masses_as_fitted, points_of
from gotd.stages.scores import CONTAMINATED, own_column, schema_of
from gotd.stages.turns import new_lists, save_lists
from gotd.transport import Products

_BATCH = 1024
# Batches that a transformer sorts by length together, tokenising the next meanwhile; a GPU takes more at a time.
_SORTED, _SORTED_GPU = 4, 16


@dataclass(frozen=True, slots=True)
class ShardScorer:
    """The work of one shard.

    Attributes:
        potential: path of the fitted potential.
        fields: where text, id and source are in a record.
        on_error: `skip` or `fail`.
        sources: the sources to score, or None for all; documents of others are only counted.
        device: where a transformer encoder runs, and documents are priced if `products` says with what.
        held_out: files of texts that no candidate may share a run of words with.
        tokenizer: what counts tokens, or None where they are estimated.
        embeddings: a folder of kept vectors to take in place of the encoder's, see `stages/embeddings.py`.
        keep_embeddings: whether to write the vectors down.
        wanted: the addresses to score, see `stages/addresses.py`, or None for all; others are only counted.
        products: of what precision on a GPU; None for the CPU. See `stages/arithmetic.py`.
    """

    potential: Path
    fields: Fields
    on_error: OnError
    sources: frozenset[str] | None
    device: str
    held_out: tuple[str, ...] = ()
    tokenizer: str | None = None
    embeddings: Path | None = None
    keep_embeddings: bool = False
    wanted: Path | None = None
    products: Products | None = None

    def __call__(self, shard: Shard, stem: Path) -> dict[str, Any]:
        potential = loaded(self.potential, self.device, self.products)
        col = potential.no_mass()
        counts = {"read": 0, "scored": 0, "outside": 0, "rejected": 0}
        lists = new_lists(potential)
        fields = replace(self.fields, vector_length=potential.encoder.dim)
        wanted = None if self.wanted is None else Addresses.of(self.wanted, shard.file)
        with (
            open_vectors(potential.encoder, shard, stem, self.embeddings, self.keep_embeddings) as vectors,
            RejectWriter(stem.with_name(f"{stem.name}.rejects.jsonl")) as rejects,
            pq.ParquetWriter(
                stem.with_name(f"{stem.name}.parquet"), schema_of(own_columns(potential)), compression="zstd"
            ) as parts,
        ):
            sorted_together = _SORTED if self.products is None else _SORTED_GPU
            size = _BATCH * (1 if is_cheap(potential.encoder) else sorted_together)
            for items in _batches(read(shard, fields, self.on_error), size):
                kept: dict[int, Document] = {}
                for row, item in enumerate(items, start=counts["read"] + 1):
                    if isinstance(item, Reject):
                        rejects.write(item)
                        counts["rejected"] += 1
                    elif (self.sources is None or item.source in self.sources) and (wanted is None or wanted.has(item)):
                        kept[row] = item
                    else:
                        counts["outside"] += 1
                counts["read"] += len(items)
                for reject in self._contaminated(kept, shard):
                    rejects.write(reject)
                    counts["rejected"] += 1
                    del kept[reject.row]
                if kept:
                    table, mass = _scored(kept, potential, self, vectors, lists, counts["scored"])
                    parts.write_table(table)
                    col += mass
                counts["scored"] += len(kept)
        if lists is not None:
            save_lists(lists, stem)
        np.save(stem.with_name(f"{stem.name}.mass.npy"), col.numpy())
        return counts if self.embeddings is None else counts | dict(zip(REUSED, (vectors.taken, vectors.fresh)))

    def held_out_texts(self) -> Contamination:
        """What no candidate may share a run of words with."""
        return _held_out_texts(self.held_out, Fields(text=self.fields.text, text_per=self.fields.text_per))

    def _contaminated(self, kept: Mapping[int, Document], shard: Shard) -> list[Reject]:
        """Documents that share words with a held-out text, by row of the shard; `merge` places and words them."""
        if not self.held_out or not kept:
            return []
        shared = self.held_out_texts().check([document.text for document in kept.values()])
        return [
            Reject(shard.file.path, row, CONTAMINATED, run, document.id[:200])
            for (row, document), run in zip(kept.items(), shared)
            if run is not None
        ]


def _batches(items: Iterator[Document | Reject], size: int) -> Iterator[list[Document | Reject]]:
    while batch := list(islice(items, size)):
        yield batch


@lru_cache(maxsize=1)
def _held_out_texts(paths: tuple[str, ...], fields: Fields) -> Contamination:
    """The held-out texts, read once a worker."""

    def texts() -> Iterator[str]:
        for item in (item for shard in plan(find(paths), fields) for item in read(shard, fields, "skip")):
            if isinstance(item, Reject):
                raise InputError(f"{item.message} A held-out text that is not read would not be looked for.")
            yield item.text

    return Contamination(texts())


@lru_cache(maxsize=1)
def loaded(path: Path, device: str, products: Products | None) -> Potential:
    """A worker reads the potential, and so loads its encoder, once."""
    return priced_with(Potential.load(path, device=device), device, products)


@lru_cache(maxsize=1)
def _tokenizer(name: str) -> Tokenizer:
    return load_tokenizer(name)


def forget() -> None:
    """What this process has read for a run: the next may find other files in the same places."""
    for read_once in (_held_out_texts, loaded, _tokenizer):
        read_once.cache_clear()


def _scored(
    kept: Mapping[int, Document],
    potential: Potential,
    how: ShardScorer,
    vectors: Vectors,
    lists: NearestLists | None,
    first: int,
) -> tuple[pa.Table, torch.Tensor]:
    """The part's table for documents by their row in the shard, and the mass (m,) that each target receives.

    Args:
        vectors: of the shard, where texts are embedded.
        lists: where candidates are listed if the method takes turns, by their row in the part's table.
        first: the row of the first of them there.
    """
    documents = list(kept.values())
    blind = potential.method is not None and not potential.method.needs_points
    if blind:
        points = torch.empty(len(documents), 0)
    elif documents[0].vector is not None:
        points = points_of(documents, potential)
    else:
        points = potential.points(vectors.of(documents))
    texts = [d.text for d in documents]
    if potential.method is None:
        weights = masses_as_fitted(documents, potential)
        found = potential.priced(points, torch.ones(len(documents)) if weights is None else weights)
    else:
        batch = Batch(texts, [d.id for d in documents], [d.source for d in documents], points)
        if lists is None:
            scores = potential.method.score(batch)
        else:
            scores = lists.add(points, np.arange(first, first + len(documents)))
        # Another method has no certificate: no mass is counted.
        found = Priced(torch.from_numpy(scores), None, potential.no_mass())
    columns = {
        "id": [d.id for d in documents],
        "source": [d.source for d in documents],
        "score": found.f.numpy(),
        "tokens": token_counts(texts, None if how.tokenizer is None else _tokenizer(how.tokenizer)),
        "file": np.zeros(len(documents), dtype=np.int32),
        "position": np.array([d.position for d in documents], dtype=np.int64),
        "piece": np.array([d.piece for d in documents], dtype=np.int32),
        "checksum": np.array([crc32(d.record) for d in documents], dtype=np.uint32),
        "key": np.array([_key(d.id) for d in documents], dtype=np.uint64),
        "row": np.array(list(kept), dtype=np.int64),
    }
    names = own_columns(potential)
    if found.own is not None:
        columns |= {name: scores.numpy() for name, scores in zip(names, found.own)}
    return pa.table(columns, schema=schema_of(names)), found.col


def own_columns(potential: Potential) -> list[str]:
    """The columns of the score by each of several targets alone; another method than gotd has none."""
    return [own_column(name) for name in potential.owners] if potential.method is None else []


def _key(id: str) -> int:
    return int.from_bytes(blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
