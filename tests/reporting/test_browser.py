"""The page as a reader has it: in a browser, from a file, by mouse and by keyboard. Skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

selenium = pytest.importorskip("selenium.webdriver")
from selenium.common.exceptions import TimeoutException  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--window-size=1280,900"),
    # WebGL without a graphics card.
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
)
WAIT = 30
NO_WEBGL = """
    const get = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
      return String(kind).includes("webgl") ? null : get.call(this, kind, ...rest);
    };
"""
PIXELS = """
    const { width, height } = document.querySelector("#atlas canvas");
    const copy = document.createElement("canvas");
    Object.assign(copy, { width, height });
    const pen = copy.getContext("2d");
    document.querySelectorAll("#atlas canvas").forEach((layer) => pen.drawImage(layer, 0, 0, width, height));
    const found = pen.getImageData(0, 0, width, height).data;
    const wanted = arguments[0].match(/\\d+/g).map(Number);
    let count = 0;
    for (let at = 0; at < found.length; at += 4)
      count += found[at + 3] > 100 && wanted.every((value, part) => Math.abs(found[at + part] - value) < 40);
    return count;
"""
PLACE = """
    const atlas = document.getElementById("atlas"), layout = atlas._fullLayout, box = atlas.getBoundingClientRect();
    const { x, y } = gotd.data.dots;
    return [box.x + layout.xaxis._offset + layout.xaxis.d2p(x[arguments[0]]),
            box.y + layout.yaxis._offset + layout.yaxis.d2p(y[arguments[0]])];
"""

RANGES = "return ['xaxis', 'yaxis'].map((name) => document.getElementById('atlas')._fullLayout[name].range.slice())"

Browser = Any
Open = Callable[..., Browser]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from started(tmp_path_factory.mktemp("browser"))


def started(profile: Path) -> Iterator[Browser]:
    """A headless Chromium, until the tests of a module are done."""
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no Chromium or no chromedriver")
    options = selenium.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = selenium.Chrome(options=options, service=selenium.ChromeService(executable_path=driver))
    yield found
    found.quit()


@pytest.fixture
def opened(browser: Browser, hostile_page: Path) -> Iterator[Open]:
    """opened(width, dark, before): the page, loaded and drawn, after a script that ran before any of its own."""
    scripts: list[str] = []

    def load(width: int = 1280, dark: bool = False, before: str = "") -> Browser:
        media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        media += [{"name": "prefers-reduced-motion", "value": "reduce"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        if before:
            made = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": before})
            scripts.append(made["identifier"])
        browser.get_log("browser"), browser.get_log("performance")
        browser.get(hostile_page.as_uri())
        until(browser, "return Boolean(document.querySelector('#atlas')?._fullData?.length)")
        return browser

    yield load
    for identifier in scripts:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": identifier})


def until(browser: Browser, script: str, *arguments: Any) -> Any:
    """What a script returns, once it is true."""
    return WebDriverWait(browser, WAIT, poll_frequency=0.05).until(lambda _: browser.execute_script(script, *arguments))


def again_until(browser: Browser, act: Callable[[], None], script: str) -> None:
    """Act until the page answers: on a busy machine Plotly may drop a movement or a click, and a reader tries again."""
    for _ in range(WAIT // 3):
        act()
        try:
            WebDriverWait(browser, 3, poll_frequency=0.05).until(lambda _: browser.execute_script(script))
        except TimeoutException:
            continue
        return
    raise AssertionError(f"nothing came of it: {script}")


def by_id(browser: Browser, name: str) -> Any:
    return browser.find_element(By.ID, name)


def keys(browser: Browser, *pressed: str) -> None:
    ActionChains(browser).send_keys(*pressed).perform()


def point_at(browser: Browser, dot: int) -> None:
    """Move the mouse onto a dot, from a little beside it."""
    browser.execute_script("document.querySelector('.explorer').scrollIntoView({behavior: 'instant', block: 'center'})")
    x, y = browser.execute_script(PLACE, dot)
    mouse = ActionChains(browser, duration=20)
    mouse.w3c_actions.pointer_action.move_to_location(round(x) - 2, round(y) - 2)
    mouse.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    mouse.perform()


def click_on(browser: Browser, dot: int) -> None:
    point_at(browser, dot)
    ActionChains(browser).click().perform()


def shown(browser: Browser) -> dict[str, int]:
    """How many dots of each role are drawn."""
    counts = browser.execute_script(
        "return document.getElementById('atlas')._fullData.slice(0, 6).map((trace) => trace.x?.length ?? 0)"
    )
    return dict(zip(("rest", "candidate", "reference", "avoid", "target", "selected"), counts))


def listed(browser: Browser) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelectorAll('#list button[data-dot]')].map((b) => b.textContent)"
    )


def alone(browser: Browser) -> list[int]:
    """Chosen dots that no other, but for the reference's, lies within six pixels of."""
    return browser.execute_script(f"""
        const place = (dot) => (function () {{ {PLACE} }})(dot);
        const reference = gotd.data.roles.indexOf("reference");
        const all = gotd.data.dots.role.flatMap((role, dot) => (role === reference ? [] : [place(dot)]));
        const far = (here) => (other) => other === here || Math.hypot(other[0] - here[0], other[1] - here[1]) > 6;
        return all.map((_, dot) => dot).filter((dot) => gotd.data.dots.rank[dot] !== null && all.every(far(all[dot])));
    """)


