"""Image Parse: whole bodies in 305 snapshots of sports and everyday life. For evaluation only.

On disk, as `deeppose data prepare parse` leaves it:

    <data root>/parse/
        people_all/      labels.npz, made of labels.mat: ptsAll (14, 2, 305)     im0001.jpg … im0305.jpg

or, where the archives hold a part each (the other part may come later, or never):

        people_train/    the same, made of ptsAll (14, 2, 100 or 305)            im0001.jpg … im0100.jpg
        people_test/     the same, made of ptsAll (14, 2, 205 or 305)            im0101.jpg … im0305.jpg

Where `people_all` is there, it is what is read. A split that is not there is empty.

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
from deeppose_cli.data.datasets.prepared import Part, PublicSet, Splits, in_splits, join_parts, make_rows
from deeppose_cli.data.datasets.spec import MAX_COORDINATE, WITHIN, DatasetSpec
from deeppose_cli.data.prepare.download import Archive
from deeppose_cli.data.prepare.matlab import read_array, require

FILE_JOINTS = tuple(LSP14.joints[partner] for partner in LSP14.mirror)
"""Rows of `ptsAll`, with the sides of the image: LSP's order with left and right exchanged. The release calls the neck
the head's bottom."""
_WHOLE, _TRAIN, _TEST = "people_all", "people_train", "people_test"
_MEMBER = re.compile(r"(?P<base>(?:.*/)?)(?P<file>im(?P<number>\d{4})\.jpg|labels\.mat)")


def read_labels(file: Path, shown: str) -> NDArray[np.float64]:
    """`labels.mat` → (N, 14, 2) 0-based px, joints in LSP14's order, sides the person's.

    Raises DeepPoseError that calls the file `shown` and names the record and field of a value that cannot be right.
    """
    points = read_array(file, "ptsAll", shown, [(len(FILE_JOINTS), 2)]).transpose(2, 0, 1).astype(np.float64)
    names = ([f"{joint} (row {row})" for row, joint in enumerate(FILE_JOINTS, 1)], "xy")
    require(np.abs(points) <= MAX_COORDINATE, points, WITHIN, shown, names)
    return points - 1


def convert(files: Sequence[Path], shown: Sequence[str], numbers: range, train: int, total: int) -> Splits:
    """The images of these numbers, of a file that holds their labels alone or those of all."""
    points = read_labels(files[0], shown[0])
    if len(points) == total:
        points = points[numbers.start - 1 : numbers.stop - 1]
    if len(points) != len(numbers):
        valid = f"{total} (all)" if len(numbers) == total else f"{total} (all) or {len(numbers)}"
        raise DeepPoseError(f"{shown[0]}: ptsAll has {len(points)} records; valid: {valid}")
    rows = make_rows(LSP14, [f"im{number:04d}.jpg" for number in numbers], points)
    is_train = np.array(numbers) <= train
    return in_splits(rows, train=np.flatnonzero(is_train), test=np.flatnonzero(~is_train))


def choose(source: Path, names: Sequence[str], train: int, total: int) -> Mapping[str, str]:
    """Which members are needed: a `labels.mat` and the images beside it, which are a part by their numbers."""
    matches = [match for name in names if (match := _MEMBER.fullmatch(name))]
    places: dict[str, str] = {}
    for base in sorted({match["base"] for match in matches if match["file"] == "labels.mat"}):
        files = [match["file"] for match in matches if match["base"] == base and int(match["number"] or 0) <= total]
        numbers = [int(file[2:6]) for file in files if file != "labels.mat"]
        is_train = {number <= train for number in numbers}
        part = _WHOLE if len(is_train) != 1 else _TRAIN if is_train.pop() else _TEST
        places |= {f"{base}{file}": f"{part}/{file}" for file in files}
    return places


def public_set(train: int = 100, total: int = 305) -> PublicSet:
    """The set, by the numbers of its last training image and of its last."""
    parts = (
        (_WHOLE, None, range(1, total + 1)),
        (_TRAIN, "train", range(1, train + 1)),
        (_TEST, "test", range(train + 1, total + 1)),
    )
    return PublicSet(
        name="parse",
        skeleton=LSP14,
        parts={
            name: Part(("labels.mat",), partial(convert, numbers=numbers, train=train, total=total), split)
            for name, split, numbers in parts
        },
        choose=partial(choose, train=train, total=total),
        content="Image Parse (people_all/labels.mat, people_all/im0001.jpg …)",
        command="deeppose data prepare parse --from people.zip",
        combine=lambda parts: join_parts({_WHOLE: parts[_WHOLE]} if _WHOLE in parts else parts),
        # The author's page, www.ics.uci.edu/~dramanan/papers/parse/, with this file name: OpenCV's documentation of
        # its `datasets` module (hpe_parse).
        archives=(Archive("http://www.ics.uci.edu/~dramanan/papers/parse/people.zip", part=_WHOLE),),
    )


SET = public_set()
PARSE = DatasetSpec(
    name="parse",
    title="Image Parse: 305 people in snapshots, whole body",
    skeleton=LSP14,
    preset="small",
    sigma=2.0,
    initial_box="image",
    conventions="1-based in the files, 0-based here; sides are the image's in the files, swapped here to the person's, "
    "as people face the camera (95 of 100 do); the file's rows, so renamed, are in the order of the joints here",
    how_to_get="people.zip from Deva Ramanan's page of the NIPS 2006 paper (www.ics.uci.edu/~dramanan); "
    f"type: {SET.command}",
    read=SET.read,
    prepare=SET.prepare,
    archives=SET.archives,
    evaluation_only=True,
    absent=SET.absent,
    image_order="by number: train im0001 … im0100, test im0101 … im0305",
)
