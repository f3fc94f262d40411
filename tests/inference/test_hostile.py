"""200 inputs, most of them bad, through the command: every good one is done, every bad one named once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

PROGRAM = """
import sys
from pathlib import Path
from types import SimpleNamespace
from deeppose_cli.cli.app import main
from deeppose_cli.inference import pipeline
from tests.helpers.fakes import FakeCascade

model = SimpleNamespace(name="fake", kind="run", origin="run fake", initial_box="image", num_stages=2)
model.fingerprint, model.load = lambda stages: "same", lambda stages: FakeCascade()
pipeline.resolve_model = lambda *_, **__: model
commit, going = pipeline.ResultWriter.add, [Path(name) for name in sys.argv[2].split("|")]

def add(self, records, **more):
    for file in going:  # somebody else clears up
        file.unlink(missing_ok=True)
    commit(self, records, **more)

pipeline.ResultWriter.add = add
code = main(["predict", "-", "in", "--out", sys.argv[1]])
if Path("/proc/self/status").is_file():  # ru_maxrss would count what the parent held when it forked
    Path("peak").write_text(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
sys.exit(code)
"""
MOST_MEMORY = 1500 * 2**10
"""Kilobytes. The imports take 150 MB; a large image 75, and as much again while it is drawn and written."""


def good(rng: np.random.Generator) -> dict[str, Callable[[Path], object]]:
    """Makers of good images, by the endings of their names."""
    pixels = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
    image = PilImage.fromarray(pixels)
    deep = PilImage.fromarray(pixels[..., 0].astype(np.uint16) * 256)
    turned = PilImage.Exif()
    turned[0x0112] = 6

    def with_tail(file: Path) -> None:
        image.save(file, "JPEG")
        file.write_bytes(file.read_bytes() + b"\0ftypmp42" * 50)

    return {
        "plain.jpg": image.save,
        "cmyk.jpg": image.convert("CMYK").save,
        "turned.jpg": lambda file: image.save(file, exif=turned),
        "with a video behind.jpg": with_tail,
        "deep.png": deep.save,
        "grey alpha.png": image.convert("LA").save,
        "palette.png": image.convert("P").save,
        "one pixel.png": lambda file: image.resize((1, 1)).save(file),
        "strip.png": lambda file: image.resize((3000, 1)).save(file),
        "lossy.webp": image.save,
        "grey.tif": image.convert("L").save,
        "old.bmp": image.save,
        "two\nlines \U0001f938.png": lambda file: image.save(file, "PNG"),
        "[b]*?.png": image.save,
        "no suffix at all": lambda file: image.save(file, "PNG"),
        "é" * 110 + ".png": image.save,
    }


def bad(rng: np.random.Generator, large: bytes) -> dict[str, Callable[[Path], object]]:
    """Makers of what is no good image."""
    whole = PilImage.fromarray(rng.integers(0, 255, (60, 60, 3), dtype=np.uint8))

    def cut(file: Path) -> None:
        whole.save(file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    return {
        "cut.jpg": cut,
        "cut.png": cut,
        "cut.webp": cut,
        "empty.jpg": Path.touch,
        "zeros.png": lambda file: file.write_bytes(bytes(5000)),
        "document.jpg": lambda file: file.write_bytes(b"%PDF-1.7\n" + bytes(3000)),
        "noise.bmp": lambda file: file.write_bytes(b"BM" + rng.bytes(3000)),
        "noise.tif": lambda file: file.write_bytes(b"II*\0" + rng.bytes(3000)),
        "huge.png": lambda file: file.write_bytes(large),
        "pipe.jpg": os.mkfifo,
        "loop.jpg": lambda file: file.symlink_to(file.name),
        "nowhere.jpg": lambda file: file.symlink_to(f"nothing for {file.name}"),
        "endless.jpg": lambda file: file.symlink_to("/dev/zero"),
        "no video.mp4": lambda file: file.write_bytes(b"\0\0\0\x18ftypmp42" + rng.bytes(2000)),
        "gone soon.png": whole.save,
    }


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_200_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    PilImage.new("1", (20_000, 20_000)).save("large.png")
    makers = {**{name: (make, True) for name, make in good(rng).items()}}
    makers |= {name: (make, False) for name, make in bad(rng, Path("large.png").read_bytes()).items()}
    fine: set[str] = set()
    wrong: set[str] = set()
    listed: list[str] = []
    for number in range(200 - 21):
        name, (make, is_good) = list(makers.items())[number % len(makers)]
        # Half of them in one folder, half named in a list; those without an image's suffix must be named.
        folder = Path("named" if number // len(makers) % 2 or name.startswith("no suffix") else "in")
        folder.mkdir(exist_ok=True)
        file = folder / f"{number:03d} {name}"
        make(file)
        (fine if is_good else wrong).add(str(file))
        if folder.name == "named":
            listed.append(str(file))
    for number in range(20):  # all at once they would take more than is allowed
        PilImage.new("RGB", (5000, 5000)).save(f"in/camera {number}.jpg")
        fine.add(f"in/camera {number}.jpg")
    if os.getuid():
        PilImage.new("RGB", (50, 50)).save("in/secret.jpg")
        Path("in/secret.jpg").chmod(0)
        wrong.add("in/secret.jpg")
    # What several links lead to is one input, under the name that comes first.
    inputs = {os.path.realpath(name): name for name in reversed([*listed, *sorted(map(str, Path("in").iterdir()))])}
    fine, wrong = fine & set(inputs.values()), wrong & set(inputs.values())
    # The first batch is done before anything is missed.
    going = sorted(file for file in wrong if "gone soon" in file)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "out", "|".join(going)],
        input="\0".join(listed).encode() + b"\0",
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    stderr = done.stderr.decode()
    assert done.returncode == 1, stderr
    assert "Traceback" not in stderr
    records = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    assert Counter(record["source"] for record in records) == Counter(fine | wrong)
    failed = {record["source"] for record in records if "error" in record}
    # Some of those that were to go may have been read before.
    assert wrong - failed <= set(going)
    assert failed <= wrong
    assert stderr.count("skipped: ") == len(failed) == stderr.count("\n")
    overlays = {record["overlay"] for record in records if "overlay" in record}
    assert len(overlays) == len(records) - len(failed)
    assert all((Path("out") / name).is_file() for name in overlays)
    assert not Path("peak").exists() or int(Path("peak").read_text()) < MOST_MEMORY
