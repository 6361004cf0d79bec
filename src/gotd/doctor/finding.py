"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "absent", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found.

    Attributes:
        topic: what it belongs to, such as `packages`.
        name: of the thing.
        found: in words.
        state: `ok`; `absent`, which is no fault; or `broken`.
        remedy: what to do, where there is something to do.
    """

    topic: str
    name: str
    found: str
    state: State = "ok"
    remedy: str = ""
