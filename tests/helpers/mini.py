"""A data set of a few synthetic people, made in a moment, and the `deeppose` command that knows it.

python -m tests.helpers.mini COMMAND …
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets.release import make_rows, write_dataset
from deeppose_cli.data.datasets.spec import IMAGES, DatasetSpec
from deeppose_cli.data.datasets.splits import in_splits
from deeppose_cli.data.synthetic.generator import draw_person

COUNTS = {"train": 26, "validation": 7, "test": 5}
"""Odd numbers, so that two processes never get equal shares."""
NAME = "mini"


MINI = DatasetSpec(
    name=NAME,
    title="a few synthetic people",
    skeleton=LSP14,
    preset="tiny",
    sigma=2.0,
    initial_box="image",
    conventions="px, 0-based",
)


def make(root: Path) -> Path:
    """Draws the images, and writes the set, under the root."""
    images = root / NAME / IMAGES
    images.mkdir(parents=True)
    poses, names = [], []
    for i in range(sum(COUNTS.values())):
        drawn = draw_person(np.random.default_rng([7, i]))
        names.append(f"p{i:02d}.png")
        cv2.imwrite(str(images / names[-1]), drawn.image[..., ::-1])
        poses.append(drawn.joints)
    keypoints = np.stack(poses)
    keypoints[3, 5] = np.nan  # a joint without a label
    ends = np.cumsum(list(COUNTS.values()))
    chosen = {split: range(end - COUNTS[split], end) for split, end in zip(COUNTS, ends, strict=True)}
    write_dataset(MINI, in_splits(make_rows(LSP14, names, keypoints), **chosen), root / NAME)
    return root


if __name__ == "__main__":
    from deeppose_cli.cli.app import main

    sys.exit(main())
