"""Other people's predictions, read from their files, so that they can be scored by the same rules. Needs no torch.

Two formats, told apart by the file's suffix:

- `.npz` with an array `keypoints`, numbers (N, K, 2) in px, 0-based, in the data set's joint order and the split's
  image order. NaN = nothing predicted.
- `.json`, COCO keypoint results: a list of `{"image_id": …, "keypoints": [x, y, v] · K, "score": …}`. `image_id` is the
  image's 0-based place in the split, or a string equal to the example's name (`im1001.jpg`). Of several results for one
  image the one with the highest score is taken (the first of equals; no score counts as 0); an image without a result
  has no prediction. A joint whose x, y and v are all 0 is COCO's way to say that there is none; v means nothing else.

Where an image shows several examples (FLIC's `x.jpg`, `x.jpg#2`), several results that all say `x.jpg` may mean any of
them: they are refused, as the best of them would be taken for the first person and the others would be lost.
"""

from __future__ import annotations

import json
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError, UsageError

SUFFIXES = (".npz", ".json")
"""In small letters or in capitals."""

_NOT_NPZ = (
    OSError,
    ValueError,
    EOFError,
    TypeError,  # a plain .npy under this name is an array, not a context
    MemoryError,
    OverflowError,
    RuntimeError,  # encrypted, or compressed in a way that is not known here
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def check_file(path: Path) -> None:
    """Raises UsageError for a kind of file that is not read, DeepPoseError for a file that is not there."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--predictions {path}: unknown kind of file; valid: .npz, .json (COCO keypoint results)")
    if not path.is_file():
        raise DeepPoseError(f"{path}: no such file")


def read_predictions(
    path: Path, names: Sequence[str], joints: Sequence[str], data: str = "NAME"
) -> NDArray[np.float64]:
    """(N, K, 2) px from a file, for the N examples of a split by name, and K joints by name; NaN where there is none.

    `data` is the set's name, for the command that tells its orders. No pickled code is run. Raises DeepPoseError, one
    line that names the file, what was found and what was expected.
    """
    check_file(path)
    poses = _from_npz(path) if path.suffix.lower() == ".npz" else _from_coco(path, names, joints, data)
    expected = (len(names), len(joints), 2)
    if poses.shape != expected:
        raise DeepPoseError(
            f"{path}: keypoints has shape {poses.shape}; expected {expected}: {len(names)} images in the "
            f"split's order, {len(joints)} joints, x and y; the orders: deeppose data list {data}"
        )
    if np.isinf(poses).any():
        image, joint, axis = (int(place[0]) for place in np.nonzero(np.isinf(poses)))
        raise DeepPoseError(
            f"{path}: {'xy'[axis]} of {joints[joint]} is infinite in image {image} ({names[image]}); use NaN for 'none'"
        )
    if np.isnan(poses).any(-1).all():
        raise DeepPoseError(f"{path}: no prediction for any of the {len(names)} images")
    return poses


def without_prediction(poses: NDArray[np.float64]) -> int:
    """Of how many images no joint is predicted."""
    return int(np.isnan(poses).any(-1).all(-1).sum())


def _from_npz(path: Path) -> NDArray[np.float64]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name == "keypoints"}
            found = ", ".join(archive.files) or "none"
    except _NOT_NPZ as error:
        raise DeepPoseError(f"{path}: not an .npz file of plain numbers ({_first_line(error)})") from None
    if "keypoints" not in arrays:
        raise DeepPoseError(f"{path}: no array 'keypoints'; arrays found: {found}")
    keypoints = arrays["keypoints"]
    if not isinstance(keypoints, np.ndarray):  # NumPy hands out the bytes of a member that is not its own
        raise DeepPoseError(f"{path}: keypoints is not an array; expected what numpy.savez writes")
    if keypoints.dtype.kind not in "fiu":
        raise DeepPoseError(f"{path}: keypoints is of type {keypoints.dtype}; expected numbers (float)")
    return keypoints.astype(np.float64)


def _from_coco(path: Path, names: Sequence[str], joints: Sequence[str], data: str) -> NDArray[np.float64]:
    try:
        results = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DeepPoseError(f"{path}: not a JSON file ({_first_line(error)})") from None
    if not isinstance(results, list):
        raise DeepPoseError(f"{path}: holds one {type(results).__name__}; expected a list of COCO keypoint results")
    places = _Places(names, data)
    poses = np.full((len(names), len(joints), 2), np.nan)
    best = np.full(len(names), np.nan)
    for number, result in enumerate(results):
        where = f"{path}: result {number}"
        if not isinstance(result, dict) or not {"image_id", "keypoints"} <= result.keys():
            raise DeepPoseError(f"{where}: expected an object with image_id and keypoints")
        image = places.find(result["image_id"], where)
        pose = _pose(result["keypoints"], joints, data, where)
        score = _number(result.get("score", 0), f"{where}: score")
        if math.isnan(score):
            raise DeepPoseError(f"{where}: score is nan; expected a number")
        if not score <= best[image]:  # NaN, before the first
            poses[image], best[image] = pose, score
    return poses


class _Places:
    """Where the examples of a split stand, by what a result may call them."""

    def __init__(self, names: Sequence[str], data: str) -> None:
        self.names, self.data = names, data
        self.by_name: dict[str, list[int]] = {}
        self.others: dict[str, str] = {}
        """By an image's name, that of its second example in the split."""
        for i, name in enumerate(names):
            self.by_name.setdefault(name, []).append(i)
            image, mark, _ = name.rpartition("#")
            if mark:
                self.others.setdefault(image, name)
        self.said: set[str] = set()
        """Names that results have given, of images with several examples."""

    def find(self, image_id: Any, where: str) -> int:
        """Raises DeepPoseError that begins with `where` for what is no example, or may be several."""
        last = len(self.names) - 1
        if isinstance(image_id, int) and not isinstance(image_id, bool) and 0 <= image_id <= last:
            return image_id
        if not isinstance(image_id, str) or image_id not in self.by_name:
            example = self.others.get(image_id, self.names[0]) if isinstance(image_id, str) else self.names[0]
            raise DeepPoseError(
                f"{where}: image_id {_shown(image_id)} is not in the split; valid: the 0-based place in the split "
                f"(0 to {last}) or an example's name, such as {example!r}; all: deeppose data list {self.data} "
                "--json --names"
            )
        places = self.by_name[image_id]
        if len(places) > 1:
            raise DeepPoseError(f"{where}: {len(places)} examples are named {image_id!r}; give the 0-based place")
        if image_id in self.others:
            if image_id in self.said:
                raise DeepPoseError(
                    f"{where}: a second result for {image_id!r}, an image with several examples; valid: the "
                    f"example's own name, such as {self.others[image_id]!r}, or its 0-based place in the split"
                )
            self.said.add(image_id)
        return places[0]


def _pose(keypoints: Any, joints: Sequence[str], data: str, where: str) -> NDArray[np.float64]:
    if not isinstance(keypoints, list):
        raise DeepPoseError(f"{where}: keypoints is {_shown(keypoints)}; expected a list of numbers")
    if len(keypoints) != 3 * len(joints):
        raise DeepPoseError(
            f"{where}: keypoints has {len(keypoints)} numbers; expected {3 * len(joints)}: x, y, v of {len(joints)} "
            f"joints; their order: deeppose data list {data}"
        )
    numbers = [
        _number(value, f"{where}: keypoints: {'xyv'[place % 3]} of {joints[place // 3]}")
        for place, value in enumerate(keypoints)
    ]
    triples = np.array(numbers).reshape(len(joints), 3)
    return np.where((triples == 0).all(-1)[:, None], np.nan, triples[:, :2])


def _number(value: Any, what: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DeepPoseError(f"{what} is {_shown(value)}; expected a number")
    try:
        return float(value)
    except OverflowError:  # JSON's whole numbers have no bound
        raise DeepPoseError(f"{what} is {_shown(value)}, which is too large") from None


def _shown(value: Any) -> str:
    """A stranger's value, short enough for one line."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:30]}… ({len(text)} characters)"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
