"""A user's own labelled images as a data set: `deeppose data add` and `deeppose data remove`.

<data root>/<name>/ then has the one form of every set (see coco.py, spec.py). Its images are links to the user's files,
or copies of them.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import DATA_ROOT
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.files import writing
from deeppose_cli.core.skeleton import BOX, OPPOSING, Limb, Skeleton, split_side
from deeppose_cli.data.datasets.coco import DECIMALS, label_boxes, to_coco_area, to_coco_box, write_document
from deeppose_cli.data.datasets.formats.labels import LabelFile
from deeppose_cli.data.datasets.formats.reader import read_labels
from deeppose_cli.data.datasets.registry import DATASETS
from deeppose_cli.data.datasets.release import describe_source, unique_names
from deeppose_cli.data.datasets.spec import DATASET_FILE, IMAGES, DatasetSpec, annotation_file, write_spec
from deeppose_cli.data.datasets.splits import SPLITS, split_groups
from deeppose_cli.data.prepare.archives import replace_folder, staging

SplitBy = Literal["image", "folder", "video"]
InitialBox = Literal["image", "labels"]
MARGIN, LEAST_MARGIN = 0.15, 8.0
"""On each side of the box around the labels: a share of its longer side, and px."""
SIGMA_OF_PAIR, SIGMA_OF_BOX = 2.0, 0.6
"""σ where poses are measured by two keypoints (the paper's, on LSP), and by the diagonal of their box, which on LSP is
about three times as long."""
MOST_OUTSIDE = 0.05
"""Share of the labels that may be outside of their images: more are labels of images of another size."""
FARTHEST_OUTSIDE = 0.5
"""How far outside a label may be, in units of the image's longer side."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FRAME_NUMBER = re.compile(r"[ _.-]*\d+$")


@dataclass(frozen=True)
class AddedDataset:
    """What was added."""

    spec: DatasetSpec
    folder: Path
    counts: Mapping[str, tuple[int, int]]
    """Split → images, labelled people."""
    crowds: int
    unlabelled: int
    """People who were left out: as they are a crowd, or as none of their keypoints is labelled."""
    outside: int
    """Labels outside of their image. They are kept."""


def add_dataset(
    name: str,
    annotations: Sequence[Path] = (),
    *,
    train: Path | None = None,
    validation: Path | None = None,
    test: Path | None = None,
    images: Path | None = None,
    validation_share: float = 0.15,
    test_share: float = 0.0,
    split_by: SplitBy = "image",
    copy: bool = False,
    joints: Sequence[str] = (),
    mirror: Sequence[str] = (),
    scale_by: str | None = None,
    box: InitialBox | None = None,
    category: str | None = None,
    title: str | None = None,
    overwrite: bool = False,
    data_root: Path = DATA_ROOT,
) -> AddedDataset:
    """Add labelled images as the data set `<data root>/<name>`.

    Args:
        name: Of the new set: small letters, digits, `-` and `_`.
        annotations: Files of labels, whose people are divided into splits: COCO keypoint .json, MPII's .json, .csv of
            DeepLabCut or Lightning Pose, or the data.yaml of a YOLO-pose set, which has its own splits.
        train: The training people, in place of `annotations`.
        validation: The validation people; without it a share of the training people.
        test: The test people.
        images: Folder of the images. Default: COCO: the file's, or `images` in it; .csv: the file's, or the project's;
            data.yaml: its `path`.
        validation_share: Share of the people that become validation.
        test_share: Share of the people that become test.
        split_by: What stays together: people of one image, of one folder, or of one video (images of one folder whose
            names differ in their last number).
        copy: Copy the images. Default: relative symbolic links.
        joints: Names of the keypoints of a data.yaml without `kpt_names`. Default: joint_1, joint_2, …
        mirror: `a:b`, keypoints that change places in a mirrored image. Default: the file's, else by the sides in their
            names.
        scale_by: `a:b`, the keypoints whose distance is the unit of scores and crops, or `box`.
        box: The initial box, in place of the file's: `image`, or `labels`, the box around the keypoints, wider by
            `MARGIN`. Default, for a file without boxes: `image`; `labels` where an image shows more than one person.
        category: The category, where more than one has keypoints.
        title: One line about the set.
        overwrite: Replace a set of that name.
        data_root: Where data sets lie.

    Raises:
        UsageError: A flag that cannot be right.
        DeepPoseError: One line that names the file, the record and the field of what cannot be right. Nothing is added.
    """
    _check_name(name)
    folder = data_root / name
    if folder.exists() and not (overwrite and (folder / DATASET_FILE).is_file()):
        raise UsageError(f"NAME {name}: {folder} is there already; --overwrite replaces a data set")
    for flag, share in (("--validation-share", validation_share), ("--test-share", test_share)):
        if not 0 <= share < 1:
            raise UsageError(f"{flag} {share:g}: valid: 0 or more, below 1")
    if title is not None and not title.isprintable():
        raise UsageError(f"--title {title!r:.60}: valid: one line of text")
    given = {"train": train, "validation": validation, "test": test}
    files: list[tuple[str | None, Path]] = [(split, file) for split, file in given.items() if file is not None]
    if bool(annotations) == bool(files):
        raise UsageError("--annotations: needed, or --train with --validation and --test, not both")
    if files and train is None:
        raise UsageError("--train: needed beside --validation and --test")
    files = files or [(None, file) for file in annotations]
    sources = [part for split, file in files for part in read_labels(file, split, images, category, joints)]
    for source in sources:
        if not source.names:
            raise DeepPoseError(f"{source.file}: {source.split or 'its labels'}: nobody has a labelled keypoint")
        if source.joints != sources[0].joints:
            raise DeepPoseError(f"{source.file}: its keypoints are not those of {sources[0].file}")
    skeleton = _skeleton(name, sources[0], mirror, scale_by)
    outside = sum(_check_sizes(source) for source in sources)
    sources = _initial_boxes(sources, box)
    prefixes = _prefixes(sources)
    rows = _divide(sources, prefixes, split_by, validation_share, test_share)
    has_boxes = any(~np.isnan(source.boxes).any(-1).all() for source in sources)
    spec = DatasetSpec(
        name=name,
        title=title or f"{name}: {len(skeleton)} keypoints",
        skeleton=skeleton,
        sigma=SIGMA_OF_BOX if skeleton.scale_by is None else SIGMA_OF_PAIR,
        initial_box="own" if has_boxes else "image",
        sources=tuple(describe_source(file) for file in dict.fromkeys(source.file for source in sources)),
    )
    counts = {}
    with staging(folder) as new:
        for source, prefix in zip(sources, prefixes, strict=True):
            _place_images(source, prefix, new / IMAGES, copy)
        for split in SPLITS:
            parts = zip(sources, prefixes, rows, strict=True)
            chosen = [(source, prefix, row) for source, prefix, splits in parts for row in splits[split]]
            counts[split] = _write_split(annotation_file(new, split), skeleton, chosen)
        write_spec(spec, new)
        replace_folder(new, folder)
    crowds, unlabelled = (sum(getattr(source, what) for source in sources) for what in ("crowds", "unlabelled"))
    return AddedDataset(spec, folder, counts, crowds, unlabelled, outside)


def remove_dataset(name: str, *, data_root: Path = DATA_ROOT) -> Path:
    """Delete a data set's folder; files that its images are links to stay. Returns the folder.

    Raises UsageError where the folder holds no data set.
    """
    folder = data_root / name
    if Path(name).name != name or folder.is_symlink() or not (folder / DATASET_FILE).is_file():
        raise UsageError(f"NAME {name}: {folder} holds no data set (no {DATASET_FILE} in it)")
    with staging(folder) as temporary, writing(folder):
        os.replace(folder, temporary / name)
    return folder


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"NAME {name!r:.80}: valid: 1 to 64 small letters, digits, - and _")
    if name in DATASETS:
        raise UsageError(f"NAME {name}: a public data set; take another name, or type: deeppose data prepare {name}")