def test_it_loads_without_a_word_and_fetches_nothing(opened: Open) -> None:
    browser = opened()
    levels = {line["level"] for line in browser.get_log("browser") if "GPU stall" not in line["message"]}
    assert levels <= {"INFO", "DEBUG"}
    events = [orjson.loads(line["message"])["message"] for line in browser.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert len(sent) >= 1
    assert {url.partition(":")[0] for url in sent} <= {"file", "data", "blob"}
    assert [url for url in sent if url.startswith("file:")] == [browser.current_url]


def test_hostile_texts_do_nothing(opened: Open, hostile_texts: list[str]) -> None:
    """Drawn, listed, hovered and opened, each is text."""
    browser = opened()
    for dot in range(40):
        browser.execute_script("gotd.tip(arguments[0], {clientX: 5, clientY: 5}); gotd.open(arguments[0])", dot)
        text = browser.execute_script("return gotd.data.dots.text[arguments[0]]", dot)
        assert browser.execute_script("return document.querySelector('#record pre').textContent") == text
    assert browser.execute_script("return [window.owned ?? null, document.title]") == [None, "gotd: run"]
    made_of_text = "main img, b.foreign *, #record :is(img, b, a), #list :is(img, b, a), script"
    inside = browser.execute_script(f"return [...document.querySelectorAll('{made_of_text}')].map((e) => e.tagName)")
    assert inside == ["SCRIPT"] * 5
    said = browser.execute_script("return document.querySelector('main').textContent")
    assert all(text in said for text in hostile_texts[:5])


def test_the_map_shows_every_role(opened: Open) -> None:
    browser = opened()
    assert shown(browser) == {"rest": 0, "avoid": 0, "candidate": 203, "reference": 243, "target": 40, "selected": 40}
    assert browser.execute_script("return document.getElementById('atlas')._fullData[1].type") == "scattergl"
    hover = browser.execute_script("return document.getElementById('atlas')._fullData.map((trace) => trace.hoverinfo)")
    assert hover[:6] == ["skip", "none", "skip", "none", "none", "none"]
    for role in ("selected", "target", "reference"):
        colour = browser.execute_script("return gotd.colour(arguments[0])", role)
        assert until(browser, PIXELS, colour) > 50, role


def test_without_webgl_the_map_is_drawn_all_the_same(opened: Open) -> None:
    browser = opened(before=NO_WEBGL)
    assert browser.execute_script("return document.getElementById('atlas')._fullData[1].type") == "scatter"
    assert until(browser, "return document.querySelectorAll('#atlas .scatterlayer .point').length") >= 40 + 40


def test_hovering_gives_the_text_and_clicking_the_record(opened: Open) -> None:
    browser = opened()
    dot = alone(browser)[0]
    text = browser.execute_script("return gotd.data.dots.text[arguments[0]]", dot)
    again_until(browser, lambda: point_at(browser, dot), "return !document.getElementById('tip').hidden")
    assert by_id(browser, "tip").get_property("textContent").endswith(text[:300])
    again_until(browser, lambda: click_on(browser, dot), "return !document.getElementById('record').hidden")
    record = by_id(browser, "record")
    assert record.find_element(By.TAG_NAME, "pre").get_property("textContent") == text
    assert f"rank{dot + 1}score" in record.get_property("textContent")
    assert "The target document nearest to it" in record.get_property("textContent")
    record.find_element(By.CSS_SELECTOR, ".near button").click()
    assert record.find_element(By.TAG_NAME, "h2").text == "Target"
    keys(browser, Keys.ESCAPE)
    assert not record.is_displayed()
    assert browser.switch_to.active_element.get_attribute("id") == "atlas"


def test_filters_act_on_map_and_list(opened: Open, hostile_source: str) -> None:
    browser = opened()
    whole = browser.execute_script(RANGES)
    words = by_id(browser, "words")
    words.send_keys("TICKS rare")
    until(browser, "return gotd.shown.selected.length < 40")
    found = shown(browser)
    assert 0 < found["selected"] < 40
    assert found["reference"] == 0
    assert sum(found.values()) == 40 + 203 + 40 + 243
    assert browser.execute_script(RANGES) == whole
    texts = listed(browser)
    assert len(texts) == found["selected"] + found["candidate"] + found["target"]
    assert all("`ticks`" in text and "rare" in text for text in texts)
    words.send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.BACKSPACE)
    until(browser, "return gotd.shown.selected.length === 40")
    by_id(browser, "source").find_element(By.XPATH, f'//option[text()="{hostile_source}"]').click()
    until(browser, "return gotd.shown.reference.length === 0")
    of_source = browser.execute_script(
        "return gotd.data.dots.source.filter((source) => gotd.data.sources[source] === arguments[0]).length",
        hostile_source,
    )
    assert sum(shown(browser).values()) - shown(browser)["rest"] == of_source == 160
    browser.find_element(By.CSS_SELECTOR, ".chip:has([value=candidate])").click()
    until(browser, "return gotd.shown.candidate.length === 0")
    assert by_id(browser, "shown").text.startswith(f"Shown: {shown(browser)['selected']} chosen, ")
    assert len(listed(browser)) == shown(browser)["selected"]
    words.send_keys("no document has this")
    until(browser, "return document.getElementById('list').textContent === 'No document fits.'")


