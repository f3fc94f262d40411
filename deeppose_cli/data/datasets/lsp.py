"""Leeds Sports Pose (LSP) and its extension (LSPET): whole bodies in sports.

On disk, as `deeppose data prepare lsp` leaves it:

    <data root>/lsp/
        lsp/    images/im0001.jpg … im2000.jpg      joints.mat: (3, 14, 2000) x, y, flag
        lspet/  images/im00001.jpg … im10000.jpg    joints.mat: (14, 3, 10000) x, y, flag      (if it was given)

Splits: LSP 1..1000 is training, a fifth of it (drawn with a fixed seed) validation; LSP 1001..2000 is the test; all of
LSPET is training.

Converted: MATLAB's 1-based coordinates to 0-based. Sides are the person's in the files already. LSP's flag says
*occluded*, although its README calls it visibility: every joint is labelled. LSPET's flag says *labelled*: where
it is 0 a placeholder stands in the file, NaN here.

Sources: S. Johnson, M. Everingham: Clustered Pose and Nonlinear Appearance Models for Human Pose Estimation, BMVC 2010
(LSP); Learning Effective Human Pose Estimation from Inaccurate Annotation, CVPR 2011 (LSPET; labels by crowd workers,
noisy). Terms: the images are Flickr users' and stay theirs; the sets were published for research, with the request to
cite these papers. Nothing of them is part of this project.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.progress import Progress
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets.spec import MAX_COORDINATE, DatasetSpec
from deeppose_cli.data.datasets.splits import split_rows
from deeppose_cli.data.prepare.archives import unpack
from deeppose_cli.data.prepare.matfile import read_array
from deeppose_cli.data.prepare.unpack import Listed, Plan, Unpacked, how_to_prepare, put

VALIDATION_SHARE = 0.2
"""Of LSP's own training images: validation looks like the test, which LSPET does not."""
EXTENSION_MARGIN = 1.35
"""LSPET training boxes in units of the joints' tight box, so that its people are as large in the crop as LSP's in their
images: there the longer side is 1.32 times the person's in the median, 1.2 to 1.6 in 90 of 100 images."""

_LAYOUTS = ((3, len(LSP14)), (len(LSP14), 3))
_IMAGE = re.compile(r"im\d+\.(?:jpg|png)")
_NEEDED = re.compile(
    r"(?P<base>(?:.*/)?)"
    r"(?:(?P<image>images/im(?P<number>\d+)\.(?:jpg|png))|(?P<labels>joints\.mat)|(?P<readme>README(?:\.\w+)?))"
)
_GET = "deeppose data prepare lsp --from lsp_dataset.zip [--from lspet_dataset.zip]"


@dataclass(frozen=True)
class Release:
    """One of the two archives, by what tells it from the other."""

    name: str
    count: int
    """Images, numbered from 1; as many records in joints.mat."""
    digits: int
    """Width of the number in an image's name."""

    def stem(self, row: int) -> str:
        return f"im{row + 1:0{self.digits}d}"


RELEASES = (Release("lsp", 2000, 4), Release("lspet", 10000, 5))


@dataclass(frozen=True)
class PrepareReport:
    """What a `prepare` put in place."""

    folder: Path
    images: dict[str, int] = field(default_factory=dict)
    """By release: how many images are now there."""


def read_joints(folder: Path, expected: int | None = None) -> NDArray[np.float64]:
    """`<folder>/joints.mat` → (N, 14, 3): x, y in 0-based px and the file's own flag, joints in LSP14's order.

    Both layouts are read: (3, 14, N), as in LSP, and (14, 3, N), as in LSPET. With `expected`, N must be that. Raises
    DeepPoseError that names the file, and the record and field of a value that cannot be right.
    """
    file = folder / "joints.mat"
    if not file.is_file():
        raise DeepPoseError(f"{file}: no such file; type: {_GET}")
    return _parse_joints(file, str(file), expected)


def read(data_root: Path, releases: Sequence[Release] = RELEASES) -> dict[str, Annotations]:
    """{"train", "validation", "test"}. No image is decoded; that each is there is checked.

    `boxes`: NaN (the full image) for LSP, whose images are cut around the person. For LSPET the square around the
    labelled joints, as there the person may be a small part of the image and is seldom alone. That box is made from
    the labels, hence good for training only; all of LSPET is training.
    Raises DeepPoseError where the set, an image or a label is missing or cannot be right.
    """
    lsp, lspet = releases
    folder = data_root / "lsp"
    if not (folder / lsp.name).is_dir():
        raise DeepPoseError(
            f"lsp is not in {folder}; type: {how_to_prepare(_GET, data_root)}; without --from it is downloaded"
        )
    first = _read_release(folder / lsp.name, lsp, data_root)
    half = lsp.count // 2
    train, validation = split_rows(half, VALIDATION_SHARE)
    parts = [first.take(train)]
    if (folder / lspet.name).is_dir():
        parts.append(_read_release(folder / lspet.name, lspet, data_root, flag_is_label=True))
    return {
        "train": Annotations.join(parts),
        "validation": first.take(validation),
        "test": first.take(np.arange(half, lsp.count)),
    }


