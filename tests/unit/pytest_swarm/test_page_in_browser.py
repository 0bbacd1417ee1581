"""The page in a real browser: it draws, tells, filters, takes on the user's colours, and fetches nothing."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageColor
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.support.wait import WebDriverWait

from pytest_swarm.report.figure import COLOURS
from pytest_swarm.report.page import draw, write_page
from pytest_swarm.report.summary import summarize
from tests.unit.pytest_swarm.rollouts import books, load_run, session_of

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = "</script><img src=x onerror=document.title='gotcha'>"
DRAWN_SECONDS = 90.0
REACTION_SECONDS = 20.0
LOSS, REFUSED = 145, 148
SMALL, LARGE = 300, 100_000

pytestmark = pytest.mark.soak  # a browser is a large thing to install for every run of the gate

# Where a request's bar ends in the window. Chromium asked by its driver answers with such numbers only.
PLACE_OF_END = """
const [fate, index] = arguments;
const plot = Bokeh.documents[0].get_model_by_name("requests");
const { right, row } = plot.renderers.find((each) => each.tags[0] === fate).data_source.data;
const view = Bokeh.index.find_one(plot);
const box = view.el.getBoundingClientRect();
return [box.left + view.frame.x_scale.compute(right[index]), box.top + view.frame.y_scale.compute(row[index])];
"""
TEXTS_OF_TOOLTIPS = """
const shown = [...document.querySelectorAll(".bk-Tooltip")].filter((each) => each.checkVisibility());
return shown.map((each) => each.shadowRoot.querySelector(".bk-tooltip-content").textContent);
"""
COLOUR_OF_LABELS = 'return Bokeh.documents[0].get_model_by_name("requests").left[0].major_label_text_color'


class Browser:
    """Chromium with one page of a report open."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, page: Path) -> None:
        self.driver.get(page.as_uri())
        self.wait(lambda: self.run('return document.querySelector(".run[open]")?.dataset.drawn'), DRAWN_SECONDS)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: Any, seconds: float = REACTION_SECONDS) -> Any:
        return WebDriverWait(self.driver, seconds, poll_frequency=0.1).until(lambda _: condition())

    def emulate(self, command: str, **settings: Any) -> None:
        self.driver.execute_cdp_cmd(command, settings)

    def place_of(self, fate: str, index: int = 0) -> tuple[float, float]:
        x, y = self.run(PLACE_OF_END, fate, index)
        return x - 2, y

    def stories_at(self, fate: str) -> list[str]:
        """Point at the end of the first request of this fate, and return what is told there."""
        x, y = self.place_of(fate)
        self.emulate("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        stories: list[str] = self.wait(lambda: self.run(TEXTS_OF_TOOLTIPS))
        return [" ".join(story.split()) for story in stories]

    def colours_around(self, place: tuple[float, float]) -> set[Any]:
        image = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        x, y = round(place[0]), round(place[1])
        return {image.getpixel((x + dx, y + dy)) for dx in range(-2, 3) for dy in range(-2, 3)}

    def shows(self, fate: str, place: tuple[float, float]) -> bool:
        return ImageColor.getrgb(COLOURS[fate]) in self.colours_around(place)

    def complaints(self) -> list[str]:
        log: Sequence[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    chromedriver = shutil.which("chromedriver")
    if binary is None or chromedriver is None:
        pytest.skip("no browser with chromedriver is installed: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new",
        "--no-sandbox",  # root may not have one
        "--disable-dev-shm-usage",
        "--enable-unsafe-swiftshader",  # WebGL without a graphics card
        "--hide-scrollbars",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options, ChromeService(chromedriver))
    chrome.set_page_load_timeout(DRAWN_SECONDS)
    yield chrome
    chrome.quit()


@pytest.fixture
def browser(driver: Chrome) -> Iterator[Browser]:
    one = Browser(driver)
    one.emulate("Emulation.setDeviceMetricsOverride", width=1200, height=1600, deviceScaleFactor=1, mobile=False)
    one.emulate("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    yield one
    assert one.complaints() == []
    assert one.run('return performance.getEntriesByType("resource").map((each) => each.name)') == []


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    good, update = books(30)
    ledger, long_update = books(SMALL, {LOSS: "reset", REFUSED: "refused"}, detail=HOSTILE)
    runs = [load_run(good, [update]), load_run(ledger, [long_update], name="load2")]
    return write_page(tmp_path_factory.mktemp("report"), summarize(session_of(*runs)), [draw(run) for run in runs])


def test_the_bad_run_is_open_and_its_loss_is_seen(browser: Browser, page: Path) -> None:
    browser.open(page)

    assert browser.run('return [...document.querySelectorAll(".run")].map((each) => each.open)') == [False, True]
    for fate in ("answered", "reset", "refused"):
        place = browser.place_of(fate)
        browser.wait(lambda fate=fate, place=place: browser.shows(fate, place))


def test_pointing_at_a_loss_tells_both_sides(browser: Browser, page: Path) -> None:
    browser.open(page)

    (story,) = browser.stories_at("reset")

    assert story.startswith(
        f"request: run-{LOSS:06d}: reset-fresh in phase update, while replacing slot 2 client: from "
    )
    assert "to 198.18.0.2:8080, on a fresh connection answer: " in story
    assert story.endswith(
        "service: received but not finished by task web.2.nk3id8cs7epkf7pm1wfsp41ea at node n2 "
        "received 14.401 s, finished never"
    )


def test_what_a_peer_sent_is_shown_and_not_run(browser: Browser, page: Path) -> None:
    browser.open(page)

    (story,) = browser.stories_at("refused")

    assert HOSTILE in story
    assert browser.run("return [document.title, document.images.length]") == ["Requests lost: 2 in 2 loads", 0]


def test_a_class_can_be_hidden_and_shown_again(browser: Browser, page: Path) -> None:
    browser.open(page)
    place = browser.place_of("reset")
    box = 'document.querySelector(".run[open] input[value=reset]")'
    browser.wait(lambda: browser.shows("reset", place))

    browser.run(f"{box}.click()")
    browser.wait(lambda: not browser.shows("reset", place))

    assert browser.shows("refused", browser.place_of("refused"))
    browser.run(f"{box}.click()")
    browser.wait(lambda: browser.shows("reset", place))


def test_it_follows_the_users_colours(browser: Browser, page: Path) -> None:
    browser.open(page)
    light = browser.run(COLOUR_OF_LABELS)

    browser.emulate("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    browser.wait(lambda: browser.run(COLOUR_OF_LABELS) != light)
    red, green, blue = browser.colours_around((5, 300)).pop()
    assert max(red, green, blue) < 60


def test_a_phone_shows_all_of_it_and_a_tap_tells_a_story(browser: Browser, page: Path) -> None:
    browser.emulate("Emulation.setDeviceMetricsOverride", width=390, height=1600, deviceScaleFactor=1, mobile=True)
    browser.emulate("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        browser.open(page)
        assert browser.run("return document.documentElement.scrollWidth") == 390
        x, y = browser.place_of("reset")
        browser.emulate("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        browser.emulate("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        (story,) = browser.wait(lambda: browser.run(TEXTS_OF_TOOLTIPS))
        assert f"run-{LOSS:06d}" in story
    finally:
        browser.emulate("Emulation.setTouchEmulationEnabled", enabled=False)


def test_a_run_is_drawn_when_it_is_opened(browser: Browser, page: Path) -> None:
    browser.open(page)
    canvases = "return Bokeh.documents.length"
    assert browser.run(canvases) == 1

    browser.run('document.querySelector(".run.good > summary").click()')

    browser.wait(lambda: browser.run(canvases) == 2)


def test_one_loss_among_a_hundred_thousand_is_found(browser: Browser, tmp_path: Path) -> None:
    ledger, update = books(LARGE, {LARGE // 2: "reset"}, users=40, seconds=0.024)
    run = load_run(ledger, [update])
    page = write_page(tmp_path, summarize(session_of(run)), [draw(run)])
    assert page.stat().st_size < 6_000_000

    browser.open(page)

    browser.wait(lambda: browser.shows("reset", browser.place_of("reset")))
    (story,) = browser.stories_at("reset")
    assert f"run-{LARGE // 2:06d}: reset-fresh" in story
