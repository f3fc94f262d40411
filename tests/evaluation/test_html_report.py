"""The page of an evaluation, read in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deeppose_cli.evaluation import html_report
from deeppose_cli.evaluation.html_report import build_report
from deeppose_cli.evaluation.report import write_files
from deeppose_cli.evaluation.scores import ScoredPredictions, scores
from tests.helpers import mini
from tests.helpers.browser import NEEDS_BROWSER, open_browser

HOSTILE = "</script><img src=x onerror=alert(1)>.jpg"


@pytest.fixture(scope="module")
def page(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of two rows, the second of which misses each image's wrist by as many torsos as its number."""
    test = mini.MINI.read(mini_root)["test"]
    test = replace(test, names=(HOSTILE, *test.names[1:]))
    truth = test.keypoints
    shifted = truth.copy()
    torso = np.linalg.norm(truth[:, 9] - truth[:, 2], axis=-1)
    shifted[:, 6, 0] += np.arange(len(truth)) * torso
    rows = [ScoredPredictions.of_all("stage 1", truth + 1.0), ScoredPredictions.of_all("stage 2", shifted)]
    document: dict[str, Any] = {
        "data": "mini",
        "split": "test",
        "images": len(test),
        "run": "mini",
        "centric": "person",
    }
    document |= {"published": [], "rows": [scores(row, truth, test.skeleton) for row in rows]}
    folder = tmp_path_factory.mktemp("report")
    files = write_files(folder, document, test, rows, truth, html=True)
    assert folder / "report.html" in files
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, page: Path) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("chromium")
    with open_browser(folder, folder) as driver:
        driver.get(page.as_uri())
        yield driver


def texts(browser: Any, selector: str) -> list[str]:
    return [element.text for element in browser.find_elements("css selector", selector)]


def pick(browser: Any, identifier: str, text: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("id", identifier)).select_by_visible_text(text)


def errors(browser: Any) -> list[float]:
    return [float(text.rsplit(": ", 1)[1]) for text in texts(browser, ".card h3")]


def test_data_cannot_end_the_script(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    data = text.split('type="application/json" id="data">')[1].split("</script>")[0]
    assert HOSTILE in [image["name"] for image in json.loads(data)["images"]]


def test_only_the_largest_errors_are_kept_where_there_are_many(
    mini_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html_report, "MAX_IMAGES", 3)
    test = mini.MINI.read(mini_root)["test"]
    poses = test.keypoints.copy()
    poses[2:5] += 50
    row = ScoredPredictions.of_all("stage 1", poses)
    document: dict[str, Any] = {"data": "mini", "split": "test", "images": len(test), "centric": "person"}
    document |= {"published": [], "rows": [scores(row, test.keypoints, test.skeleton)]}
    text = build_report(document, {}, test, [row], test.keypoints)
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert [image["name"] for image in data["images"]] == list(test.names[2:5])
    assert data["left_out"] == len(test) - 3


class TestInABrowser:
    pytestmark = NEEDS_BROWSER

    def test_it_shows_scores_and_needs_no_network(self, browser: Any) -> None:
        assert browser.title == "Scores: mini test"
        assert texts(browser, "#scores td:first-child") == ["stage 1", "stage 2"]
        pick(browser, "metric", next(text for text in texts(browser, "#metric option") if text.startswith("PCP")))
        assert "upper arm" in texts(browser, "#scores th")
        assert browser.find_elements("css selector", "#curves path[data-row='1']")
        urls = [
            json.loads(entry["message"])["message"]["params"]["request"]["url"]
            for entry in browser.get_log("performance")
            if 'Network.requestWillBeSent"' in entry["message"]
        ]
        assert [url for url in urls if not url.startswith(("file:", "data:", "chrome"))] == []
        assert browser.get_log("browser") == []

    def test_a_row_of_the_curves_can_be_hidden(self, browser: Any) -> None:
        button = browser.find_elements("css selector", "#legend button")[0]
        button.click()
        assert not browser.find_elements("css selector", "#curves path[data-row='0']")
        button.click()
        assert browser.find_elements("css selector", "#curves path[data-row='0']")

    def test_images_are_sorted_and_filtered(self, browser: Any) -> None:
        worst = errors(browser)
        assert worst == sorted(worst, reverse=True)
        pick(browser, "joint", "right wrist")
        assert errors(browser)[0] == pytest.approx(min(9.99, len(texts(browser, ".card")) - 1))
        pick(browser, "order", "best first")
        assert errors(browser)[0] == 0
        assert HOSTILE in texts(browser, ".card h3")[0]
        pick(browser, "row", "stage 1")
        assert len(set(errors(browser))) > 1
        search = browser.find_element("id", "search")
        search.send_keys("onerror")
        assert len(texts(browser, ".card")) == 1
        search.clear()
        search.send_keys(" \b")
        assert len(texts(browser, ".card")) > 1

    def test_every_row_beside_the_truth(self, browser: Any) -> None:
        captions = texts(browser, ".card:first-child figcaption")
        assert captions[0] == "truth"
        assert [caption.split(":")[0] for caption in captions[1:]] == ["stage 1", "stage 2"]
        browser.find_elements("css selector", "#rows-shown input")[0].click()
        assert len(texts(browser, ".card:first-child figcaption")) == 2
