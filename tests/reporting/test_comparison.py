"""The page about a comparison: what it says, how it is drawn in a browser. Figures are made up; names are hostile."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import gotd
from gotd.artifacts import write_json
from gotd.cli import main
from gotd.comparison import Config, Task
from gotd.comparison.plan import Cell, cells_of
from gotd.comparison.results import results
from gotd.comparison.statistics import plain
from gotd.comparison.verdict import verdict

HOSTILE = "<img src=x onerror='window.owned = 1'>"
LEVELS = {"none": 2.1, "random": 2.0, "gotd": 1.9, "near": 1.95, HOSTILE: 2.05, "dsir": 2.0}
SECTIONS = ["verdict", "results", "differences", "foretold", "made"]
WAIT = 60

Build = Callable[..., Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """build(seeds, **manifest): a finished comparison of made-up figures: six rows, two tasks, two budgets."""

    def make(seeds: tuple[int, ...] = (0, 1, 2), **manifest: Any) -> Path:
        folder = tmp_path_factory.mktemp("comparison")
        tasks = tuple(_task(name) for name in ("one", f"two {HOSTILE}"))
        methods = {row: {"method": "nearest"} if row in ("near", HOSTILE) else {} for row in LEVELS}
        config = Config("model", ("pool",), tasks, methods, ("5000docs", "20000docs"), seeds)
        cells = [_cell(cell, config, folder) for cell in cells_of(config)]
        found = results(config, cells, folder)
        write_json(folder / "results.json", asdict(found))
        told = {
            "kind": "compare",
            "settings": {},
            "inputs": {},
            "verdict": verdict(config, found),
            "config": config.told(),
            "files": {"one: test": [f"{HOSTILE}.jsonl sha256:1234"]},
            "counts": {"cells": len(cells), "ran": len(cells), "found": 0},
            "contamination": True,
            "tokens": {budget: {"wanted": 1000, "least": 1000, "most": 1010} for budget in config.budgets},
            "repeated": {task.name: {"test": 60, "repeated": 0} for task in tasks},
            "seconds": {"total": 3.0},
            "versions": {"gotd": "0"},
        }
        write_json(folder / "manifest.json", {**told, **manifest})
        return folder

    return make


def _task(name: str) -> Task:
    evaluate = {"perplexity": {}, "classify": {}}
    return Task(name, ("t",), test=("x",), train=("r",), label_field="label", evaluate=evaluate)


def _cell(cell: Cell, config: Config, folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng([ord(letter) for letter in cell.name])
    at = LEVELS[cell.row] + rng.normal(0, 0.01)
    lengths = rng.integers(50, 90, 60)
    true = np.arange(60) % 3
    right = rng.random(60) < 2.6 - at
    parts = {
        ("perplexity", "warm-up"): {"nats": at * lengths, "bytes": lengths, "tokens": lengths // 4},
        ("classify", "fine-tuning"): {"true": true, "predicted": np.where(right, true, (true + 1) % 3)},
    }
    place = folder / "cells" / cell.name
    place.mkdir(parents=True)
    figures = []
    for (name, stage), items in parts.items():
        classes = ["a", "b", "c"] if name == "classify" else []
        pq.write_table(pa.table(items), place / f"{name}.parquet")
        about = {"evaluation": name, "stage": stage, "items": f"{name}.parquet", "told": {"classes": classes}}
        figures.append({**about, "metrics": plain(name, items, len(classes))})
    reads = config.method(cell.row) != "none"
    told = {"tokens": 1005 if reads else 0, "documents": 50 if reads else None, "filled": True if reads else None}
    distance = {"predicted": 3 - at if reads else None, "solved": 2.5 - at if reads else None}
    return {**asdict(cell), **told, **distance, "method": "x", "key": "k", "figures": figures, "seconds": 1.5}


@pytest.fixture(scope="session")
def compared(build: Build) -> Path:
    return build()


@pytest.fixture(scope="session")
def compared_page(compared: Path) -> Path:
    """Made by the command."""
    told = CliRunner().invoke(main, ["report", str(compared)], catch_exceptions=False)
    assert told.stdout == f"Wrote {compared / 'report.html'}. It needs nothing else: open it in a browser.\n"
    return compared / "report.html"


def test_it_says_what_was_found(compared_page: Path, compared: Path, read_page: Callable[[Path], Any]) -> None:
    page = read_page(compared_page)
    assert [section for section in page.texts if section] == SECTIONS
    told = orjson.loads((compared / "manifest.json").read_bytes())
    said = page.said("verdict")
    assert said.startswith(told["verdict"][0].rstrip("."))
    assert "gotd beats random by 0." in told["verdict"][0]
    assert "All 6 checks are" not in said  # there are many differences, and that is said
    assert "Of 16 differences about 1 would leave 0 out by chance alone." in said
    assert "The warm-up helps" in said
    assert page.said("differences").startswith("Minus random")
    assert HOSTILE in page.said("results")
    assert "mean of 2 tasks: bits a byte (perplexity after warm-up; lower is better)" in page.said("results")
    assert "sha256:1234" in page.said("made")
    figures = page.data["comparison"]["figures"]
    assert [figure["metric"] for figure in figures[:2]] == ["bits a byte"] * 2
    assert figures[page.data["comparison"]["start"]]["title"].startswith("all tasks: bits a byte")
    assert [one["by_predicted"] for one in page.data["comparison"]["agreements"]] == pytest.approx([1.0] * 8, abs=0.3)


def test_scripts_run_by_their_hash_and_names_stay_text(compared_page: Path, read_page: Callable[[Path], Any]) -> None:
    page = read_page(compared_page)
    assert len([kind for kind, _ in page.scripts if kind == ""]) == 4
    assert "default-src 'none'" in page.policy
    assert not [value for name, value in page.attributes if name.startswith("on") or "owned" in value]


@pytest.mark.parametrize(
    ("seeds", "manifest", "said"),
    [
        ((0,), {}, "One seed One seed shows nothing about seeds: intervals know the test items alone."),
        ((0, 1), {}, "Two seeds Two seeds are few"),
        (
            (0,),
            {"tokens": {"5000docs": {"wanted": 100, "least": 90, "most": 110}}},
            "Not the same tokens for every row 90 to 110 tokens where 100 were asked for.",
        ),
        (
            (0,),
            {"repeated": {"one": {"test": 60, "repeated": 7}}},
            "7 of 60 test texts stand in target, dev or training",
        ),
        ((0,), {"contamination": False}, "candidates were not compared with the test texts"),
    ],
)
def test_what_to_look_at_is_said(
    build: Build, read_page: Callable[[Path], Any], seeds: tuple[int, ...], manifest: dict[str, Any], said: str
) -> None:
    assert said in read_page(gotd.report(build(seeds, **manifest))).said("verdict")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The browser of the other page's tests, one of its own."""
    path = Path(__file__).with_name("test_browser.py")
    spec = importlib.util.spec_from_file_location("browser_of_the_report", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield from module.started(tmp_path_factory.mktemp("browser"))


def until(browser: Any, script: str, *arguments: Any) -> Any:
    """What a script returns, once it is true; asked again and again, as a loaded machine draws late."""
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, WAIT, poll_frequency=0.1).until(lambda _: browser.execute_script(script, *arguments))


