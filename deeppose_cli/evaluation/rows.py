"""The rows of `deeppose eval`: the mean pose, a model's stages, other people's predictions, all in one skeleton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.progress import report, report_skipped

if TYPE_CHECKING:
    from deeppose_cli.checkpoints.model_source import TrainedModel
    from deeppose_cli.core.annotations import Annotations
    from deeppose_cli.core.geometry import FloatArray
    from deeppose_cli.core.skeleton import Skeleton
    from deeppose_cli.data.datasets.spec import DatasetSpec
    from deeppose_cli.evaluation.scores import ScoredPredictions

MEAN_POSE = "mean pose"


def mean_pose_source(
    known: DatasetSpec, splits: Mapping[str, Annotations], model: TrainedModel | None, data_root: Path
) -> tuple[str, Annotations] | str:
    """The data set's name and its training images; for one that has none or is never trained on, those of the set
    that the model was trained on if it is on disk. Else why there is no such row."""
    from deeppose_cli.data.datasets.registry import description

    nothing = f"no row '{MEAN_POSE}': {known.name} has no training images"
    if not known.evaluation_only:
        train = splits.get("train")
        if train is not None and len(train):
            return known.name, train
    else:
        nothing = f"no row '{MEAN_POSE}': {known.name} is not for training"
    if model is None or model.data_name == known.name:
        return nothing
    try:
        own = description(model.data_name)
        if all(folder.is_dir() for folder in own.folders(data_root)) and len(own_train := own.read(data_root)["train"]):
            return own.name, own_train
    except DeepPoseError as error:
        return f"{nothing}, and those of the {model.kind}: {error}"
    whose = "the run's" if model.kind == "run" else f"the {model.kind}'"
    return f"{nothing}, and {own.name}, {whose} own set, is not in {data_root}"


def mean_pose_row(
    train: Annotations, train_boxes: FloatArray, test: Annotations, boxes: FloatArray, *, observed: bool
) -> ScoredPredictions:
    """From boxes b⁰ of the training images (M, 4) and of those that are scored (N, 4)."""
    from deeppose_cli.evaluation import predict_split
    from deeppose_cli.evaluation.scores import ScoredPredictions

    poses = predict_split.mean_pose_predictions(train, train_boxes, boxes, observer_centric=observed)
    return ScoredPredictions(
        MEAN_POSE,
        predict_split.to_skeleton(poses, train.skeleton, test.skeleton),
        predict_split.known_joints(train.skeleton, test.skeleton),
    )


def check_files(paths: Sequence[Path]) -> None:
    """Raises before anything is read: for a file that is not there, of another kind, or given twice."""
    if not paths:
        return
    from deeppose_cli.evaluation.external_predictions import check_file

    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise UsageError(f"--predictions {path}: given twice")
        check_file(path)


def external_rows(paths: Sequence[Path], test: Annotations, data: str) -> list[ScoredPredictions]:
    """A row for each file, by its name; by its path where two files share the name. What it lacks is wrong: it says of
    how many images it predicts nothing."""
    from dataclasses import replace

    from deeppose_cli.evaluation import external_predictions
    from deeppose_cli.evaluation.scores import ScoredPredictions

    names = [path.name for path in paths]
    rows = []
    for path in paths:
        name = path.name if names.count(path.name) == 1 else str(path)
        poses = external_predictions.read_predictions(path, test.names, test.skeleton.joints, data)
        missing = external_predictions.without_prediction(poses)
        if missing:
            report(f"{path}: no prediction for {missing:,} of {len(poses):,} images; counted as wrong")
        rows.append(replace(ScoredPredictions.of_all(name, poses), without_prediction=missing))
    return rows


def stage_rows(
    model: TrainedModel,
    stage: int | None,
    test: Annotations,
    boxes: FloatArray,
    batch_size: int,
    *,
    flip_test: bool = False,
) -> tuple[list[ScoredPredictions], int]:
    """A row for each stage, in the data set's joint order, and how many images could not be read."""
    import numpy as np

    from deeppose_cli.core.progress import progress_bar
    from deeppose_cli.evaluation import predict_split
    from deeppose_cli.evaluation.scores import ScoredPredictions

    cascade = model.load(stage)
    known = predict_split.known_joints(cascade.skeleton, test.skeleton)
    lacking = [joint for joint, is_known in zip(test.skeleton.joints, known, strict=True) if not is_known]
    if not known.any():
        raise DeepPoseError(f"{model.kind} {model.name} knows none of the joints {', '.join(lacking)}")
    if lacking:
        scored = f"scored over {known.sum()} of {len(known)} joints"
        report(f"{model.kind} {model.name} does not know {', '.join(lacking)}: {scored}")
    unreadable: list[DeepPoseError] = []

    def skip(error: DeepPoseError) -> None:
        report_skipped(error)
        unreadable.append(error)

    done = 0
    with progress_bar() as progress:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            progress("predicting", done, len(test))

        sure = np.full((cascade.num_stages, len(test), len(cascade.skeleton)), np.nan)
        poses = predict_split.predict_split(
            cascade, test, boxes, batch_size, advance, skip, flip_test=flip_test, confidence=sure
        )
    if len(unreadable) == len(test):
        raise DeepPoseError(f"none of the {len(test)} images could be read; the first: {unreadable[0]}")
    poses = predict_split.to_skeleton(poses, cascade.skeleton, test.skeleton)
    sure = predict_split.confidence_in(sure, cascade.skeleton, test.skeleton)
    rows = [
        ScoredPredictions(f"stage {s}", pose, known, confidence=None if np.isnan(of_pose).all() else of_pose)
        for s, (pose, of_pose) in enumerate(zip(poses, sure, strict=True), start=1)
        if stage in (None, s)
    ]
    return rows, len(unreadable)


def as_observed(
    truth: FloatArray, rows: Sequence[ScoredPredictions], skeleton: Skeleton
) -> tuple[FloatArray, list[ScoredPredictions]]:
    """Truth and rows with the sides that an observer sees, each by its own torso."""
    from dataclasses import replace

    from deeppose_cli.evaluation.metrics import observer_centric

    return observer_centric(truth, skeleton), [
        replace(row, poses=observer_centric(row.poses, skeleton)) for row in rows
    ]


def report_windows(rows: Sequence[ScoredPredictions], skeleton: Skeleton) -> None:
    """Says which rows Buffy's scorer cannot look for, as it makes a window of head and torso."""
    from deeppose_cli.evaluation import pcp

    if not pcp.has_windows(skeleton):
        return
    needed = pcp.window_limbs(skeleton)
    without = [row.name for row in rows if not pcp.known_limbs(row.known, skeleton)[needed].all()]
    if without:
        report(f"{', '.join(without)}: no head or torso to match windows by; the stick rule alone is applied")
