"""Labelled images in any format that is known, by the name of the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deeppose_cli.core.errors import UsageError
from deeppose_cli.data.datasets.coco import read_coco
from deeppose_cli.data.datasets.formats.keypoint_csv import read_keypoint_csv
from deeppose_cli.data.datasets.formats.labels import LabelFile, find_images, read_sizes
from deeppose_cli.data.datasets.formats.mpii_json import is_mpii_json, read_mpii_json
from deeppose_cli.data.datasets.formats.yolo import read_yolo

YAML = (".yaml", ".yml")
VALID = "a .json of COCO keypoints or of MPII, a .csv of DeepLabCut or Lightning Pose, the data.yaml of a YOLO-pose set"


def read_labels(
    file: Path,
    split: str | None = None,
    images: Path | None = None,
    category: str | None = None,
    joints: Sequence[str] = (),
) -> list[LabelFile]:
    """Read a file of labels, or each split of a set that a file describes.

    Args:
        file: See `VALID`; or the folder of a data.yaml.
        split: The split of its people. None: they are to be divided.
        images: Folder of the images. Default: as the format has it.
        category: The category, where there are several.
        joints: Names of the keypoints, for a format that has none.

    Raises:
        UsageError: A flag that does not fit the file.
        DeepPoseError: One line that names the file, the record and the field of what cannot be right.
    """
    file = file / "data.yaml" if file.is_dir() else file
    suffix = file.suffix.lower()
    if suffix in YAML:
        if split is not None:
            raise UsageError(f"--{split} {file}: names its splits itself; valid: --annotations {file}")
        return read_yolo(file, images, category, joints)
    if joints:
        raise UsageError(f"--joints: {file} has the names of its keypoints; valid: with a data.yaml")
    if suffix == ".csv":
        if category is not None:
            raise UsageError(f"--category {category}: {file} has no categories; valid: without this flag")
        return [replace(read_keypoint_csv(file, images), split=split)]
    if suffix not in (".json", ""):
        raise UsageError(f"{file}: valid: {VALID}")
    if is_mpii_json(file):
        if category is not None:
            raise UsageError(f"--category {category}: {file} has no categories; valid: without this flag")
        return [replace(read_mpii_json(file, images), split=split)]
    return [_read_coco(file, split, images, category)]


def _read_coco(file: Path, split: str | None, images: Path | None, category: str | None) -> LabelFile:
    labels = read_coco(file, category=category)
    places = (images,) if images is not None else (file.parent, file.parent / "images")
    hint = "" if images is not None else "; --images names their folder"
    found = find_images(file, labels.file_names, places, hint)
    return LabelFile(
        file=file,
        joints=labels.joints,
        file_names=labels.file_names,
        images=found,
        sizes=read_sizes(found),
        keypoints=labels.keypoints,
        visibility=labels.visibility,
        boxes=labels.bboxes,
        areas=labels.areas,
        names=labels.names,
        split=split,
        limbs=labels.limbs,
        crowds=labels.crowds,
        unlabelled=labels.unlabelled,
    )
