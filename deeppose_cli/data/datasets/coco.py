"""Keypoint annotations in COCO's format, read and written: the form in which every prepared data set lies on disk.

What COCO has no field for is in extra fields of an annotation, which other tools ignore:

| field | what |
|---|---|
| `name` | the example's name, where it is not its image's `file_name` |
| `initial_box` | `[left, top, width, height]` of `--box own`, null: the whole image; without the field: `bbox` |
| `torso_box` | `[left, top, width, height]` of the torso (FLIC) |
| `sticks` | `[x1, y1, x2, y2, …]` of the limbs, where limbs were labelled and not joints (Buffy) |

Coordinates are kept as they are in the file: px from 0, pixel centres at integers. Boxes are px of the image plane: a
box with left 10 and width 5 is centred on 12.5.

Source: T.-Y. Lin et al.: Microsoft COCO: Common Objects in Context, ECCV 2014; cocodataset.org, "Data format".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.annotations import BOX_AREA_SHARE, Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import write_text
from deeppose_cli.core.skeleton import Skeleton

MAX_COORDINATE = 1e5
"""px; a coordinate beyond it is no place in an image."""
WITHIN = f"within ±{MAX_COORDINATE:.0f} px"
DECIMALS = 6
"""Of a coordinate that is written, px: more only make the files larger and slower to read."""
_PLAIN = re.compile(r"[^/\\:][^\\:]*[^/\\:]|[^/\\:]")
"""A relative path: what `\\` and `:` mean differs between systems."""


@dataclass(frozen=True, eq=False)
class CocoFile:
    """What an annotation file holds, by column. Row n is one annotation with keypoints."""

    file: Path
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    """Pairs of joint indices, from the category's `skeleton`."""
    file_names: tuple[str, ...]
    """(N) image of each row."""
    names: tuple[str, ...]
    keypoints: NDArray[np.float64]
    """(N, K, 2) px, NaN where the visibility is 0."""
    visibility: NDArray[np.float64]
    """(N, K) COCO's flag: 0 not labelled, 1 labelled but hidden, 2 visible."""
    bboxes: NDArray[np.float64]
    """(N, 4) centre x, centre y, width, height in px; NaN where there is none."""
    areas: NDArray[np.float64]
    """(N) px²: COCO's `area`, else `BOX_AREA_SHARE` of the `bbox`; NaN where there is neither."""
    boxes: NDArray[np.float64]
    """(N, 4) the box of `--box own`: `initial_box` where there is such a field, else `bbox`."""
    torsos: NDArray[np.float64] | None
    sticks: NDArray[np.float64] | None
    """(N, L, 2, 2), as in `Annotations`."""
    crowds: int
    """Annotations that are left out as they mark a crowd."""
    unlabelled: int
    """Annotations that are left out as none of their keypoints is labelled."""

    def to_annotations(self, skeleton: Skeleton, folder: Path) -> Annotations:
        """Rows with the files below a folder."""
        paths = {name: folder / name for name in self.file_names}
        files = tuple(paths[name] for name in self.file_names)
        return Annotations(
            skeleton, files, self.keypoints, self.boxes, self.names, self.torsos, self.sticks, self.areas
        )


