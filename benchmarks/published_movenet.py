"""python -m benchmarks.published_movenet FILE.safetensors [--data NAME] [--split NAME] [--weights NAME …]

PDJ of the pretrained weights beside that of MoveNet as published, on the same boxes: the mean over shoulders, elbows,
wrists, hips, knees and ankles, which all of them have. FILE holds the published values, as `python -m
deeppose_cli.exporting.movenet` makes it; its heatmaps are read as ours are, without MoveNet's offsets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from deeppose_cli.checkpoints.model_source import resolve_model
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT
from deeppose_cli.config.presets import preset_by_name
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.evaluation.metrics import pdj_hits
from deeppose_cli.evaluation.predict_split import predict_split, to_skeleton
from deeppose_cli.models.cascade import Cascade, Stage
from deeppose_cli.models.movenet import SOURCE_SKELETON, to_own_names
from deeppose_cli.models.regressor import Regressor

KINDS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
THRESHOLDS = (0.05, 0.1, 0.2)


def published(file: Path) -> Cascade:
    """MoveNet Thunder or Lightning, by the width of its first layer."""
    values = load_file(file)
    preset = preset_by_name("people" if values["conv1.weight"].shape[0] > 32 else "people-fast").initial
    regressor = Regressor(preset, len(SOURCE_SKELETON))
    named = {f"networks.0.{name}": value for name, value in to_own_names(values).items()}
    regressor.load_state_dict(named, strict=False)
    stage = Stage(regressor.eval(), preset.input_size)
    return Cascade(SOURCE_SKELETON, [stage], square_initial_box=True)


def print_scores(name: str, cascade: Cascade, people: Annotations, boxes: FloatArray) -> None:
    """A line for each stage."""
    chosen = [kind in KINDS for kind in people.skeleton.kinds]
    with torch.inference_mode():
        poses = predict_split(cascade, people, boxes)
    for number, pose in enumerate(to_skeleton(poses, cascade.skeleton, people.skeleton), start=1):
        scores = []
        for threshold in THRESHOLDS:
            hits, valid = pdj_hits(pose, people.keypoints, people.skeleton, threshold)
            scores.append(float(np.mean([hits[:, j][valid[:, j]].mean() for j in np.flatnonzero(chosen)])))
        print(f"{name:24} stage {number}" + "".join(f"  {score:.3f}" for score in scores), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published_movenet", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--data", default="mpii-sample", metavar="NAME")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--box", default="own")
    parser.add_argument("--weights", nargs="*", default=["people", "people-fast"], metavar="NAME|FILE")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT, metavar="DIR")
    given = parser.parse_args()
    people = get_dataset(given.data, given.data_root).read(given.data_root)[given.split]
    boxes = initial_boxes(people, given.box, given.data_root / given.data).boxes
    print(f"{given.data}, {given.split}: {len(people)} people; PDJ at {', '.join(map(str, THRESHOLDS))}")
    for file in given.files:
        print_scores(file.stem, published(file), people, boxes)
    for weights in given.weights:
        print_scores(weights, resolve_model(RUNS_ROOT, None, weights).load(), people, boxes)


if __name__ == "__main__":
    main()
