"""A file that appears under its name only when it is whole."""

from __future__ import annotations

import os
from pathlib import Path


class Replacement:
    """Bytes written beside `path`, renamed onto it by `commit`; `discard` leaves nothing behind."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self.file = self.temporary.open("wb")

    def commit(self) -> None:
        if self.file.closed:
            return
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.temporary, self.path)

    def discard(self) -> None:
        self.file.close()
        self.temporary.unlink(missing_ok=True)
