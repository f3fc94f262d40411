"""Trains a stage into its run folder: the only place that builds a Trainer.

torch and Lightning are imported inside the functions, so that listing runs costs nothing.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from deeppose_cli.checkpoints.lightning import how_to_train, read_checkpoint
from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder, run_folder
from deeppose_cli.config.schema import (
    RefinementPreset,
    StagePreset,
    initial_from_primitives,
    refinement_from_primitives,
)
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.progress import progress_bar
from deeppose_cli.core.skeleton import skeleton_by_name
from deeppose_cli.models.spec import StageSpec
from deeppose_cli.training.calibrate import calibrate_stages
from deeppose_cli.training.initialization import SourceStage, begin, check_start, find_source
from deeppose_cli.training.memory import keep_memory
from deeppose_cli.training.previous_stage import PreviousStage
from deeppose_cli.training.run_config import (
    TrainOptions,
    check_previous,
    clear,
    fresh,
    is_follower,
    starting_advice,
    stored,
)

if TYPE_CHECKING:
    import lightning as L
    from rich.console import Console

    from deeppose_cli.data.datasets.spec import DatasetSpec
    from deeppose_cli.data.loading.datamodules import PoseDataModule, TrainingData
    from deeppose_cli.training.lightning_modules import StageLightningModule


def default_workers() -> int:
    """Processes that prepare images: all cores but one, up to eight."""
    return max(1, min(8, (os.cpu_count() or 2) - 1))


def train_stage(orders: TrainOptions, description: DatasetSpec, console: Console) -> StageFolder:
    """Trains stage `orders.stage` of a run, or takes it up again, and returns its folder.

    Raises DeepPoseError or UsageError, before anything is written, when the set is only scored on, when a stage
    before is missing, when the folder holds a training already, is in use or cannot be written.
    """
    description.check_trainable()
    run = run_folder(orders.runs_root, orders.run or description.name)
    folder = run.stage(orders.stage)
    check_previous(run, orders, description, console)
    follower = is_follower()
    with ExitStack() as locks:
        if not follower:
            locks.enter_context(folder.lock())
            for later in run.started:  # an overwritten stage takes those after it with it: nobody may be at work there
                if orders.overwrite and later.number > orders.stage:
                    locks.enter_context(later.lock())
        again = orders.resume or follower
        config = stored(folder, orders, description) if again else fresh(run, folder, orders, description)
        return _train(run, folder, config, orders, description, console)


def _train(
    run: RunFolder,
    folder: StageFolder,
    config: dict[str, Any],
    orders: TrainOptions,
    description: DatasetSpec,
    console: Console,
) -> StageFolder:
    import lightning as L

    from deeppose_cli.data.loading.datamodules import TrainingData
    from deeppose_cli.training.callbacks import (
        Checkpoints,
        CollapseGuard,
        MetricsCsv,
        StopOnNonFiniteLoss,
        TerminalProgress,
        UnreadableImages,
    )

    keep_memory()
    settings = _settings(config)
    _check_network(settings)
    resume_from = _resume_point(folder, config) if orders.resume else None
    donor = _checked_donor(run, config, settings) if resume_from is None else None
    with progress_bar() as progress:
        data = TrainingData.read(description, orders.data_root, config.get("box"), progress, orders.cache)
    leader, going_on = not is_follower(), orders.resume or is_follower()
    checkpoints = Checkpoints(folder, orders.checkpoint_seconds, orders.checkpoint_steps)
    # Lightning's own remarks (which devices there are, advertisements) are not this program's.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        _ignore_known_warnings()
        trainer = _trainer(
            {"max_epochs": settings.max_epochs, **config.get("trainer", {}), **orders.trainer},
            callbacks=[
                checkpoints,
                MetricsCsv(folder),
                StopOnNonFiniteLoss(folder),
                TerminalProgress(f"stage {folder.number}", console, checkpoints),
                CollapseGuard(console, refining=folder.number > 1),
                UnreadableImages(console),
            ],
            logger=_loggers(orders, run, folder, config),
            default_root_dir=str(folder.path),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # the samplers deal out by themselves, and count nobody twice
            log_every_n_steps=10,
        )
        if leader:
            for line in [*_announcement(folder, config, data), *starting_advice(config, orders)]:
                console.print(line, highlight=False)
        before = _previous_answers(run, folder, config, data, going_on, console)
        L.seed_everything(config["seed"], verbose=False)  # before the network is built
        workers = orders.workers if orders.workers is not None else default_workers()
        module, loaders = _stage(folder.number, config, settings, data, before, workers)
        said = begin(module, settings, donor) if resume_from is None else None
        if said is not None and leader:
            console.print(f"stage {folder.number}: {said}", highlight=False)
        if not going_on:  # all that can be refused has been: now the old may go
            clear(run, folder.number)
            folder.write_config({**config, "num_train_images": len(data.train)})
        if before is not None and leader:
            before.write(folder.start)
        with _told_how_to_go_on(folder, run, console):
            trainer.fit(module, datamodule=loaders, ckpt_path=resume_from, weights_only=True)
    if trainer.is_global_zero:
        calibrate_stages(run, data, folder.number)
        _report(folder, data, before, console)
    return folder


def _stage(
    number: int,
    config: dict[str, Any],
    settings: StagePreset,
    data: TrainingData,
    before: PreviousStage | None,
    workers: int,
) -> tuple[StageLightningModule, PoseDataModule]:
    """The stage's LightningModule, with random values, and what it trains on."""
    from deeppose_cli.data.loading.datamodules import InitialStageDataModule, RefinementStageDataModule
    from deeppose_cli.training.lightning_modules import InitialStage, RefinementStage

    seed, square, skeleton = config["seed"], config["square_initial_box"], config["skeleton"]
    if before is None or not isinstance(settings, RefinementPreset):
        first = InitialStage(skeleton, config["settings"], square, seed)
        return first, InitialStageDataModule(data, settings, square, seed, workers)
    mean, std = ([list(pair) for pair in part] for part in (before.displacement.mean, before.displacement.std))
    sigma = config["sigma"]
    refinement = RefinementStage(skeleton, config["settings"], number, sigma, mean, std, square, seed)
    return refinement, RefinementStageDataModule(
        data, settings, square, sigma, before.displacement, before.on_validation, seed, workers
    )


