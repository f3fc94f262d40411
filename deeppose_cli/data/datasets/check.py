"""What is wrong, and what is worth knowing, about a data set as it lies on this disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import FloatArray, diameter
from deeppose_cli.core.progress import Progress
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.media.images import read_image

NEGLIGIBLE = 1.0
"""px; a limb or torso shorter than it is worth a note: scores divide by it."""

Sizes = dict[Path, tuple[int, int]]
"""Width and height of the images that can be decoded, px."""


def check(description: DatasetSpec, data_root: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Read the labels and decode every image; the report holds nothing but JSON's own types.

    `{"name", "splits": {split: {"images": people labelled, "joints": {joint: labelled share}, "out_of_image": {joint:
    labels outside the image}}}, "problems": [images that cannot be used], "notes": [oddities that training and
    scoring cope with]}`. Raises DeepPoseError where the labels themselves cannot be read.
    """
    splits = description.read(data_root)
    sizes, problems = _decode(splits, progress)
    return {
        "name": description.name,
        "splits": {split: _summary(annotations, sizes) for split, annotations in splits.items()},
        "problems": problems,
        # The test's first: those are the ones a score meets.
        "notes": [
            *description.absent(data_root),
            *_shared(splits),
            *(note for split in reversed(splits) for note in _notes(split, splits[split])),
        ],
    }


def _decode(splits: dict[str, Annotations], progress: Progress | None) -> tuple[Sizes, list[str]]:
    files = list(dict.fromkeys(file for annotations in splits.values() for file in annotations.files))
    sizes: Sizes = {}
    problems = []
    for done, file in enumerate(files, 1):
        try:
            height, width = read_image(file).shape[:2]
            sizes[file] = width, height
        except DeepPoseError as error:
            problems.append(str(error))
        if progress is not None:
            progress("decoding", done, len(files))
    return sizes, problems


def _summary(annotations: Annotations, sizes: Sizes) -> dict[str, Any]:
    joints = annotations.skeleton.joints
    # Beside an image that cannot be decoded nothing is counted: NaN is not outside.
    size = np.array([sizes.get(file, (np.nan, np.nan)) for file in annotations.files]).reshape(-1, 1, 2)
    points = annotations.keypoints
    outside = ((points < -0.5) | (points > size - 0.5)).any(-1).sum(0)
    labelled = annotations.labelled.sum(0) / max(len(annotations), 1)
    return {
        "images": len(annotations),
        "joints": {joint: round(float(share), 6) for joint, share in zip(joints, labelled, strict=True)},
        "out_of_image": {joint: int(count) for joint, count in zip(joints, outside, strict=True)},
    }


def _notes(split: str, annotations: Annotations) -> Iterator[str]:
    """Rows without any label, and rows with lengths next to nothing."""
    skeleton, points = annotations.skeleton, annotations.keypoints
    for row in np.flatnonzero(~annotations.labelled.any(-1)):
        yield f"{split}, {annotations.names[row]}: no joint is labelled"
    lengths = diameter(points, skeleton)
    for row in np.flatnonzero(lengths < NEGLIGIBLE):
        yield f"{split}, {annotations.names[row]}: {' to '.join(skeleton.torso)} is {lengths[row]:.2g} px"
    for limb in skeleton.limbs:
        start, end = (_middle(points, [skeleton.index(joint) for joint in ends]) for ends in (limb.start, limb.end))
        lengths = np.linalg.norm(end - start, axis=-1)
        for row in np.flatnonzero(lengths < NEGLIGIBLE):
            ends = " to ".join("/".join(joints) for joints in (limb.start, limb.end))
            yield f"{split}, {annotations.names[row]}: {limb.kind} ({ends}) is {lengths[row]:.2g} px"


def _middle(points: FloatArray, joints: list[int]) -> FloatArray:
    return points[:, joints].mean(1)


def _shared(splits: dict[str, Annotations]) -> Iterator[str]:
    """Images that are in two splits: what is trained on must not be scored."""
    names = list(splits)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            both = set(splits[one].files) & set(splits[other].files)
            if both:
                yield f"{one} and {other} share {len(both)} images, {min(both)} among them"
