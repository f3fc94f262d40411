"""Train a stage into its run folder: `train()` for stage 1, `refine()` for the stages after it.

torch and Lightning are imported inside the functions: errors that the arguments alone decide need neither.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeppose_cli.checkpoints.lightning import load_cascade, read_checkpoint, write_calibration
from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder, list_runs, run_folder
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT
from deeppose_cli.config.presets import preset_by_name
from deeppose_cli.config.run import StageRunConfig
from deeppose_cli.config.schema import RefinementPreset, to_primitives
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.progress import loading_notice, progress_bar
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.training.initialization import check_initial_weights, find_source, initialize_weights
from deeppose_cli.training.previous_stage import PreviousStage
from deeppose_cli.training.run_config import (
    TrainOptions,
    check_previous_stages,
    delete_stages,
    is_follower,
    new_config,
    resumed_config,
    starting_advice,
)
from deeppose_cli.training.trainer import build_trainer, hide_known_warnings, hint_to_resume, keep_memory

if TYPE_CHECKING:
    from rich.console import Console

    from deeppose_cli.data.datasets.spec import DatasetSpec
    from deeppose_cli.data.loading.datamodules import PoseDataModule, TrainingData
    from deeppose_cli.models.confidence import Calibration
    from deeppose_cli.training.lightning_modules import StageLightningModule


def train(
    data: str | None = None,
    *,
    run: str | None = None,
    preset: str | None = None,
    box: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    cache: bool = True,
    loggers: Sequence[str] = ("csv",),
    trainer: Mapping[str, Any] | None = None,
    data_root: str | Path = DATA_ROOT,
    runs_root: str | Path = RUNS_ROOT,
) -> StageFolder:
    """Train stage 1 and return its folder. `TrainOptions` explains each argument, and has some more for `run_training`.

    Raises DeepPoseError, one line, before anything is written, for options that cannot be, a data set that is not
    there, or a run that holds this stage already.
    """
    return run_training(_options(1, **locals()))


def refine(
    stage: int = 2,
    *,
    data: str | None = None,
    run: str | None = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    cache: bool = True,
    loggers: Sequence[str] = ("csv",),
    trainer: Mapping[str, Any] | None = None,
    data_root: str | Path = DATA_ROOT,
    runs_root: str | Path = RUNS_ROOT,
) -> StageFolder:
    """Train stage 2, 3, … of a run, the newest if it is not named, and return its folder. See `train`."""
    options = _options(**locals())
    if stage < 2:
        raise UsageError(f"--stage {stage}: refine makes stages 2, 3, …; for the first type: deeppose train --stage 1")
    return run_training(options)


def _options(stage: int, **arguments: Any) -> TrainOptions:
    """Options of the arguments of `train` or `refine`; of those that are None the default."""
    paths = {name: Path(arguments[name]) for name in ("data_root", "runs_root")}
    given = {name: value for name, value in arguments.items() if value is not None}
    return TrainOptions(stage, **{**given, **paths, "loggers": tuple(arguments["loggers"])})


def default_workers() -> int:
    """Processes that prepare crops: all cores but one, at most eight."""
    return max(1, min(8, (os.cpu_count() or 2) - 1))


def run_training(options: TrainOptions) -> StageFolder:
    """Train the stage of the options on their data set, and return its folder. Progress goes to stderr."""
    from rich.console import Console

    from deeppose_cli.data.datasets.registry import get_dataset

    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit('worker processes run this script again: put its calls under `if __name__ == "__main__":`')
    console = Console(file=sys.stderr, soft_wrap=not sys.stderr.isatty())  # a log keeps its lines whole
    if options.data is None and options.run is None and options.stage > 1:
        newest = next((run for run in list_runs(options.runs_root) if run.stages), None)
        options = replace(options, run=newest.name if newest else None)
    name = _data_name(options)
    if name is None and options.stage == 1:
        console.print(
            "no --data given: synthetic people (demo); for photographs: deeppose data prepare lsp --from "
            "lsp_dataset.zip, then --data lsp",
            highlight=False,
        )
    return train_stage(options, get_dataset(name or "demo", options.data_root), console)


def _data_name(options: TrainOptions) -> str | None:
    """The data set of --data; else the recipe's, for stage 1; else the run's; else None."""
    if options.data is not None:
        return options.data
    if options.preset is not None and options.stage == 1 and (recipe := preset_by_name(options.preset).data):
        return recipe
    first = run_folder(options.runs_root, options.run).stage(1) if options.run is not None else None
    return first.read_config().data if first is not None and first.config_file.is_file() else None


def train_stage(options: TrainOptions, dataset: DatasetSpec, console: Console) -> StageFolder:
    """Train stage `options.stage` of a run, or continue it, and return its folder.

    Raises DeepPoseError or UsageError, before anything is written, when the set is for evaluation only, when a stage
    before is missing, when the folder holds a training already, is in use or cannot be written.
    """
    dataset.check_trainable()
    run = run_folder(options.runs_root, options.run or dataset.name)
    folder = run.stage(options.stage)
    check_previous_stages(run, options, dataset, console)
    follower = is_follower()
    with ExitStack() as locks:
        if not follower:
            locks.enter_context(folder.lock())
            for later in run.started:  # overwriting a stage deletes those after it: none may be in training
                if options.overwrite and later.number > options.stage:
                    locks.enter_context(later.lock())
        continues = options.resume or follower
        config = resumed_config(folder, options, dataset) if continues else new_config(run, folder, options, dataset)
        if not dataset.is_prepared(options.data_root):
            dataset.read(options.data_root)  # before the slow imports: its error names what to type
        return _train(run, folder, config, options, dataset, console)


def _train(
    run: RunFolder,
    folder: StageFolder,
    config: StageRunConfig,
    options: TrainOptions,
    dataset: DatasetSpec,
    console: Console,
) -> StageFolder:
    with loading_notice("PyTorch and Lightning"):
        resume_from, source = _resume_point(folder, config) if options.resume else None, None
        if resume_from is None:
            source = find_source(config.settings.init_weights, run, config.stage)
            check_initial_weights(config.settings, Skeleton.from_mapping(config.skeleton), source)
        from deeppose_cli.data.loading.datamodules import TrainingData
    keep_memory()
    with progress_bar() as progress:
        data = TrainingData.read(dataset, options.data_root, config.box, progress, options.cache)
    leader, continues = not is_follower(), options.resume or is_follower()
    with hide_known_warnings():
        from deeppose_cli.training.trackers import Trackers, closing_wandb_run

        trackers = Trackers.of(folder, options)
        trainer = build_trainer(run, folder, config, options, console, trackers)
        if leader:
            for line in [*announcement(folder, config, data), *starting_advice(config, options)]:
                console.print(line, highlight=False)
        previous = measure_previous_stage(run, folder, config, data, continues, console)
        workers = options.workers if options.workers is not None else default_workers()
        module, loaders = build_modules(config, data, previous, workers)
        if resume_from is None:
            origin = initialize_weights(module, config.settings, source, loaders.example_crops)
            if origin is not None and leader:
                console.print(f"stage {folder.number}: {origin}", highlight=False)
        if leader:
            begin_folder(run, folder, config, data, previous, continues)
            trackers.save(folder)
        with closing_wandb_run(trackers), hint_to_resume(folder, run, console):
            trainer.fit(module, datamodule=loaders, ckpt_path=resume_from, weights_only=True)
    if trainer.is_global_zero:
        calibrate_stages(run, data, folder.number)
        _report(folder, data, previous, console)
    return folder


def begin_folder(
    run: RunFolder,
    folder: StageFolder,
    config: StageRunConfig,
    data: TrainingData,
    previous: PreviousStage | None,
    continues: bool = False,
) -> None:
    """Write what a stage's folder holds before the first step. Every check has passed: now an old stage may go."""
    if not continues:
        delete_stages(run, folder.number)
        folder.write_config(replace(config, num_train_images=len(data.train)))
    if previous is not None:
        previous.write(folder.previous_stage)