def _initial_boxes(sources: Sequence[LabelFile], box: InitialBox | None) -> list[LabelFile]:
    """The sources with the boxes that were chosen."""
    if box is None:
        several = any(len(set(source.file_names)) < len(source.names) for source in sources)
        if not several or not all(np.isnan(source.boxes).any(-1).all() for source in sources):
            return list(sources)
        box = "labels"
    return [
        replace(source, boxes=np.full_like(source.boxes, np.nan) if box == "image" else _wide_boxes(source.keypoints))
        for source in sources
    ]


def _wide_boxes(keypoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K, 2) px → (N, 4) centre x, centre y, width, height: the labels' box, wider by `MARGIN`."""
    boxes = label_boxes(keypoints)
    margin = np.maximum(MARGIN * boxes[:, 2:].max(1, keepdims=True), LEAST_MARGIN)
    return np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:] + 2 * margin], axis=1)


def _prefixes(sources: Sequence[LabelFile]) -> list[str]:
    """Folder of each source's images below the set's folder of images, where two images would have one name."""
    places: dict[str, Path] = {}
    if all(places.setdefault(name, path) == path for source in sources for name, path in source.images.items()):
        return [""] * len(sources)
    stems = [re.sub(r"[^\w-]", "_", source.file.stem) for source in sources]
    return [f"{stem}/" for stem in unique_names(stems)]


