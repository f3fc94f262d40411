"""MPII Human Pose in the JSON that most projects use: `train.json`, `valid.json`, a list of people.

    [{"image": "015601864.jpg", "center": [594, 257], "scale": 3.02, "joints": [[620, 394], …], "joints_vis": [1, …]}]

Converted: 1-based px to 0-based; a joint that is not `joints_vis` is not labelled. The box is the square of side
1.25 · 200 · scale px around the centre moved down by 15 · scale px, as the usual evaluation crops it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.datasets.coco import MAX_COORDINATE, WITHIN
from deeppose_cli.data.datasets.formats.labels import LabelFile, find_images, read_sizes

JOINTS = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax"),
    *("upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder"),
    *("left_shoulder", "left_elbow", "left_wrist"),
)
LIMBS = (
    *((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9)),
    *((10, 11), (11, 12), (12, 7), (7, 13), (13, 14), (14, 15)),
)
UNIT, SCALE, SHIFT = 200, 1.25, 15
"""px of a scale of 1; side of the box, and how far it is moved down, in these."""


def is_mpii_json(file: Path) -> bool:
    """Whether a .json is a list and no COCO object; False for a file that cannot be read."""
    try:
        with file.open("rb") as stream:
            return stream.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
    except OSError:
        return False


def read_mpii_json(file: Path, images: Path | None = None) -> LabelFile:
    """Read the people of the list. `images`: their folder; default: the file's, or `images` in or beside it.

    Raises DeepPoseError, one line that names the file, the record and the field of what cannot be right.
    """
    try:
        records = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DeepPoseError(f"{file}: cannot be read ({' '.join(str(error).split())[:100]})") from None
    names, joints, flags, boxes = [], [], [], []
    for number, record in enumerate(records):
        where = f"{file}: person {number}"
        if not isinstance(record, dict) or not isinstance(record.get("image"), str):
            raise DeepPoseError(f"{where}: has no image; valid: a list of image, center, scale, joints, joints_vis")
        points = _numbers(record, "joints", (len(JOINTS), 2), where)
        visible = _numbers(record, "joints_vis", (len(JOINTS),), where) > 0
        center, scale = _numbers(record, "center", (2,), where), float(_numbers(record, "scale", (), where))
        names.append(record["image"])
        joints.append(np.where(visible[:, None], points - 1, np.nan))
        flags.append(2.0 * visible)
        side = UNIT * SCALE * scale
        boxes.append([*(center - 1 + (0, SHIFT * scale)), side, side] if scale > 0 else [np.nan] * 4)
    keypoints, visibility = np.array(joints).reshape(-1, len(JOINTS), 2), np.array(flags).reshape(-1, len(JOINTS))
    kept = np.flatnonzero(visibility.any(1))
    chosen = tuple(names[row] for row in kept)
    places = (images,) if images is not None else (file.parent, file.parent / "images", file.parent.parent / "images")
    found = find_images(file, chosen, places, "" if images is not None else "; --images names their folder")
    return LabelFile(
        file=file,
        joints=JOINTS,
        file_names=chosen,
        images=found,
        sizes=read_sizes(found),
        keypoints=keypoints[kept],
        visibility=visibility[kept],
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4)[kept],
        areas=np.full(len(kept), np.nan),
        names=chosen,
        limbs=LIMBS,
        unlabelled=len(records) - len(kept),
    )


def _numbers(record: dict[str, Any], key: str, shape: tuple[int, ...], where: str) -> NDArray[np.float64]:
    try:
        values = np.array(record.get(key), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        values = np.array(np.nan)
    if values.shape != shape or not (np.abs(values) <= MAX_COORDINATE).all():
        size = " × ".join(map(str, shape)) or "one"
        raise DeepPoseError(f"{where}: {key}: {str(record.get(key))[:60]}; valid: {size} number(s) {WITHIN}")
    return values
