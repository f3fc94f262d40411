"""Frames Labeled In Cinema (FLIC): upper bodies in frames of thirty movies.

On disk, as `deeppose data prepare flic` leaves it:

    <data root>/flic/
        dataset.yaml
        annotations/train.json, validation.json, test.json    made of examples.mat: 5,003 examples in 4,552 frames
        images/FLIC/<movie>-<frame>.jpg
        images/FLIC-full/<movie>-<frame>.jpg                  if given: made of its examples.mat (20,928 examples) and
                                                              FLIC-plus' tr_plus_indices.mat: which to train on

Splits: FLIC's own, `istrain` (3,987) and `istest` (1,016); a tenth of the training examples are validation. A movie is
sampled every ten frames or so, and several people of one frame are several examples: neighbours are alike. So whole
scenes are drawn: an example belongs to the scene of the one before it in its movie if no more than SCENE_GAP frames lie
between them. All thirty movies are in training and test alike, and two frames are in both (one person here, one there).

FLIC-full holds more people of the same scenes, those of the test included. FLIC-plus is the part of it whose scenes are
not in the test (Tompson et al., NIPS 2014). With it in place the training examples are FLIC-plus', all of them
(`isbad` and `isunchecked` ones too, as published); the test stays FLIC's. FLIC-full without the indices is refused.

Converted: MATLAB's 1-based coordinates to 0-based (points and torso boxes). Sides are the person's in the files
already. Of the 29 places for joints ten are kept; the neck is the middle of the shoulders. NaN is a joint without a
label. Torso boxes are [x1 y1 x2 y2] with fractions, so their corners are taken for points of the image plane, not for
the first and last pixel: width = x2 − x1.

Names: the image's, and for the second and third example in a frame, in the file's order, `name.jpg#2`, `name.jpg#3`.

Sources: B. Sapp, B. Taskar: MODEC: Multimodal Decomposable Models for Human Pose Estimation, CVPR 2013; FLIC-plus: J.
Tompson, A. Jain, Y. LeCun, C. Bregler: Joint Training of a Convolutional Network and a Graphical Model for Human Pose
Estimation, NIPS 2014. Terms: the frames belong to the movies' owners; the set was published for research, with the
request to cite the paper. Nothing of it is part of this project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import FLIC10
from deeppose_cli.data.datasets.coco import MAX_COORDINATE, WITHIN
from deeppose_cli.data.datasets.release import Part, Release, join_parts, make_rows, public_dataset, unique_names
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.datasets.splits import Splits, in_splits, split_groups
from deeppose_cli.data.prepare.matlab import read_array, read_struct, require

VALIDATION_SHARE = 0.1
"""Of the training examples."""
SCENE_GAP = 500
"""Frames, some twenty seconds of movie: as long as a camera may turn away and come back."""
MAX_FRAME = 1e7
"""The longest movie has fewer."""

PLACES = {
    "left_shoulder": 0,
    "left_elbow": 1,
    "left_wrist": 2,
    "right_shoulder": 3,
    "right_elbow": 4,
    "right_wrist": 5,
    "left_hip": 6,
    "right_hip": 9,
    "nose": 16,
}
"""Joint → its column in `coords`."""
_NUMBERS = {"coords": (2, 29), "torsobox": (1, 4), "currframe": (1, 1), "istrain": (1, 1), "istest": (1, 1)}
_TEXTS = ("filepath", "moviename")
_INDICES = "tr_plus_indices"
_OWN, _FULL = "FLIC", "FLIC-full"
_MEMBER = re.compile(
    rf"(?P<base>(?:.*/)?)(?:images/(?P<image>[^/.][^/]*\.jpg)|(?P<labels>examples\.mat|{_INDICES}\.mat))"
)
_PLAIN = re.compile(r"[^./\\:][^/\\:]*\.jpg")
"""An image's name that leads nowhere but into its own folder, on any system."""
_FULL_NAME = re.compile(r"flic[-_ ]?full", re.IGNORECASE)


