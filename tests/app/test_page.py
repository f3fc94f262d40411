"""The page in a real browser: every control, by mouse and by keyboard; uploads that cannot be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deeppose_cli.app.examples import draw_examples
from tests.helpers.browser import NEEDS_BROWSER, open_browser
from tests.helpers.media_files import VIDEOS, encode

pytest.importorskip("gradio", reason="Gradio is not installed")
pytestmark = NEEDS_BROWSER
START = "import sys; from deeppose_cli.cli.app import main; sys.exit(main())"
PNG_OF_MANY_PIXELS = bytes.fromhex("89504e470d0a1a0a0000000d49484452000186a0000186a00802000000") + bytes(40)
HOSTILE = {
    "text.jpg": b"no image",
    "empty.png": b"",
    "cut.jpg": b"\xff\xd8\xff\xe0" + bytes(300),
    "huge.png": PNG_OF_MANY_PIXELS,
    "list.m3u8": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n",
    "page.html": b"<html><script>alert(1)</script>",
    "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "cut.gif": b"GIF89a\x10\x00\x10\x00\x00",
    "noise.mp4": bytes(range(256)) * 40,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The page's address, and the server's log."""
    folder = tmp_path_factory.mktemp("app")
    log = folder / "log.txt"
    command = [sys.executable, "-c", START, "app", "--no-browser", "--model", "people-fast"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), log.read_text()
    yield line.split()[0], log
    process.terminate()
    process.wait(20)
    process.stdout.close()
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("chromium"), downloads) as driver:
        yield driver


class Page:
    """The page, as a user handles it."""

    def __init__(self, browser: Any, address: str) -> None:
        self.browser = browser
        browser.get(address)
        self.wait(lambda: self.all("#upload input[type=file]"))

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        return self.all(selector)[0]

    @property
    def summary(self) -> str:
        return str(self.one("#summary").text)

    def wait(self, condition: Callable[[], Any], seconds: float = 30) -> Any:
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        waiting = WebDriverWait(
            self.browser, seconds, 0.05, ignored_exceptions=(StaleElementReferenceException, IndexError)
        )
        return waiting.until(lambda _: condition())

    def upload(self, file: Path) -> None:
        self.one("#upload input[type=file]").send_keys(str(file))

    def clear(self) -> None:
        self.one("#upload button[aria-label='Clear'], #upload button[aria-label='Remove']").click()
        self.wait(lambda: self.summary == "" and self.all("#upload input[type=file]"))

    def choose(self, group: str, value: str) -> None:
        self.one(f"{group} label[data-testid='{value}-radio-label']").click()

    def overlay(self) -> str:
        return str(self.one("#overlay img").get_attribute("src"))


@pytest.fixture
def page(server: tuple[str, Path], browser: Any) -> Page:
    return Page(browser, server[0])


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_examples(tmp_path_factory.mktemp("drawings"))[0]


def test_an_image_gives_a_pose_its_stages_its_joints_and_three_files(
    page: Page, drawing: Path, downloads: Path
) -> None:
    page.upload(drawing)
    page.wait(lambda: page.summary == "1 person")
    page.wait(lambda: page.all("#overlay img"))
    page.wait(lambda: "left shoulder" in page.one("#table").get_attribute("textContent"))
    assert page.wait(lambda: page.all("#stages img"))
    for kind, name, begins in (
        ("overlay", "drawing-1_pose.jpg", b"\xff\xd8\xff"),
        ("JSON", "drawing-1.json", b"["),
        ("CSV", "drawing-1.csv", b"source,"),
    ):
        page.one(f"#download-{kind}").click()
        file = downloads / name
        page.wait(file.is_file)
        assert file.read_bytes().startswith(begins)


def test_nothing_is_loaded_from_elsewhere(page: Page, drawing: Path) -> None:
    page.upload(drawing)
    page.wait(lambda: page.summary == "1 person")
    urls = []
    for entry in page.browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            urls.append(message["params"]["request"]["url"])
    assert urls
    own = ("http://127.0.0.1:", "data:", "blob:", "chrome")
    assert [url for url in urls if not url.startswith(own)] == []