def _skeleton(name: str, labels: LabelFile, mirror: Sequence[str], scale_by: str | None) -> Skeleton:
    joints = labels.joints
    limbs: list[Limb] = []
    for start, end in ((joints[start], joints[end]) for start, end in labels.limbs):
        kind, reverse = (f"{split_side(a)[1]}-{split_side(b)[1]}" for a, b in ((start, end), (end, start)))
        if any(limb.kind == reverse for limb in limbs):  # the other side's limb has its ends the other way round
            kind, start, end = reverse, end, start
        limbs.append(Limb(kind, (start,), (end,)))
    scale = OPPOSING if scale_by is None and set(OPPOSING) <= set(joints) else None
    if scale_by not in (None, BOX):
        scale = _pair("--scale-by", str(scale_by), joints)
    pairs = tuple(_pair("--mirror", text, joints) for text in mirror) or labels.mirror
    try:
        return Skeleton.from_mapping(Skeleton(name, joints, tuple(limbs), scale, pairs).to_mapping())
    except ValueError as error:
        raise DeepPoseError(f"{labels.file}: {error}") from None


def _pair(flag: str, text: str, joints: Sequence[str]) -> tuple[str, str]:
    first, _, second = text.partition(":")
    if first not in joints or second not in joints or first == second:
        valid = "two keypoints as a:b" + (f", or {BOX}" if flag == "--scale-by" else "")
        raise UsageError(f"{flag} {text}: valid: {valid}, of {', '.join(joints)}")
    return first, second


def _check_sizes(labels: LabelFile) -> int:
    """How many labels are outside of their image. Raises DeepPoseError where they cannot be labels of these images."""
    sizes = labels.sizes
    size = np.array([sizes[name] for name in labels.file_names], dtype=float)[:, None]
    beyond = np.maximum(-0.5 - labels.keypoints, labels.keypoints - (size - 0.5))
    far = np.nan_to_num(beyond).max((1, 2)) > FARTHEST_OUTSIDE * size.max((1, 2))
    outside = np.nan_to_num(beyond).max(-1) > 0
    count, total = int(outside.sum()), int((labels.visibility > 0).sum())
    if far.any() or count > MOST_OUTSIDE * total:
        row = int(np.argmax(far)) if far.any() else int(np.argmax(outside.any(1)))
        joint = labels.joints[int(np.argmax(np.nan_to_num(beyond[row]).max(-1)))]
        width, height = sizes[labels.file_names[row]]
        raise DeepPoseError(
            f"{labels.file}: image {labels.file_names[row]}: {joint} is outside of it ({width} × {height} px), as are "
            f"{count} of {total} labels; are they labels of images of another size?"
        )
    return count


