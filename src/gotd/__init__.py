"""gotd: pick the documents that warm up a language model for a task, by gradients of optimal transport.

import gotd
chosen = gotd.select(candidates="pool/*.jsonl.zst", target="task.jsonl", budget="5000docs", output="runs/task")

Names are imported when they are first used, so that `import gotd` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gotd.errors import ArtifactError, GotdError, InputError, MissingExtra, SettingsError

if TYPE_CHECKING:
    from gotd.comparison import Comparison, compare
    from gotd.corpus import Fields
    from gotd.export import Exported, export_selection
    from gotd.pipeline import select
    from gotd.potential import Potential
    from gotd.reporting import report
    from gotd.selection.mix import Losses, WarmUp, measured_mix
    from gotd.stages.choose import choose
    from gotd.stages.domains import Domain, domains
    from gotd.stages.fit import fit
    from gotd.stages.fit_settings import FitSettings
    from gotd.stages.score import score
    from gotd.stages.scores import Scores
    from gotd.stages.selected import Selection
    from gotd.stages.size import Sizes, size
    from gotd.stages.targets import Target

__version__ = "0.1.0"

_HOMES = {
    "Comparison": "gotd.comparison",
    "Domain": "gotd.stages.domains",
    "Exported": "gotd.export",
    "Fields": "gotd.corpus",
    "FitSettings": "gotd.stages.fit_settings",
    "Losses": "gotd.selection.mix",
    "Potential": "gotd.potential",
    "Scores": "gotd.stages.scores",
    "Selection": "gotd.stages.selected",
    "Sizes": "gotd.stages.size",
    "Target": "gotd.stages.targets",
    "WarmUp": "gotd.selection.mix",
    "choose": "gotd.stages.choose",
    "compare": "gotd.comparison",
    "domains": "gotd.stages.domains",
    "export_selection": "gotd.export",
    "fit": "gotd.stages.fit",
    "measured_mix": "gotd.selection.mix",
    "report": "gotd.reporting",
    "score": "gotd.stages.score",
    "select": "gotd.pipeline",
    "size": "gotd.stages.size",
}

__all__ = [
    "ArtifactError",
    "Comparison",
    "Domain",
    "Exported",
    "Fields",
    "FitSettings",
    "GotdError",
    "InputError",
    "Losses",
    "MissingExtra",
    "Potential",
    "Scores",
    "Selection",
    "SettingsError",
    "Sizes",
    "Target",
    "WarmUp",
    "choose",
    "compare",
    "domains",
    "export_selection",
    "fit",
    "measured_mix",
    "report",
    "score",
    "select",
    "size",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'gotd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
