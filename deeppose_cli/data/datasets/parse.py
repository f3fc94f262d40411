"""Image Parse: whole bodies in 305 snapshots of sports and everyday life. For evaluation only.

On disk, as `deeppose data prepare parse` leaves it:

    <data root>/parse/
        dataset.yaml
        annotations/train.json, validation.json, test.json    made of labels.mat: ptsAll (14, 2, 305)
        images/train/im0001.jpg … im0100.jpg
        images/test/im0101.jpg … im0305.jpg

An archive may hold one of the two parts, its ptsAll then the labels of that part or of all 305. The other part may come
later, or never: its split is empty.

Splits, the paper's own: im0001 … im0100 is training, im0101 … im0305 the test, in this order. There is no validation.

Converted: MATLAB's 1-based coordinates to 0-based. The file's left and right are the IMAGE's: in 95 of 100 images the
left shoulder is further left. As people face the camera, the image's left is the person's right: each joint takes the
name of its mirror partner, which puts the file's order into LSP's. People seen from behind, whom nobody marked, so have
the wrong sides. Every joint is labelled; there are no flags and no boxes: the initial box is the full image, as on LSP.

Source: D. Ramanan: Learning to Parse Images of Articulated Bodies, NIPS 2006. Terms: the images stay their
owners'; the set was published for research, with the request to cite the paper. Nothing of it is part of this
project.
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
from deeppose_cli.data.datasets.splits import Splits, in_splits
from deeppose_cli.data.prepare.download import Archive
from deeppose_cli.data.prepare.matlab import read_array, require

FILE_JOINTS = tuple(LSP14.joints[partner] for partner in LSP14.mirror)
"""Rows of `ptsAll`, with the sides of the image: LSP's order with left and right exchanged. The release calls the neck
the head's bottom."""
_LABELS = "labels.mat"
_MEMBER = re.compile(r"(?P<base>(?:.*/)?)(?P<file>im(?P<number>\d{4})\.jpg|labels\.mat)")


def read_labels(file: Path, shown: str) -> NDArray[np.float64]:
    """`labels.mat` → (N, 14, 2) 0-based px, joints in LSP14's order, sides the person's.

    Raises DeepPoseError that calls the file `shown` and names the record and field of a value that cannot be right.
    """
    points = read_array(file, "ptsAll", shown, [(len(FILE_JOINTS), 2)]).transpose(2, 0, 1).astype(np.float64)
    names = ([f"{joint} (row {row})" for row, joint in enumerate(FILE_JOINTS, 1)], "xy")
    require(np.abs(points) <= MAX_COORDINATE, points, WITHIN, shown, names)
    return points - 1


def convert(files: Sequence[Path], shown: Sequence[str], numbers: range, split: str, total: int) -> Splits:
    """The images of these numbers, of a file that holds their labels alone or those of all."""
    points = read_labels(files[0], shown[0])
    if len(points) == total:
        points = points[numbers.start - 1 : numbers.stop - 1]
    if len(points) != len(numbers):
        valid = f"{total} (all) or {len(numbers)}"
        raise DeepPoseError(f"{shown[0]}: ptsAll has {len(points)} records; valid: {valid}")
    rows = make_rows(LSP14, [f"im{number:04d}.jpg" for number in numbers], points)
    return in_splits(rows, **{split: range(len(numbers))})


def choose(source: Path, names: Sequence[str], parts: Mapping[str, range]) -> Mapping[str, Sequence[str]]:
    """Which members are needed: a `labels.mat` and the images beside it, which are of a part by their numbers."""
    matches = [match for name in names if (match := _MEMBER.fullmatch(name))]
    places: dict[str, list[str]] = {}
    for base in sorted({match["base"] for match in matches if match["file"] == _LABELS}):
        images = {match["file"]: int(match["number"]) for match in matches if match["base"] == base and match["number"]}
        for part, numbers in parts.items():
            own = [file for file, number in images.items() if number in numbers]
            # A source without images has labels of a part whose images are missing: that is reported.
            for file in [*own, _LABELS] if own or not images else ():
                places.setdefault(f"{base}{file}", []).append(f"{part}/{file}")
    return places


def parse_dataset(train: int = 100, total: int = 305) -> DatasetSpec:
    """The set, by the numbers of its last training image and of its last."""
    numbers = {"train": range(1, train + 1), "test": range(train + 1, total + 1)}
    spec = DatasetSpec(
        name="parse",
        title="Image Parse: 305 people in snapshots, whole body",
        skeleton=LSP14,
        preset="small",
        sigma=2.0,
        initial_box="image",
        conventions="1-based in the files, 0-based here; sides are the image's in the files, swapped here to the "
        "person's, as people face the camera (95 of 100 do); the file's rows, so renamed, are in the order of the "
        "joints here",
        image_order="by number: train im0001 … im0100, test im0101 … im0305",
        licence="images of their owners; published for research, with the request to cite the paper",
        citation="Ramanan: Learning to Parse Images of Articulated Bodies, NIPS 2006",
        how_to_get="people.zip from Deva Ramanan's page of the NIPS 2006 paper (www.ics.uci.edu/~dramanan); type: "
        "deeppose data prepare parse --from people.zip",
        # The author's page, with this file name: OpenCV's documentation of its `datasets` module (hpe_parse).
        archives=(Archive("http://www.ics.uci.edu/~dramanan/papers/parse/people.zip", part="test"),),
        evaluation_only=True,
    )
    release = Release(
        parts={
            split: Part((_LABELS,), partial(convert, numbers=own, split=split, total=total), split)
            for split, own in numbers.items()
        },
        choose=partial(choose, parts=numbers),
        content="Image Parse (people_all/labels.mat, people_all/im0001.jpg …)",
    )
    return public_dataset(spec, release)


PARSE = parse_dataset()
