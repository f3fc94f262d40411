"""A folder of 1,000 images, against the bare networks on tensors that are ready; and what memory it takes.

The images are the test split of LSP, where it is prepared, else synthetic people.

Ours: `predict_images` as the command calls it, `--box image`, with overlays and without, from the first image to
the last. Bare: the same networks by ONNX Runtime, called as often, in batches as large, with nothing between. One
process a turn.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks import data
from benchmarks.cold_start import inputs
from benchmarks.result import Options, Result, in_turns
from deeppose_cli.checkpoints.pretrained import ONNX_SUFFIX, pretrained_files
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.data.synthetic.generator import draw_person

COUNT, DRAWN = 1000, 40
"""Images; and how many of them differ."""
WIDTH, HEIGHT = 640, 480
RATE, GROWTH = 0.85, 1.05
"""Least share of the bare rate; resident memory after the last image over that after the 100th, at most."""
OURS = """
import json, os, sys, time
from pathlib import Path
from deeppose_cli.checkpoints.onnx_cascade import build_onnx_cascade, open_onnx
from deeppose_cli.detection.person_finder import PersonFinder
from deeppose_cli.inference.image_predictor import Predictor, predict_images
from deeppose_cli.inference.inputs import find_inputs, plan_jobs
from deeppose_cli.inference.writer import ResultWriter
from deeppose_cli.visualization.drawing import PLAIN

cascade, done, held = build_onnx_cascade(*open_onnx(Path(sys.argv[1]))), 0, []
files, _ = find_inputs(["in"])

def on_record(record):
    global done
    done += 1
    if done in (100, len(files)):
        held.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

style = PLAIN if sys.argv[2] == "overlays" else None
with ResultWriter(Path("out"), {}, overwrite=True) as writer:
    began = time.perf_counter()
    jobs = plan_jobs(files, Path("out"))
    finder = PersonFinder("image")
    predictor = Predictor(cascade=cascade, finder=finder, writer=writer, style=style, on_record=on_record)
    predict_images(predictor, jobs)
    print(json.dumps([time.perf_counter() - began, *held]))
"""
BARE = """
import json, sys, time
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
names = {each.name for each in session.get_inputs()}
batch, calls = 16, []
for stage, (crops, side) in enumerate(json.loads(sys.argv[3]), start=1):
    given = {"images": np.zeros((batch * crops, side, side, 3), np.uint8)}
    given |= {"joint_index": np.zeros(batch * crops, np.int64), "stage": np.array(stage)}
    calls.append({name: value for name, value in given.items() if name in names})
began = time.perf_counter()
for _ in range(-(-int(sys.argv[2]) // batch)):
    for given in calls:
        session.run(["keypoints"], given)
print(json.dumps([time.perf_counter() - began]))
"""


def measure(options: Options) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        which = _images(Path(folder, "in"), options)
        box = pretrained_files(ONNX_SUFFIX).items()
        return [_measure(*each, style, folder, which, options) for each in box for style in ("overlays", "no overlays")]


def _images(folder: Path, options: Options) -> str:
    """Puts them there; which they are."""
    folder.mkdir()
    if data.lsp_is_prepared(options):
        for file in get_dataset("lsp", options.data_root).read(options.data_root)["test"].files[:COUNT]:
            shutil.copy(file, folder)
        return "LSP's test images"
    for seed in range(DRAWN):
        drawn = cv2.resize(draw_person(np.random.default_rng(seed)).image, (WIDTH, HEIGHT))
        jpeg = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))[1].tobytes()
        for number in range(seed, COUNT, DRAWN):
            (folder / f"{number:04d}.jpg").write_bytes(jpeg)
    return f"synthetic people, {WIDTH}×{HEIGHT} px"


def _measure(name: str, file: Path, style: str, folder: str, which: str, options: Options) -> Result:
    growth: list[float] = []
    largest: list[float] = []

    def ours() -> float:
        seconds, *held = _run(OURS, folder, str(file), style)
        if held:
            growth.append(held[1] / held[0])
            largest.append(held[1] / 1e6)
        return seconds

    def bare() -> float:
        return _run(BARE, folder, str(file), str(COUNT), json.dumps(inputs(pretrained_files()[name])))[0]

    # Its rate as a share of the bare one: so the bare side's seconds come first.
    compared = in_turns(f"many {name} {style}", bare, ours, options, "s")
    grown = max(growth, default=0.0)
    return Result(
        what=f"predict {COUNT:,} images, {name}, {style}",
        ours=f"{COUNT / compared.bare:.0f} a second",
        bare=f"{COUNT / compared.ours:.0f} a second",
        ratio=f"{compared.ratio:.2f} ({compared.lowest:.2f} to {compared.highest:.2f})",
        target=f"≥ {RATE}, memory ≤ × {GROWTH}",
        met=compared.ratio >= RATE and grown <= GROWTH,
        notes=(
            f"many: {name}, {style}: resident memory × {grown:.3f} from the 100th image to the last, "
            f"{max(largest, default=0.0):.0f} MB at the end; {which}",
        ),
    )


def _run(script: str, folder: str, *arguments: str) -> list[float]:
    command = [sys.executable, "-c", script, *arguments]
    found: list[float] = json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout)
    return found
