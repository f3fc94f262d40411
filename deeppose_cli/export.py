"""A run's stages as one file that needs no run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deeppose_cli.checkpoints import read_stages
from deeppose_cli.run_folder import RunFolder, StageFolder
from deeppose_cli.weights import write_weights
from deeppose_cli.weights_document import Description, TrainingRecord
from deeppose_cli.weights_file import WeightsHeader


def save_cascade(
    run: RunFolder, file: Path, stages: int | None = None, *, commit: str | None = None, overwrite: bool = False
) -> WeightsHeader:
    """Writes the best checkpoints of a run (its first `stages` stages) as a weights file; returns its header.

    `commit`: of the source code that trained them, for the record. Raises DeepPoseError where a stage is missing, or
    the file is there already or cannot be written.
    """
    plan, values = read_stages(run, stages)
    records = tuple(_record(run.stage(number), commit) for number in range(1, len(values) + 1))
    return write_weights(file, Description(plan, run.first_box, records), values, overwrite=overwrite)


def _record(stage: StageFolder, commit: str | None) -> TrainingRecord:
    config, history = stage.read_config(), stage.history()
    scores = [float(row["val_pdj"]) for row in history if row.get("val_pdj") not in (None, "", "nan")]

    def text(key: str) -> str | None:
        value: Any = config.get(key)
        return None if value is None else str(value)

    return TrainingRecord(
        data=str(config["data"]),
        preset=text("preset"),
        command=text("command"),
        deeppose=text("deeppose"),
        commit=commit,
        epochs=len({row["epoch"] for row in history}) or None,
        pictures=config.get("pictures"),
        validation_pdj=round(max(scores), 4) if scores else None,
    )
