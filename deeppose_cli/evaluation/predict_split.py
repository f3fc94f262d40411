"""Predictions to be scored: of a cascade, of the mean pose, or of a model with other joints.

Needs no torch: the cascade is handed in.

Shape letters: S stages, N images of the split, K joints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import PDJ_THRESHOLD
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import FloatArray, denormalise, normalise
from deeppose_cli.core.progress import report_skipped
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.evaluation import metrics
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models import confidence
from deeppose_cli.models.confidence import Calibration

BATCH_SIZE = 32
"""Images in memory at a time."""


class Predicts(Protocol):
    """What is asked of a cascade."""

    @property
    def num_stages(self) -> int: ...
    @property
    def skeleton(self) -> Skeleton: ...
    def predict(self, images: Sequence[Image], boxes: FloatArray, /, *, flip_test: bool) -> Any:
        """→ an object whose `poses` are (S, B, K, 2) px, and whose `peak_mass`, for calibration, is (S, B, K)."""


def mean_pose_predictions(
    train: Annotations, train_boxes: FloatArray, test_boxes: FloatArray, *, observer_centric: bool = False
) -> NDArray[np.float64]:
    """(M, K, 2) px: what a model would score that never looks at the image.

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
    *,
    flip_test: bool = False,
    confidence: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Run a cascade over a split, from initial boxes (N, 4): (S, N, K, 2) px, in the cascade's joint order.

    At most `batch_size` images are in memory at a time. An image that cannot be read is handed to `on_unreadable`,
    which reports it on stderr, and left out: its poses are NaN, which the metrics count as wrong. `progress` is told
    after each batch how many images it had. `flip_test`: see `Cascade.predict`. `confidence`: (S, N, K), to be filled.
    """
    poses = np.full((cascade.num_stages, len(annotations), len(cascade.skeleton), 2), np.nan)
    for rows, result in _answers(cascade, annotations, boxes, batch_size, progress, on_unreadable, flip_test):
        poses[:, rows] = result.poses
        if confidence is not None:
            confidence[:, rows] = result.confidence
    return poses


def calibrate(cascade: Predicts, annotations: Annotations, boxes: FloatArray) -> list[Calibration | None]:
    """What makes a confidence of each stage's maps, measured on images that it has not learned from.

    A joint is right where PDJ counts it. None for a stage without maps, or with too few images (`confidence.fit`).
    """
    shape = (cascade.num_stages, len(annotations), len(cascade.skeleton))
    poses, peak_mass = np.full((*shape, 2), np.nan), np.full(shape, np.nan)
    for rows, result in _answers(cascade, annotations, boxes, BATCH_SIZE, lambda done: None, report_skipped, False):
        poses[:, rows], peak_mass[:, rows] = result.poses, result.peak_mass
    found = []
    for pose, share in zip(poses, peak_mass, strict=True):
        hits, counted = metrics.pdj_hits(pose, annotations.keypoints, annotations.skeleton, PDJ_THRESHOLD)
        found.append(confidence.fit(share[counted], hits[counted]))
    return found


def _answers(
    cascade: Predicts,
    annotations: Annotations,
    boxes: FloatArray,
    batch_size: int,
    progress: Callable[[int], None],
    on_unreadable: Callable[[DeepPoseError], None],
    flip_test: bool,
) -> Iterator[tuple[list[int], Any]]:
    """Rows, and what the cascade says of their images, batch by batch."""
    n = len(annotations)
    for start in range(0, n, batch_size):
        rows, images = [], []
        stop = min(start + batch_size, n)
        for i in range(start, stop):
            try:
                images.append(read_image(annotations.files[i]))
                rows.append(i)
            except DeepPoseError as error:
                on_unreadable(error)
        if rows:
            yield rows, cascade.predict(images, np.asarray(boxes)[rows], flip_test=flip_test)
        progress(stop - start)


def to_skeleton(poses: FloatArray, source: Skeleton, target: Skeleton) -> NDArray[np.float64]:
    """Poses (…, K, 2) of one skeleton in another's joint order.

    A joint that the target makes of others (`Skeleton.derived`: FLIC's neck, the shoulders' midpoint) is made of the
    source's in the same way, unless the source makes it so itself; all others are matched by name. NaN where the source
    has neither.
    """
    out = np.full((*poses.shape[:-2], len(target), 2), np.nan)
    for place, joints in enumerate(_origins(source, target)):
        if joints:
            out[..., place, :] = poses[..., [source.index(joint) for joint in joints], :].mean(-2)
    return out


def confidence_in(confidence: FloatArray, source: Skeleton, target: Skeleton) -> NDArray[np.float64]:
    """Confidences (…, K) in another skeleton's joint order; NaN for joints that are made of others, or not known."""
    out = np.full((*confidence.shape[:-1], len(target)), np.nan)
    for place, joints in enumerate(_origins(source, target)):
        if len(joints) == 1:
            out[..., place] = confidence[..., source.index(joints[0])]
    return out


def known_joints(source: Skeleton, target: Skeleton) -> NDArray[np.bool_]:
    """(K) which of the target's joints `to_skeleton` can give."""
    return np.array([bool(joints) for joints in _origins(source, target)])


def _origins(source: Skeleton, target: Skeleton) -> list[tuple[str, ...]]:
    """For each joint of the target, the joints of the source that say where it is."""

    def of(joint: str) -> tuple[str, ...]:
        made = target.derived.get(joint, ())
        if made and set(made) <= set(source.joints) and source.derived.get(joint) != made:
            return made
        return (joint,) if joint in source.joints else ()

    return [of(joint) for joint in target.joints]
