"""What a process and all below it use: peak memory and CPU seconds, sampled from /proc (Linux)."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path


class ProcessTree(threading.Thread):
    """Watches a process and all below it until `stop`.

    Pages that processes share are counted once, by their proportional set size (PSS): forked and spawned
    workers can be compared.

    Args:
        pid: the root of the tree; this process where it is left out.
        interval: seconds between two looks.

    Attributes:
        peak: bytes, the largest sum of PSS seen.
    """

    def __init__(self, pid: int | None = None, interval: float = 0.1) -> None:
        super().__init__(daemon=True)
        self.pid, self.interval, self.peak = pid or os.getpid(), interval, 0
        self._cpu: dict[int, float] = {}
        self._stop_event = threading.Event()

    def run(self) -> None:
        while not self._stop_event.wait(self.interval):
            self._look()

    def stop(self) -> None:
        self._stop_event.set()
        self.join()
        self._look()

    @property
    def cpu_seconds(self) -> float:
        return sum(self._cpu.values())

    def _look(self) -> None:
        pids = _tree(self.pid)
        self.peak = max(self.peak, sum(_pss(pid) for pid in pids))
        self._cpu.update({pid: _cpu(pid) or self._cpu.get(pid, 0.0) for pid in pids})


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # ended between two looks
            continue
        for child in children:
            pids += _tree(int(child))
    return pids


def _pss(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    match = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime
