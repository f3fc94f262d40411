"""Predictions that an evaluation scores: the mean pose, a model's stages, external files, all in one skeleton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeppose_cli.checkpoints.model_source import TrainedModel
from deeppose_cli.config.defaults import BOX_SOURCES
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.progress import Progress, loading_notice, report, report_skipped
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.detection.initial_boxes import initial_boxes, training_source
from deeppose_cli.evaluation import external_predictions, pcp, predict_split
from deeppose_cli.evaluation.choices import Centric
from deeppose_cli.evaluation.metrics import observer_centric
from deeppose_cli.evaluation.scores import MEAN_POSE, ScoredPredictions


class TrainingImages(NamedTuple):
    """Images whose mean pose is scored."""

    data: str
    """The data set that they belong to."""
    images: Annotations


def find_training_images(
    dataset: DatasetSpec, splits: Mapping[str, Annotations], model: TrainedModel | None, data_root: Path
) -> TrainingImages | str:
    """The training images of the data set, or one line that explains why there are none.

    For a data set without training images, or for evaluation only: those of the data set that the model was trained
    on, if it is prepared.
    """
    reason = f"no row '{MEAN_POSE}': {dataset.name} is not for training"
    if not dataset.evaluation_only:
        train = splits.get("train")
        if train is not None and len(train):
            return TrainingImages(dataset.name, train)
        reason = f"no row '{MEAN_POSE}': {dataset.name} has no training images"
    if model is None or model.data_name == dataset.name:
        return reason
    try:
        own = get_dataset(model.data_name)
        if all(folder.is_dir() for folder in own.folders(data_root)) and len(images := own.read(data_root)["train"]):
            return TrainingImages(own.name, images)
    except DeepPoseError as error:
        return f"{reason}, and those of the {model.kind}: {error}"
    owner = "the run's" if model.kind == "run" else "the weights'"
    return f"{reason}, and {own.name}, {owner} own set, is not in {data_root}"


def mean_pose_row(
    training: TrainingImages,
    source: str,
    test: Annotations,
    boxes: FloatArray,
    centric: Centric,
    data_root: Path,
    progress: Progress | None,
) -> ScoredPredictions:
    """The mean pose of the training images, put into the scored images' initial boxes (N, 4).

    `source`: of the training images' initial boxes; a box in px is the scored images' only.
    """
    source = training_source(source if source in BOX_SOURCES else "image")
    train = training.images
    train_boxes = initial_boxes(train, source, data_root / training.data, progress).boxes
    observer = centric == "observer"
    poses = predict_split.mean_pose_predictions(train, train_boxes, boxes, observer_centric=observer)
    poses = predict_split.to_skeleton(poses, train.skeleton, test.skeleton)
    return ScoredPredictions(MEAN_POSE, poses, predict_split.shared_joints(train.skeleton, test.skeleton))


def external_rows(paths: Sequence[Path], test: Annotations, data: str) -> list[ScoredPredictions]:
    """Read each file of predictions. A row has the file's name, or its path where two files share the name."""
    names = [path.name for path in paths]
    rows = []
    for path in paths:
        poses = external_predictions.read_predictions(path, test.names, test.skeleton.joints, data)
        missing = external_predictions.count_missing(poses)
        if missing:
            report(f"{path}: no prediction for {missing:,} of {len(poses):,} images; counted as wrong")
        row = ScoredPredictions.of_all(path.name if names.count(path.name) == 1 else str(path), poses)
        rows.append(replace(row, images_without_prediction=missing))
    return rows


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
    shared = predict_split.shared_joints(cascade.skeleton, test.skeleton)
    missing = [joint for joint, is_shared in zip(test.skeleton.joints, shared, strict=True) if not is_shared]
    if not shared.any():
        raise DeepPoseError(f"{model.kind} {model.name} predicts none of the joints {', '.join(missing)}")
    if missing:
        scored = f"scored over {shared.sum()} of {len(shared)} joints"
        report(f"{model.kind} {model.name} does not predict {', '.join(missing)}: {scored}")
    unreadable: list[DeepPoseError] = []

    def skip(error: DeepPoseError) -> None:
        report_skipped(error)
        unreadable.append(error)

    confidence = np.full((cascade.num_stages, len(test), len(cascade.skeleton)), np.nan)
    poses = predict_split.predict_split(
        cascade, test, boxes, batch_size, progress, skip, flip_test=flip_test, outputs={"confidence": confidence}
    )
    if len(unreadable) == len(test):
        raise DeepPoseError(f"none of the {len(test)} images could be read; the first: {unreadable[0]}")
    poses = predict_split.to_skeleton(poses, cascade.skeleton, test.skeleton)
    confidence = predict_split.confidence_to_skeleton(confidence, cascade.skeleton, test.skeleton)
    rows = [
        ScoredPredictions(f"stage {s}", pose, shared, confidence=None if np.isnan(sure).all() else sure)
        for s, (pose, sure) in enumerate(zip(poses, confidence, strict=True), start=1)
        if stage in (None, s)
    ]
    return rows, len(unreadable)


def observer_rows(rows: Sequence[ScoredPredictions], skeleton: Skeleton) -> list[ScoredPredictions]:
    """Change left and right of person-centric rows to an observer's, each pose by its own torso."""
    return [replace(row, poses=observer_centric(row.poses, skeleton)) for row in rows]


def report_unmatched(rows: Sequence[ScoredPredictions], skeleton: Skeleton) -> None:
    """Report the rows without the head and torso from which Buffy's scorer makes its windows."""
    if not pcp.has_windows(skeleton):
        return
    needed = pcp.window_limbs(skeleton)
    without = [row.name for row in rows if not pcp.limbs_of_joints(row.predicted, skeleton)[needed].all()]
    if without:
        report(f"{', '.join(without)}: no head or torso to match windows by; the stick rule alone is applied")
