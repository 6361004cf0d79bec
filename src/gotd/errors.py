"""Everything gotd raises on purpose: one class for each thing a caller would do about it.

GotdError
├── InputError       the data is at fault: mend the named file, or pass --on-error skip
├── SettingsError    a flag, argument or value is at fault: pass another
├── ArtifactError    a folder on disk cannot serve: made otherwise, unfinished, or damaged
├── MissingExtra     an optional dependency is absent: run the pip line in the message
└── FailedElsewhere  another process of the same run is at fault, and says why

A message is one line: where, what was found, what was wanted, and the remedy.
"""

from __future__ import annotations

import re
from numbers import Integral, Real


class GotdError(Exception):
    """The root: catch this to catch all of them."""


class InputError(GotdError):
    """The data is at fault."""


class SettingsError(GotdError, ValueError):
    """A flag or argument is at fault."""


class ArtifactError(GotdError):
    """A folder on disk cannot serve."""


class FailedElsewhere(GotdError):
    """Another of the processes that train together is at fault, and says why; this one ends with it."""


class MissingExtra(GotdError, ImportError):
    """An optional dependency is absent.

    Args:
        what: what was asked for, as the user wrote it, such as `static`.
        packages: the modules that are missing, as pip names them.
        extra: the extra of gotd that brings them.
    """

    def __init__(self, what: str, packages: str, extra: str) -> None:
        absent = "which are not" if re.search(r", | and ", packages) else "which is not"
        super().__init__(f"{what} needs {packages}, {absent} installed. Run: pip install 'gotd[{extra}]'")
        self._given = (what, packages, extra)

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str, str]]:
        # A worker hands its errors to the parent pickled.
        return type(self), self._given


def number(name: str, given: object) -> float:
    """The value as Python's own number, NumPy's among what may come; SettingsError unless it is one."""
    if isinstance(given, bool) or not isinstance(given, Real):
        raise SettingsError(f"{name} is {given!r}; wanted a number, without quotes or a unit")
    return int(given) if isinstance(given, Integral) else float(given)


def whole(name: str, given: object) -> int:
    """The same of a whole number, such as 3 or 2e4."""
    found = number(name, given)
    if isinstance(found, float) and not found.is_integer():
        raise SettingsError(f"{name} is {given!r}; wanted a whole number")
    return int(found)