DRAWN = """return ["values", "paired", "agreeing"].every((id) => document.getElementById(id)?._fullData?.length
           && document.querySelectorAll(`#${id} .scatterlayer .point`).length > 0)"""
PICK = """const select = document.getElementById(arguments[0]); select.value = arguments[1];
          select.dispatchEvent(new Event("change"));"""


def opened(browser: Any, page: Path, width: int = 1280, dark: bool = False) -> None:
    media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")
    browser.get(page.as_uri())
    until(browser, DRAWN)


def test_it_is_drawn_without_a_word_and_hostile_names_do_nothing(browser: Any, compared_page: Path) -> None:
    opened(browser, compared_page)
    assert {line["level"] for line in browser.get_log("browser")} <= {"INFO", "DEBUG"}
    assert browser.execute_script("return [window.owned ?? null, document.querySelectorAll('main img').length]") == [
        None,
        0,
    ]
    shown = browser.execute_script("return [...document.querySelectorAll('#values .ytick')].map((e) => e.textContent)")
    assert shown == ["none", "random", "gotd", "near", f"{HOSTILE[:25]}…", "dsir"]
    points = browser.execute_script("return document.getElementById('values')._fullData.map((t) => t.x.length)")
    assert points == [6, 6, 36]  # both budgets, and every seed
    assert browser.execute_script("return document.getElementById('paired')._fullData.map((t) => t.x.length)") == [5, 5]
    zero = browser.execute_script("return document.getElementById('paired')._fullLayout.xaxis.range")
    assert zero[0] < 0 < zero[1]