def _trainer(flags: dict[str, Any], **fixed: Any) -> L.Trainer:
    """Raises UsageError in one line where Lightning does not take the flags (a device that is not there)."""
    import lightning as L
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        return L.Trainer(**flags, **fixed)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        given = ", ".join(f"{key}={value}" for key, value in flags.items() if key != "max_epochs")
        raise UsageError(f"Lightning's Trainer does not take {given}: {str(error).strip().splitlines()[0]}") from None


@contextmanager
def _told_how_to_go_on(folder: StageFolder, run: RunFolder, console: Console) -> Iterator[None]:
    """Ctrl-C, and a worker process that the system killed, end a training with what to type to go on."""
    what = f"{how_to_train(folder.number, run)} --resume"
    try:
        yield
    except SystemExit:  # Lightning's answer to Ctrl-C
        console.print(f"stopped; to go on, {what}", highlight=False)
        raise KeyboardInterrupt from None
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DeepPoseError(
            f"a process that cuts crops was killed (memory short? --workers 0 needs none); to go on, {what}"
        ) from None


def _announcement(folder: StageFolder, config: dict[str, Any], data: TrainingData) -> list[str]:
    s = config["settings"]
    head = f"stage {folder.number} on {config['data']}: {len(data.train)} images to train, {len(data.validation)} to "
    more = f", σ {config['sigma']:g}, {s['regressor']}, {s['draws']} draws" if folder.number > 1 else ""
    lines = [
        f"{head}validate; preset {config['preset']} (network {s['network']}, input {s['input_size']} px, "
        f"{s['max_epochs']} epochs, batch {s['batch_size']}{more}); seed {config['seed']}; into {folder.path}",
        data.summary,
    ]
    if data.unreadable:
        shown = ", ".join(data.unreadable[:8]) + (", …" if len(data.unreadable) > 8 else "")
        lines.append(f"warning: {len(data.unreadable)} image(s) cannot be read and are left out: {shown}")
    return lines


