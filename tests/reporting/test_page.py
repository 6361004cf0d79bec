"""One file that needs nothing else, and shows what it is given as text."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from gotd.reporting.page import Section, document, embedded, fill
from gotd.reporting.texts import clean

Page = Any
Read = Callable[[Path], Page]


@pytest.fixture(scope="module")
def page(hostile_page: Path, read_page: Read) -> Page:
    return read_page(hostile_page)


def test_embedded_json_holds_any_text_and_ends_nothing(hostile_texts: list[str]) -> None:
    for text in [*hostile_texts, "</SCRIPT >", "<!--<script>", "]]>", "\u2029"]:
        found = embedded({text: [text]})
        assert orjson.loads(found) == {text: [text]}
        assert not set("<>&\u2028\u2029") & set(found)


def test_templates_escape_and_clean(hostile_source: str) -> None:
    """`said` of a check may hold code; what stands around it stays text."""
    check = {"good": True, "title": "<b>", "said": "run `<i>` </script>\x00"}
    values = dict.fromkeys(("before", "after", "random"), 0.5) | {"measure": "", "mix": 0.1, "solved_on": {"random": 1}}
    shown = fill(
        "verdict.html",
        headline="<script>alert(1)</script>\x07",
        chosen=1,
        from_target=False,
        pool=1,
        sources=2,
        drawn_from=1,
        first=hostile_source,
        first_share=1.0,
        first_pool=1.0,
        moved=values,
        measure="x",
        checks=[check],
        doubts=0,
    )
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\ufffd" in shown
    assert "run <code>&lt;i&gt;</code> &lt;/script&gt;\ufffd" in shown
    assert not re.search("<script|<img|<i>", shown)


def test_only_the_pages_own_scripts_run(page: Page) -> None:
    """By hash: plotly's and three of ours. The data is no script."""
    kinds = [kind for kind, _ in page.scripts]
    assert kinds == ["application/json", "", "", "", ""]
    allowed = re.findall(r"'sha256-([^']+)'", page.policy)
    ran = [b64encode(sha256(content.encode()).digest()).decode() for kind, content in page.scripts if not kind]
    assert allowed == ran
    assert "default-src 'none'" in page.policy
    assert "unsafe-inline" not in page.policy.partition("script-src")[2].partition(";")[0]
    assert "http" not in page.policy


def test_nothing_is_fetched_and_no_attribute_runs(page: Page) -> None:
    for name, value in page.attributes:
        assert not name.startswith("on"), name
        assert name not in ("src", "srcset", "action", "data", "poster"), name
        if name in ("href", "xlink:href"):
            assert value.startswith("#"), value


def test_hostile_texts_are_shown_as_they_are(page: Page, hostile_texts: list[str], hostile_source: str) -> None:
    data = page.data
    texts = [text for text in data["dots"]["text"] if text]
    for text in hostile_texts:
        assert any(shown.endswith(clean(text)) for shown in texts), text
    assert hostile_source in data["sources"]
    assert hostile_source in page.said("sources")
    assert "<script>window.owned = 1</script>" in page.said("documents") + page.said("lacks")
    assert "0</script>" in data["dots"]["id"]


def test_the_first_section_brings_its_heading_and_the_others_get_one(read_page: Read, tmp_path: Path) -> None:
    """The seam for other commands: sections of their own, data of their own or none."""
    sections = [
        Section("one", "First", fill("marks.html"), lead=True),
        Section("two", "Second & last", fill("scores.html", **_scores())),
    ]
    path = tmp_path / "page.html"
    path.write_text(document("A <title>", sections, {}), encoding="utf-8")
    page = read_page(path)
    assert ("href", "#two") in page.attributes
    assert page.said("two").startswith("Second & last The score of each of the 7 candidates")
    assert "First" not in page.said("one")
    assert page.data == {}


def _scores() -> dict[str, Any]:
    return {"pool": 7, "chosen": 2, "low": 0.0, "high": 1.0, "cut": None, "method": None}
