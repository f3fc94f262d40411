"""What is wrong, and what is worth knowing, about a prepared data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import DATA_ROOT
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import diameter
from deeppose_cli.core.progress import Progress
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.detection.initial_boxes import initial_boxes, usual_source
from deeppose_cli.media.images import read_image

NEGLIGIBLE = 1.0
"""px; a limb or torso shorter than it is worth a note: scores divide by it."""


class SplitReport(TypedDict):
    images: int
    """Labelled people."""
    joints: dict[str, float]
    """Joint → share of people with a label."""
    out_of_image: dict[str, int]
    """Joint → labels outside the image."""
    out_of_initial_box: dict[str, Any]
    """`labels`: how many are outside; `share`: of the labels; `box`: where it comes from, a value of `--box`."""


class DatasetReport(TypedDict):
    """Nothing but JSON's own types."""

    name: str
    splits: dict[str, SplitReport]
    problems: list[str]
    """Images that cannot be used."""
    notes: list[str]
    """Oddities that training and scoring cope with, the test's first: those are the ones that a score meets."""


def check_dataset(
    data: str | DatasetSpec, *, data_root: Path = DATA_ROOT, progress: Progress | None = None
) -> DatasetReport:
    """Read the labels and decode every image of a prepared data set.

    Raises UsageError for an unknown name, DeepPoseError where the labels themselves cannot be read.
    """
    spec = get_dataset(data, data_root, "NAME") if isinstance(data, str) else data
    splits = spec.read(data_root)
    sizes: dict[Path, tuple[int, int]] = {}  # width and height of the images that can be decoded, px
    problems = []
    files = list(dict.fromkeys(file for annotations in splits.values() for file in annotations.files))
    for done, file in enumerate(files, 1):
        try:
            height, width = read_image(file).shape[:2]
            sizes[file] = width, height
        except DeepPoseError as error:
            problems.append(str(error))
        if progress is not None:
            progress("decoding", done, len(files))
    reports: dict[str, SplitReport] = {}
    for split, rows in splits.items():
        source = usual_source(spec.initial_box, split, spec.evaluation_only)
        boxes = initial_boxes(rows, source, data_root / spec.name, progress).boxes
        reports[split] = _report(rows, sizes, source, boxes)
    notes = list(spec.absent(data_root))
    for first, second in combinations(splits, 2):
        if both := set(splits[first].files) & set(splits[second].files):
            notes.append(f"{first} and {second} share {len(both)} images, {min(both)} among them")
    for split in reversed(splits):
        notes += _notes(split, splits[split])
    return {"name": spec.name, "splits": reports, "problems": problems, "notes": notes}


def _report(
    annotations: Annotations, sizes: Mapping[Path, tuple[int, int]], source: str, boxes: NDArray[np.float64]
) -> SplitReport:
    joints = annotations.skeleton.joints
    # Beside an image that cannot be decoded nothing is counted: NaN is not outside.
    size = np.array([sizes.get(file, (np.nan, np.nan)) for file in annotations.files]).reshape(-1, 1, 2)
    points = annotations.keypoints
    outside = ((points < -0.5) | (points > size - 0.5)).any(-1).sum(0)
    labelled = annotations.labelled.sum(0) / max(len(annotations), 1)
    # A joint on the edge of a box that was made from the joints may be a rounding step outside.
    distances = np.abs(points - boxes[:, None, :2]) - boxes[:, None, 2:] / 2
    counted, out_of_box = ~np.isnan(distances).any(-1), (distances > 1e-6).any(-1)
    count = int(out_of_box.sum())
    return {
        "images": len(annotations),
        "joints": {joint: round(float(share), 6) for joint, share in zip(joints, labelled, strict=True)},
        "out_of_image": {joint: int(number) for joint, number in zip(joints, outside, strict=True)},
        "out_of_initial_box": {"box": source, "labels": count, "share": round(count / max(int(counted.sum()), 1), 6)},
    }


def _notes(split: str, annotations: Annotations) -> Iterator[str]:
    """Rows without any label, and rows with lengths next to nothing."""
    skeleton, points = annotations.skeleton, annotations.keypoints
    for row in np.flatnonzero(~annotations.labelled.any(-1)):
        yield f"{split}, {annotations.names[row]}: no joint is labelled"
    lengths = {} if skeleton.scale_by is None else {" to ".join(skeleton.scale_by): diameter(points, skeleton)}
    for limb in skeleton.limbs:
        start, end = (points[:, [skeleton.index(joint) for joint in ends]].mean(1) for ends in (limb.start, limb.end))
        ends = " to ".join("/".join(joints) for joints in (limb.start, limb.end))
        lengths[f"{limb.kind} ({ends})"] = np.linalg.norm(end - start, axis=-1)
    for what, values in lengths.items():
        for row in np.flatnonzero(values < NEGLIGIBLE):
            yield f"{split}, {annotations.names[row]}: {what} is {values[row]:.2g} px"
