"""Predictions to score: of a cascade, of the mean pose, and poses of one skeleton in another's joint order.

Needs no torch: the cascade is an argument. Shape letters: S stages, N images of the split, B of a batch, K joints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import PDJ_THRESHOLD
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import FloatArray, denormalise, normalise
from deeppose_cli.core.progress import Progress, report_skipped
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.evaluation import metrics
from deeppose_cli.evaluation.choices import BATCH_SIZE
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models import confidence
from deeppose_cli.models.confidence import Calibration


class Predictor(Protocol):
    """Interface of a cascade."""

    @property
    def num_stages(self) -> int: ...
    @property
    def skeleton(self) -> Skeleton: ...
    def predict(self, images: Sequence[Image], boxes: FloatArray, /, *, flip_test: bool) -> Any:
        """An object with `poses` (S, B, K, 2) px, `confidence` and, for a calibration, `peak_mass`, both (S, B, K)."""


def mean_pose_predictions(
    train: Annotations, train_boxes: FloatArray, test_boxes: FloatArray, *, observer_centric: bool = False
) -> NDArray[np.float64]:
    """(M, K, 2) px: the predictions of a model that never uses the image.

    Per joint the mean of N(y; b⁰) over the training images (boxes (N, 4)) in which it is labelled, put into each test
    image's b⁰ (M, 4). NaN for a joint that is labelled in none.
    """
    poses = metrics.observer_centric(train.keypoints, train.skeleton) if observer_centric else train.keypoints
    relative = normalise(poses, train_boxes[:, None])
    labelled = ~np.isnan(relative).any(-1, keepdims=True)
    total, count = np.where(labelled, relative, 0).sum(0), labelled.sum(0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return np.asarray(denormalise(mean[None], np.asarray(test_boxes)[:, None]))


def predict_split(
    cascade: Predictor,
    annotations: Annotations,
    boxes: FloatArray,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
    on_unreadable: Callable[[DeepPoseError], None] = report_skipped,
    *,
    flip_test: bool = False,
    outputs: Mapping[str, NDArray[np.float64]] | None = None,
) -> NDArray[np.float64]:
    """Run a cascade over a split, from initial boxes (N, 4): (S, N, K, 2) px, in the cascade's joint order.

    At most `batch_size` images are in memory at a time. An image that cannot be read is passed to `on_unreadable` and
    left out: its poses are NaN, which the metrics count as wrong. `flip_test`: see `Cascade.predict`. `outputs`:
    arrays (S, N, K), filled with the results' fields of these names.
    """
    n = len(annotations)
    poses = np.full((cascade.num_stages, n, len(cascade.skeleton), 2), np.nan)
    for start in range(0, n, batch_size):
        stop = min(start + batch_size, n)
        rows, images = [], []
        for i in range(start, stop):
            try:
                images.append(read_image(annotations.files[i]))
                rows.append(i)
            except DeepPoseError as error:
                on_unreadable(error)
        if rows:
            result = cascade.predict(images, np.asarray(boxes)[rows], flip_test=flip_test)
            poses[:, rows] = result.poses
            for name, values in (outputs or {}).items():
                values[:, rows] = getattr(result, name)
        if progress is not None:
            progress("predicting", stop, n)
    return poses


def calibrate(cascade: Predictor, annotations: Annotations, boxes: FloatArray) -> list[Calibration | None]:
    """Fit each stage's confidence to the heatmap peaks on images that it was not trained on.

    A joint is right where PDJ counts it. None for a stage without heatmaps, or with too few images (`confidence.fit`).
    """
    peak_mass = np.full((cascade.num_stages, len(annotations), len(cascade.skeleton)), np.nan)
    poses = predict_split(cascade, annotations, boxes, outputs={"peak_mass": peak_mass})
    found = []
    for pose, mass in zip(poses, peak_mass, strict=True):
        hits, valid = metrics.pdj_hits(pose, annotations.keypoints, annotations.skeleton, PDJ_THRESHOLD)
        found.append(confidence.fit(mass[valid], hits[valid]))
    return found


def to_skeleton(poses: FloatArray, source: Skeleton, target: Skeleton) -> NDArray[np.float64]:
    """Poses (…, K, 2) of one skeleton in another's joint order.

    A derived joint of the target (`Skeleton.derived`: FLIC's neck, the shoulders' midpoint) is computed from the
    source's joints, unless the source derives it in the same way; all others are matched by name. NaN where the source
    has neither.
    """
    out = np.full((*poses.shape[:-2], len(target), 2), np.nan)
    for place, joints in enumerate(_source_joints(source, target)):
        if joints:
            out[..., place, :] = poses[..., joints, :].mean(-2)
    return out


def confidence_to_skeleton(confidence: FloatArray, source: Skeleton, target: Skeleton) -> NDArray[np.float64]:
    """Confidences (…, K) in another skeleton's joint order; NaN for derived joints and for joints without a source."""
    out = np.full((*confidence.shape[:-1], len(target)), np.nan)
    for place, joints in enumerate(_source_joints(source, target)):
        if len(joints) == 1:
            out[..., place] = confidence[..., joints[0]]
    return out


def shared_joints(source: Skeleton, target: Skeleton) -> NDArray[np.bool_]:
    """(K) which of the target's joints `to_skeleton` can give."""
    return np.array([bool(joints) for joints in _source_joints(source, target)])


def _source_joints(source: Skeleton, target: Skeleton) -> list[list[int]]:
    """For each joint of the target, the indices of the source's joints whose mean it is; none if it is missing."""
    found = []
    for joint in target.joints:
        parts = target.derived.get(joint, ())
        if not parts or not set(parts) <= set(source.joints) or source.derived.get(joint) == parts:
            parts = (joint,) if joint in source.joints else ()
        found.append([source.index(part) for part in parts])
    return found
