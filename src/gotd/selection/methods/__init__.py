"""Ways to choose that the gradient is compared with: each a score of single documents, but for `round-robin`.

Each module opens with its formula and its source; docs/methods.md has them side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gotd.selection.methods.protocol import Batch, Method
from gotd.selection.methods.registry import BLIND, GOTD, KNOWN_METHODS, check_method, fit_method, restore_method

if TYPE_CHECKING:
    from gotd.selection.methods.round_robin import NearestLists, Taken

__all__ = [
    "BLIND",
    "GOTD",
    "KNOWN_METHODS",
    "Batch",
    "Method",
    "NearestLists",
    "Taken",
    "check_method",
    "fit_method",
    "restore_method",
]


def __getattr__(name: str) -> Any:
    if name in ("NearestLists", "Taken"):
        from gotd.selection.methods import round_robin

        return getattr(round_robin, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
