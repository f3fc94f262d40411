"""A data set of a few synthetic people, made in a moment, and the `deeppose` command that knows it.

python -m tests.helpers.mini COMMAND …
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets import registry
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.synthetic.generator import draw_person

COUNTS = {"train": 26, "validation": 7, "test": 5}
"""Odd numbers, so that two processes never get equal shares."""
NAME = "mini"


def make(root: Path) -> Path:
    """Draws the images under the root."""
    folder = root / NAME
    folder.mkdir(parents=True)
    poses = []
    for i in range(sum(COUNTS.values())):
        drawn = draw_person(np.random.default_rng([7, i]))
        cv2.imwrite(str(folder / f"p{i:02d}.png"), drawn.image[..., ::-1])
        poses.append(drawn.joints)
    keypoints = np.stack(poses)
    keypoints[3, 5] = np.nan  # a joint without a label
    np.save(folder / "poses.npy", keypoints)
    return root


def read(root: Path) -> dict[str, Annotations]:
    keypoints = np.load(root / NAME / "poses.npy")
    files = tuple(root / NAME / f"p{i:02d}.png" for i in range(len(keypoints)))
    everyone = Annotations(
        LSP14, files, keypoints, np.full((len(files), 4), np.nan), tuple(file.name for file in files)
    )
    splits, start = {}, 0
    for split, count in COUNTS.items():
        splits[split] = everyone.take(range(start, start + count))
        start += count
    return splits


MINI = DatasetSpec(
    name=NAME,
    title="a few synthetic people",
    skeleton=LSP14,
    preset="tiny",
    sigma=2.0,
    initial_box="image",
    conventions="px, 0-based",
    how_to_get="made by the tests",
    read=read,
)

if __name__ == "__main__":
    from deeppose_cli.cli.app import main

    registry.DATASETS[NAME] = MINI
    sys.exit(main())