def _divide(
    sources: Sequence[LabelFile], prefixes: Sequence[str], by: SplitBy, validation: float, test: float
) -> list[dict[str, list[int]]]:
    """The rows of each source by split."""
    rows = [{split: list[int]() for split in SPLITS} for _ in sources]
    shares = {"validation": validation, "test": test}
    for number, source in enumerate(sources):
        if source.split is not None:
            rows[number][source.split] = list(range(len(source.names)))
    has = {source.split for source in sources}
    divided = [number for number, source in enumerate(sources) if source.split in (None, "train")]
    places = [(number, row) for number in divided for row in range(len(sources[number].names))]
    groups = [_group(f"{prefixes[number]}{sources[number].file_names[row]}", by) for number, row in places]
    left = np.arange(len(places))
    for split, share in shares.items():
        if not share or split in has:
            continue
        ids = np.unique(np.array(groups)[left], return_inverse=True)[1]
        kept, taken = split_groups(ids, share * len(places) / len(left))
        if not len(taken) and len(sizes := np.bincount(ids)) > 1:  # each is too large: better one than none
            is_taken = ids == sizes.argmin()
            kept, taken = np.flatnonzero(~is_taken), np.flatnonzero(is_taken)
        for number, row in (places[i] for i in left[taken]):
            rows[number][split].append(row)
        left = left[kept]
    for number in divided:
        rows[number]["train"] = []
    for number, row in (places[i] for i in left):
        rows[number]["train"].append(row)
    for split in ("train", "validation"):
        if not any(part[split] for part in rows):
            flag = f"--{split}: nobody is in this split"
            raise UsageError(f"{flag}; valid: another --validation-share, or --split-by image")
    return rows


def _group(file_name: str, by: SplitBy) -> str:
    folder = file_name.rpartition("/")[0]
    if by == "folder":
        return folder
    return file_name if by == "image" else _FRAME_NUMBER.sub("", file_name.rpartition(".")[0])


def _place_images(source: LabelFile, prefix: str, folder: Path, copy: bool) -> None:
    for name, file in source.images.items():
        target = folder / f"{prefix}{name}"
        if os.path.lexists(target):  # another source has the same image
            continue
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not copy:
                try:
                    target.symlink_to(os.path.relpath(os.path.realpath(file), os.path.realpath(target.parent)))
                    continue
                except (OSError, ValueError, NotImplementedError):
                    pass  # the system has no links here: the image is copied
            shutil.copyfile(file, target)


def _write_split(file: Path, skeleton: Skeleton, chosen: Sequence[tuple[LabelFile, str, int]]) -> tuple[int, int]:
    """Write a split; (images, people) in it."""
    file_names = [f"{prefix}{source.file_names[row]}" for source, prefix, row in chosen]
    names = unique_names([_name(*place) for place in chosen])
    images: dict[str, dict[str, Any]] = {}
    people = []
    for number, (source, _, row) in enumerate(chosen, 1):
        file_name = file_names[number - 1]
        if file_name not in images:
            width, height = source.sizes[source.file_names[row]]
            images[file_name] = {"id": len(images) + 1, "file_name": file_name, "width": width, "height": height}
        person: dict[str, Any] = {"id": number, "image_id": images[file_name]["id"], "category_id": 1, "iscrowd": 0}
        flags = source.visibility[row].tolist()
        values = zip(np.nan_to_num(source.keypoints[row]).tolist(), flags, strict=True)
        person["num_keypoints"] = sum(flag > 0 for flag in flags)
        person["keypoints"] = [value for (x, y), flag in values for value in (x, y, int(flag))]
        if np.isnan(source.boxes[row]).any():
            person["initial_box"] = None
            person["bbox"] = label_boxes(source.keypoints[[row]])[0].round(DECIMALS).tolist()
        else:
            person["bbox"] = to_coco_box(source.boxes[row])
        person["area"] = to_coco_area(float(source.areas[row]), person["bbox"])
        if names[number - 1] != file_name:
            person["name"] = names[number - 1]
        people.append(person)
    write_document(file, skeleton, list(images.values()), people)
    return len(images), len(people)


def _name(source: LabelFile, prefix: str, row: int) -> str:
    """The example's own name; else its image's, below the set's folder of images."""
    name, file_name = source.names[row], source.file_names[row]
    return f"{prefix}{file_name}" if name == file_name else name
