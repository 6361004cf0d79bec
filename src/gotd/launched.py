"""Whether torchrun or `accelerate launch` started this process, and as which of how many; by what they leave behind."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path


def processes() -> int:
    """How many processes were started at once; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def speaks() -> bool:
    """Whether this is the one of them that shows progress and results."""
    return processes() == 1 or os.environ.get("RANK", "0") == "0"


def tell_launcher(message: str) -> None:
    """Leave the message where torchrun looks for it: the last of its report, which is long, then says it again."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path and "LOCAL_RANK" in os.environ:
        told = {"message": message, "extraInfo": {"timestamp": str(int(time.time()))}}
        Path(path).write_text(json.dumps({"message": told}), encoding="utf-8")
