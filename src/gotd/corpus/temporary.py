"""A file that appears under its name only when it is whole."""

from __future__ import annotations

from pathlib import Path

from gotd.durable import settle, temporary


class Replacement:
    """Bytes written beside `path`, renamed onto it by `commit`; `discard` leaves nothing behind."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.temporary = temporary(path)
        self.file = self.temporary.open("wb")

    def commit(self) -> None:
        if self.file.closed:
            return
        self.file.close()
        settle(self.temporary, self.path)

    def discard(self) -> None:
        self.file.close()
        self.temporary.unlink(missing_ok=True)
