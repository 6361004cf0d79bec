"""Settings in a YAML file: one `name: value` a line, each value as it would be typed after its flag.

    candidates: [pool/*.jsonl, more.parquet]
    budget: 5000docs
    dedup: off

A value is taken as its text stands in the file, so that `off`, `1e-3` or `2024-01-01` mean what they mean on the
command line, whatever YAML makes of them; `null` is as good as leaving the line out. Every fault is named with its
file and line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd.errors import InputError, SettingsError

if TYPE_CHECKING:
    from yaml import Node

_YAML = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting of a file.

    Attributes:
        place: `run.yaml:3`, to begin a message with.
        texts: the value, or each of a list; none of `null`.
        truth: the value as true or false, where YAML reads it so.
        listed: whether the value is a list.
    """

    place: str
    texts: tuple[str, ...]
    truth: bool | None
    listed: bool


def read_config(path: Path | str) -> dict[str, Entry]:
    """The settings of a YAML file, by name; `fit-sample` is `fit_sample`.

    Raises:
        InputError: there is no such file, or it is no YAML.
        SettingsError: it holds anything but names with values or lists of values, or a name twice.
    """
    root = parsed(Path(path))
    if root is None:
        return {}
    if _kind(root) != "mapping":
        raise SettingsError(f"{path}:{_line(root)}: found a {_kind(root)}, wanted `name: value` such as budget: 5%")
    found: dict[str, Entry] = {}
    for key, value in root.value:
        place = f"{path}:{_line(key)}"
        if _kind(key) != "value":
            raise SettingsError(f"{place}: found a {_kind(key)} as a name, wanted `name: value`")
        name = str(key.value).replace("-", "_")
        if name in found:
            raise SettingsError(f"{place}: {name} is there twice, first at {found[name].place}; drop one of both")
        found[name] = _entry(place, name, value)
    return found


def unknown(name: str, known: Iterable[str], place: str, of: str) -> SettingsError:
    """The error for a name that is no setting: with the nearest that is."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"{of} knows {', '.join(names)}"
    return SettingsError(f"{place}: {name}: unknown; {hint}")


def to_yaml(settings: Mapping[str, Any]) -> str:
    """Settings as a file that `read_config` reads back to the same."""
    import yaml

    return str(yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=10_000))


def parsed(path: Path) -> Node | None:
    """A YAML file as nodes, which keep the lines and the text of each value; nothing is ever constructed."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); pass a YAML file of settings") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text; pass a YAML file of settings") from error
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = path if mark is None else f"{path}:{mark.line + 1}"
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        raise InputError(f"{place}: is no YAML ({what}); wanted `name: value` lines") from error


def _entry(place: str, name: str, node: Node) -> Entry:
    listed = _kind(node) == "list"
    items: list[Node] = list(node.value) if listed else [node]
    for item in items:
        if _kind(item) != "value":
            raise SettingsError(f"{place}: {name}: found a {_kind(item)}, wanted a value or a list of values")
    texts = tuple(str(item.value) for item in items if item.tag != f"{_YAML}null")
    truth = _truth(node) if node.tag == f"{_YAML}bool" else None
    return Entry(place, texts, truth, listed)


def _truth(node: Node) -> bool:
    import yaml

    return bool(yaml.SafeLoader.bool_values[str(node.value).lower()])


def _kind(node: Node) -> str:
    return {"ScalarNode": "value", "SequenceNode": "list"}.get(type(node).__name__, "mapping")


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