def read_coco(file: Path, keep_unlabelled: bool = False, category: str | None = None) -> CocoFile:
    """Read a COCO keypoint file.

    Args:
        file: A JSON file.
        keep_unlabelled: Keep annotations without a labelled keypoint.
        category: Name of the category, where more than one has keypoints.

    Raises:
        DeepPoseError: One line that names the file, the record and the field of what cannot be right.
    """
    document = _load(file)
    images, annotations, categories = (_records(document, key, file) for key in ("images", "annotations", "categories"))
    chosen = _category(categories, category, file)
    joints = tuple(chosen["keypoints"])
    file_names = {image.get("id"): _image_name(image, row, file) for row, image in enumerate(images)}
    if len(file_names) < len(images):
        raise DeepPoseError(f"{file}: images: two have the same id; valid: every id once")
    own = [row for row in annotations if "keypoints" in row and row.get("category_id", chosen["id"]) == chosen["id"]]
    if annotations and not own:
        raise DeepPoseError(
            f"{file}: no annotation has keypoints of category {chosen['name']!r}; valid: keypoint files"
        )
    rows = [row for row in own if not row.get("iscrowd")]
    for number, row in enumerate(rows):
        if _hashable(row.get("image_id")) not in file_names:
            raise DeepPoseError(
                f"{_where(file, row, number)}: image_id {row.get('image_id')!r:.40}: no image has this id"
            )
    values = _numbers(rows, "keypoints", 3 * len(joints), file).reshape(len(rows), len(joints), 3)
    labelled = (values[..., 2] > 0) & ~np.isnan(values).any(-1)
    keypoints = np.where(labelled[..., None], values[..., :2], np.nan)
    _check_within(keypoints, rows, "keypoints", file)
    bboxes = _boxes(rows, "bbox", file)
    areas = _numbers([{"area": [np.nan if row.get("area") is None else row["area"]]} for row in rows], "area", 1, file)
    known = (areas[:, 0] > 0) & np.isfinite(areas[:, 0])
    areas = np.where(known, areas[:, 0], BOX_AREA_SHARE * bboxes[:, 2] * bboxes[:, 3])
    torsos = _boxes(rows, "torso_box", file) if any("torso_box" in row for row in rows) else None
    boxes = bboxes
    if any("initial_box" in row for row in rows):
        boxes = _boxes(rows, "initial_box", file)
        without = np.array(["initial_box" not in row for row in rows])
        boxes[without] = bboxes[without]
    sticks = None
    if any("sticks" in row for row in rows):
        first = rows[0].get("sticks")
        limbs = max(1, len(first) // 4) if isinstance(first, list) else 1
        sticks = _numbers(rows, "sticks", 4 * limbs, file).reshape(len(rows), limbs, 2, 2)
    kept = np.ones(len(rows), bool) if keep_unlabelled else labelled.any(1)
    index = np.flatnonzero(kept)
    row_files = [file_names[row["image_id"]] for row in rows]
    names = [row.get("name", file_name) for row, file_name in zip(rows, row_files, strict=True)]
    if bad := [name for name in names if not isinstance(name, str) or not name.isprintable()]:
        raise DeepPoseError(f"{file}: name {bad[0]!r:.60}; valid: printable text")
    return CocoFile(
        file=file,
        joints=joints,
        limbs=_limbs(chosen, file),
        file_names=tuple(row_files[i] for i in index),
        names=tuple(names[i] for i in index),
        keypoints=keypoints[index],
        visibility=np.where(labelled, values[..., 2], 0)[index],
        bboxes=bboxes[index],
        areas=areas[index],
        boxes=boxes[index],
        torsos=None if torsos is None else torsos[index],
        sticks=None if sticks is None else sticks[index],
        crowds=len(own) - len(rows),
        unlabelled=len(rows) - len(index),
    )


def write_coco(file: Path, rows: Annotations, root: Path, sizes: Mapping[Path, tuple[int, int]]) -> None:
    """Write the rows of a split as a COCO keypoint file.

    `root`: the folder of the images, whose relative paths become `file_name`; `sizes`: (width, height) px by file.
    `bbox` is the box of the labelled joints, `area` its `BOX_AREA_SHARE` where the rows have none. Raises DeepPoseError
    where the file cannot be written.
    """
    files = list(dict.fromkeys(rows.files))
    relative = {path: path.relative_to(root).as_posix() for path in files}
    numbers = {path: number for number, path in enumerate(files, 1)}
    images = [
        {"id": numbers[path], "file_name": relative[path], "width": sizes[path][0], "height": sizes[path][1]}
        for path in files
    ]
    counts = rows.labelled.sum(1).tolist()
    points = rows.keypoints.round(DECIMALS)
    boxes = label_boxes(points).round(DECIMALS).tolist()
    annotations = []
    for i, (path, name) in enumerate(zip(rows.files, rows.names, strict=True)):
        bbox = boxes[i]
        row: dict[str, Any] = {"id": i + 1, "image_id": numbers[path], "category_id": 1, "iscrowd": 0}
        keypoints = [value for x, y in points[i].tolist() for value in ((0, 0, 0) if x != x or y != y else (x, y, 2))]
        area = to_coco_area(np.nan if rows.areas is None else float(rows.areas[i]), bbox)
        row |= {"num_keypoints": counts[i], "keypoints": keypoints, "bbox": bbox, "area": area}
        row["initial_box"] = None if np.isnan(rows.boxes[i]).any() else to_coco_box(rows.boxes[i])
        if rows.torsos is not None:
            row["torso_box"] = None if np.isnan(rows.torsos[i]).any() else to_coco_box(rows.torsos[i])
        if rows.sticks is not None:
            row["sticks"] = rows.sticks[i].ravel().round(DECIMALS).tolist()
        if name != relative[path]:
            row["name"] = name
        annotations.append(row)
    write_document(file, rows.skeleton, images, annotations)


def write_document(
    file: Path, skeleton: Skeleton, images: Sequence[Mapping[str, Any]], annotations: Sequence[Mapping[str, Any]]
) -> None:
    """Write a COCO keypoint file, one record a line. Raises DeepPoseError where it cannot be written."""
    edges = [
        [skeleton.index(limb.start[0]) + 1, skeleton.index(limb.end[0]) + 1]
        for limb in skeleton.limbs
        if len(limb.start) == len(limb.end) == 1
    ]
    category = {"id": 1, "name": skeleton.name, "supercategory": skeleton.name}
    category |= {"keypoints": list(skeleton.joints), "skeleton": edges}
    parts = []
    for key, records in (("categories", [category]), ("images", images), ("annotations", annotations)):
        lines = ",\n".join(json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)
        parts.append(f'"{key}": [\n{lines}\n]')
    write_text(file, "{" + ",\n".join(parts) + "}\n")


def label_boxes(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K, 2) px → (N, 4) left, top, width, height of the labelled points, no side below 1; all 1 without any."""
    low, high = np.fmin.reduce(points, axis=1), np.fmax.reduce(points, axis=1)
    return np.nan_to_num(np.concatenate([low, np.maximum(high - low, 1)], axis=1), nan=1.0)


def to_coco_box(box: NDArray[np.float64]) -> list[float]:
    """Centre x, centre y, width, height → left, top, width, height, neither rounded to 0."""
    x, y, width, height = box.tolist()
    width, height = (max(value, 10**-DECIMALS) for value in (width, height))
    return [round(value, DECIMALS) for value in (x - width / 2, y - height / 2, width, height)]


def to_coco_area(area: float, bbox: Sequence[float]) -> float:
    """`area` px²; where it is NaN `BOX_AREA_SHARE` of the `bbox`."""
    return round(BOX_AREA_SHARE * bbox[2] * bbox[3] if np.isnan(area) else area, DECIMALS)


def is_plain_path(name: str) -> bool:
    """Whether a name leads, on every system, to a file below the folder that it is looked up in."""
    return _PLAIN.fullmatch(name) is not None and name.isprintable() and ".." not in name.split("/")


def _load(file: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(file.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise DeepPoseError(f"{file}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
        raise DeepPoseError(f"{file}: not a JSON file ({reason})") from None
    if not isinstance(document, dict):
        raise DeepPoseError(f"{file}: a {type(document).__name__}; valid: COCO's images, annotations and categories")
    return document


def _records(document: Mapping[str, Any], key: str, file: Path) -> Sequence[dict[str, Any]]:
    records = document.get(key)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        found = f"found: {', '.join(map(repr, list(document)[:8]))[:100] or 'nothing'}"
        raise DeepPoseError(f"{file}: {key!r} is no list of records; valid: COCO's keypoint format; {found}")
    return records


def _category(categories: Sequence[dict[str, Any]], wanted: str | None, file: Path) -> dict[str, Any]:
    """The category with keypoints."""
    usable = [row for row in categories if row.get("keypoints")]
    if wanted is not None:
        usable = [row for row in usable if row.get("name") == wanted]
    names = ", ".join(repr(row.get("name")) for row in categories)[:200] or "none"
    if not usable:
        which = "with keypoints" if wanted is None else f"{wanted!r} with keypoints"
        raise DeepPoseError(f"{file}: no category {which}; found: {names}")
    if len(usable) > 1:
        raise DeepPoseError(f"{file}: more than one category has keypoints; valid: --category with one of {names}")
    joints = usable[0]["keypoints"]
    if not isinstance(joints, list) or not all(isinstance(joint, str) for joint in joints):
        raise DeepPoseError(f"{file}: categories: keypoints {joints!r:.60}; valid: a list of names")
    return {"name": None, "id": None} | usable[0]


def _limbs(category: Mapping[str, Any], file: Path) -> tuple[tuple[int, int], ...]:
    edges, count = category.get("skeleton") or [], len(category["keypoints"])
    found = []
    for edge in edges if isinstance(edges, list) else [edges]:
        if not (isinstance(edge, list) and len(edge) == 2 and all(type(n) is int and 0 < n <= count for n in edge)):
            raise DeepPoseError(f"{file}: skeleton: {edge!r:.60}; valid: pairs of keypoint numbers, 1 to {count}")
        found.append((edge[0] - 1, edge[1] - 1))
    return tuple(found)


def _image_name(image: Mapping[str, Any], row: int, file: Path) -> str:
    name = image.get("file_name")
    if not isinstance(name, str) or not is_plain_path(name):
        valid = "a path below the folder of the images"
        raise DeepPoseError(f"{file}: image {row} (id {image.get('id')!r:.40}): file_name {name!r:.80}; valid: {valid}")
    if _hashable(image.get("id")) is None:
        raise DeepPoseError(f"{file}: image {row}: id {image.get('id')!r:.40}; valid: a number or text")
    return name


def _hashable(value: Any) -> int | str | None:
    return value if isinstance(value, int | str) else None


def _where(file: Path, row: Mapping[str, Any], number: int) -> str:
    return f"{file}: annotation {number} (id {row.get('id')!r:.40})"


def _numbers(rows: Sequence[Mapping[str, Any]], key: str, length: int, file: Path) -> NDArray[np.float64]:
    """(N, length) of a field that each row has."""
    lists = [row.get(key) for row in rows]
    try:
        values = np.array(lists, dtype=np.float64)
        if values.shape == (len(rows), length) or not rows:
            return values.reshape(len(rows), length)
    except (ValueError, TypeError, OverflowError):
        pass
    for number, (row, value) in enumerate(zip(rows, lists, strict=True)):
        where = f"{_where(file, row, number)}: {key}"
        if not isinstance(value, list):
            raise DeepPoseError(f"{where} is {value!r:.40}; valid: a list of {length} numbers")
        if len(value) != length:
            raise DeepPoseError(f"{where} has {len(value)} numbers; valid: {length}")
        for entry in value:
            if type(entry) not in (int, float) or abs(entry) > 1e300:
                raise DeepPoseError(f"{where} holds {entry!r:.40}; valid: numbers")
    raise DeepPoseError(f"{file}: {key}: not {length} numbers in each annotation")


def _boxes(rows: Sequence[Mapping[str, Any]], key: str, file: Path) -> NDArray[np.float64]:
    """(N, 4) centre x, centre y, width, height of a field with left, top, width, height; NaN where there is none."""
    none = [np.nan] * 4
    values = _numbers(
        [{key: none if row.get(key) is None else row[key], "id": row.get("id")} for row in rows], key, 4, file
    )
    _check_within(values[:, None], rows, key, file)
    if (bad := np.flatnonzero((values[:, 2:] <= 0).any(1))).size:
        where = _where(file, rows[bad[0]], int(bad[0]))
        raise DeepPoseError(f"{where}: {key} {rows[bad[0]][key]!r:.60}; valid: width and height above 0")
    return np.concatenate([values[:, :2] + values[:, 2:] / 2, values[:, 2:]], axis=1)


def _check_within(values: NDArray[np.float64], rows: Sequence[Mapping[str, Any]], key: str, file: Path) -> None:
    bad = np.isinf(values) | (np.abs(np.nan_to_num(values)) > MAX_COORDINATE)
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise DeepPoseError(f"{_where(file, rows[row], row)}: {key}: {values[bad][0]:g}; valid: {WITHIN}")


def find_missing(folder: Path, names: Iterable[str]) -> list[str]:
    """Names of files below the folder that are not there, in order; each of its folders is listed once."""
    unique = set(names)
    there: set[str] = set()
    for parent in {name.rpartition("/")[0] for name in unique}:
        prefix = f"{parent}/" if parent else ""
        with suppress(OSError):
            there.update(f"{prefix}{name}" for name in os.listdir(folder / parent))
    return sorted(unique - there)
