"""From sections to one HTML file that needs nothing else: styles, scripts, plotting library and data are inside.

Whatever comes from a corpus is data: templates escape it, scripts take it from a JSON block and set it as text, and
the page's policy lets no other script run and nothing be fetched.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from gotd import __version__
from gotd.reporting.texts import clean

SCRIPTS = ("page.js", "charts.js", "records.js")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page.

    Attributes:
        anchor: what links point at.
        title: its heading, and its name in the list of contents.
        body: HTML.
        lead: whether the body brings its own heading, as the first section does.
    """

    anchor: str
    title: str
    body: Markup
    lead: bool = False


def fill(template: str, **values: Any) -> Markup:
    """A template as HTML; every string in the values is escaped."""
    return Markup(_environment().get_template(template).render(**values))


def document(title: str, sections: Sequence[Section], data: Mapping[str, Any], scripts: Sequence[str] = SCRIPTS) -> str:
    """The whole page.

    Args:
        title: of the window.
        sections: from top to bottom.
        data: what the scripts draw: JSON values; a script that finds no data of its own does nothing.
        scripts: files of `static`, in the order that they run in.
    """
    # Plotly compiles its WebGL drawing with Function: that is what the policy's 'unsafe-eval' is for.
    texts = [Markup(get_plotlyjs()), *(Markup(_static(name)) for name in scripts)]
    return fill(
        "page.html",
        title=title,
        sections=sections,
        style=Markup(_static("page.css")),
        scripts=texts,
        hashes=" ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts),
        data=Markup(embedded(data)),
        version=__version__,
    )


def embedded(data: Mapping[str, Any]) -> str:
    """JSON for a script element, whatever strings it holds: no `<` is left to end the element or open a comment."""
    found = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    for sign in "<>&\u2028\u2029":
        found = found.replace(sign, f"\\u{ord(sign):04x}")
    return found


def _static(name: str) -> str:
    return (files("gotd.reporting") / "static" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("gotd.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )
    found.filters |= {
        "code": lambda text: Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(clean(text))))),
        "count": lambda number: f"{number:,}",
        "share": lambda part: f"{part:.1%}",
        "cost": lambda value: f"{value:.4f}",
        "signed": lambda value: f"{value:+.4f}",
        "short": lambda value: f"{value:.3f}",
        "times": lambda value: f"{value:.1f}",
        "seconds": lambda value: f"{value:.2f} s" if value < 100 else f"{value:,.0f} s",
    }
    return found
