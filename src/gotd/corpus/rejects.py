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
    """Writes rejects and counts them by reason; the file appears whole, on `close`.

    Args:
        path: the file to make.
        append: keep the rejects that are there already, and count them too.
    """

    def __init__(self, path: Path | str, append: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        earlier = _lines(Path(path)) if append else []
        self._out = Replacement(Path(path))
        for line in earlier:
            self.counts[orjson.loads(line)["reason"]] += 1
            self._out.file.write(line)

    def write(self, reject: Reject) -> None:
        self.counts[reject.reason] += 1
        self._out.file.write(orjson.dumps(asdict(reject), option=orjson.OPT_APPEND_NEWLINE))

    @property
    def total(self) -> int:
        """Rejects written, of all reasons."""
        return sum(self.counts.values())

    def close(self) -> None:
        self._out.commit()

    def __enter__(self) -> RejectWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._out.discard()


def _lines(path: Path) -> list[bytes]:
    if not path.exists():
        return []
    with path.open("rb") as file:
        return file.readlines()
