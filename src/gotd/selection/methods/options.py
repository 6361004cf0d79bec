"""The options of a method, checked in one place."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from gotd.errors import SettingsError


def read_options(method: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`defaults` with what was given put over them, each of its default's type.

    Raises:
        SettingsError: an option that the method does not have, or a value of another type.
    """
    for name, value in given.items():
        if name not in defaults:
            raise SettingsError(_unknown(method, name, list(defaults)))
        wanted = type(defaults[name])
        # True is an int to Python, and 1 a fine float to a user.
        fits = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
        if not fits and not (wanted is float and type(value) is int):
            raise SettingsError(f"{method}: {name} is {value!r}; wanted {wanted.__name__}, as in {defaults[name]!r}")
    return {name: type(default)(given.get(name, default)) for name, default in defaults.items()}


def one_of(method: str, name: str, value: str, known: tuple[str, ...]) -> str:
    """The value, if it is known; else SettingsError."""
    if value not in known:
        raise SettingsError(f'{method}: {name} is "{value}"; wanted {" or ".join(known)}')
    return value


def positive(method: str, name: str, value: float) -> float:
    """The value, if it is above 0 and finite; else SettingsError."""
    if not 0 < value < float("inf"):
        raise SettingsError(f"{method}: {name} is {value}; wanted a positive number")
    return value


def _unknown(method: str, name: str, known: list[str]) -> str:
    if not known:
        return f'{method} has no option "{name}"; it takes none. Leave it out'
    near = get_close_matches(name, known, n=1)
    guess = f". Did you mean {near[0]}?" if near else ""
    return f'{method} has no option "{name}"; known: {", ".join(known)}{guess}'
