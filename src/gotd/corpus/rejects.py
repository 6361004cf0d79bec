"""rejects.jsonl: every row that gave no document, with its place and the reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

import orjson

from gotd.corpus.documents import Reject
from gotd.corpus.temporary import Replacement


class RejectWriter:
    """Writes rejects and counts them by reason; the file appears whole, at the end of the block."""

    def __init__(self, path: Path | str) -> None:
        self.counts: Counter[str] = Counter()
        self._out = Replacement(Path(path))

    def write(self, reject: Reject) -> None:
        self.counts[reject.reason] += 1
        self._out.write(orjson.dumps(asdict(reject), option=orjson.OPT_APPEND_NEWLINE))

    @property
    def total(self) -> int:
        """Rejects written, of all reasons."""
        return self.counts.total()

    def __enter__(self) -> RejectWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.__exit__(kind, error, trace)
