"""One image by the command, from the shell to the prompt, against a bare script.

Ours: `deeppose predict one.jpg --weights NAME` as a whole process, with each engine; everything is as a user has
it: the search for people, the overlay, three files of results. Bare: a process that imports the same engine, loads the
same weights and calls each network once, on a tensor that is ready.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2

from benchmarks.predicting import image
from benchmarks.program import DEEPPOSE
from benchmarks.result import Options, Result, in_turns
from deeppose_cli.checkpoints.pretrained import pretrained_files
from deeppose_cli.checkpoints.weights_file import read_header

RATIO = 1.25
SECONDS = {"onnx": 1.5}
"""On a quiet machine."""
BARE = {
    "torch": """
import json, sys
from pathlib import Path
import torch
from deeppose_cli.checkpoints.weights_file import read_file_stages
_, regressors = read_file_stages(Path(sys.argv[1]))
with torch.inference_mode():
    for regressor, (crops, side) in zip(regressors, json.loads(sys.argv[2])):
        network = regressor.eval().fused_copy()
        tensor = network.prepare(torch.zeros(crops, side, side, 3, dtype=torch.uint8))
        for one in network.networks:
            one(tensor)
""",
    "onnx": """
import json, sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
names = {each.name for each in session.get_inputs()}
for stage, (crops, side) in enumerate(json.loads(sys.argv[2]), start=1):
    given = {"images": np.zeros((crops, side, side, 3), np.uint8), "joint_index": np.zeros(crops, np.int64)}
    given["stage"] = np.array(stage)
    session.run(["keypoints"], {name: value for name, value in given.items() if name in names})
""",
}


def measure(options: Options) -> list[Result]:
    return [_measure(name, engine, options) for engine in BARE for name in pretrained_files()]


def _measure(name: str, engine: str, options: Options) -> Result:
    suffix = {"torch": ".safetensors", "onnx": ".onnx"}[engine]
    crops = inputs(pretrained_files()[name])
    with tempfile.TemporaryDirectory() as folder:
        cv2.imwrite(str(Path(folder, "one.jpg")), cv2.cvtColor(image(), cv2.COLOR_RGB2BGR))
        ours = [*DEEPPOSE, "predict", "one.jpg", "--weights", name, "--engine", engine]
        bare = [sys.executable, "-c", BARE[engine], str(pretrained_files(suffix)[name]), json.dumps(crops)]
        compared = in_turns(
            f"cold start {name} {engine}", lambda: _seconds(ours, folder), lambda: _seconds(bare, folder), options, "s"
        )
    most = SECONDS.get(engine)
    return Result(
        what=f"deeppose predict one.jpg, {name}, {engine}",
        ours=f"{compared.ours:.2f} s",
        bare=f"{compared.bare:.2f} s",
        ratio=f"{compared.ratio:.2f} ({compared.lowest:.2f} to {compared.highest:.2f})",
        target=f"≤ {RATIO}" if most is None else f"≤ {most} s",
        met=compared.ratio <= RATIO if most is None else compared.ours <= most,
    )


def inputs(file: Path) -> list[tuple[int, int]]:
    """Of each stage how many crops it sees of an image, and their side in px."""
    plan = read_header(file).metadata.spec
    return [(len(plan.skeleton) ** (i > 0), stage.settings.input_size) for i, stage in enumerate(plan.stages)]


def _seconds(command: list[str], folder: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