def calibrate_stages(run: RunFolder, data: TrainingData, stages: int) -> list[Calibration | None]:
    """Calibrate the confidences of the run's first `stages` stages on validation images and write the result into
    their folders. None: the stage's network has no confidence."""
    from deeppose_cli.evaluation.calibration import calibrate

    found = calibrate(load_cascade(run, stages), data.validation, data.validation_boxes)
    for stage, calibration in zip(run.stages, found, strict=False):
        write_calibration(stage, calibration)
    return found


def _resume_point(folder: StageFolder, config: StageRunConfig) -> str | None:
    """Path of the last state; None where the training was stopped before it saved one.

    Raises DeepPoseError for a state that is not of this training.
    """
    if config.imported is not None:
        raise DeepPoseError(
            f"{folder.path}: holds weights only, no training to continue; --overwrite starts one, --init-weights "
            "FILE from these"
        )
    if not folder.last.is_file():
        return None
    state = read_checkpoint(folder.last)
    for key, value in (("skeleton", config.skeleton), ("settings", to_primitives(config.settings))):
        if state["hyper_parameters"].get(key) != value:
            raise DeepPoseError(f"{folder.last}: is of another training; its {key} are not those of config.yaml")
    if "optimizer_states" not in state:
        raise DeepPoseError(f"{folder.last}: holds weights only, no training to continue")
    return str(folder.last)