def prepare(
    sources: Sequence[Path],
    data_root: Path,
    progress: Progress | None = None,
    releases: Sequence[Release] = RELEASES,
) -> PrepareReport:
    """Put LSP, LSPET or both from archives or extracted folders into `<data root>/lsp`.

    A release may come in several sources (LSPET in two archives), and a source may hold both. Which is which shows in
    the width of the images' numbers; leading folders do not matter. Everything is unpacked beside its place and
    checked before anything is replaced; on any failure what was there stays. Raises DeepPoseError, one line, for
    sources that do not hold a release whole, and UsageError where none is given.
    """
    if not sources:
        raise UsageError(f"--from: lsp needs its archives; type: {how_to_prepare(_GET, data_root)}")
    folder = data_root / "lsp"

    def validate(unpacked: Unpacked) -> None:
        for release in releases:
            if (unpacked.folder / release.name).is_dir():
                _validate(unpacked, release)

    names = put(sources, folder, lambda listed, temporary: _plan(listed, temporary, releases), validate, progress)
    return PrepareReport(folder, {release.name: release.count for release in releases if release.name in names})


def _parse_joints(file: Path, shown: str, expected: int | None = None) -> NDArray[np.float64]:
    """See `read_joints`; errors call the file `shown`."""
    raw = read_array(file, "joints", shown)
    if raw.shape[:2] not in _LAYOUTS or raw.ndim > 3:
        raise DeepPoseError(
            f"{shown}: joints has shape {raw.shape}; valid: (3, 14, N) as in LSP, (14, 3, N) as in LSPET"
        )
    raw = raw.reshape(*raw.shape[:2], -1)  # MATLAB drops a last axis of length 1
    records = raw.transpose(2, 0, 1) if raw.shape[0] == len(LSP14) else raw.transpose(2, 1, 0)
    if not len(records) or (expected is not None and len(records) != expected):
        raise DeepPoseError(f"{shown}: joints has {len(records)} records; valid: {expected or 'at least 1'}")
    joints = np.ascontiguousarray(records, dtype=np.float64)
    _check_values(joints, shown)
    joints[..., :2] -= 1
    return joints


def _check_values(joints: NDArray[np.float64], shown: str) -> None:
    """`joints` (N, 14, 3) still as in the file."""
    not_a_flag = np.zeros(joints.shape, dtype=bool)
    not_a_flag[..., 2] = (joints[..., 2] != 0) & (joints[..., 2] != 1)
    for bad, valid in (
        (~np.isfinite(joints), "finite numbers"),
        (np.abs(joints) > MAX_COORDINATE, f"within ±{MAX_COORDINATE:.0f} px"),
        (not_a_flag, "0 or 1"),
    ):
        if bad.any():
            record, joint, value = np.argwhere(bad)[0]
            raise DeepPoseError(
                f"{shown}: record {record + 1}, {LSP14.joints[joint]}, {('x', 'y', 'flag')[value]} is "
                f"{joints[record, joint, value]:g}; valid: {valid}"
            )


def _read_release(folder: Path, release: Release, data_root: Path, flag_is_label: bool = False) -> Annotations:
    joints = read_joints(folder, release.count)
    files, missing = _images(folder / "images", release)
    if missing:
        raise DeepPoseError(
            f"{folder / 'images' / missing[0]}.jpg: no such file ({len(missing)} of {release.count} images missing); "
            f"type: {how_to_prepare(_GET, data_root)}"
        )
    points = joints[..., :2]
    boxes = np.full((release.count, 4), np.nan)
    if flag_is_label:
        points = np.where(joints[..., 2:] == 1, points, np.nan)
        boxes = _person_boxes(points)
    return Annotations(LSP14, files, points, boxes, tuple(file.name for file in files))


def _images(images: Path, release: Release) -> tuple[tuple[Path, ...], list[str]]:
    """(the image files that are there, by number; the stems of those that are not). One look into the folder."""
    try:
        with os.scandir(images) as entries:
            names = {entry.name.rpartition(".")[0]: entry.name for entry in entries if _IMAGE.fullmatch(entry.name)}
    except OSError:
        names = {}
    stems = [release.stem(row) for row in range(release.count)]
    return tuple(images / names[stem] for stem in stems if stem in names), [s for s in stems if s not in names]


