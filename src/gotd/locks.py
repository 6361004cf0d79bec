"""One run an output folder: a lock that the system lets go of when its process ends, however it ends.

A run holds `.lock` alone. The ranks of one scoring share it, and each holds `.lock.rank-00003` alone, so that a rank
started twice is refused and so is a run beside ranks. `flock` is used as it is: of the libraries that keep locks,
filelock shares none, and leaves its files behind.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import warnings
from pathlib import Path
from weakref import WeakValueDictionary

from gotd.errors import ArtifactError
from gotd.launched import processes

LOCK = ".lock"
_TAKEN = {errno.EAGAIN, errno.EACCES}
_HELD: WeakValueDictionary[str, Lock] = WeakValueDictionary()


class Lock:
    """A folder held by this run, until `release`, the end of the object, or that of the process.

    Args:
        folder: an existing folder.
        rank: which of several processes that share the folder this is; None for a run that wants it alone.

    Raises:
        ArtifactError: another run holds it; the message says which.
    """

    def __init__(self, folder: Path, rank: int | None = None) -> None:
        self._files: list[tuple[Path, int, bool]] = []  # path, open file, whether others share it
        self._owner = threading.current_thread()
        name = LOCK if rank is None else f"{LOCK}.rank-{rank:05d}"
        key = str((folder / name).resolve())
        earlier = _HELD.get(key)
        # A run of this thread that an error ended may live on in the error's traceback: it is over all the same.
        if earlier is not None and earlier._owner is self._owner:
            earlier.release()
        try:
            if rank is not None:
                self._take(folder / LOCK, shared=True)
            self._take(folder / name)
        except BaseException:
            self.release()
            raise
        _HELD[key] = self

    def _take(self, path: Path, *, shared: bool = False) -> None:
        if sys.platform == "win32":
            return  # no flock there
        import fcntl

        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.pread(handle, 200, 0).decode(errors="replace")
                os.close(handle)
                if error.errno in _TAKEN:
                    alone = f"; all but training wants one process, and {processes()} were started"
                    raise ArtifactError(
                        f"{path.parent} is being written by another run ({holder or 'just started'}). "
                        f"Wait for it to end, or pass another --output{alone if processes() > 1 else ''}"
                    ) from None
                path.unlink(missing_ok=True)
                warnings.warn(f"{path.parent}: no locks on this file system; run one command at a time", stacklevel=4)
                return
            if _is_still(path, handle):
                break
            os.close(handle)  # its holder removed it between our open and our lock
        os.truncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        self._files.append((path, handle, shared))

    def release(self) -> None:
        """Let go of the folder; what others share stays there for them."""
        while self._files:
            path, handle, shared = self._files.pop()
            if not shared:
                path.unlink(missing_ok=True)
            os.close(handle)

    def __del__(self) -> None:
        if os is not None:  # as Python ends, modules go first; the system lets go of the lock
            self.release()


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