def read_examples(file: Path, shown: str, count: int) -> dict[str, NDArray[Any]]:
    """The columns of `examples.mat` of FLIC or FLIC-full, as they are in the file, checked.

    Raises DeepPoseError, one line that calls the file `shown`, where there are not `count` records, and that names the
    record and field of a value that cannot be right.
    """
    columns = read_struct(file, "examples", _NUMBERS, _TEXTS, shown)
    if (found := len(columns["filepath"])) != count:
        raise DeepPoseError(
            f"{shown}: examples has {found} records; valid: {count}; FLIC-full is recognised by its folder's name"
        )
    columns |= {name: columns[name].reshape(count) for name in ("currframe", "istrain", "istest")}
    columns["torsobox"] = columns["torsobox"].reshape(count, 4)
    points = columns["coords"][..., list(PLACES.values())].transpose(0, 2, 1)  # (N, 9, 2)
    torsos, train, test = columns["torsobox"], columns["istrain"], columns["istest"]
    frames, images = columns["currframe"], columns["filepath"]
    missing, extents = np.isnan(points), torsos[:, 2:] - torsos[:, :2]
    joints, corners, sides = (list(PLACES), "xy"), [("x1", "y1", "x2", "y2")], [("x2 - x1", "y2 - y1")]
    plain = np.array([_PLAIN.fullmatch(name) is not None and name.isprintable() for name in images], dtype=bool)
    for good, values, valid, field, names in (
        (missing | (np.abs(points) <= MAX_COORDINATE), points, f"{WITHIN}, or NaN", "coords", joints),
        (~missing | missing.all(-1, keepdims=True), points, "a number, or NaN for x and y", "coords", joints),
        (np.abs(torsos) <= MAX_COORDINATE, torsos, WITHIN, "torsobox", corners),
        (extents > 0, extents, "above 0", "torsobox", sides),
        (np.isin(train, (0, 1)), train, "0 or 1", "istrain", ()),
        (np.isin(test, (0, 1)), test, "0 or 1", "istest", ()),
        ((train == 0) | (test == 0), test, "0 where istrain is 1", "istest", ()),
        ((frames >= 0) & (frames < MAX_FRAME), frames, f"0 to {MAX_FRAME:.0f}", "currframe", ()),
        (plain, images, "the name of a .jpg in images/", "filepath", ()),
    ):
        require(good, values, valid, shown, names, field)
    return columns


def convert(files: Sequence[Path], shown: Sequence[str], count: int) -> Splits:
    """FLIC: the splits are its own, and a part of the training examples is validation."""
    examples = read_examples(files[0], shown[0], count)
    train, test = np.flatnonzero(examples["istrain"]), np.flatnonzero(examples["istest"])
    return _in_splits(examples, train, test)


def convert_plus(files: Sequence[Path], shown: Sequence[str], count: int) -> Splits:
    """FLIC-plus: the examples of FLIC-full that are listed; none of them is a test."""
    examples = read_examples(files[0], shown[0], count)
    return _in_splits(examples, read_indices(files[1], shown[1], count), ())


def _in_splits(
    examples: Mapping[str, NDArray[Any]], train: NDArray[np.intp], test: NDArray[np.intp] | tuple[()]
) -> Splits:
    """`boxes`: NaN, FLIC has no box of the whole person."""
    points = {joint: examples["coords"][..., place] - 1 for joint, place in PLACES.items()}
    points["neck"] = (points["left_shoulder"] + points["right_shoulder"]) / 2
    x1, y1, x2, y2 = examples["torsobox"].T - 1
    rows = make_rows(
        FLIC10,
        examples["filepath"].tolist(),
        np.stack([points[joint] for joint in FLIC10.joints], axis=1),
        unique_names(examples["filepath"].tolist()),
        torsos=np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=1),
    )
    groups = scenes(examples["moviename"].tolist(), examples["currframe"])
    kept, validation = split_groups(groups[train], VALIDATION_SHARE)
    return in_splits(rows, train=train[kept], validation=train[validation], test=test)


