"""Cores and threads: workers have one thread each, since two a core are slower than one, and may round otherwise."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def available_cores() -> int:
    """Cores that this process may use, by its affinity and by the quota of its container."""
    from joblib import cpu_count

    return int(cpu_count())


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for the numerical libraries within the block, as in every worker."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def name_one_thread() -> None:
    """In a new worker: one thread for the numerical libraries that load from here on."""
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")


def settle_threads() -> None:
    """In a new worker: one thread for good."""
    from threadpoolctl import threadpool_limits

    name_one_thread()
    threadpool_limits(1)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
