"""Documents in and out: find files, plan shards, read, sample and fetch documents, write records.

    find(inputs) -> [File] -> plan(files) -> [Shard] -> read(shard) -> Document | Reject
                           -> sample(files)          -> Sampled
                           -> sample_sources(files)  -> Document, by source
                           -> share_of_rows(files)   -> Document
                           -> fetch(file, addresses) -> Document
    open_writer(folder) <- records            RejectWriter(path) <- rejects

Knows no encoder and no transport; every row comes out exactly once, as a document or a reject.
"""

from gotd.corpus.documents import Document, Reject, moved
from gotd.corpus.fetching import fetch
from gotd.corpus.fields import Fields, GivenFields, fields_from
from gotd.corpus.files import File, Inputs, find
from gotd.corpus.readers import OnError, read
from gotd.corpus.rejects import RejectWriter
from gotd.corpus.sampling import Sampled, sample, sample_sources, share_of_rows
from gotd.corpus.shards import SHARD_BYTES, Shard, plan, rows_before, rows_of
from gotd.corpus.writers import OutputFormat, open_writer

__all__ = [
    "SHARD_BYTES",
    "Document",
    "Fields",
    "File",
    "GivenFields",
    "Inputs",
    "OnError",
    "OutputFormat",
    "Reject",
    "RejectWriter",
    "Sampled",
    "Shard",
    "fetch",
    "fields_from",
    "find",
    "moved",
    "open_writer",
    "plan",
    "read",
    "rows_before",
    "rows_of",
    "sample",
    "sample_sources",
    "share_of_rows",
]