def scenes(movies: Sequence[str], frames: NDArray[np.float64]) -> NDArray[np.intp]:
    """(N) the number of each example's scene: frames of one movie with gaps of at most SCENE_GAP."""
    movie = np.unique(np.asarray(movies), return_inverse=True)[1]
    order = np.lexsort((frames, movie))
    begins = (np.diff(movie[order]) != 0) | (np.diff(frames[order]) > SCENE_GAP)
    numbers = np.empty(len(order), dtype=np.intp)
    numbers[order] = np.concatenate([[0], np.cumsum(begins)])
    return numbers


def read_indices(file: Path, shown: str, count: int) -> NDArray[np.intp]:
    """FLIC-plus: (M) rows of FLIC-full's `count` examples, 0-based, ascending. Raises DeepPoseError."""
    values = read_array(file, _INDICES, shown).ravel().astype(np.float64)
    if not len(values):
        raise DeepPoseError(f"{shown}: {_INDICES} is empty; valid: numbers of examples, 1 to {count}")
    whole = (values >= 1) & (values <= count) & (values == np.floor(values))
    require(whole, values, f"whole numbers, 1 to {count}", shown, field=_INDICES)
    rows, times = np.unique(values.astype(np.intp) - 1, return_counts=True)
    if (times > 1).any():
        raise DeepPoseError(f"{shown}: {_INDICES} has {rows[np.argmax(times > 1)] + 1} twice; valid: each example once")
    return rows


def choose(source: Path, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Which members are needed. The innermost folder that is called after FLIC or FLIC-full, or the source's own name
    where there is none, decides."""
    places: dict[str, Sequence[str]] = {}
    for name in names:
        match = _MEMBER.fullmatch(name)
        if match is None or "__MACOSX" in name:
            continue
        folders = [source.resolve().stem, *match["base"].split("/")]
        folder = next((part for part in reversed(folders) if "flic" in part.lower()), _OWN)
        full = match["labels"] == f"{_INDICES}.mat" or _FULL_NAME.search(folder)
        places[name] = (f"{_FULL if full else _OWN}/{match['image'] or match['labels']}",)
    return places


def combine(parts: dict[str, Splits]) -> Splits:
    """FLIC; with FLIC-plus, only its test beside that."""
    if _FULL in parts:
        test = parts[_OWN]["test"]
        parts = parts | {_OWN: in_splits(test, test=range(len(test)))}
    return join_parts(parts)


def flic_dataset(own: int = 5003, full: int = 20928) -> DatasetSpec:
    """The set, by the number of examples in FLIC and in FLIC-full."""
    spec = DatasetSpec(
        name="flic",
        title="Frames Labeled In Cinema: 5,003 upper bodies in movie frames; trains on FLIC-plus where it is given",
        skeleton=FLIC10,
        preset="small",
        sigma=1.0,
        initial_box="face",
        conventions="1-based in the files (inferred), 0-based here; sides are the person's; ten of 29 joints; neck: "
        "mid-shoulder",
        image_order="as in examples.mat: test: those with istest; train and validation share those with istrain; the "
        "second example in an image is named IMAGE.jpg#2, the third #3",
        licence="frames of the movies' owners; published for research, with the request to cite the paper",
        citation="Sapp, Taskar: MODEC: Multimodal Decomposable Models for Human Pose Estimation, CVPR 2013; FLIC-plus: "
        "Tompson, Jain, LeCun, Bregler, NIPS 2014",
        how_to_get="archive from bensapp.github.io/flic-dataset.html; type: deeppose data prepare flic --from FLIC.zip",
    )
    release = Release(
        parts={
            _OWN: Part(("examples.mat",), partial(convert, count=own)),
            _FULL: Part(("examples.mat", f"{_INDICES}.mat"), partial(convert_plus, count=full)),
        },
        choose=choose,
        content=f"FLIC (FLIC/examples.mat, FLIC/images/*.jpg), FLIC-full or {_INDICES}.mat",
        required=_OWN,
        combine=combine,
    )
    return public_dataset(spec, release)


FLIC = flic_dataset()
