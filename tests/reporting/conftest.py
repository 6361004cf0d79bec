"""Selections to report on: one of texts that would like to be more than texts, and what a page says when it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest

import gotd

HOSTILE = [
    "<script>window.owned = 1</script>",
    "</script><script>window.owned = 1</script>",
    "<!-- <script>",
    "--> ]]> <img src=x onerror='window.owned = 1'>",
    "<svg onload=window.owned=1>",
    "one\u2028line\u2029more",
    "\u202eright to left \u2066isolated",
    "{{ 7 * 7 }} {% raw %} ${7 * 7}",
    "&lt;b&gt; &amp; 'single' \"double\" `ticks`",
    "bell \x07 escape \x1b delete \x7f",
    "<b>bold</b><br>broken",
    "<a href='https://example.com'>elsewhere</a>",
]
SOURCE = "<img src=x onerror='window.owned = 1'>"


@dataclass
class Page(HTMLParser):
    """A page as a browser takes it.

    Attributes:
        texts: what is shown, by the id of the section that it stands in; None for what stands outside.
        attributes: name and value of every attribute.
        scripts: content of every script element, by its type.
        policy: the content security policy.
    """

    texts: dict[str | None, list[str]] = field(default_factory=dict)
    attributes: list[tuple[str, str]] = field(default_factory=list)
    scripts: list[tuple[str, str]] = field(default_factory=list)
    policy: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._section: str | None = None
        self._raw: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.attributes += given.items()
        if tag == "section":
            self._section = given["id"]
        if tag == "script":
            self.scripts.append((given.get("type", ""), ""))
        if tag in ("script", "style"):
            self._raw = tag
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]

    def handle_endtag(self, tag: str) -> None:
        self._raw = None
        if tag == "section":
            self._section = None

    def handle_data(self, data: str) -> None:
        if self._raw == "script":
            kind, before = self.scripts[-1]
            self.scripts[-1] = kind, before + data
        elif self._raw is None:
            self.texts.setdefault(self._section, []).append(data)

    def said(self, section: str) -> str:
        """The text of a section, blanks as one space."""
        return " ".join(" ".join(self.texts[section]).split())

    @property
    def data(self) -> dict[str, Any]:
        """What the scripts are given."""
        return next(orjson.loads(content) for kind, content in self.scripts if kind == "application/json")

    @classmethod
    def read(cls, path: Path) -> Page:
        page = cls()
        page.feed(path.read_text(encoding="utf-8"))
        page.close()
        return page


@pytest.fixture(scope="session")
def hostile_texts() -> list[str]:
    """What some texts of `hostile` end in."""
    return HOSTILE


@pytest.fixture(scope="session")
def hostile_source() -> str:
    """The source of two thirds of `hostile`."""
    return SOURCE


@pytest.fixture(scope="session")
def read_page() -> Callable[[Path], Page]:
    return Page.read


@pytest.fixture(scope="session")
def hostile(text, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `gotd select`, 40 of 243 documents: texts, ids and sources of HOSTILE, duplicates and rejects."""
    folder = tmp_path_factory.mktemp("hostile")

    def record(i: int) -> dict[str, str]:
        return {
            "id": f"{i}</script>",
            "source": SOURCE if i % 3 else "plain",
            "text": f"{text(i, i % 7 == 0, 12)} {HOSTILE[i % len(HOSTILE)]}",
        }

    target = [{"text": f"{text(900 + i, i % 2 == 0, 12)} {HOSTILE[i % len(HOSTILE)]}"} for i in range(40)]
    rows = [orjson.dumps(record(i)) for i in range(240)]
    rows += [orjson.dumps({"id": f"twin{i}", "source": "plain", "text": record(217)["text"]}) for i in range(3)]
    rows += [b"{<script>window.owned = 1</script>"] * 4
    (folder / "pool.jsonl").write_bytes(b"\n".join(rows) + b"\n")
    (folder / "target.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in target) + b"\n")
    gotd.select(
        folder / "pool.jsonl",
        folder / "target.jsonl",
        40,
        folder / "run",
        fields=gotd.Fields(source="source"),
        target_fields=gotd.Fields(),
        workers=1,
    )
    return folder / "run"


@pytest.fixture(scope="session")
def hostile_page(hostile: Path) -> Path:
    """The page about it, and map.parquet beside it."""
    return gotd.report(hostile, map=True)


@pytest.fixture(scope="session")
def lacking(corpora, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `gotd select`: the model has seen common words alone, half of the task is rare ones."""
    folder = tmp_path_factory.mktemp("lacking")
    gotd.select(corpora.pool, corpora.target, 12, folder, reference=corpora.other, workers=1)
    return folder
