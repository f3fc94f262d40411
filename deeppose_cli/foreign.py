"""Other people's predictions, read from their files, so that they can be scored by the same rules. Needs no torch.

Two formats:

- `.npz` with an array `keypoints`, numbers (N, K, 2) in px, 0-based, in the data set's joint order and the split's
  image order. NaN = nothing predicted.
- `.json`, COCO keypoint results: a list of `{"image_id": …, "keypoints": [x, y, v] · K, "score": …}`. `image_id` is the
  image's 0-based place in the split, or a string equal to the example's name (`im1001.jpg`). Of several results for one
  image the one with the highest score is taken (the first of equals; no score counts as 0); an image without a result
  has no prediction. A joint whose x, y and v are all 0 is COCO's way to say that there is none; v means nothing else.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.errors import DeepPoseError, UsageError


def read_predictions(path: Path, names: Sequence[str], joints: int) -> NDArray[np.float64]:
    """(N, K, 2) px from a file, for the N examples of a split by name, and K joints; NaN where there is none.

    No pickled code is run. Raises DeepPoseError, one line that names the file, what was found and what was expected.
    """
    if path.suffix not in (".npz", ".json"):
        raise UsageError(f"--predictions {path}: unknown kind of file; valid: .npz, .json (COCO keypoint results)")
    if not path.is_file():
        raise DeepPoseError(f"{path}: no such file")
    poses = _from_npz(path) if path.suffix == ".npz" else _from_coco(path, names, joints)
    expected = (len(names), joints, 2)
    if poses.shape != expected:
        raise DeepPoseError(
            f"{path}: keypoints has shape {poses.shape}; expected {expected}: {len(names)} images in the "
            f"split's order, {joints} joints, x and y"
        )
    if np.isinf(poses).any():
        image = int(np.flatnonzero(np.isinf(poses).any((1, 2)))[0])
        raise DeepPoseError(f"{path}: infinite coordinate in image {image} ({names[image]}); use NaN for 'none'")
    return poses


def _from_npz(path: Path) -> NDArray[np.float64]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name == "keypoints"}
            found = ", ".join(archive.files) or "none"
    # A plain .npy under this name is an array, not a context: TypeError.
    except (OSError, ValueError, EOFError, TypeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise DeepPoseError(f"{path}: not an .npz file of plain numbers ({error})") from None
    if "keypoints" not in arrays:
        raise DeepPoseError(f"{path}: no array 'keypoints'; arrays found: {found}")
    keypoints = arrays["keypoints"]
    if keypoints.dtype.kind not in "fiu":
        raise DeepPoseError(f"{path}: keypoints is of type {keypoints.dtype}; expected numbers (float)")
    return keypoints.astype(np.float64)


def _from_coco(path: Path, names: Sequence[str], joints: int) -> NDArray[np.float64]:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DeepPoseError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(results, list):
        raise DeepPoseError(f"{path}: holds one {type(results).__name__}; expected a list of COCO keypoint results")
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    poses = np.full((len(names), joints, 2), np.nan)
    best = np.full(len(names), -np.inf)
    for number, result in enumerate(results):
        where = f"{path}: result {number}"
        if not isinstance(result, dict) or not {"image_id", "keypoints"} <= result.keys():
            raise DeepPoseError(f"{where}: expected an object with image_id and keypoints")
        image = _place(result["image_id"], places, len(names), where)
        pose = _pose(result["keypoints"], joints, where)
        score = result.get("score", 0)
        if not _is_number(score) or math.isnan(score):
            raise DeepPoseError(f"{where}: score is {score!r}; expected a number")
        if score > best[image]:
            poses[image], best[image] = pose, score
    return poses


def _place(image_id: Any, places: dict[str, list[int]], size: int, where: str) -> int:
    valid = f"the 0-based place in the split (0 to {size - 1}) or an example's name"
    if isinstance(image_id, int) and not isinstance(image_id, bool) and 0 <= image_id < size:
        return image_id
    if isinstance(image_id, str) and image_id in places:
        if len(places[image_id]) > 1:
            raise DeepPoseError(
                f"{where}: {len(places[image_id])} examples are named {image_id!r}; give the 0-based place"
            )
        return places[image_id][0]
    raise DeepPoseError(f"{where}: image_id {image_id!r} is not in the split; valid: {valid}")


def _pose(keypoints: Any, joints: int, where: str) -> NDArray[np.float64]:
    if not isinstance(keypoints, list) or not all(map(_is_number, keypoints)):
        raise DeepPoseError(f"{where}: keypoints is not a list of numbers")
    if len(keypoints) != 3 * joints:
        raise DeepPoseError(
            f"{where}: keypoints has {len(keypoints)} numbers; expected {3 * joints}: x, y, v of {joints} joints"
        )
    try:
        triples = np.array(keypoints, dtype=np.float64).reshape(joints, 3)
    except OverflowError:  # JSON's whole numbers have no bound
        raise DeepPoseError(f"{where}: keypoints has a number that is too large") from None
    return np.where((triples == 0).all(-1)[:, None], np.nan, triples[:, :2])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
