"""Draw docs/figures/report.png: verdict and map of the page about the demo.

python scripts/draw_report.py docs/figures/report.png

Needs Chromium, chromedriver and gotd[dev].
"""

from __future__ import annotations

import sys
import tempfile
from base64 import b64decode
from pathlib import Path
from shutil import which

from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

import gotd
from gotd.demo import run_demo

FLAGS = ("--headless", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
WIDTH, SCALE = 1280, 0.62
# A picture in a page of documentation is small: some sections are left out, and the map is lower.
STYLE = "#distance, #scores, #sources { display: none } #atlas, .list { height: 400px }"


def draw(page: Path, picture: Path) -> None:
    """The page from its top to the end of the map, without some sections between."""
    options = webdriver.ChromeOptions()
    options.binary_location = which("chromium") or which("google-chrome") or ""
    for flag in FLAGS:
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=which("chromedriver")))
    try:
        size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(page.resolve().as_uri())
        drawn = "return Boolean(document.querySelector('#atlas')._fullData?.length)"
        WebDriverWait(browser, 30).until(lambda _: browser.execute_script(drawn))
        browser.execute_script("document.head.append(gotd.make('style', '', arguments[0]))", STYLE)
        browser.execute_script("return Plotly.Plots.resize('atlas')")
        height = browser.execute_script("return document.querySelector('#map').getBoundingClientRect().bottom + 24")
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": SCALE}
        shot = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        picture.write_bytes(b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", shot)["data"]))
    finally:
        browser.quit()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        draw(gotd.report(run_demo(folder).selection.folder), Path(sys.argv[1]))
