"""A file that appears under its name only when it is whole."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType

from gotd.durable import settle, temporary


class Replacement:
    """Bytes written beside `path`, renamed onto it by `commit`; `discard` leaves nothing behind.

    As a context it is committed at the end, or discarded by an error.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.temporary = temporary(path)
        self.file = self.temporary.open("wb")

    def write(self, data: bytes) -> None:
        self.file.write(data)

    def commit(self) -> None:
        if self.file.closed:
            return
        try:
            self.file.close()
            settle(self.temporary, self.path)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        with suppress(OSError):  # a full disk refuses what was still to be written
            self.file.close()
        self.temporary.unlink(missing_ok=True)

    def __enter__(self) -> Replacement:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()
