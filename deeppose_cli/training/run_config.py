"""Options of a training, and the configuration that comes of them: new, or read from the run."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeppose_cli.checkpoints.lightning import fingerprint, how_to_train
from deeppose_cli.checkpoints.pretrained import NAMES
from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder
from deeppose_cli.config.defaults import (
    BOX_SOURCES,
    CHECKPOINT_SECONDS,
    DATA_ROOT,
    RUNS_ROOT,
    TIMM,
    TORCHVISION_BACKBONES,
)
from deeppose_cli.config.presets import preset_by_name
from deeppose_cli.config.run import StageRunConfig
from deeppose_cli.config.schema import (
    RefinementPreset,
    StagePreset,
    check_network,
    check_settings,
    to_primitives,
    with_changes,
)
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.core.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from deeppose_cli.data.datasets.spec import DatasetSpec

LOGGERS = ("csv", "tensorboard", "wandb")
INITIAL_WEIGHTS = ("random", "pretrained", *NAMES)
"""What --init-weights may be besides a file; in refine also `previous`."""


@dataclass(frozen=True)
class TrainOptions:
    """Options of one training. None: the preset or the stored configuration decides.

    Raises UsageError for an option that no training can have.
    """

    stage: int = 1
    data: str | None = None
    """Data set; None: that of the run or the recipe, else `demo`."""
    run: str | None = None
    """Name of the run; None: the data set's name."""
    preset: str | None = None
    box: str | None = None
    """Source of the initial box; None: the recipe's or the data set's own. Stage 1 decides for all stages."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the stage's preset, or of its augmentation, with other values."""
    seed: int | None = None
    resume: bool = False
    """Continue from last.ckpt."""
    overwrite: bool = False
    """Start again where the run holds this stage already."""
    workers: int | None = None
    """Processes that prepare crops; None: all cores but one."""
    cache: bool = True
    """Whether decoded images are kept beside the data set."""
    loggers: tuple[str, ...] = ("csv",)
    wandb_online: bool = False
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    checkpoint_steps: int | None = None
    """Write last.ckpt every so many steps, in place of seconds."""
    trainer: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of Lightning's Trainer."""
    data_root: Path = DATA_ROOT
    runs_root: Path = RUNS_ROOT

    def __post_init__(self) -> None:
        if self.preset is not None:
            preset_by_name(self.preset)
        _check_choice("--box", self.box, BOX_SOURCES)
        for logger in self.loggers:
            _check_choice("--logger", logger, LOGGERS)
        check_settings(StagePreset if self.stage == 1 else RefinementPreset, self.settings)
        weights = self.settings.get("init_weights")
        words = INITIAL_WEIGHTS if self.stage == 1 else (*INITIAL_WEIGHTS, "previous")
        if weights is not None and weights not in words and not Path(weights).is_file():
            raise UsageError(f"--init-weights {weights}: no such file; valid: {', '.join(words)}, or a file")


def _check_choice(flag: str, value: str | None, valid: tuple[str, ...]) -> None:
    if value is not None and value not in valid:
        raise UsageError(f"{flag} {value}: unknown; valid: {', '.join(valid)}")


