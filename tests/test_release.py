"""What a release is made of: the archives, the citation, the changelog, and one version in all of them."""

from __future__ import annotations

import re
import runpy
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import gotd

ROOT = Path(__file__).parent.parent
Faults = Callable[[Sequence[str], Sequence[str]], list[str]]


@pytest.fixture(scope="module")
def faults() -> Faults:
    """The judgement of scripts/release_check.py on two lists of names."""
    found: Any = runpy.run_path(str(ROOT / "scripts" / "release_check.py"))["faults"]
    return found


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """The names in the wheel and in the sdist."""
    pytest.importorskip("hatchling")
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("dist")
    for builder in (WheelBuilder, SdistBuilder):
        list(builder(str(ROOT)).build(directory=str(folder)))
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel, tarfile.open(next(folder.glob("*.tar.gz"))) as sdist:
        return wheel.namelist(), sdist.getnames()


def test_the_archives_are_whole(archives: tuple[list[str], list[str]], faults: Faults) -> None:
    wheel, sdist = archives
    assert faults(wheel, sdist) == []
    assert {"gotd/py.typed", "gotd/demo/data/LICENCES.md", "gotd/demo/data/python.jsonl.zst"} <= set(wheel)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("gotd/py.typed", "the wheel lacks gotd/py.typed"),
        ("gotd/demo/data/whaling.jsonl.zst", "the wheel lacks gotd/demo/data/whaling.jsonl.zst"),
        ("gotd/export/card.py", "the wheel lacks gotd/export/card.py"),
    ],
)
def test_what_is_missing_is_found(archives: tuple[list[str], list[str]], faults: Faults, name: str, named: str) -> None:
    wheel, sdist = archives
    assert faults([other for other in wheel if other != name], sdist) == [named]
    inner = [other for other in sdist if not other.endswith(f"/src/{name}")]
    assert faults(wheel, inner) == [f"the sdist lacks src/{name}"]
    assert faults([*wheel, "tests/test_cli.py"], sdist) == ["the wheel holds tests/test_cli.py"]


def test_one_version_in_every_place() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = re.search(r'^version = "(.+)"$', pyproject, re.MULTILINE)
    assert declared is not None
    assert declared[1] == gotd.__version__ == citation()["version"]


def test_the_changelog_tells_of_this_version() -> None:
    """As a release with its date, or as what will be one; below it only kinds that Keep a Changelog has."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.search(rf"^## \[{re.escape(gotd.__version__)}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE)
    coming = re.search(rf"^## \[Unreleased\]\n\nWill be {re.escape(gotd.__version__)}\b", text, re.MULTILINE)
    assert released or coming
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds


def test_the_citation_names_gotd_and_the_paper() -> None:
    found = citation()
    assert (found["cff-version"], found["type"], found["license"]) == ("1.2.0", "software", "Apache-2.0")
    assert found["authors"]
    paper = found["references"][0]
    assert paper["title"].startswith("Get more for less")
    families = [author["family-names"] for author in paper["authors"]]
    assert families == ["Kang", "Just", "Sun", "Jahagirdar", "Zhang", "Du", "Sahu", "Jia"]
    assert paper["identifiers"][0]["value"] == "arXiv:2405.02774"


def citation() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found
