"""How well people are found whom nobody has shown: validation images, as they are and pasted into larger ones.

python -m benchmarks.searching [--weights people] [--data lsp] [--count 96]

A row a kind of image: PDJ@0.2 with the person's own image as initial box (what a perfect finder would give), with
`--box image` and with `--box auto`; the share of people of whom half the joints are right; how many poses there are of
nobody. Pasted people are as large as chance has it, a quarter to a half of the canvas, and never overlap.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from deeppose_cli.checkpoints.model_source import resolve_model
from deeppose_cli.core.geometry import Box, FloatArray, diameter
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.detection.person_finder import search_people, stage1_scorer
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models.cascade import Cascade

SIDE = 640
"""px of the canvas."""
SIZES = (0.5, 0.95)
"""Of a pasted image's longer side, in half canvases."""

Scene = tuple[Image, list[FloatArray], list[Box]]
"""An image, the joints of everyone in it, and where each one's own image is."""


def pasted(some: Sequence[tuple[Image, FloatArray]], rng: np.random.Generator) -> Scene:
    """Up to four people on a blurred ground, each in a quarter."""
    ground = rng.integers(60, 200, (8, 8, 3), dtype=np.uint8)
    canvas = np.asarray(cv2.resize(ground, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    half, joints, boxes = SIDE // 2, [], []
    for quarter, (image, pose) in zip(rng.permutation(4), some, strict=False):
        scale = rng.uniform(*SIZES) * half / max(image.shape[:2])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = small.shape[:2]
        top, left = (
            int(place * half + rng.uniform(0, half - length))
            for place, length in zip(divmod(int(quarter), 2), (height, width), strict=True)
        )
        canvas[top : top + height, left : left + width] = small
        joints.append((pose + 0.5) * scale - 0.5 + (left, top))
        boxes.append(Box.of_left_top(left, top, width, height))
    return canvas, joints, boxes


def detected(truth: FloatArray, pose: FloatArray, skeleton: Skeleton) -> float:
    """Share of labelled joints within 0.2 of the torso."""
    off = np.linalg.norm(pose - truth, axis=-1)
    return float((off <= 0.2 * diameter(truth, skeleton))[~np.isnan(off)].mean())


def matched(truths: Sequence[FloatArray], poses: Sequence[FloatArray], skeleton: Skeleton) -> tuple[list[float], int]:
    """Of each person the share of joints that the best pose left hits, and how many poses are left in the end."""
    left, shares = list(poses), []
    for truth in truths:
        each = [detected(truth, pose, skeleton) for pose in left]
        shares.append(max(each, default=0.0))
        if shares[-1] > 0:
            left.pop(int(np.argmax(each)))
    return shares, len(left)


def row(cascade: Cascade, scenes: Sequence[Scene]) -> str:
    scorer = stage1_scorer(cascade)
    assert scorer is not None
    perfect, whole, found, of_nobody = [], [], [], 0
    for image, truths, boxes in scenes:
        own = cascade.predict([image] * len(boxes), np.array(boxes)).poses[-1]
        perfect += [detected(*each, cascade.skeleton) for each in zip(truths, own, strict=True)]
        one = cascade.predict([image], np.array([Box.of_image(*image.shape[1::-1])])).poses[-1]
        whole += matched(truths, list(one), cascade.skeleton)[0]
        places = search_people(scorer, image)
        poses = list(cascade.predict([image] * len(places), np.array(places).reshape(-1, 4)).poses[-1])
        shares, more = matched(truths, poses, cascade.skeleton)
        found += shares
        of_nobody += more
    recall = np.mean(np.array(found) >= 0.5)
    means = " | ".join(f"{np.mean(values):.3f}" for values in (perfect, whole, found))
    return f"{means} | {recall:.2f} | {of_nobody / len(scenes):.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.searching", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--weights", default="people", metavar="NAME|FILE")
    parser.add_argument("--data", default="lsp", metavar="NAME")
    parser.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--count", type=int, default=96, metavar="N", help="people; default: 96")
    given = parser.parse_args()
    cascade = resolve_model(Path(), None, given.weights).load()
    split = get_dataset(given.data).read(given.data_root)["validation"]
    some = [(read_image(file), pose) for file, pose in zip(split.files, split.keypoints, strict=True)][: given.count]
    rng = np.random.default_rng(0)
    kinds: dict[str, list[Scene]] = {
        "as it is": [(image, [pose], [Box.of_image(*image.shape[1::-1])]) for image, pose in some],
        f"one in {SIDE} × {SIDE} px": [pasted([one], rng) for one in some],
        f"three in {SIDE} × {SIDE} px": [pasted(some[i : i + 3], rng) for i in range(0, len(some) - 2, 3)],
    }
    print("| image | PDJ, own image as box | `--box image` | `--box auto` | people found | poses of nobody |")
    print("|---|---|---|---|---|---|")
    for name, scenes in kinds.items():
        print(f"| {name} | {row(cascade, scenes)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
