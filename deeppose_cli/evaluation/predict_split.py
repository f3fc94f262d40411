"""Predictions to score: of a model's stages and of the mean pose, in the joint order of the data set.

Needs no torch: the cascade is an argument. Shape letters: S stages, N images of the split, B of a batch, K joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import BOX_SOURCES, EVALUATION_BATCH_SIZE
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import FloatArray, denormalise, normalise
from deeppose_cli.core.progress import Progress, loading_notice, report, report_skipped
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.detection.initial_boxes import initial_boxes, training_source
from deeppose_cli.evaluation import metrics
from deeppose_cli.evaluation.scores import MEAN_POSE, ScoredPredictions
from deeppose_cli.media.images import Image, read_image

if TYPE_CHECKING:
    from deeppose_cli.checkpoints.model_source import TrainedModel


class Predictor(Protocol):
    """Interface of a cascade."""

    @property
    def num_stages(self) -> int: ...
    @property
    def skeleton(self) -> Skeleton: ...
    def predict(self, images: Sequence[Image], boxes: FloatArray, /, *, flip_test: bool) -> Any:
        """An object with `poses` (S, B, K, 2) px, `confidence` and, for a calibration, `peak_mass`, both (S, B, K)."""


def mean_pose_row(
    train: Annotations,
    train_boxes: FloatArray,
    test: Annotations,
    test_boxes: FloatArray,
    *,
    observer_centric: bool = False,
) -> ScoredPredictions:
    """The predictions of a model that never uses the image.

    Per joint the mean of N(y; b⁰) over the training images (boxes (N, 4)) in which it is labelled, put into each test
    image's b⁰ (M, 4). NaN for a joint that is labelled in none.
    """
    poses = metrics.observer_centric(train.keypoints, train.skeleton) if observer_centric else train.keypoints
    relative = normalise(poses, train_boxes[:, None])
    labelled = ~np.isnan(relative).any(-1, keepdims=True)
    mean = metrics.rate(np.where(labelled, relative, 0).sum(0), labelled.sum(0))
    poses = to_skeleton(denormalise(mean[None], np.asarray(test_boxes)[:, None]), train.skeleton, test.skeleton)
    return ScoredPredictions(MEAN_POSE, poses, shared_joints(train.skeleton, test.skeleton))


def training_boxes(train: Annotations, source: str, folder: Path, progress: Progress | None) -> FloatArray:
    """(N, 4) the training images' initial boxes where the scored ones come from `source`, or are given in px."""
    return initial_boxes(train, training_source(source if source in BOX_SOURCES else "image"), folder, progress).boxes


def find_training_images(
    dataset: DatasetSpec, splits: Mapping[str, Annotations], model: TrainedModel | None, data_root: Path
) -> tuple[str, Annotations] | str:
    """The name and the training images of the data set, or of the model's own, or one line that explains why none."""
    if not dataset.evaluation_only and len(splits["train"]):
        return dataset.name, splits["train"]
    lacks = "is not for training" if dataset.evaluation_only else "has no training images"
    reason = f"no row '{MEAN_POSE}': {dataset.name} {lacks}"
    if model is None or model.data_name == dataset.name:
        return reason
    try:
        own = get_dataset(model.data_name, data_root)
        if own.is_prepared(data_root) and len(images := own.read(data_root)["train"]):
            return own.name, images
    except DeepPoseError as error:
        return f"{reason}, and those of the {model.kind}: {error}"
    owner = "the run's" if model.kind == "run" else "the weights'"
    return f"{reason}, and {own.name}, {owner} own set, is not in {data_root}"


def predict_split(
    cascade: Predictor,
    annotations: Annotations,
    boxes: FloatArray,
    batch_size: int = EVALUATION_BATCH_SIZE,
    progress: Progress | None = None,
    unreadable: list[DeepPoseError] | None = None,
    *,
    flip_test: bool = False,
    outputs: Mapping[str, NDArray[np.float64]] | None = None,
) -> NDArray[np.float64]:
    """Run a cascade over a split, from initial boxes (N, 4): (S, N, K, 2) px, in the cascade's joint order.

    An image that cannot be read is reported and appended to `unreadable`: its poses are NaN, which count as wrong.
    `flip_test`: see `Cascade.predict`. `outputs`: arrays (S, N, K) to fill with the results' fields of these names.
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
                report_skipped(error)
                if unreadable is not None:
                    unreadable.append(error)
        if rows:
            result = cascade.predict(images, np.asarray(boxes)[rows], flip_test=flip_test)
            poses[:, rows] = result.poses
            for name, values in (outputs or {}).items():
                values[:, rows] = getattr(result, name)
        if progress is not None:
            progress("predicting", stop, n)
    return poses


def stage_rows(
    model: TrainedModel,
    stage: int | None,
    test: Annotations,
    boxes: FloatArray,
    batch_size: int,
    progress: Progress | None = None,
    *,
    flip_test: bool = False,
) -> tuple[list[ScoredPredictions], int]:
    """Run the model: a row for each stage, in the data set's joint order, and the number of unreadable images."""
    with loading_notice(f"{model.kind} {model.name}"):
        cascade = model.load(stage)
    shared = shared_joints(cascade.skeleton, test.skeleton)
    missing = [joint for joint, is_shared in zip(test.skeleton.joints, shared, strict=True) if not is_shared]
    if not shared.any():
        raise DeepPoseError(f"{model.kind} {model.name} predicts none of the joints {', '.join(missing)}")
    if missing:
        scored = f"scored over {shared.sum()} of {len(shared)} joints"
        report(f"{model.kind} {model.name} does not predict {', '.join(missing)}: {scored}")
    unreadable: list[DeepPoseError] = []
    confidences = np.full((cascade.num_stages, len(test), len(cascade.skeleton)), np.nan)
    outputs = {"confidence": confidences}
    poses = predict_split(cascade, test, boxes, batch_size, progress, unreadable, flip_test=flip_test, outputs=outputs)
    if len(unreadable) == len(test):
        raise DeepPoseError(f"none of the {len(test)} images could be read; the first: {unreadable[0]}")
    poses = to_skeleton(poses, cascade.skeleton, test.skeleton)
    confidences = to_skeleton(confidences[..., None], cascade.skeleton, test.skeleton, derive=False)[..., 0]
    rows = [
        ScoredPredictions(f"stage {s}", pose, shared, confidence=None if np.isnan(values).all() else values)
        for s, (pose, values) in enumerate(zip(poses, confidences, strict=True), start=1)
        if stage in (None, s)
    ]
    return rows, len(unreadable)


def to_skeleton(values: FloatArray, source: Skeleton, target: Skeleton, *, derive: bool = True) -> NDArray[np.float64]:
    """Values (…, K, C) of one skeleton's joints in another's joint order; poses: C = 2.

    A derived joint of the target (FLIC's neck, the shoulders' midpoint) is computed, unless the source derives it in
    the same way; all others are matched by name. NaN where neither works, and with `derive=False` for computed joints.
    """
    out = np.full((*values.shape[:-2], len(target), values.shape[-1]), np.nan)
    for place, joints in enumerate(_source_joints(source, target)):
        if len(joints) == 1 or (joints and derive):
            out[..., place, :] = values[..., joints, :].mean(-2)
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