def test_by_keyboard_alone(opened: Open) -> None:
    browser = opened()
    keys(browser, Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the content"
    by_id(browser, "words").click()
    met = []
    for _ in range(10):
        keys(browser, Keys.TAB)
        here = browser.switch_to.active_element
        met.append(here.get_attribute("id") or here.get_attribute("value") or here.get_attribute("data-zoom") or "list")
    assert met == ["source", "selected", "target", "reference", "candidate", "atlas", "0.7", "1.4", "0", "list"]
    assert browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keys(browser, Keys.TAB)
    assert not browser.execute_script("return document.getElementById('list').contains(document.activeElement)")
    ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
    first = browser.switch_to.active_element.get_attribute("data-dot")
    keys(browser, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP)
    second = browser.switch_to.active_element.get_attribute("data-dot")
    assert (first, second) == ("0", "1")
    keys(browser, Keys.ENTER)
    until(browser, "return !document.getElementById('record').hidden")
    assert browser.switch_to.active_element.get_attribute("id") == "record-title"
    keys(browser, Keys.ESCAPE)
    assert browser.switch_to.active_element.get_attribute("data-dot") == "1"
    keys(browser, Keys.END)
    assert browser.switch_to.active_element.text == "183 more"
    keys(browser, Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("data-dot") == "100"
    assert len(listed(browser)) == 200


def test_the_map_moves_by_keys_and_buttons(opened: Open) -> None:
    browser = opened()
    start = browser.execute_script(RANGES)
    low, high = start[0]
    browser.execute_script("document.getElementById('atlas').focus()")
    keys(browser, Keys.ARROW_RIGHT)
    moved = browser.execute_script(RANGES)
    assert moved[0] == pytest.approx([low + (high - low) / 10, high + (high - low) / 10])
    assert moved[1] == pytest.approx(start[1])
    keys(browser, "+")
    nearer = browser.execute_script(RANGES)
    assert nearer[0][1] - nearer[0][0] == pytest.approx(0.7 * (high - low), rel=1e-3)
    browser.find_element(By.CSS_SELECTOR, "[data-zoom='0']").click()
    assert browser.execute_script(RANGES)[0] == pytest.approx(start[0], rel=1e-3)


def test_the_wheel_scrolls_the_page_until_the_map_is_clicked(opened: Open) -> None:
    browser = opened()
    browser.execute_script("document.querySelector('.explorer').scrollIntoView({block: 'center'})")
    start, top = browser.execute_script(RANGES), browser.execute_script("return scrollY")
    origin = ScrollOrigin.from_element(by_id(browser, "atlas"))

    def wheel(by: int) -> None:
        ActionChains(browser).scroll_from_origin(origin, 0, by).perform()

    again_until(browser, lambda: wheel(120), f"return scrollY > {top}")
    assert browser.execute_script(RANGES) == start
    ActionChains(browser).move_to_element_with_offset(by_id(browser, "atlas"), 330, 280).click().perform()
    keys(browser, Keys.ESCAPE)
    top = browser.execute_script("return scrollY")
    moved = f"return JSON.stringify((() => {{ {RANGES} }})()) !== JSON.stringify({start})"
    again_until(browser, lambda: wheel(-120), moved)
    assert browser.execute_script("return scrollY") == top


def test_light_and_dark(opened: Open) -> None:
    def colours(browser: Browser) -> list[str]:
        return browser.execute_script(
            "return [getComputedStyle(document.body).backgroundColor, gotd.colour('selected')]"
        )

    light = colours(opened())
    browser = opened(dark=True)
    dark = colours(browser)
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    drawn = "return document.getElementById('atlas')._fullData[5].marker.color"
    assert browser.execute_script(drawn) == dark[1]
    button = by_id(browser, "theme")
    assert (button.text, button.accessible_name) == ("Light", "Switch to light colours")
    button.click()
    assert colours(browser) == light
    assert browser.execute_script(drawn) == light[1]


@pytest.mark.parametrize("width", [400, 768, 1280])
def test_it_fits_its_window(opened: Open, width: int) -> None:
    browser = opened(width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    browser.execute_script("gotd.open(0)")
    box = by_id(browser, "record").rect
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def test_paper_is_light_and_shows_what_is_folded(opened: Open) -> None:
    browser = opened(dark=True)
    state = """return [document.documentElement.dataset.theme ?? "", document.querySelectorAll("details[open]").length,
                       document.getElementById("atlas")._fullLayout.width]"""
    before = browser.execute_script(state)
    assert before[:2] == ["", 0]
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script(state) == ["light", 3, 680]
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(state) == before
