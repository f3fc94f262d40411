"""Create a run from a weights file: the inverse of an export. Its cascade can then be trained further."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from deeppose_cli.checkpoints.lightning import fingerprint, write_calibration
from deeppose_cli.checkpoints.metadata import ModelMetadata, TrainingRecord
from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder
from deeppose_cli.checkpoints.weights_file import WeightsHeader
from deeppose_cli.config.run import StageRunConfig
from deeppose_cli.config.schema import to_primitives
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.models.spec import StageSpec


def import_cascade(file: Path, run: RunFolder, stages: int | None = None) -> WeightsHeader:
    """Write the stages of a weights file (the first `stages`) as a new run, as if they had been trained there.

    Each stage can be scored, refined and exported, but not resumed: the optimiser's state is not in the file. Raises
    DeepPoseError, before anything is written, for a bad file, or a run that is there already.
    """
    import torch

    from deeppose_cli.checkpoints.weights_file import read_file_stages

    header, regressors = read_file_stages(file)
    metadata = header.metadata
    chosen = len(regressors) if stages is None else stages
    if not 1 <= chosen <= len(regressors):
        raise UsageError(f"--stage {chosen}: {file} has {len(regressors)} stage(s); valid: 1 to {len(regressors)}")
    if run.started:
        raise DeepPoseError(f"{run.path}: holds a run already; --run NAME takes another")
    for number, regressor in enumerate(regressors[:chosen], start=1):
        spec, record, folder = metadata.spec.stages[number - 1], metadata.records[number - 1], run.stage(number)
        with folder.lock():
            config = _config(run, number, metadata, file)
            folder.write_config(config)
            _write_history(folder, record)
            values = {f"regressor.{name}": value for name, value in regressor.state_dict().items()}
            kept = {"state_dict": values, "hyper_parameters": _hyper_parameters(number, spec, config)}
            temporary = folder.best.with_suffix(".tmp")
            torch.save(kept, temporary)
            temporary.replace(folder.best)
            write_calibration(folder, spec.calibration)
    return header


def _config(run: RunFolder, number: int, metadata: ModelMetadata, file: Path) -> StageRunConfig:
    record, stage = metadata.records[number - 1], metadata.spec.stages[number - 1]
    return StageRunConfig(
        run=run.name,
        stage=number,
        data=record.data,
        skeleton=metadata.spec.skeleton.to_mapping(),
        box=metadata.initial_box,
        square_initial_box=metadata.spec.square_initial_box,
        settings=stage.settings,
        preset=record.preset,
        sigma=stage.sigma if number > 1 else None,
        previous_stage_sha256=fingerprint(run.stage(number - 1).best) if number > 1 else None,
        num_train_images=record.num_train_images,
        imported=file.name,
        command=record.command,
        deeppose_version=record.deeppose_version,
        commit=record.commit,
    )


def _hyper_parameters(number: int, spec: StageSpec, config: StageRunConfig) -> dict[str, Any]:
    """As the stage's LightningModule keeps them."""
    kept = {
        "skeleton": config.skeleton,
        "settings": to_primitives(config.settings),
        "square_initial_box": config.square_initial_box,
    }
    if spec.displacement is not None:
        mean, std = ([list(pair) for pair in part] for part in (spec.displacement.mean, spec.displacement.std))
        kept |= {"stage": number, "sigma": spec.sigma, "displacement_mean": mean, "displacement_std": std}
    return kept


def _write_history(folder: StageFolder, record: TrainingRecord) -> None:
    """Write the one row that is in the metadata, if any."""
    if record.epochs is None or record.validation_pdj is None:
        return
    with folder.metrics.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("epoch", "val_pdj"))
        writer.writerow((record.epochs, record.validation_pdj))
