"""The folders of YOLO-pose (Ultralytics), by their `data.yaml`.

    path: .                    # folder of the set; without it the folder of this file
    train: images/train        # a folder, a .txt that lists images, or a list of them
    val: images/val
    kpt_shape: [2, 3]          # keypoints, and numbers of each: x y, or x y v
    flip_idx: [1, 0]           # where each keypoint's values come from in a mirrored image
    names: {0: mouse}
    kpt_names: {0: [left_ear, right_ear]}

`images/train/a.jpg` has its labels in `labels/train/a.txt`, a line for each subject: class, centre and size of the box,
keypoints; all of them but class and v are shares of the image's width or height. An image without such a file shows
nobody. v is COCO's visibility; where a keypoint is x y, negative numbers and 0 0 are not labelled.

Source: docs.ultralytics.com/datasets/pose.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.files import read_yaml
from deeppose_cli.core.skeleton import MAX_JOINTS
from deeppose_cli.data.datasets.coco import is_plain_path
from deeppose_cli.data.datasets.formats.labels import LabelFile, read_sizes
from deeppose_cli.media.formats import IMAGE_SUFFIXES

SPLITS = {"train": "train", "validation": "val", "test": "test"}
"""Split → its key in `data.yaml`."""
TOLERANCE = 0.01
"""How far outside of 0 to 1 the numbers of a box may be, as Ultralytics has it."""


def read_yolo(
    file: Path, images: Path | None = None, category: str | None = None, joints: Sequence[str] = ()
) -> list[LabelFile]:
    """Read the splits of a YOLO-pose set.

    Args:
        file: Its `data.yaml`.
        images: The folder of the set. Default: `path`, else the folder of the file.
        category: Name of the class. Default: all classes.
        joints: Names of the keypoints, where the file has none. Default: joint_1, joint_2, …

    Raises:
        UsageError: `joints` or `category` does not fit the file.
        DeepPoseError: One line that names the file, the key or line, and the value of what cannot be right.
    """
    values = read_yaml(file)
    count, numbers = _shape(values, file)
    classes = _classes(values, file)
    if category is not None and category not in classes.values():
        raise UsageError(f"--category {category}: valid: {', '.join(classes.values())[:200] or 'none'}, of {file}")
    wanted = {number: name for number, name in classes.items() if category in (None, name)}
    names = _joints(values, file, wanted, count, joints)
    splits = {split: _images(values, key, file, images) for split, key in SPLITS.items() if values.get(key)}
    if not splits.get("train"):
        raise DeepPoseError(f"{file}: train: {values.get('train')!r:.80}; valid: a folder of images")
    if splits.get("validation") == splits["train"]:
        raise DeepPoseError(f"{file}: val has the images of train; valid: others, or no val (train is then divided)")
    mirror = _mirror(values, file, names)
    return [_read_split(file, split, found, names, numbers, classes, wanted, mirror) for split, found in splits.items()]


def _shape(values: Mapping[str, Any], file: Path) -> tuple[int, int]:
    """(K, 2 or 3)."""
    shape = values.get("kpt_shape")
    if isinstance(shape, list) and [type(number) for number in shape] == [int, int]:
        count, numbers = shape
        if 0 < count <= MAX_JOINTS and numbers in (2, 3):
            return count, numbers
    raise DeepPoseError(f"{file}: kpt_shape: {shape!r:.60}; valid: [keypoints, 2] or [keypoints, 3]")


def _classes(values: Mapping[str, Any], file: Path) -> dict[int, str]:
    names = values.get("names")
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(names, dict) or not names or not all(type(number) is int for number in names):
        raise DeepPoseError(f"{file}: names: {names!r:.60}; valid: the classes, such as 0: mouse")
    return {number: str(name) for number, name in names.items()}


def _joints(
    values: Mapping[str, Any], file: Path, wanted: Mapping[int, str], count: int, joints: Sequence[str]
) -> tuple[str, ...]:
    """Names of the keypoints: those of `kpt_names`, for each class or for all; else those given."""
    found = values.get("kpt_names")
    if isinstance(found, list) and found and isinstance(found[0], list):
        found = dict(enumerate(found))
    lists = [found.get(number) for number in wanted] if isinstance(found, dict) else [found]
    if found is None:
        if joints and len(joints) != count:
            raise UsageError(f"--joints: {len(joints)} names; valid: {count}, by kpt_shape of {file}")
        return tuple(joints) or tuple(f"joint_{number}" for number in range(1, count + 1))
    if joints:
        raise UsageError(f"--joints: {file} has kpt_names; valid: without this flag")
    if any(names != lists[0] for names in lists):
        raise DeepPoseError(f"{file}: kpt_names differ between the classes; valid: --category with one of them")
    if not isinstance(lists[0], list) or len(lists[0]) != count or not all(isinstance(name, str) for name in lists[0]):
        raise DeepPoseError(f"{file}: kpt_names: {lists[0]!r:.60}; valid: {count} names, by kpt_shape")
    return tuple(lists[0])


def _mirror(values: Mapping[str, Any], file: Path, joints: Sequence[str]) -> tuple[tuple[str, str], ...] | None:
    order, count = values.get("flip_idx"), len(joints)
    if not order:
        return None
    if not isinstance(order, list) or len(order) != count or not all(type(n) is int and 0 <= n < count for n in order):
        raise DeepPoseError(f"{file}: flip_idx: {order!r:.60}; valid: {count} numbers, each from 0 to {count - 1}")
    for number, partner in enumerate(order):
        if order[partner] != number:
            raise DeepPoseError(
                f"{file}: flip_idx: {number} becomes {partner}, and {partner} becomes {order[partner]}; valid: pairs"
            )
    return tuple((joints[number], joints[partner]) for number, partner in enumerate(order) if number < partner)


def _images(values: Mapping[str, Any], key: str, file: Path, folder: Path | None) -> dict[str, Path]:
    """The images of a split, by their path below the folder of the set."""
    given = [file.parent / str(values["path"])] if values.get("path") else []
    roots = [_plain(root) for root in ([*given, file.parent] if folder is None else [folder])]
    entries = values[key] if isinstance(values[key], list) else [values[key]]
    found: dict[str, Path] = {}
    for entry in entries:
        text = str(entry)
        # Some tools write ../train/images into a file beside the folder train.
        texts = [text, text[3:]] if text.startswith("../") else [text]
        places = [_plain(root / text) for text in texts for root in roots]
        place = next((place for place in places if os.path.exists(place)), None)
        if place is None:
            hint = "" if folder is not None else "; --images names the folder of the set"
            raise DeepPoseError(f"{file}: {key}: {text!r:.80}: not in {' or '.join(map(str, roots))}{hint}")
        for path in sorted(_listed(place) if place.is_file() else _in_folder(place)):
            root = next((root for root in (*roots, place) if path.is_relative_to(root)), path.parent)
            name = path.relative_to(root).as_posix()
            if not is_plain_path(name) or not os.path.isfile(path):
                raise DeepPoseError(f"{file}: {key}: image {str(path)!r:.200}: no such file, or not a plain name")
            if found.setdefault(name, path) != path:
                raise DeepPoseError(f"{file}: {key}: two images have the name {name}; valid: images below {roots[0]}")
    return found


def _plain(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _in_folder(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _listed(file: Path) -> list[Path]:
    """The images that a text file lists, one a line, relative to it."""
    return [_plain(file.parent / line.strip()) for line in _text(file).splitlines() if line.strip()]


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise DeepPoseError(f"{file}: cannot be read ({reason})") from None


def _label_file(image: Path) -> Path:
    """labels/…/a.txt of images/…/a.jpg; beside the image, where no folder of its path is named `images`."""
    parts = list(image.absolute().with_suffix(".txt").parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    found = Path(*parts)
    return found if found.is_file() else image.with_suffix(".txt")


def _read_split(
    file: Path,
    split: str,
    images: Mapping[str, Path],
    joints: tuple[str, ...],
    numbers: int,
    classes: Mapping[int, str],
    wanted: Mapping[int, str],
    mirror: tuple[tuple[str, str], ...] | None,
) -> LabelFile:
    sizes = read_sizes(images)
    names, rows = [], []
    labels = {name: _label_file(image) for name, image in images.items()}
    there = {name: path for name, path in labels.items() if path.is_file()}
    if not there:
        missing = f"no image has labels, such as {next(iter(labels.values()))}" if labels else "no images"
        raise DeepPoseError(f"{file}: {SPLITS[split]}: {missing}")
    for name, path in there.items():
        found = [row for row in _read_lines(path, 5 + numbers * len(joints), classes) if row[0] in wanted]
        names += [name] * len(found)
        rows += found
    values = np.array(rows, dtype=np.float64).reshape(len(rows), 5 + numbers * len(joints))
    size = np.array([sizes[name] for name in names], dtype=np.float64).reshape(-1, 1, 2)
    points = values[:, 5:].reshape(len(rows), len(joints), numbers)
    if numbers == 3:
        flags = np.where(points[..., 2] > 0, points[..., 2].round().clip(1, 2), 0.0)
    else:
        flags = np.where((points < 0).any(-1) | (points == 0).all(-1), 0.0, 2.0)
    index = np.flatnonzero(flags.any(1))
    keypoints = np.where(flags[..., None] > 0, points[..., :2] * size, np.nan)
    boxes = (values[:, 1:5].reshape(-1, 2, 2) * size).reshape(-1, 4)
    kept = tuple(names[i] for i in index)
    return LabelFile(
        file=file,
        joints=joints,
        file_names=kept,
        images={name: images[name] for name in dict.fromkeys(kept)},
        sizes=sizes,
        keypoints=keypoints[index],
        visibility=flags[index],
        boxes=boxes[index],
        areas=np.full(len(index), np.nan),
        names=kept,
        split=split,
        mirror=mirror,
        unlabelled=len(rows) - len(index),
    )


def _read_lines(file: Path, count: int, classes: Mapping[int, str]) -> list[list[float]]:
    """The numbers of each line, without repeated ones."""
    rows = []
    for number, line in enumerate(_text(file).splitlines(), 1):
        where = f"{file}: line {number}"
        try:
            row = [float(word) for word in line.split()]
        except ValueError:
            raise DeepPoseError(f"{where}: {line!r:.60}; valid: numbers") from None
        if not row:
            continue
        if len(row) != count:
            raise DeepPoseError(f"{where} has {len(row)} numbers; valid: {count}: class, box, keypoints by kpt_shape")
        if row[0] not in classes:
            raise DeepPoseError(f"{where}: class {row[0]:g}; valid: {', '.join(map(str, classes))[:100]}")
        if not (min(row[3:5]) > 0 and all(-TOLERANCE <= value <= 1 + TOLERANCE for value in row[1:5])):
            box = " ".join(f"{value:g}" for value in row[1:5])
            raise DeepPoseError(f"{where}: box {box}; valid: centre and size as shares of the image's width and height")
        if not all(abs(value) <= 10 for value in row[5:]):
            raise DeepPoseError(f"{where}: keypoints are no shares of the image's width and height; valid: 0 to 1")
        if row not in rows:
            rows.append(row)
    return rows
