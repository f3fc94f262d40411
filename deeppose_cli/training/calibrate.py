"""Measures, on a run's validation images, what makes confidences of its maps: after each training, or later."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deeppose_cli.checkpoints.lightning import load_cascade, write_calibration
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.progress import progress_bar
from deeppose_cli.models.confidence import Calibration

if TYPE_CHECKING:
    from deeppose_cli.data.datasets.spec import DatasetSpec
    from deeppose_cli.data.loading.datamodules import TrainingData


def calibrate_stages(run: RunFolder, data: TrainingData, stages: int) -> list[Calibration | None]:
    """Of a run's first `stages` stages; kept in their folders. None for a stage that has no confidence."""
    from deeppose_cli.evaluation.predict_split import calibrate

    found = calibrate(load_cascade(run, stages), data.validation, data.validation_boxes)
    for stage, values in zip(run.stages, found, strict=False):
        write_calibration(stage, values)
    return found


def calibrate_run(run: RunFolder, description: DatasetSpec, data_root: Path) -> list[Calibration | None]:
    """Of every stage that there is. Raises UsageError for a data set that the run was not trained on."""
    from deeppose_cli.data.loading.datamodules import TrainingData

    if run.data_name != description.name:
        raise UsageError(
            f"--data {description.name}: run {run.name} has learned from {run.data_name}; valid: {run.data_name}, of "
            "which some images were held back"
        )
    with progress_bar() as progress:
        data = TrainingData.read(description, data_root, run.initial_box, progress)
    return calibrate_stages(run, data, len(run.stages))
