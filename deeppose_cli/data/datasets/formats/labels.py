"""What a file of labels is read into, whichever tool wrote it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.datasets.coco import is_plain_path
from deeppose_cli.media.images import image_size


@dataclass(frozen=True, eq=False)
class LabelFile:
    """The labelled people of a file, by column. Row n is one person."""

    file: Path
    joints: tuple[str, ...]
    file_names: tuple[str, ...]
    """(N) image of each row: its path below the folder of the images."""
    images: Mapping[str, Path]
    """`file_name` → the user's file."""
    sizes: Mapping[str, tuple[int, int]]
    """`file_name` → width and height, px."""
    keypoints: NDArray[np.float64]
    """(N, K, 2) px, NaN where not labelled."""
    visibility: NDArray[np.float64]
    """(N, K) COCO's flag: 0 not labelled, 1 labelled but hidden, 2 visible."""
    boxes: NDArray[np.float64]
    """(N, 4) centre x, centre y, width, height in px; NaN where there is none."""
    areas: NDArray[np.float64]
    """(N) px²: COCO's `area`, NaN where there is none."""
    names: tuple[str, ...]
    """(N) the image's `file_name`, or the example's own name."""
    split: str | None = None
    limbs: tuple[tuple[int, int], ...] = ()
    """Pairs of joint indices."""
    mirror: tuple[tuple[str, str], ...] | None = None
    """Pairs that change places in a mirrored image; None: the file does not have them."""
    crowds: int = 0
    """Left out, as they mark a crowd."""
    unlabelled: int = 0
    """People, or images of which nothing more is known, that are left out as no keypoint is labelled."""


def find_images(file: Path, names: Iterable[str], places: Iterable[Path], hint: str = "") -> dict[str, Path]:
    """Where each image is: name → the first of the places that has it.

    Raises DeepPoseError for a name that is no path below a folder, or that no place has.
    """
    folders = tuple(places)
    found = {}
    for name in dict.fromkeys(names):
        if not is_plain_path(name):
            raise DeepPoseError(f"{file}: image {name!r:.80}; valid: a path below the folder of the images")
        place = next((folder / name for folder in folders if os.path.isfile(folder / name)), None)
        if place is None:
            raise DeepPoseError(f"{file}: image {name}: not in {' or '.join(map(str, folders))}{hint}")
        found[name] = place
    return found


def read_sizes(images: Mapping[str, Path]) -> dict[str, tuple[int, int]]:
    """Width and height of each image, px. Raises DeepPoseError for a file that is no image."""
    return {name: image_size(path) for name, path in images.items()}
