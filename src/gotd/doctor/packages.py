"""Python, what gotd needs, and what its extras bring: as its own metadata says."""

from __future__ import annotations

import platform
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version

from gotd import __version__
from gotd.doctor.finding import Finding

_FOR_DEVELOPERS = ("dev",)
_LEAST_PYTHON = (3, 10)


def packages() -> Iterator[Finding]:
    """Python and gotd, each package that gotd needs, each extra."""
    yield _python()
    yield Finding("packages", "gotd", __version__)
    needed, extras = _requirements()
    modules = _modules()
    for requirement in needed:
        yield _needed(requirement, modules)
    for extra, wanted in sorted(extras.items()):
        yield _extra(extra, wanted)


def _python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < _LEAST_PYTHON:
        return Finding("packages", "python", found, "broken", "Wanted 3.10 or later.")
    return Finding("packages", "python", found)


def _requirements() -> tuple[list[str], dict[str, list[str]]]:
    """What gotd needs, such as `numpy>=1.26`, and the same by extra."""
    needed, extras = [], defaultdict(list)
    for line in requires("gotd") or []:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        extra = re.search(r"extra == ['\"]([\w-]+)", marker)
        if extra is None:
            needed.append(requirement)
        elif extra[1] not in _FOR_DEVELOPERS:
            extras[extra[1]].append(requirement)
    return sorted(needed), dict(extras)


def _modules() -> dict[str, str]:
    """The module to import, by the name that pip knows."""
    found: dict[str, str] = {}
    for module, names in packages_distributions().items():
        if not module.startswith("_"):
            for name in names:
                found.setdefault(_name(name), module)
    return found


def _needed(requirement: str, modules: dict[str, str]) -> Finding:
    name = _name(requirement)
    remedy = f"Run: pip install '{requirement}'"
    installed = _version(name)
    if installed is None:
        return Finding("packages", name, "not installed", "broken", remedy)
    if _numbers(installed) < _numbers(requirement):
        return Finding("packages", name, f"{installed}, wanted {requirement}", "broken", remedy)
    try:
        import_module(modules.get(name, name))
    except Exception as error:
        # Whatever an import raises, this table is the place to say it.
        return Finding("packages", name, f"{installed} cannot be imported ({error})", "broken", remedy)
    return Finding("packages", name, installed)


def _extra(extra: str, wanted: list[str]) -> Finding:
    found = {_name(requirement): _version(_name(requirement)) for requirement in wanted}
    there = ", ".join(f"{name} {installed}" for name, installed in found.items() if installed)
    missing = ", ".join(name for name, installed in found.items() if not installed)
    if not missing:
        return Finding("extras", extra, there)
    return Finding("extras", extra, f"without {missing}", "absent", f"pip install 'gotd[{extra}]'")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _name(requirement: str) -> str:
    """`scikit-learn` of `scikit_learn>=1.5`, as pip compares names."""
    return re.split(r"[^\w.-]", requirement)[0].replace("_", "-").replace(".", "-").lower()


def _numbers(text: str) -> tuple[int, ...]:
    """The first version in a text, as far as it is numbers: (2, 13, 0) of `2.13.0+cpu`."""
    found = re.search(r"\d+(?:\.\d+)*", text.partition("=")[2] if ">=" in text else text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