def _previous_answers(
    run: RunFolder, folder: StageFolder, config: dict[str, Any], data: TrainingData, going_on: bool, console: Console
) -> PreviousStage | None:
    """What the stages before say; a training that goes on takes what it began with. None for stage 1."""
    if folder.number == 1:
        return None
    if going_on and folder.start.is_file():
        return PreviousStage.read(folder.start)
    before, source = folder.number - 1, config["settings"]["displacement_split"]
    where = {"train": "training", "validation": "validation"}[source]
    console.print(f"stage {folder.number}: measuring how far stage {before} is off on {where} images")
    return PreviousStage.measure(run, before, data, config["square_initial_box"], source)


def _settings(config: dict[str, Any]) -> StagePreset:
    restore = initial_from_primitives if config["stage"] == 1 else refinement_from_primitives
    return restore(config["settings"])


def _check_network(settings: StagePreset) -> None:
    """Raises what building the network would, at no cost, before anything is written."""
    import torch

    from deeppose_cli.models.networks import build_network

    with torch.device("meta"):
        build_network(settings, 1)


def _checked_donor(run: RunFolder, config: dict[str, Any], settings: StagePreset) -> SourceStage | None:
    """The trained stage that this one starts from, if any. Raises where nothing of it fits."""
    donor = find_source(settings.init_weights, run, config["stage"])
    check_start(settings, skeleton_by_name(config["skeleton"]), StageSpec(settings).kind, donor)
    return donor


def _resume_point(folder: StageFolder, config: dict[str, Any]) -> str | None:
    """The real path of the last state; None where the training was stopped before it saved one.

    Raises DeepPoseError for a state that is not of this training.
    """
    if not folder.last.is_file():
        if "imported" in config:
            raise DeepPoseError(
                f"{folder.path}: holds weights only, no training to go on with; --overwrite starts one, --init-weights "
                "FILE from these"
            )
        return None
    state = read_checkpoint(folder.last)
    kept = state["hyper_parameters"]
    for key in ("skeleton", "settings"):
        if kept.get(key) != config[key]:
            raise DeepPoseError(f"{folder.last}: is of another training; its {key} are not those of config.yaml")
    if "optimizer_states" not in state:
        raise DeepPoseError(f"{folder.last}: holds weights only, no training to go on with")
    return str(folder.last)


def _loggers(orders: TrainOptions, run: RunFolder, folder: StageFolder, config: dict[str, Any]) -> list[Any]:
    """metrics.csv is always written, by a callback; these come besides it."""
    loggers: list[Any] = []
    if "tensorboard" in orders.loggers:
        from lightning.pytorch.loggers import TensorBoardLogger

        loggers.append(TensorBoardLogger(str(folder.path), name="", version="tensorboard"))
    if "wandb" in orders.loggers:
        from lightning.pytorch.loggers import WandbLogger

        loggers.append(
            WandbLogger(
                project="deeppose",
                name=f"{run.name}-stage{folder.number}",
                save_dir=str(folder.path),
                offline=not orders.wandb_online,
                config=config,
            )
        )
    return loggers


def _report(folder: StageFolder, data: TrainingData, before: PreviousStage | None, console: Console) -> None:
    """One line at the end; a refinement stage says what it gained on validation images, or that it gained nothing."""
    from deeppose_cli.evaluation.metrics import mean_rate, pdj

    best = folder.best_pdj()
    best = float("nan") if best is None else best
    said = f"stage {folder.number}: PDJ@0.2 {best:.3f} on validation images"
    if before is not None:
        known = float(mean_rate(pdj(before.on_validation, data.validation.keypoints, data.validation.skeleton)))
        gain = best - known
        advice = f"deeppose predict --stage {folder.number - 1} does without it; more --max-epochs may help"
        gained = f"gained {gain:+.3f}" if gain > 0 else f"gained nothing ({gain:+.3f}): {advice}"
        said += f", {known:.3f} before it; {gained}"
    console.print(f"{said}; weights in {folder.best}", highlight=False)


def _ignore_known_warnings() -> None:
    """Advice of Lightning's that does not apply here; every other warning is shown."""
    for message in (
        r".*does not have many workers.*",
        r".*LeafSpec.*",
        r".*GPU available but not used.*",
        r".*your dataloader is not resumable.*",
        r".*pin_memory.*",
        r".*smaller than the logging interval.*",
        r".*module\(s\) in eval mode.*",  # a backbone's frozen steps
    ):
        warnings.filterwarnings("ignore", message=message)
