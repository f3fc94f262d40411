"""The scores of a cascade, of the mean pose, or of anyone's predictions. Needs no torch: the cascade is handed in.

Shape letters: S stages, N images of the split, K joints.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deeppose_cli import metrics
from deeppose_cli.crops import Picture, read_picture
from deeppose_cli.errors import DeepPoseError
from deeppose_cli.geometry import FloatArray, denormalise, normalise
from deeppose_cli.presets import PDJ_THRESHOLD
from deeppose_cli.samples import Annotations
from deeppose_cli.skeleton import Skeleton

PCK_ALPHA = {"parse": 0.1, "buffy": 0.2}
"""α of PCK by data set (Yang & Ramanan, PAMI 2013)."""
OTHER_PCK_ALPHA = 0.2
"""α of PCK for the data sets that they did not use."""

BATCH_SIZE = 32
"""Pictures in memory at a time."""

_DIGITS = 6


class Predicts(Protocol):
    """What is asked of a cascade."""

    @property
    def num_stages(self) -> int: ...
    @property
    def skeleton(self) -> Skeleton: ...
    def predict(self, pictures: Sequence[Picture], boxes: FloatArray, /) -> Any:
        """→ an object whose `poses` are (S, B, K, 2) px."""


def report(message: str) -> None:
    """One line for the person who waits, on stderr."""
    print(message, file=sys.stderr)


def report_skipped(error: DeepPoseError) -> None:
    report(f"skipped: {error}")


def mean_pose_predictions(
    train: Annotations, train_boxes: FloatArray, test_boxes: FloatArray, *, observer_centric: bool = False
) -> NDArray[np.float64]:
    """(M, K, 2) px: what a model would score that never looks at the picture.

    Per joint the mean of N(y; b⁰) over the training images (boxes (N, 4)) in which it is labelled, put into each test
    image's b⁰ (M, 4). NaN for a joint that is labelled in none.
    """
    poses = metrics.observer_centric(train.keypoints, train.skeleton) if observer_centric else train.keypoints
    relative = normalise(poses, train_boxes[:, None])
    known = ~np.isnan(relative).any(-1, keepdims=True)
    total, count = np.where(known, relative, 0).sum(0), known.sum(0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return np.asarray(denormalise(mean[None], np.asarray(test_boxes)[:, None]))


def predict_split(
    cascade: Predicts,
    annotations: Annotations,
    boxes: FloatArray,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], None] = lambda done: None,
    on_unreadable: Callable[[DeepPoseError], None] = report_skipped,
) -> NDArray[np.float64]:
    """Run a cascade over a split, from first boxes (N, 4): (S, N, K, 2) px, in the cascade's joint order.

    At most `batch_size` pictures are in memory at a time. A picture that cannot be read is handed to `on_unreadable`,
    which reports it on stderr, and left out: its poses are NaN, which the metrics count as wrong. `progress` is told
    after each batch how many images it had.
    """
    n = len(annotations)
    poses = np.full((cascade.num_stages, n, len(cascade.skeleton), 2), np.nan)
    for start in range(0, n, batch_size):
        rows, pictures = [], []
        stop = min(start + batch_size, n)
        for i in range(start, stop):
            try:
                pictures.append(read_picture(annotations.files[i]))
                rows.append(i)
            except DeepPoseError as error:
                on_unreadable(error)
        if rows:
            poses[:, rows] = cascade.predict(pictures, np.asarray(boxes)[rows]).poses
        progress(stop - start)
    return poses


def to_skeleton(poses: FloatArray, source: Skeleton, target: Skeleton) -> NDArray[np.float64]:
    """Poses (…, K, 2) of one skeleton in another's joint order, matched by name; NaN for joints that it lacks."""
    there, here = target.common(source)
    out = np.full((*poses.shape[:-2], len(target), 2), np.nan)
    out[..., list(there), :] = poses[..., list(here), :]
    return out


