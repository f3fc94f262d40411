"""How well `--box auto` finds the labelled people of a split, and what it costs their poses.

python -m benchmarks.finder [--data mpii-sample] [--split validation] [--weights people]

A person is detected if a box overlaps the annotated one by half or more (intersection over union), and found if half of
the labelled joints of a pose are right. Not everyone in an image is labelled, so a box of nobody labelled is no error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from deeppose_cli.checkpoints.model_source import resolve_model
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box, FloatArray, diameter, overlap
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.detection.person_finder import PersonFinder
from deeppose_cli.inference.image_predictor import distinct_people, predict_people
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models.cascade import Cascade

MIN_OVERLAP, MIN_JOINTS = 0.5, 0.5
EMPTY = 200
"""Images without people."""


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


def empty_images(count: int) -> Iterator[Image]:
    """(300, 400, 3): noise, smooth textures, lines, a gradient or one color in turn."""
    rng = np.random.default_rng(0)
    for number in range(count):
        color = rng.integers(0, 256, 3, dtype=np.uint8)
        image = np.full((300, 400, 3), color, np.uint8)
        if number % 5 == 0:
            image = rng.integers(0, 256, image.shape, dtype=np.uint8)
        elif number % 5 == 1:
            coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            image = np.asarray(cv2.resize(coarse, (400, 300), interpolation=cv2.INTER_CUBIC), np.uint8)
        elif number % 5 == 2:
            for start, end in rng.integers(0, 400, (30, 2, 2)).tolist():
                cv2.line(image, start, end, rng.integers(0, 256, 3).tolist(), int(rng.integers(1, 12)))
        elif number % 5 == 3:
            image = np.tile(np.linspace(0, 255, 400).astype(np.uint8)[None, :, None], (300, 1, 3))
        yield image


def people_in_empty_images(cascade: Cascade) -> int:
    """How many people `--box auto` finds where nobody is."""
    finder, count = PersonFinder("auto", "own"), 0
    for image in empty_images(EMPTY):
        found = finder.find(image, Path())
        count += len(distinct_people(predict_people(cascade, [image] * len(found), found, flip_test=False)))
    return count


def confidence_in_empty_images(cascade: Cascade) -> float:
    """Mean confidence of the pose that the cascade sees in an image without people, the whole image as its box."""
    images = list(empty_images(EMPTY))
    whole = np.array([Box.of_image(*image.shape[1::-1]) for image in images])
    return float(cascade.predict(images, whole).confidence[-1].mean())


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
        print(f"people in {EMPTY} images without people: {people_in_empty_images(cascade)}")
        print(f"mean confidence there, the whole image as box: {confidence_in_empty_images(cascade):.3f}")
    except DeepPoseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
