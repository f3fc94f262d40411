"""A real browser without a window, for tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
NEEDS_BROWSER = [
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None or find_spec("selenium") is None,
        reason="Chromium, chromedriver or Selenium is not installed",
    ),
    pytest.mark.xdist_group("browser"),
]


@contextmanager
def open_browser(profile: Path, downloads: Path) -> Iterator[Any]:
    """Chromium with a camera that shows a test picture, and without any other computer."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000"),
        *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()
