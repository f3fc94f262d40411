"""Calibrate a run's confidences on its validation images, at the end of each training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deeppose_cli.checkpoints.lightning import load_cascade, write_calibration
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.models.confidence import Calibration

if TYPE_CHECKING:
    from deeppose_cli.data.loading.datamodules import TrainingData


def calibrate_stages(run: RunFolder, data: TrainingData, stages: int) -> list[Calibration | None]:
    """Calibrate the run's first `stages` stages and write the result into their folders; None: no confidence."""
    from deeppose_cli.evaluation.predict_split import calibrate

    found = calibrate(load_cascade(run, stages), data.validation, data.validation_boxes)
    for stage, calibration in zip(run.stages, found, strict=False):
        write_calibration(stage, calibration)
    return found
