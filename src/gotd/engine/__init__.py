"""One idempotent function from a shard to a part, run wherever there is a processor."""

from gotd.engine.run import Done, Progress, Work, one_thread, run, silent

__all__ = ["Done", "Progress", "Work", "one_thread", "run", "silent"]