def test_another_figure_is_picked(browser: Any, compared_page: Path) -> None:
    opened(browser, compared_page)
    axis = "return document.getElementById('values')._fullLayout.xaxis.title.text"
    assert browser.execute_script(axis) == "bits a byte: lower is better"
    short = "return document.getElementById('values')._fullLayout.xaxis.exponentformat"
    assert browser.execute_script(short) == "none"  # ten millionths are no 10µ
    number = browser.execute_script("return gotd.data.comparison.figures.findIndex((one) => one.metric === 'accuracy')")
    browser.execute_script(PICK, "figure", str(number))
    until(browser, f"return (() => {{ {axis} }})() === 'accuracy: higher is better'")
    shown = (
        "return [...document.querySelectorAll('#tables .figure')].filter((e) => !e.hidden).map((e) => e.dataset.figure)"
    )
    assert browser.execute_script(shown) == [str(number)]
    assert until(browser, "return document.getElementById('paired')._fullLayout.xaxis.title.text").startswith(
        "accuracy minus"
    )
    rho = browser.execute_script("return document.getElementById('rho').textContent")
    assert rho.startswith("Spearman's rank correlation +")
    browser.execute_script(PICK, "foresight", "predicted")
    until(browser, "return document.getElementById('rho').textContent.endsWith('predicted to first order).')")
    number = browser.execute_script(
        "return gotd.data.comparison.agreements.findIndex((one) => one.metric === 'macro F1')"
    )
    browser.execute_script(PICK, "agreement", str(number))
    title = "document.getElementById('agreeing')._fullLayout.yaxis.title.text"
    until(browser, f"return {title}.startsWith('macro F1 gained')")


def test_the_keyboard_reaches_what_the_mouse_does(browser: Any, compared_page: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    opened(browser, compared_page)
    select = browser.find_element(By.ID, "figure")
    before = browser.execute_script("return document.getElementById('figure').value")
    select.send_keys(Keys.ARROW_DOWN)
    until(browser, "return document.getElementById('figure').value !== arguments[0]", before)
    until(
        browser,
        "return document.querySelector('#tables .figure:not([hidden])').dataset.figure !== arguments[0]",
        before,
    )


def test_light_dark_and_paper(browser: Any, compared_page: Path) -> None:
    colour = "return document.getElementById('values')._fullData[0].marker.color[2]"
    opened(browser, compared_page)
    light = browser.execute_script(colour)
    opened(browser, compared_page, dark=True)
    dark = browser.execute_script(colour)
    assert light != dark
    browser.execute_script("document.getElementById('theme').click()")
    until(browser, f"return (() => {{ {colour} }})() === arguments[0]", light)
    hidden = "return document.querySelectorAll('#tables .figure[hidden]').length"
    assert browser.execute_script(hidden) > 0
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    until(browser, f"return (() => {{ {hidden} }})() === 0")
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    until(browser, f"return (() => {{ {hidden} }})() > 0")


@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_its_window(browser: Any, compared_page: Path, width: int) -> None:
    opened(browser, compared_page, width=width)
    until(browser, "return document.documentElement.scrollWidth === arguments[0]", width)
