"""Cores, threads, memory, GPU and room on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gotd.doctor.finding import Finding

_GB = 1e9
_LEAST_ROOM = 100e6  # bytes; less is no room for the scores of a pool


def machine() -> Iterator[Finding]:
    from gotd.engine.run import available_cores

    yield Finding("machine", "cores", f"{available_cores()} of {os.cpu_count()}: as many processes score by default")
    yield _threads()
    yield _memory()
    yield from _gpus()
    yield _disk("disk here", Path.cwd())
    yield _disk("disk for temporary files", Path(tempfile.gettempdir()))


def _threads() -> Finding:
    import torch

    variable = os.environ.get("OMP_NUM_THREADS")
    said = "" if variable is None else f" (OMP_NUM_THREADS={variable})"
    return Finding("machine", "threads", f"{torch.get_num_threads()} to solve with{said}")


def _memory() -> Finding:
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total = os.sysconf("SC_PHYS_PAGES") * page
        free = os.sysconf("SC_AVPHYS_PAGES") * page if "SC_AVPHYS_PAGES" in os.sysconf_names else None
    except (AttributeError, ValueError, OSError):
        return Finding("machine", "memory", "not known on this system", "absent")
    limit = _limit()
    said = f"{total / _GB:.1f} GB" + ("" if free is None else f", {free / _GB:.1f} GB of it unused")
    return Finding("machine", "memory", said if limit is None else f"{said}; limited to {limit / _GB:.1f} GB")


def _limit() -> int | None:
    """Bytes that the container may use, where there is a limit."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 1 << 60:
            return int(text)
    return None


def _gpus() -> Iterator[Finding]:
    import torch

    from gotd.encoders.weights import precision

    built = torch.version.cuda or torch.version.hip
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(number)
            halves = str(precision(torch.device("cuda", number))).removeprefix("torch.")
            room = f"{about.total_memory / _GB:.0f} GB, compute capability {about.major}.{about.minor}"
            yield Finding("machine", f"cuda:{number}", f"{about.name}, {room}: transformer encoders in {halves}")
    elif torch.backends.mps.is_available():
        yield Finding("machine", "mps", "the GPU of this Mac: transformer encoders in float16, all else on the CPU")
    elif built is not None:
        found = f"none that torch sees, though it is built for CUDA {built}: all runs on the CPU"
        yield Finding("machine", "gpu", found, "absent", "if there is one, look at nvidia-smi and CUDA_VISIBLE_DEVICES")
    else:
        yield Finding("machine", "gpu", "none that torch sees, which is built for the CPU: all runs there", "absent")


def _disk(name: str, folder: Path) -> Finding:
    try:
        free = shutil.disk_usage(folder).free
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("machine", name, f"{folder} ({error.strerror})", "broken", "Choose a folder to write to.")
    found = f"{free / _GB:.1f} GB free in {folder}"
    if free < _LEAST_ROOM:
        return Finding("machine", name, found, "broken", "Make room, or set TMPDIR to a larger disk.")
    return Finding("machine", name, found)
