"""How well `--box auto` finds the labelled people of a split, and what it costs their poses.

python -m benchmarks.finder [--data mpii-sample] [--split validation] [--weights people]

A person is detected if a box overlaps the annotated one by half or more (intersection over union), and found if half of
the labelled joints of a pose are right. Not everyone in an image is labelled, so a box of nobody labelled is no error.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from deeppose_cli.checkpoints.model_source import resolve_model
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import FloatArray, diameter, overlap
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.detection.person_finder import PersonFinder
from deeppose_cli.inference.image_predictor import distinct_people, predict_people
from deeppose_cli.media.images import read_image
from deeppose_cli.models.cascade import Cascade

MIN_OVERLAP, MIN_JOINTS = 0.5, 0.5


def measure(cascade: Cascade, people: Annotations) -> dict[str, float]:
    """The figures by name; people without a torso are left out."""
    finder = PersonFinder("auto", "own")
    own = initial_boxes(people, "own").boxes
    diameters = diameter(people.keypoints, people.skeleton)
    names = [joint for joint in people.skeleton.joints if joint in cascade.skeleton.joints]
    truths, predicted = (
        [skeleton.joints.index(joint) for joint in names] for skeleton in (people.skeleton, cascade.skeleton)
    )

    def right_joints(row: int, pose: FloatArray) -> float:
        """Share of the labelled joints within 0.2 of the torso."""
        off = np.linalg.norm(pose[predicted] - people.keypoints[row][truths], axis=-1)
        return float((off <= 0.2 * diameters[row])[~np.isnan(off)].mean())

    detected, with_own, with_found, boxes, seconds = [], [], [], 0, 0.0
    files = list(dict.fromkeys(people.files))
    for file in files:
        image = read_image(file)
        start = time.perf_counter()
        found = finder.find(image, file)
        seconds += time.perf_counter() - start
        boxes += len(found)
        everyone = distinct_people(predict_people(cascade, [image] * len(found), found, flip_test=False))
        for row in (i for i, other in enumerate(people.files) if other == file and np.isfinite(diameters[i])):
            (pose,) = cascade.predict([image], own[row : row + 1]).poses[-1]
            with_own.append(right_joints(row, pose))
            with_found.append(max((right_joints(row, one.poses[-1]) for one in everyone), default=0.0))
            detected.append(max((overlap(np.array(box), own[row]) for box in found), default=0.0))
    return {
        "people": len(detected),
        "detected": float(np.mean(np.array(detected) >= MIN_OVERLAP)),
        "found": float(np.mean(np.array(with_found) >= MIN_JOINTS)),
        "boxes an image": boxes / len(files),
        "seconds an image": seconds / len(files),
        "PDJ@0.2, annotated box": float(np.mean(with_own)),
        "PDJ@0.2, auto": float(np.mean(with_found)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finder", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--weights", default="people", metavar="NAME|FILE")
    parser.add_argument("--data", default="mpii-sample", metavar="NAME")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT, metavar="DIR")
    given = parser.parse_args()
    try:
        cascade = resolve_model(RUNS_ROOT, None, given.weights).load()
        people = get_dataset(given.data, given.data_root).read(given.data_root)[given.split]
        for name, value in measure(cascade, people).items():
            print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")
    except DeepPoseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
