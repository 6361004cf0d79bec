"""Whether torchrun or `accelerate launch` started this process, and as which of how many; by what they leave behind."""

from __future__ import annotations

import os


def processes() -> int:
    """How many processes were started at once; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def speaks() -> bool:
    """Whether this is the one of them that shows progress and results."""
    return processes() == 1 or os.environ.get("RANK", "0") == "0"