def scores(
    name: str,
    pred: FloatArray,
    truth: FloatArray,
    skeleton: Skeleton,
    pcp_rule: metrics.PcpRule = "strict",
    pck_alpha: float = OTHER_PCK_ALPHA,
) -> dict[str, Any]:
    """One row of the scores document: poses (N, K, 2) px against the truth by every metric.

    Values are fractions of 1, to 6 digits; None (JSON: null) where nothing is labelled. Joint and limb kinds are the
    mean of left and right, and limb kinds that the skeleton lacks are left out. The means of PDJ, its area under the
    curve (the trapezoid over 0 to 0.5, divided by 0.5) and PCK are over all K joints, those of PCP over limb kinds.
    """
    curve = metrics.pdj_curve(pred, truth, skeleton)
    at = metrics.pdj(pred, truth, skeleton, PDJ_THRESHOLD)
    limbs = metrics.limb_kind_rates(metrics.pcp(pred, truth, skeleton, pcp_rule), skeleton)
    arms_legs = [rate for kind, rate in limbs.items() if kind in metrics.ARM_AND_LEG_KINDS]
    pck = metrics.pck(pred, truth, pck_alpha)
    return {
        "name": name,
        "pdj": {
            "threshold": PDJ_THRESHOLD,
            "joints": _numbers(metrics.joint_kind_rates(at, skeleton)),
            "mean": _number(metrics.mean_rate(at)),
            "auc": _number(metrics.mean_rate(metrics.area_under(curve))),
        },
        "pcp": {
            "rule": pcp_rule,
            "limbs": _numbers(limbs),
            "mean_arms_legs": _number(metrics.mean_rate(np.array(arms_legs))),
            "mean": _number(metrics.mean_rate(np.array(list(limbs.values())))),
        },
        "pck": {
            "alpha": pck_alpha,
            "joints": _numbers(metrics.joint_kind_rates(pck, skeleton)),
            "mean": _number(metrics.mean_rate(pck)),
        },
        "curve": {
            "thresholds": metrics.THRESHOLDS.tolist(),
            **{
                kind: [_number(value) for value in values]
                for kind, values in metrics.joint_kind_rates(curve, skeleton).items()
            },
        },
    }


def document(data: str, split: str, images: int, rows: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """What `--json` prints and `scores.json` holds. `more` keys stand between the facts and the rows."""
    return {"data": data, "split": split, "images": images, **more, "rows": list(rows)}


def per_image_pdj(pred: FloatArray, truth: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """(N) share of each image's counted joints that are detected at 0.2; NaN where none counts."""
    hits, counted = metrics.pdj_hits(pred, truth, skeleton, PDJ_THRESHOLD)
    return metrics.mean_rate(np.where(counted, hits, np.nan))


def write_per_image(
    path: Path, names: Sequence[str], rows: Mapping[str, FloatArray], truth: FloatArray, skeleton: Skeleton
) -> None:
    """A CSV table with one line for each image and row of predictions (name → (N, K, 2) px).

    Columns: `image`; `row`, the predictions' name; `pdj`, the share of the image's joints detected at 0.2; then one for
    each joint: its error in units of the true torso. Empty: not labelled, or no torso to measure by; `inf`: labelled,
    not predicted.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "row", "pdj", *skeleton.joints])
        for name, pred in rows.items():
            errors, shares = metrics.torso_errors(pred, truth, skeleton), per_image_pdj(pred, truth, skeleton)
            for image, share, values in zip(names, shares, errors, strict=True):
                cells = ("" if math.isnan(value) else f"{value:.4f}" for value in (share, *values))
                writer.writerow([image, name, *cells])


def best_median_worst(pred: FloatArray, truth: FloatArray, skeleton: Skeleton, each: int = 2) -> dict[str, list[int]]:
    """Image numbers by the words best, median and worst, up to `each` of them; no image twice.

    Ordered by the share of joints detected at 0.2, among equals by the mean error in torsos (an error above 2 torsos
    counts as 2). Images in which no joint counts are left out.
    """
    share = per_image_pdj(pred, truth, skeleton)
    error = metrics.mean_rate(np.minimum(metrics.torso_errors(pred, truth, skeleton), 2))
    order = [int(i) for i in np.lexsort((error, -share)) if not np.isnan(share[i])]
    each = min(each, len(order))
    best, rest = order[:each], order[each:]
    worst, rest = rest[len(rest) - min(each, len(rest)) :], rest[: len(rest) - min(each, len(rest))]
    middle = max(0, (len(rest) - each) // 2)
    picks = {"best": best, "median": rest[middle : middle + each], "worst": worst}
    return {word: rows for word, rows in picks.items() if rows}


def _number(value: FloatArray | float) -> float | None:
    return None if math.isnan(value) else round(float(value), _DIGITS)


def _numbers(values: Mapping[str, FloatArray]) -> dict[str, float | None]:
    return {key: _number(value) for key, value in values.items()}