def _person_boxes(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K, 2) px → (N, 4) squares, EXTENSION_MARGIN wider than the labelled joints; NaN where they have no extent."""
    labelled = ~np.isnan(points)
    low = np.where(labelled, points, np.inf).min(1)
    high = np.where(labelled, points, -np.inf).max(1)
    side = (high - low).max(-1) * EXTENSION_MARGIN
    boxes = np.full((len(points), 4), np.nan)
    some = side > 0
    boxes[some, :2] = (low[some] + high[some]) / 2
    boxes[some, 2:] = side[some, None]
    return boxes


def _plan(listed: Listed, temporary: Path, releases: Sequence[Release]) -> Plan:
    """Which member of which source goes where: `<temporary>/<release>/images/im….jpg`, `joints.mat`, `README`."""
    plan: Plan = {}
    origin: dict[Path, Path] = {}
    for source, names in listed:
        plan[source] = {}
        for group in _groups(names):
            release = _recognise(source, group, temporary, releases)
            if release is None:
                continue
            for match in group:
                if match["image"] and not _belongs(match, release):
                    continue
                target = temporary / release.name / match[0][len(match["base"]) :]
                # The number alone decides, so that im0001.jpg and im0001.png cannot both be record 1.
                place = target.with_suffix("")
                if place in origin and not match["readme"]:
                    raise DeepPoseError(f"{source}: {match[0]!r} is in {origin[place]} already; give each archive once")
                if place not in origin:
                    plan[source][match[0]] = target
                    origin[place] = source
        if not plan[source]:
            raise DeepPoseError(
                f"{source}: holds neither LSP (joints.mat, images/im0001.jpg …) nor LSPET (…, images/im00001.jpg …)"
            )
    return plan


def _groups(names: Sequence[str]) -> list[list[re.Match[str]]]:
    """The members that are needed, those of one leading folder together."""
    groups: dict[str, list[re.Match[str]]] = {}
    for name in names:
        if match := _NEEDED.fullmatch(name):
            groups.setdefault(match["base"], []).append(match)
    return list(groups.values())


def _belongs(match: re.Match[str], release: Release) -> bool:
    return len(match["number"]) == release.digits and 1 <= int(match["number"]) <= release.count


def _recognise(
    source: Path, group: Sequence[re.Match[str]], temporary: Path, releases: Sequence[Release]
) -> Release | None:
    """By the images' names; where labels came without images, by the number of records."""
    images = [match for match in group if match["image"]]
    for release in releases:
        if any(_belongs(match, release) for match in images):
            return release
    labels = [match[0] for match in group if match["labels"]]
    if not labels:
        return None
    look = temporary / "labels" / "joints.mat"
    look.unlink(missing_ok=True)
    unpack(source, {labels[0]: look})
    records = len(_parse_joints(look, f"{source}: {labels[0]}"))
    for release in releases:
        if records == release.count:
            return release
    valid = ", ".join(f"{release.count} ({release.name})" for release in releases)
    raise DeepPoseError(f"{source}: {labels[0]} has {records} records; valid: {valid}")


def _validate(unpacked: Unpacked, release: Release) -> None:
    """Raises DeepPoseError, naming the sources, where the unpacked release is not whole."""
    folder = unpacked.folder / release.name
    sources = unpacked.sources(folder)
    together = "a set that comes in several archives needs all of them at once: --from PART1 --from PART2"
    labels = folder / "joints.mat"
    if not labels.is_file():
        raise DeepPoseError(f"{sources}: {release.name} has no joints.mat; {together}")
    _parse_joints(labels, unpacked.shown(labels), release.count)
    _, missing = _images(folder / "images", release)
    if missing:
        raise DeepPoseError(
            f"{sources}: {len(missing)} of {release.count} {release.name} images are missing, "
            f"the first is images/{missing[0]}.jpg; {together}"
        )


LSP = DatasetSpec(
    name="lsp",
    title="Leeds Sports Pose: 2,000 sports people, whole body; with LSPET 10,000 more to train on",
    skeleton=LSP14,
    preset="small",
    sigma=2.0,
    initial_box="image",
    conventions="1-based in the files, 0-based here; sides are the person's; flag: LSP occluded, LSPET labelled",
    how_to_get=f"archives from sam.johnson.io/research/lsp.html and lspet.html; type: {_GET}",
    read=read,
    image_order="by number: test im1001.jpg … im2000.jpg; train and validation im0001.jpg … im1000.jpg, then LSPET",
)
