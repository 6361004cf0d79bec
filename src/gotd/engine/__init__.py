"""One idempotent function from a shard to a part, run wherever there is a processor."""

from gotd.engine.parts import Done, Lost, Work
from gotd.engine.run import Executor, Progress, Ran, ahead, check_executor, one_thread, run, share, silent

__all__ = [
    "Done",
    "Executor",
    "Lost",
    "Progress",
    "Ran",
    "Work",
    "ahead",
    "check_executor",
    "one_thread",
    "run",
    "share",
    "silent",
]