def measure_previous_stage(
    run: RunFolder, folder: StageFolder, config: StageRunConfig, data: TrainingData, continues: bool, console: Console
) -> PreviousStage | None:
    """Errors of the stage before; a training that continues reads those that it began with. None for stage 1."""
    if not isinstance(config.settings, RefinementPreset):
        return None
    if continues and folder.previous_stage.is_file():
        return PreviousStage.read(folder.previous_stage)
    number, split = folder.number - 1, config.settings.displacement_split
    images = "training" if split == "train" else split
    console.print(f"stage {folder.number}: measuring the errors of stage {number} on {images} images")
    return PreviousStage.measure(run, number, data, config.square_initial_box, split)


def build_modules(
    config: StageRunConfig, data: TrainingData, previous: PreviousStage | None, workers: int
) -> tuple[StageLightningModule, PoseDataModule]:
    """Build the stage's LightningModule, with random weights by the config's seed, and its data."""
    import lightning as L

    from deeppose_cli.data.loading import datamodules
    from deeppose_cli.training.lightning_modules import InitialStageModule, PersonStageModule, RefinementStageModule

    settings, square, seed, sigma = config.settings, config.square_initial_box, config.seed, config.sigma
    L.seed_everything(seed, verbose=False)
    primitives = to_primitives(settings)
    if previous is None or not isinstance(settings, RefinementPreset) or sigma is None:
        module = InitialStageModule(config.skeleton, primitives, square, seed)
        return module, datamodules.InitialStageDataModule(data, settings, square, seed, workers)
    errors, poses = previous.displacement, previous.validation_poses
    mean, std = ([list(pair) for pair in part] for part in (errors.mean, errors.std))
    arguments = config.skeleton, primitives, config.stage, sigma, mean, std, square, seed
    crops = data, settings, square, sigma, errors, poses
    if settings.view == "person":
        masses = previous.validation_peak_mass
        return PersonStageModule(*arguments), datamodules.PersonStageDataModule(*crops, masses, seed, workers)
    return RefinementStageModule(*arguments), datamodules.RefinementStageDataModule(*crops, seed, workers)


def announcement(folder: StageFolder, config: StageRunConfig, data: TrainingData) -> list[str]:
    """Lines that a training prints before it starts: its images, its settings and what may surprise."""
    s = config.settings
    numbers = f"network {s.network}, input {s.input_size} px, {s.max_epochs} epochs, batch {s.batch_size}"
    if isinstance(s, RefinementPreset):
        numbers += f", σ {config.sigma:g}, "
        networks = "a network per joint" if s.per_joint else "one network"
        around_joints = f"{networks}, {s.crops_per_joint} crops per joint"
        numbers += "the whole person" if s.view == "person" else around_joints
    lines = [
        f"stage {folder.number} on {config.data}: {len(data.train)} images to train, {len(data.validation)} to "
        f"validate; preset {config.preset} ({numbers}); seed {config.seed}; into {folder.path}",
        data.summary,
    ]
    if config.settings.augmentation.flip > 0 and not data.train.skeleton.mirror_pairs:
        lines.append("the skeleton has no mirror pairs: in mirrored copies no joints change places")
    if data.unreadable:
        shown = ", ".join(data.unreadable[:8]) + (", …" if len(data.unreadable) > 8 else "")
        lines.append(f"warning: {len(data.unreadable)} image(s) cannot be read and are left out: {shown}")
    return lines


def _report(folder: StageFolder, data: TrainingData, previous: PreviousStage | None, console: Console) -> None:
    """Print the best score; of a refinement stage also its gain on validation images."""
    from deeppose_cli.evaluation.metrics import mean_rate, pdj

    score = folder.best_pdj()
    best = float("nan") if score is None else score
    line = f"stage {folder.number}: PDJ@0.2 {best:.1%} on validation images"
    if previous is not None:
        before = float(mean_rate(pdj(previous.validation_poses, data.validation.keypoints, data.validation.skeleton)))
        gain = 100 * (best - before)
        advice = f"deeppose predict --stage {folder.number - 1} does without it; more --max-epochs may help"
        gained = f"gained {gain:+.1f} points" if gain > 0 else f"gained nothing ({gain:+.1f} points): {advice}"
        line += f", {before:.1%} before it; {gained}"
    console.print(f"{line}; weights in {folder.best}", highlight=False)
