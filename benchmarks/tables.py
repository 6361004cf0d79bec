"""Tables and conditions of a measurement, as text."""

from __future__ import annotations

import os
from collections.abc import Sequence


def use_cores(count: int) -> list[int]:
    """Keep this process and all below it to `count` cores, with as many threads in every library."""
    cores = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, cores)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(len(cores))
    # A thread that waits gives its core away: CPU seconds then count work, on a busy machine too.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    return cores


def load() -> str:
    """Load averages of one and five minutes: above the cores in use, times are of a shared machine."""
    one, five, _ = os.getloadavg()
    return f"load {one:.1f} / {five:.1f}"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers stand to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(columns, *cells)]
    print(f"\n{title}\n")
    for number, row in enumerate([list(columns), *cells]):
        first, *rest = (cell.rjust(width) for cell, width in zip(row, widths))
        print("  ".join([row[0].ljust(len(first)), *rest]).rstrip(), flush=True)
        if number == 0:
            print("  ".join("-" * width for width in widths))
