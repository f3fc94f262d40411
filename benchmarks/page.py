"""python -m benchmarks.page [--model NAME]

Seconds from `deeppose app` to a page that takes a file, and from a dropped JPEG of 12 megapixels to the pose in the
page, in headless Chromium (Debian: chromium, chromium-driver). Both on a quiet machine, the best of three.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.program import DEEPPOSE
from deeppose_cli.app.examples import draw_examples
from deeppose_cli.media.images import read_image
from tests.helpers.browser import open_browser

SIDES = (4032, 3024)
"""px of the JPEG."""
POSE = """
const image = document.querySelector('#overlay img');
return image && image.complete && image.naturalWidth > 0 ? image.src : '';
"""


def _wait(browser: Any, script: str, other_than: str = "") -> str:
    while not (found := browser.execute_script(script)) or found == other_than:
        time.sleep(0.01)
    return str(found)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--model", default="people")
    model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        drawing = read_image(draw_examples(folder)[0])
        rng = np.random.default_rng(0)
        large = cv2.resize(drawing, SIDES, interpolation=cv2.INTER_CUBIC).astype(np.int16)
        noisy = np.clip(large + rng.normal(0, 6, large.shape), 0, 255).astype(np.uint8)  # as large a file as a camera's
        photos = [folder / f"photo{number}.jpg" for number in range(3)]
        for photo in photos:
            cv2.imwrite(str(photo), noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])
        with open_browser(folder / "profile", folder) as browser:
            usable, shown = [], []
            for _ in range(3):
                start = time.perf_counter()
                command = [*DEEPPOSE, "app", "--no-browser", "--model", model]
                with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
                    assert server.stdout is not None
                    browser.get(server.stdout.readline().split()[0])
                    _wait(browser, "return document.querySelector('#upload input[type=file]') ? 'yes' : ''")
                    usable.append(time.perf_counter() - start)
                    before = ""
                    for photo in photos:
                        start = time.perf_counter()
                        browser.find_element("css selector", "#upload input[type=file]").send_keys(str(photo))
                        before = _wait(browser, POSE, before)
                        shown.append(time.perf_counter() - start)
                        browser.find_element("css selector", "#upload button[aria-label]").click()
                        _wait(browser, "return document.querySelector('#upload input[type=file]') ? 'yes' : ''")
                    server.terminate()
        print(f"page usable after {min(usable):.2f} s")
        megabytes = photos[0].stat().st_size / 1e6 if photos[0].exists() else 0
        print(f"pose shown {min(shown):.2f} s after {SIDES[0]} × {SIDES[1]} px ({megabytes:.1f} MB) were dropped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
