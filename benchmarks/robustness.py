"""PDJ@0.2 on spoilt images of a split: gray, dark, noisy, blurred, compressed.

python -m benchmarks.robustness [--weights people] [--data lsp] [--split test]

The images are spoilt as they are read; boxes and labels stay. No training has seen these very degrees.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from deeppose_cli.checkpoints.model_source import resolve_model
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.datasets.registry import get_dataset, trained_box
from deeppose_cli.detection.initial_boxes import initial_boxes, usual_source
from deeppose_cli.evaluation.metrics import mean_rate, pdj
from deeppose_cli.evaluation.predict_split import to_skeleton
from deeppose_cli.media.images import Image, read_image

BATCH = 32


def _gray(image: Image) -> Image:
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def _compressed(image: Image) -> Image:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 15])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)


def _noisy(image: Image) -> Image:
    noise = np.random.default_rng(image.size).normal(0, 20, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _dark(image: Image) -> Image:
    return (image / 3).astype(np.uint8)


def _blurred(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8)


KINDS: dict[str, Callable[[Image], Image]] = {
    "as it is": np.asarray,
    "gray": _gray,
    "JPEG quality 15": _compressed,
    "noise, σ 20": _noisy,
    "a third of the light": _dark,
    "blurred, σ 1.5 px": _blurred,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.robustness", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--weights", default="people", metavar="NAME|FILE")
    parser.add_argument("--data", default="lsp", metavar="NAME")
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, metavar="N", help="the first N people only")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT, metavar="DIR")
    given = parser.parse_args()
    try:
        model = resolve_model(RUNS_ROOT, None, given.weights)
        cascade = model.load()
        known = get_dataset(given.data, given.data_root)
        people = known.read(given.data_root)[given.split]
        people = people.take(np.arange(len(people))[: given.count])
    except DeepPoseError as error:
        print(error, file=sys.stderr)
        return 1
    box = usual_source(trained_box(model.data_name, model.initial_box, known), given.split, known.evaluation_only)
    boxes = initial_boxes(people, box, given.data_root / known.name).boxes
    print("| image | PDJ@0.2 | below the first row |")
    print("|---|---|---|")
    clean = None
    for name, spoil in KINDS.items():
        poses = []
        for start in range(0, len(people), BATCH):
            images = [spoil(read_image(file)) for file in people.files[start : start + BATCH]]
            poses.append(cascade.predict(images, boxes[start : start + BATCH]).poses[-1])
        predicted = to_skeleton(np.concatenate(poses), cascade.skeleton, people.skeleton)
        rate = float(mean_rate(pdj(predicted, people.keypoints, people.skeleton)))
        clean = rate if clean is None else clean
        print(f"| {name} | {rate:.3f} | {clean - rate:.3f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
