"""YAML of several levels, read by type: every value is held to the hint of what it sets, every fault named by line.

A value is taken as its text stands in the file, as `gotd.config` does; what is nested is a table of names again.
"""

from __future__ import annotations

import types
from collections import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from gotd.config import parsed, unknown
from gotd.errors import SettingsError

if TYPE_CHECKING:
    from yaml import Node

Hints = Mapping[str, Any]
TEXTS = tuple[str, ...]
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a value"}


@dataclass(frozen=True, slots=True)
class Tree:
    """A value of the file, and where it stands.

    Attributes:
        file: path of the file.
        node: as YAML has it; None where the file says nothing.
        line: of its name.
        name: what it is the value of; empty for the whole file.
    """

    file: str
    node: Node | None
    line: int = 0
    name: str = ""

    @classmethod
    def of(cls, path: Path | str) -> Tree:
        """The whole file."""
        return cls(str(path), parsed(Path(path)))

    @property
    def place(self) -> str:
        """`run.yaml:3: target`, to begin a message with."""
        return f"{self.file}:{self.line}: {self.name}" if self.name else self.file

    @property
    def empty(self) -> bool:
        return self.node is None or str(self.node.tag).endswith(":null")

    @property
    def is_table(self) -> bool:
        return type(self.node).__name__ == "MappingNode"

    @property
    def is_list(self) -> bool:
        return type(self.node).__name__ == "SequenceNode"

    def table(self, what: str) -> dict[str, Tree]:
        """The values of a table, by name.

        Raises:
            SettingsError: it is no table, or holds a name twice.
        """
        if self.empty:
            return {}
        if self.node is None or not self.is_table:
            raise SettingsError(f"{self.place}: found {self._kind()}, wanted {what}")
        found: dict[str, Tree] = {}
        for key, value in self.node.value:
            one = Tree(self.file, value, key.start_mark.line + 1, str(key.value))
            if one.name in found:
                raise SettingsError(
                    f"{one.place}: is there twice, first in line {found[one.name].line}; drop one of both"
                )
            found[one.name] = one
        return found

    def settings(self, hints: Hints, of: str) -> dict[str, Any]:
        """A table whose names and types are known; `fit-sample` is `fit_sample`, and null is as good as left out.

        Args:
            of: whose settings they are, for the message about an unknown one.
        """
        found: dict[str, Any] = {}
        for tree in self.table("a table, `name: value`").values():
            found |= tree.named(hints, of)
        return found

    def named(self, hints: Hints, of: str) -> dict[str, Any]:
        """This value under its name, unless it is null; SettingsError where the name is not known."""
        key = self.name.replace("-", "_")
        if key not in hints:
            raise unknown(self.name, hints, f"{self.file}:{self.line}", of)
        return {} if self.empty else {key: self.value(hints[key])}

    def texts(self) -> tuple[str, ...]:
        """A value, or each of a list."""
        items: list[Any] = list(self.node.value) if self.node is not None and self.is_list else [self.node]
        if not all(isinstance(getattr(item, "value", None), str) for item in items):
            raise SettingsError(f"{self.place}: found {self._kind()}, wanted a value or a list of values")
        return tuple(str(item.value) for item in items)

    def value(self, hint: Any) -> Any:
        """The value as the hint wants it."""
        options = [part for part in _options(hint) if part is not type(None)]
        if get_origin(options[0]) is tuple:
            return tuple(self._scalar(_options(get_args(options[0])[0]), text) for text in self.texts())
        if get_origin(options[0]) is abc.Mapping:
            return {name: tree.value(bool | int | float | str) for name, tree in self.table("`name: value`").items()}
        if self.is_list:
            raise SettingsError(f"{self.place}: found a list, wanted one value")
        return self._scalar(options, self.texts()[0])

    def _scalar(self, options: Sequence[Any], text: str) -> Any:
        for option in options:
            found = _cast(option, text)
            if found is not None:
                return found
        wanted = " or ".join(_WORDS.get(option) or ", ".join(map(str, get_args(option))) for option in options)
        raise SettingsError(f'{self.place}: found "{text}", wanted {wanted}')

    def _kind(self) -> str:
        return "a table" if self.is_table else "a list" if self.is_list else "a value"


def hints_of(function: Callable[..., Any], names: Iterable[str]) -> dict[str, Any]:
    """The types of some arguments of a function, or fields of a dataclass."""
    hints = get_type_hints(function)
    return {name: hints[name] for name in names}


def arguments(function: Callable[..., Any], leave_out: Iterable[str]) -> list[str]:
    """The names of a function's arguments."""
    return [name for name in signature(function).parameters if name not in set(leave_out)]


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _cast(hint: Any, text: str) -> Any:
    """The text as this type, or None where it is none of it."""
    if get_origin(hint) is Literal:
        return text if text in get_args(hint) else None
    if hint is bool:
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(text.lower())
    try:
        return hint(text.replace("_", "")) if hint in (int, float) else hint(text)
    except ValueError:
        return None
