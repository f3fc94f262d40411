"""Stages of a cascade for programs that use Lightning's Trainer themselves, with loggers and callbacks of their own.

    data = KeypointDataModule("data/climbing")
    module = initial_stage(data, run="mine", settings={"max_epochs": 20})
    Trainer(max_epochs=20).fit(module, data)
    Trainer().test(module, data)

The run folder is written as by `train()`, by callbacks of the module: `deeppose eval --run mine` and `refine` find it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch.callbacks import Callback
from rich.console import Console

from deeppose_cli.checkpoints.lightning import load_cascade
from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder, run_folder
from deeppose_cli.config.defaults import CHECKPOINT_SECONDS, RUNS_ROOT
from deeppose_cli.config.run import StageRunConfig
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.data.loading.datamodules import PoseDataModule, TrainingData
from deeppose_cli.data.loading.keypoint_data import KeypointDataModule
from deeppose_cli.evaluation.predict_split import predict_split, to_skeleton
from deeppose_cli.training.callbacks import Checkpoints, MetricsCsv, StopOnNonFiniteLoss
from deeppose_cli.training.initialization import check_initial_weights, find_source, initialize_weights
from deeppose_cli.training.previous_stage import PreviousStage
from deeppose_cli.training.run_config import TrainOptions, check_previous_stages, new_config
from deeppose_cli.training.train import begin_folder, build_modules, calibrate_stages, measure_previous_stage

if TYPE_CHECKING:
    import lightning as L

    from deeppose_cli.training.lightning_modules import StageLightningModule


def initial_stage(
    data: KeypointDataModule,
    *,
    run: str | None = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    runs_root: str | Path = RUNS_ROOT,
) -> StageLightningModule:
    """Make stage 1 of a new run on a data set, ready for `Trainer.fit`.

    Args:
        data: The data set.
        run: Name of the run; None: that of the data set.
        preset: Name of a preset; None: that of the data set.
        settings: Changes of the preset, as of `train`. The Trainer's `max_epochs` counts, not that of the preset.
        seed: Of the first weights and of every draw.
        overwrite: Start again where the run holds this stage already.
        runs_root: Folder that holds one folder for each run.

    Raises:
        UsageError: For a preset or settings that are not valid.
        DeepPoseError: Where the run holds the stage already, or the data set cannot be read.
    """
    return _make_stage(1, **locals())


def refinement_stage(
    data: KeypointDataModule,
    *,
    stage: int = 2,
    run: str | None = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    runs_root: str | Path = RUNS_ROOT,
) -> StageLightningModule:
    """Make stage 2, 3, … of a run whose stages before it are trained; arguments and errors as of `initial_stage`.

    The errors of the stage before are measured here, which takes a while.
    """
    return _make_stage(**locals())


def _make_stage(stage: int, data: KeypointDataModule, **options: Any) -> StageLightningModule:
    dataset, console = data.dataset, Console(stderr=True)
    options = {name: value for name, value in options.items() if value is not None}
    options["runs_root"] = Path(options["runs_root"])
    chosen = TrainOptions(stage, data=dataset.name, box=data.box, data_root=data.data_root, **options)
    dataset.check_trainable()
    run = run_folder(chosen.runs_root, chosen.run or dataset.name)
    folder = run.stage(stage)
    check_previous_stages(run, chosen, dataset, console)
    config = new_config(run, folder, chosen, dataset)
    source = find_source(config.settings.init_weights, run, stage)
    check_initial_weights(config.settings, Skeleton.from_mapping(config.skeleton), source)
    training_data = data.read(config.box)
    previous = measure_previous_stage(run, folder, config, training_data, False, console)
    module, loaders = build_modules(config, training_data, previous, data.workers)
    initialize_weights(module, config.settings, source, loaders.example_crops)
    module.build_loaders = _Loaders(run, config, previous, training_data)
    module.stage_callbacks = [
        _RunWriter(run, folder, config, training_data, previous),
        Checkpoints(folder, CHECKPOINT_SECONDS, None),
        MetricsCsv(folder),
        StopOnNonFiniteLoss(folder),
    ]
    return module


class _RunWriter(Callback):
    """Begin the run folder before the first step, and measure the confidences after the last."""

    def __init__(
        self,
        run: RunFolder,
        folder: StageFolder,
        config: StageRunConfig,
        data: TrainingData,
        previous: PreviousStage | None,
    ) -> None:
        self.run, self.folder, self.config, self.data, self.previous = run, folder, config, data, previous

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero and not trainer.ckpt_path:
            epochs = trainer.max_epochs or self.config.settings.max_epochs
            config = replace(self.config, settings=replace(self.config.settings, max_epochs=epochs))
            begin_folder(self.run, self.folder, config, self.data, self.previous)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero and self.folder.best.is_file():
            calibrate_stages(self.run, self.data, self.folder.number)


class _Loaders:
    """Builds the loaders of a stage over its training data or another test set."""

    def __init__(
        self, run: RunFolder, config: StageRunConfig, previous: PreviousStage | None, data: TrainingData
    ) -> None:
        self.run, self.config, self.previous, self.data = run, config, previous, data
        self.data_name, self.box = config.data, config.box
        """The data set, and the source of its initial boxes."""

    def __call__(self, data: TrainingData, workers: int) -> PoseDataModule:
        previous = self.previous
        if data is not self.data:
            data = self._with_own_joints(data)
            previous = self._on_another_set(data)
        _, loaders = build_modules(self.config, data, previous, workers)
        return loaders

    def _with_own_joints(self, data: TrainingData) -> TrainingData:
        """The set's labels as those of the stage's skeleton: joints by name, NaN where the set has none."""
        skeleton, labels = Skeleton.from_mapping(self.config.skeleton), data.validation
        if labels.skeleton.joints == skeleton.joints:
            return data
        keypoints = to_skeleton(labels.keypoints, labels.skeleton, skeleton)
        validation = replace(labels, skeleton=skeleton, keypoints=keypoints, sticks=None)
        return replace(data, train=validation.take([]), validation=validation)

    def _on_another_set(self, data: TrainingData) -> PreviousStage | None:
        """The poses of the stages before on that set."""
        if self.previous is None:
            return None
        cascade = load_cascade(self.run, self.config.stage - 1)
        masses = np.full((cascade.num_stages, len(data.validation), len(cascade.skeleton)), np.nan)
        poses = predict_split(cascade, data.validation, data.validation_boxes, outputs={"peak_mass": masses})
        return replace(self.previous, validation_poses=poses[-1], validation_peak_mass=masses[-1])
