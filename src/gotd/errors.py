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
from numbers import Real


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


def check_numbers(**given: object) -> None:
    """SettingsError unless each value is a number: from Python anything may come."""
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise SettingsError(f"{name} is {value!r}; wanted a number, without quotes or a unit")
