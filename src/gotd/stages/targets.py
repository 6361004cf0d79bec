"""What to move toward, what to leave, and how much each counts.

a path, or a list of paths       one target
Target(paths, weight=2)          one target with a weight
[Target(...), Target(...)]       several
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from gotd.corpus import File, Inputs, find
from gotd.corpus.files import split_name
from gotd.errors import SettingsError, number
from gotd.selection.methods import GOTD

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HOST_ALONE = re.compile(r"[A-Za-z][\w+.-]*://[^/]*")
_DRIVE = re.compile(r"[A-Za-z]")
_WITHOUT_WEIGHTS = ("nearest", "round-robin", "all-target")  # every document of a target counts as one of any other


@dataclass(frozen=True, slots=True)
class Target:
    """One target, or one thing to leave.

    Attributes:
        paths: files, folders, globs or URLs; several are pooled into one.
        weight: how much it counts beside others, above 0; only the ratios matter.
        name: to call it by in files and tables; left out, the name of its first path.
    """

    paths: Inputs
    weight: float = 1.0
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.weight, Real) or not 0 < self.weight < math.inf:
            raise SettingsError(
                f"the weight of {self.label} is {self.weight!r}; wanted a number above 0. What is to be left goes to "
                "--avoid"
            )
        object.__setattr__(self, "weight", number("weight", self.weight))

    @classmethod
    def parse(cls, text: str) -> Target:
        """`PATH` or `PATH:WEIGHT`.

        The number after the last colon is a weight, unless a file or folder has the whole text for its name, or what
        stands before the colon is a Windows drive or no more of a URL than its host. Where a URL ends in a colon and
        a number, write its weight after it: `s3://bucket/part:2:1`.
        """
        path, colon, weight = text.rpartition(":")
        whole = not path or _HOST_ALONE.fullmatch(path) or (os.name == "nt" and _DRIVE.fullmatch(path))
        if not colon or whole or not _NUMBER.fullmatch(weight) or os.path.exists(os.path.expanduser(text)):
            return cls(text)
        return cls(path, float(weight))

    @property
    def label(self) -> str:
        """Its name, or the last part of its first path that has letters, without the suffixes of data."""
        if self.name:
            return self.name
        first = self.paths if isinstance(self.paths, (str, os.PathLike)) else next(iter(self.paths), "")
        for part in reversed(os.fspath(first).replace(os.sep, "/").split("/")):
            stem = (split_name(part) or (part,))[0]
            if plain := re.sub(r"[*?\[\]]", "", stem).strip("-_. "):
                return plain
        return "target"


Targets = Inputs | Target | Sequence[Target]
"""One target by its paths, one with a weight, or several."""


@dataclass(frozen=True, slots=True)
class Aim:
    """One target or one thing to leave, with its files.

    Attributes:
        name: its own, no other has it.
        weight: not 0; below 0 for what is to be left.
        files: where its examples are.
    """

    name: str
    weight: float
    files: list[File]

    @property
    def avoid(self) -> bool:
        """Whether it is to be left."""
        return self.weight < 0


def aims(target: Targets, avoid: Targets | None = None) -> list[Aim]:
    """The targets, then what is to be left, as they were given.

    Raises:
        SettingsError: paths and targets in one list, or one name twice.
        InputError: no such file.
    """
    given = [(one, 1) for one in listed(target)] + [(one, -1) for one in (listed(avoid) if avoid else [])]
    names = _distinct([one for one, _ in given])
    # Alone, a target is the same whatever it weighs.
    weights = [sign * one.weight for one, sign in given] if len(given) > 1 else [1.0]
    return [Aim(name, weight, find(one.paths)) for name, weight, (one, _) in zip(names, weights, given)]


def listed(given: Targets) -> list[Target]:
    """Whatever was given, as targets."""
    if isinstance(given, Target):
        return [given]
    if isinstance(given, (str, os.PathLike)):
        return [Target(given)]
    kinds = {isinstance(one, Target) for one in given}
    if kinds == {True}:
        return [one for one in given if isinstance(one, Target)]
    if len(kinds) > 1:
        raise SettingsError(
            "targets are paths and gotd.Target in one list; wanted the one or the other. Wrap each path"
        )
    return [Target([one for one in given if not isinstance(one, Target)])]


def _distinct(given: Sequence[Target]) -> list[str]:
    """The names as they are given; of equal ones that nobody gave, the later get a number."""
    named = [one.name for one in given if one.name]
    for name in named:
        if named.count(name) > 1:
            raise SettingsError(f'two targets are called "{name}"; wanted a name for each')
    found: list[str] = []
    for one in given:
        name, number = one.label, 1
        while not one.name and (name in found or name in named):
            number += 1
            name = f"{one.label}-{number}"
        found.append(name)
    return found


def is_plain(found: Sequence[Aim]) -> bool:
    """Whether there is one target and nothing to leave."""
    return len(found) == 1


def described(found: Sequence[Aim]) -> dict[str, Any]:
    """What a manifest says of several; nothing of a single target, whose weight decides nothing."""
    if is_plain(found):
        return {}
    return {
        "targets": [
            {
                "name": aim.name,
                "weight": abs(aim.weight),
                "avoid": aim.avoid,
                "files": [file.path for file in aim.files],
            }
            for aim in found
        ]
    }


def inputs_of(found: Sequence[Aim]) -> dict[str, list[File]]:
    """The files of all targets, and of all that is to be left, where there is any."""
    target, avoid = ([file for aim in found if aim.avoid is left for file in aim.files] for left in (False, True))
    return {"target": target, **({"avoid": avoid} if avoid else {})}


def check_aims(method: str, found: Sequence[Aim]) -> None:
    """SettingsError where a method other than gotd is given what it cannot weigh."""
    if method == GOTD:
        return
    if any(aim.avoid for aim in found):
        raise SettingsError(
            f"method {method} knows no --avoid: only gotd's score is the gradient of an objective from which another "
            "can be taken. Leave out one of both"
        )
    if method in _WITHOUT_WEIGHTS and len({aim.weight for aim in found}) > 1:
        raise SettingsError(
            f"method {method} asks for any target alike and knows no weights; give all targets the same"
        )