def test_every_control_changes_the_result(page: Page, drawing: Path) -> None:
    page.upload(drawing)
    page.wait(lambda: page.summary == "1 person")

    def changed(action: Callable[[], None]) -> None:
        before = page.wait(page.overlay)
        action()
        page.wait(lambda: page.overlay() != before)

    changed(lambda: page.choose("#box", "image"))
    changed(lambda: page.one("#names input").click())
    changed(lambda: page.one("#flip input").click())
    page.choose("#box", "auto")
    page.wait(lambda: page.summary == "1 person")
    page.one("#confidence input[type=range]").send_keys("\ue010")  # end: 1, which nobody has
    page.wait(lambda: page.summary.startswith("Nobody found"))
    page.one("#confidence input[type=range]").send_keys("\ue011")  # home: 0
    page.wait(lambda: page.summary == "1 person")
    page.choose("#stage", "2")
    page.wait(lambda: page.summary.startswith("⚠"))
    assert "stage" in page.summary
    page.choose("#stage", "all")
    page.wait(lambda: page.summary == "1 person")
    model = page.one("#model input")
    model.click()
    page.wait(lambda: page.all("[role=option]"))
    changed(lambda: next(o for o in page.all("[role=option]") if o.text.strip().endswith("people")).click())


def test_keyboard_alone_suffices(page: Page) -> None:
    """Tab reaches the examples and the controls; space and arrows use them."""
    from selenium.webdriver.common.action_chains import ActionChains

    def focused() -> Any:
        return page.browser.switch_to.active_element

    def tab_to(inside: str) -> None:
        for _ in range(40):
            ActionChains(page.browser).send_keys("\ue004").perform()
            if page.browser.execute_script(f"return !!arguments[0].closest('{inside}')", focused()):
                return
        pytest.fail(f"Tab does not reach {inside}")

    tab_to("#upload")
    tab_to("#examples")
    focused().send_keys("\ue007")  # enter
    page.wait(lambda: page.summary.endswith(("person", "people")) or page.summary.startswith("Nobody"))
    before = page.summary
    tab_to("#model")
    tab_to("#box")
    tab_to("#box")
    focused().send_keys(" ")  # the second: image
    page.wait(lambda: page.one("#box input[value=image]").is_selected())
    page.wait(lambda: page.summary == "1 person", 20)
    assert before
    tab_to("#download-overlay")


def test_a_video_plays_to_its_end(page: Page, tmp_path: Path) -> None:
    encode(tmp_path / "a.mkv", container="matroska", sound="aac")
    page.choose("#box", "image")
    page.upload(tmp_path / "a.mkv")
    page.wait(lambda: page.summary == "1 person in 6 frames")
    video = page.wait(lambda: page.one("#video video"))
    page.browser.execute_script("arguments[0].muted = true; arguments[0].play()", video)
    page.wait(lambda: video.get_property("ended"), 15)
    assert video.get_property("videoWidth") == 480  # enlarged, as small images are


def test_a_webcam_gives_a_pose(page: Page) -> None:
    next(tab for tab in page.all("button[role=tab]") if tab.text == "Webcam").click()
    page.choose("#box", "image")

    def shown() -> list[Any]:
        return [button for button in page.all("#webcam button") if button.is_displayed()]

    page.wait(shown)[0].click()  # access to the camera
    capture = page.wait(lambda: page.one("#webcam button[aria-label='capture photo']"))
    ready = "const v = document.querySelector('#webcam video'); return v && v.readyState >= 2 && v.videoWidth > 0"
    page.wait(lambda: page.browser.execute_script(ready))
    capture.click()
    page.wait(lambda: page.summary == "1 person")


@pytest.mark.parametrize("name", [*HOSTILE, "only-sound.mp4"])
def test_an_upload_that_cannot_be_read_gives_a_message(page: Page, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if name in HOSTILE:
        file.write_bytes(HOSTILE[name])
    else:
        next(video for video in VIDEOS if video.name == name).make(file)
    page.upload(file)
    page.wait(lambda: page.summary.startswith("⚠"))
    assert name in page.summary
    assert str(tmp_path) not in page.summary


def test_small_screens(page: Page, drawing: Path) -> None:
    page.browser.set_window_size(390, 900)
    try:
        page.upload(drawing)
        page.wait(lambda: page.summary == "1 person")
        page.wait(lambda: page.all("#overlay img"))
        width = page.browser.execute_script("return document.documentElement.scrollWidth")
        assert width <= page.browser.execute_script("return window.innerWidth")
        overlay, settings = page.one("#overlay").rect, page.one("#settings").rect
        assert overlay["y"] < settings["y"]
    finally:
        page.browser.set_window_size(1280, 1000)