def is_follower() -> bool:
    """Whether the first process of the same training started this process: only that one writes to the folder."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0 or int(os.environ.get("NODE_RANK", "0")) > 0


def check_previous_stages(run: RunFolder, options: TrainOptions, dataset: DatasetSpec, console: Console) -> None:
    """Raise DeepPoseError where a stage before is missing; warn of one that was stopped early."""
    for number in range(1, options.stage):
        stage = run.stage(number)
        if not stage.best.is_file():
            raise DeepPoseError(f"{run.path}: stage {number} is not trained; {how_to_train(number, run, dataset.name)}")
        config, done = stage.read_config(), stage.epochs
        if done < config.max_epochs and config.imported is None and not is_follower():
            console.print(
                f"warning: stage {number} has done {done} of {config.max_epochs} epochs; this stage learns to correct "
                f"it as it is now; to finish it first, {how_to_train(number, run)} --resume",
                style="yellow",
                highlight=False,
            )


def resumed_config(folder: StageFolder, options: TrainOptions, dataset: DatasetSpec) -> StageRunConfig:
    """Read the configuration of a training that continues. The flags that it was started with may be repeated.

    Raises DeepPoseError where there is none, UsageError for flags that contradict it.
    """
    if not folder.config_file.is_file():
        raise DeepPoseError(f"{folder.path}: nothing to resume; leave out --resume to start")
    config = folder.read_config()
    if options.resume:
        stored = to_primitives(config.settings)
        stored |= stored["augmentation"] | {"preset": config.preset, "seed": config.seed, "box": config.box}
        given = {"preset": options.preset, "seed": options.seed, "box": options.box, **options.settings}
        if wrong := [name for name, value in given.items() if value not in (None, stored.get(name))]:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
            raise UsageError(f"{flags}: not with --resume, which goes by {folder.config_file}")
    if config.data != dataset.name:
        raise UsageError(f"--data {dataset.name}: {folder.config_file} goes by --data {config.data}")
    return config


def new_config(run: RunFolder, folder: StageFolder, options: TrainOptions, dataset: DatasetSpec) -> StageRunConfig:
    """Make the configuration of a new training; nothing is written yet.

    Raises DeepPoseError where the folder holds a training already, UsageError for settings that fit no network.
    """
    if folder.config_file.is_file() and not options.overwrite:
        raise DeepPoseError(
            f"{folder.path}: holds a training already; --resume continues it, --overwrite starts again, --run NAME "
            "keeps both"
        )
    first = run.stage(1).read_config() if options.stage > 1 else None
    preset = preset_by_name(options.preset or (first and first.preset) or dataset.preset)
    changes = dict(options.settings)
    if first is not None and options.preset is None:
        # It starts from the values of stage 1, so it has the same kind of network.
        kept = {name: getattr(first.settings, name) for name in ("network", "backbone", "head", "head_channels")}
        changes = {**kept, **changes}
    settings = with_changes(preset.initial if first is None else preset.refinement, changes)
    if settings.init_weights == "random":  # random weights must learn, and cannot teach
        needless = {"freeze_blocks": 0, "distill_weight": 0.0}
        settings = with_changes(settings, {k: v for k, v in needless.items() if k not in options.settings})
    _check_effect(settings, options.settings, preset.name)
    check_network(settings)
    config = StageRunConfig(
        run=run.name,
        stage=options.stage,
        data=dataset.name,
        skeleton=dataset.skeleton.to_mapping(),
        box=options.box or preset.box_on(dataset.name) or dataset.initial_box,
        square_initial_box=preset.square_initial_box,
        settings=settings,
        preset=preset.name,
        seed=options.seed or 0,
        # A Python program may pass objects, which a file cannot hold.
        trainer={key: value for key, value in options.trainer.items() if isinstance(value, str | int | float | list)},
        command=_command(),
        deeppose_version=__version__,
    )
    if first is None or not isinstance(settings, RefinementPreset):
        return config
    first_skeleton = Skeleton.from_mapping(first.skeleton)
    if first_skeleton.joints != dataset.skeleton.joints:
        raise DeepPoseError(
            f"{run.path}: stage 1 has skeleton '{first_skeleton.name}', data set {dataset.name} has "
            f"'{dataset.skeleton.name}'; --data {first.data} fits"
        )
    return replace(
        config,
        previous_stage_sha256=fingerprint(run.stage(options.stage - 1).best),
        box=first.box,
        square_initial_box=first.square_initial_box,
        sigma=settings.sigma_on(dataset.sigma),
    )


def _command() -> str:
    """The command line of this process; of the `deeppose` program without its folder."""
    program = Path(sys.argv[0]).name
    return shlex.join(["deeppose" if program in ("deeppose", "app.py") else program, *sys.argv[1:]])


def starting_advice(config: StageRunConfig, options: TrainOptions) -> list[str]:
    """One line for a new training of stage 1 that could start from weights learned on ImageNet."""
    settings = config.settings
    random = settings.network == "backbone" and settings.init_weights == "random"
    if options.resume or options.stage > 1 or not random or "init_weights" in options.settings:
        return []
    published = settings.backbone in TORCHVISION_BACKBONES or settings.backbone.startswith(TIMM)
    file = f"FILE ({settings.backbone}, .safetensors)"
    flag = f"--init-weights {'pretrained' if published else file}"
    return [
        "initial weights: random; weights learned on ImageNet save most of the time (small backbones on LSP: PCP 51 % "
        f"after 66,000 images with them, 46 % after 360,000 without): {flag}"
    ]


def _check_effect(settings: StagePreset, given: Mapping[str, Any], preset: str) -> None:
    """Raise UsageError for a flag that has no effect on this network."""
    has_backbone = settings.network == "backbone"
    regression = has_backbone and settings.head == "regression"
    has_heatmaps = settings.network != "deeppose" and not regression
    owner = "--head regression" if regression else f"preset {preset}'s network"
    joint_view = not isinstance(settings, RefinementPreset) or settings.view == "joint"
    backbone = f"preset {preset} has a network of its own, no backbone; --preset modern has one"
    for name, has_effect, reason in (
        ("backbone", has_backbone, backbone),
        ("head", has_backbone, backbone),
        ("freeze_blocks", has_backbone, backbone),
        ("head_channels", has_heatmaps, f"{owner} has none to set; leave it out"),
        ("heatmap_weight", has_heatmaps, f"{owner} has no heatmaps; valid: 0"),
        ("per_joint", joint_view, "a view of the person has one network for all joints; valid: --view joint"),
        ("crops_per_joint", joint_view, "a view of the person has one crop; valid: --view joint"),
        ("progressive_size", settings.network != "deeppose", f"{owner} has one size; leave it out"),
    ):
        if given.get(name) and not has_effect:
            raise UsageError(f"--{name.replace('_', '-')} {given[name]}: {reason}")


def delete_stages(run: RunFolder, stage: int) -> None:
    """Delete the files of an overwritten stage, and of the stages after it: they refine what no longer exists."""
    for old in run.started:
        if old.number >= stage:
            for file in (
                old.best,
                old.last,
                old.metrics,
                old.loggers,
                old.previous_stage,
                old.calibration,
                old.config_file,
            ):
                file.unlink(missing_ok=True)
