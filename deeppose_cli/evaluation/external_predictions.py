"""Read external predictions: files by any other model. Needs no torch.

- `.npz` with an array `keypoints`, numbers (N, K, 2) in px, 0-based, in the data set's joint order and the split's
  image order. NaN: nothing predicted. `scores` (N), if it is there: how sure the model is of each pose, for OKS AP.
- `.json`, COCO keypoint results: a list of `{"image_id": …, "keypoints": [x, y, v] · K, "score": …}`. `image_id` is the
  example's 0-based number in the split, or its name (`im1001.jpg`). Of several results for one example the one with the
  highest score is taken (the first of equals; no score counts as 0); an example without a result has no prediction. A
  joint whose x, y and v are all 0 has no prediction, as COCO defines it; v has no other effect. Where an image shows
  several examples (FLIC's `x.jpg`, `x.jpg#2`), several results for `x.jpg` are refused: each may be meant for any.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.progress import report
from deeppose_cli.evaluation.scores import ScoredPredictions

_Predictions = tuple[NDArray[np.float64], NDArray[np.float64] | None]


def check_files(paths: Sequence[Path]) -> None:
    """Raises UsageError for a file of an unknown kind or given twice, DeepPoseError for a missing file."""
    for number, path in enumerate(paths):
        if path.suffix.lower() not in (".npz", ".json"):
            raise UsageError(f"--predictions {path}: unknown kind of file; valid: .npz, .json (COCO keypoint results)")
        if path in paths[:number]:
            raise UsageError(f"--predictions {path}: given twice")
        if not path.is_file():
            raise DeepPoseError(f"{path}: no such file")


def external_rows(paths: Sequence[Path], test: Annotations, data: str) -> list[ScoredPredictions]:
    """Read each file of predictions. A row has the file's name, or its path where two files share the name."""
    names = [path.name for path in paths]
    rows = []
    for path in paths:
        poses, scores = read_predictions(path, test.names, test.skeleton.joints, data)
        missing = int(np.isnan(poses).any(-1).all(-1).sum())
        if missing:
            report(f"{path}: no prediction for {missing:,} of {len(poses):,} images; counted as wrong")
        name = path.name if names.count(path.name) == 1 else str(path)
        rows.append(ScoredPredictions(name, poses, np.ones(len(test.skeleton), bool), missing, scores=scores))
    return rows


def read_predictions(path: Path, names: Sequence[str], joints: Sequence[str], data: str = "NAME") -> _Predictions:
    """Read a file: (N, K, 2) px for the N examples and K joints of these names, NaN where there is no prediction.

    Also the scores (N) of the poses; None where the file has none. `data` is the set's name, for the messages. No
    pickled code is run. Raises DeepPoseError, one line that names the file, what was found and what was expected.
    """
    check_files([path])
    poses, scores = _read_npz(path) if path.suffix.lower() == ".npz" else _read_coco(path, names, joints, data)
    expected = (len(names), len(joints), 2)
    if poses.shape != expected:
        raise DeepPoseError(
            f"{path}: keypoints has shape {poses.shape}; expected {expected}: {len(names)} images in the "
            f"split's order, {len(joints)} joints, x and y; the orders: deeppose data list {data}"
        )
    if np.isinf(poses).any():
        image, joint, axis = np.argwhere(np.isinf(poses))[0]
        raise DeepPoseError(
            f"{path}: {'xy'[axis]} of {joints[joint]} is infinite in image {image} ({names[image]}); use NaN for 'none'"
        )
    if np.isnan(poses).any(-1).all():
        raise DeepPoseError(f"{path}: no prediction for any of the {len(names)} images")
    if scores is not None and (scores.shape != (len(names),) or not np.isfinite(scores).all()):
        raise DeepPoseError(f"{path}: scores has shape {scores.shape}; expected {len(names)} numbers, one an image")
    return poses, scores


