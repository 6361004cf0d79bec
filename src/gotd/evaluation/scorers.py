"""How toxic is a text, from 0 to 1? Scorers that run here; another is a function of yours.

profanity        alt-profanity-check: a linear model on words; offline, quick, and blind to what is rude without them
detoxify         Detoxify "original": a BERT; downloads its weights at first use
MODULE:FUNCTION  any function from a list of texts to as many numbers

The published figures used Perspective API: figures of two scorers do not compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.local import require
from gotd.errors import MissingExtra, SettingsError

Scorer = Callable[[Sequence[str]], NDArray[np.float64]]
SCORERS = ("profanity", "detoxify", "MODULE:FUNCTION")


def load_scorer(spec: str) -> Scorer:
    """The scorer that `spec` names; what it gives is checked at each call."""
    score = _function(spec)
    return lambda texts: _checked(spec, score(list(texts)), len(texts))


def _function(spec: str) -> Callable[[list[str]], Any]:
    if spec == "profanity":
        try:
            require("the scorer profanity", ("profanity_check",), "toxicity")
        except MissingExtra:
            raise MissingExtra("the scorer profanity", "alt-profanity-check", "toxicity") from None
        from profanity_check import predict_prob

        return predict_prob  # type: ignore[no-any-return]
    if spec == "detoxify":
        try:
            from detoxify import Detoxify
        except ImportError:
            raise SettingsError("the scorer detoxify is not installed. Run: pip install detoxify") from None
        model = Detoxify("original")
        return lambda texts: model.predict(texts)["toxicity"]
    module, colon, name = spec.partition(":")
    if not colon or not name:
        raise SettingsError(f'no scorer "{spec}"; wanted {", ".join(SCORERS)}')
    try:
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError) as error:
        raise SettingsError(f'the scorer "{spec}" could not be loaded: {error}. Is it on the Python path?') from error


def _checked(spec: str, given: Any, count: int) -> NDArray[np.float64]:
    found = np.asarray(given, np.float64)
    if found.shape != (count,) or not ((found >= 0) & (found <= 1)).all():
        raise SettingsError(
            f"the scorer {spec} gave an array of shape {found.shape} for {count} texts; "
            f"wanted {count} numbers from 0 to 1"
        )
    return found