def _read_npz(path: Path) -> _Predictions:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = archive.files
            arrays = {name: archive[name] for name in ("keypoints", "scores") if name in names}
    except Exception as error:  # zipfile, zlib, lzma and NumPy have each their own errors for a damaged file
        raise DeepPoseError(f"{path}: not an .npz file of plain numbers ({_reason(error)})") from None
    if "keypoints" not in arrays:
        raise DeepPoseError(f"{path}: no array 'keypoints'; arrays found: {', '.join(names) or 'none'}")
    for name, values in arrays.items():
        if not isinstance(values, np.ndarray):  # NumPy returns the bytes of a member that is not its own
            raise DeepPoseError(f"{path}: {name} is not an array; expected what numpy.savez writes")
        if values.dtype.kind not in "fiu":
            raise DeepPoseError(f"{path}: {name} is of type {values.dtype}; expected numbers (float)")
    numbers = {name: values.astype(np.float64) for name, values in arrays.items()}
    return numbers["keypoints"], numbers.get("scores")


def _read_coco(path: Path, names: Sequence[str], joints: Sequence[str], data: str) -> _Predictions:
    try:
        results = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DeepPoseError(f"{path}: not a JSON file ({_reason(error)})") from None
    if not isinstance(results, list):
        raise DeepPoseError(f"{path}: holds one {type(results).__name__}; expected a list of COCO keypoint results")
    poses, best = np.full((len(names), len(joints), 2), np.nan), np.full(len(names), np.nan)
    labels = [f"{axis} of {joint}" for joint in joints for axis in "xyv"]
    examples = {name: number for number, name in enumerate(names)}
    used = set()
    for number, result in enumerate(results):
        where = f"{path}: result {number}"
        if not isinstance(result, dict) or not {"image_id", "keypoints"} <= result.keys():
            raise DeepPoseError(f"{where}: expected an object with image_id and keypoints")
        image_id, keypoints = result["image_id"], result["keypoints"]
        image = _find_example(image_id, names, examples, data, where)
        others = [name for name in names if name.startswith(f"{image_id}#")] if image_id in used else []
        if others:
            raise DeepPoseError(
                f"{where}: a second result for {image_id!r}, an image with several examples; valid: the "
                f"example's own name, such as {others[0]!r}, or its 0-based number in the split"
            )
        used.add(image_id)
        if not isinstance(keypoints, list):
            raise DeepPoseError(f"{where}: keypoints is {_shorten(keypoints)}; expected a list of numbers")
        if len(keypoints) != len(labels):
            raise DeepPoseError(
                f"{where}: keypoints has {len(keypoints)} numbers; expected {len(labels)}: x, y, v of {len(joints)} "
                f"joints; their order: deeppose data list {data}"
            )
        numbers = [
            _parse_number(value, f"{where}: keypoints: {label}") for value, label in zip(keypoints, labels, strict=True)
        ]
        score = _parse_number(result.get("score", 0), f"{where}: score")
        if math.isnan(score):
            raise DeepPoseError(f"{where}: score is nan; expected a number")
        if not score <= best[image]:  # NaN, before the first
            triples = np.array(numbers).reshape(-1, 3)
            poses[image] = np.where((triples == 0).all(-1)[:, None], np.nan, triples[:, :2])
            best[image] = score
    return poses, np.nan_to_num(best) if any("score" in result for result in results) else None


def _find_example(image_id: Any, names: Sequence[str], examples: dict[str, int], data: str, where: str) -> int:
    """The number of the example in the split. Raises DeepPoseError that begins with `where`."""
    if isinstance(image_id, int) and not isinstance(image_id, bool) and 0 <= image_id < len(names):
        return image_id
    if not isinstance(image_id, str) or image_id not in examples:
        example = next((name for name in names if name.startswith(f"{image_id}#")), names[0])
        raise DeepPoseError(
            f"{where}: image_id {_shorten(image_id)} is not in the split; valid: the 0-based number in the split "
            f"(0 to {len(names) - 1}) or an example's name, such as {example!r}; all: deeppose data list {data} "
            "--json --names"
        )
    if (count := names.count(image_id)) > 1:
        raise DeepPoseError(f"{where}: {count} examples are named {image_id!r}; give the 0-based number")
    return examples[image_id]


def _parse_number(value: Any, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DeepPoseError(f"{name} is {_shorten(value)}; expected a number")
    try:
        return float(value)
    except OverflowError:  # JSON's whole numbers have no bound
        raise DeepPoseError(f"{name} is {_shorten(value)}, which is too large") from None


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:30]}… ({len(text)} characters)"


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
