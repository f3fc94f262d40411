"""What the user asked of a training, and the configuration that comes of it: new, or stored with the run."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeppose_cli.checkpoints.lightning import fingerprint, how_to_train
from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder
from deeppose_cli.config.defaults import CHECKPOINT_SECONDS, DATA_ROOT, RUNS_ROOT
from deeppose_cli.config.presets import preset_by_name
from deeppose_cli.config.schema import RefinementPreset, StagePreset, to_primitives, with_changes
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from deeppose_cli.data.datasets.spec import DatasetSpec


@dataclass(frozen=True)
class TrainOptions:
    """What the user asked of one training. None: not said; the preset or the stored configuration decides."""

    stage: int
    data: str | None = None
    data_root: Path = DATA_ROOT
    runs_root: Path = RUNS_ROOT
    run: str | None = None
    preset: str | None = None
    box: str | None = None
    """Where the initial box comes from; the data set's own source if not said. Stage 1 decides for all."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Fields of the stage's preset, or of its augmentation, that single flags change."""
    seed: int | None = None
    workers: int | None = None
    cache: bool = True
    """Whether decoded images are kept beside the data set."""
    loggers: tuple[str, ...] = ("csv",)
    wandb_online: bool = False
    resume: bool = False
    overwrite: bool = False
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    checkpoint_steps: int | None = None
    trainer: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of Lightning's Trainer, as far as they were given."""


def is_follower() -> bool:
    """Whether this process was started by the first process of the same training: only that one owns the folder."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0 or int(os.environ.get("NODE_RANK", "0")) > 0


def check_previous(run: RunFolder, orders: TrainOptions, description: DatasetSpec, console: Console) -> None:
    for number in range(1, orders.stage):
        stage = run.stage(number)
        if not stage.best.is_file():
            raise DeepPoseError(
                f"{run.path}: stage {number} is not trained; {how_to_train(number, run, description.name)}"
            )
        config, done = stage.read_config(), stage.epochs
        planned = config["settings"].get("max_epochs")
        if planned is not None and done < planned and "imported" not in config and not is_follower():
            console.print(
                f"warning: stage {number} has done {done} of {planned} epochs; this stage learns to correct it as it "
                f"is now; to finish it first, {how_to_train(number, run)} --resume",
                style="yellow",
                highlight=False,
            )


def stored(folder: StageFolder, orders: TrainOptions, description: DatasetSpec) -> dict[str, Any]:
    """The configuration of a training that is taken up again. The flags that it was started with may be given again."""
    if not folder.config_file.is_file():
        raise DeepPoseError(f"{folder.path}: nothing to resume; leave out --resume to start")
    config = folder.read_config()
    if orders.resume:
        asked = {"preset": orders.preset, "seed": orders.seed, "box": orders.box}
        wrong = [name for name, value in asked.items() if value not in (None, config.get(name))]
        kept = {**config["settings"], **config["settings"].get("augmentation", {})}
        wrong += [name for name, value in orders.overrides.items() if value != kept.get(name)]
        if wrong:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
            raise UsageError(f"{flags}: not with --resume, which goes by {folder.config_file}")
    if config["data"] != description.name:
        raise UsageError(f"--data {description.name}: {folder.config_file} goes by --data {config['data']}")
    return config


def fresh(run: RunFolder, folder: StageFolder, orders: TrainOptions, description: DatasetSpec) -> dict[str, Any]:
    """The configuration of a new training; nothing is written yet."""
    if folder.config_file.is_file() and not orders.overwrite:
        raise DeepPoseError(
            f"{folder.path}: holds a training already; --resume goes on with it, --overwrite starts again, "
            "--run NAME keeps both"
        )
    preset = preset_by_name(orders.preset or _inherited_preset(run, orders.stage) or description.preset)
    base: StagePreset = preset.initial if orders.stage == 1 else preset.refinement
    inherited = _inherited_network(run) if orders.stage > 1 and orders.preset is None else {}
    try:
        settings = with_changes(base, {**inherited, **orders.overrides})
    except TypeError as error:
        raise UsageError(f"a flag does not fit stage {orders.stage}: {error}") from None
    if settings.init_weights == "random" and "freeze_blocks" not in orders.overrides:
        settings = replace(settings, freeze_blocks=0)  # what is random must learn
    _check_effect(settings, orders.overrides, preset.name)
    config: dict[str, Any] = {
        "deeppose_version": __version__,
        "command": shlex.join(["deeppose", *sys.argv[1:]]),
        "run": run.name,
        "stage": orders.stage,
        "data": description.name,
        "skeleton": description.skeleton.name,
        "preset": preset.name,
        "seed": orders.seed or 0,
        "box": orders.box or preset.box_on(description.name) or description.initial_box,
        "square_initial_box": preset.square_initial_box,
        "settings": to_primitives(settings),
        # From Python a caller may hand over objects, which a file cannot hold.
        "trainer": {key: value for key, value in orders.trainer.items() if isinstance(value, str | int | float | list)},
    }
    if isinstance(settings, RefinementPreset):
        first = run.stage(1).read_config()
        if first["skeleton"] != description.skeleton.name:
            raise DeepPoseError(
                f"{run.path}: stage 1 has skeleton '{first['skeleton']}', data set {description.name} has "
                f"'{description.skeleton.name}'; --data {first['data']} fits"
            )
        config["previous_stage_sha256"] = fingerprint(run.stage(orders.stage - 1).best)
        config["box"] = first.get("box", description.initial_box)
        config["square_initial_box"] = first["square_initial_box"]
        config["sigma"] = settings.sigma if settings.sigma is not None else description.sigma
    return config


def starting_advice(config: dict[str, Any], orders: TrainOptions) -> list[str]:
    """One line for a new training of stage 1 that could start from values learned on ImageNet, and was not told."""
    settings = config["settings"]
    if orders.resume or orders.stage > 1 or settings["network"] != "backbone" or settings["init_weights"] != "random":
        return []
    if "init_weights" in orders.overrides:
        return []
    backbone = settings["backbone"]
    how = (
        f"--init-weights FILE ({backbone}, .safetensors)"
        if backbone == "mobilenet_v1"
        else "--init-weights torchvision"
    )
    return [
        "starting values: random; values learned on ImageNet save most of the time (small backbones on LSP: PCP 0.51 "
        f"after 66,000 images with them, 0.46 after 360,000 without): {how}"
    ]


def _check_effect(settings: StagePreset, given: dict[str, Any], preset: str) -> None:
    """Raises UsageError for a flag that this network would not heed."""
    foreign = [name for name in ("backbone", "head", "freeze_blocks") if name in given]
    if foreign and settings.network != "backbone":
        raise UsageError(
            f"--{foreign[0]} {given[foreign[0]]}: preset {preset} has a network of its own, no backbone; "
            "--preset modern has one"
        )
    if "head_channels" in given and (settings.network == "deeppose" or settings.head == "regression"):
        what = f"preset {preset}'s network" if settings.network == "deeppose" else "--head regression"
        raise UsageError(f"--head-channels {given['width']}: {what} has none to set; leave it out")
    if settings.progressive_size and settings.network == "deeppose":
        raise UsageError(f"--progressive-size {settings.progressive_size}: preset {preset} has one size; valid: ''")
    mapless = settings.network == "deeppose" or (settings.network == "backbone" and settings.head == "regression")
    if mapless and given.get("heatmap_weight"):
        what = f"--head {settings.head}" if settings.network == "backbone" else f"preset {preset}"
        raise UsageError(f"--heatmap-weight {given['heatmap_weight']:g}: {what} has no maps; valid: 0")


def _inherited_preset(run: RunFolder, stage: int) -> str | None:
    """A refinement stage goes by the preset of stage 1, where that is known."""
    preset = run.stage(1).read_config()["preset"] if stage > 1 else None
    return None if preset is None else str(preset)


def _inherited_network(run: RunFolder) -> dict[str, Any]:
    """A refinement stage has the kind of network that stage 1 was given: it starts from its values."""
    settings = run.stage(1).read_config()["settings"]
    return {name: settings[name] for name in ("network", "backbone", "head", "head_channels") if name in settings}


def clear(run: RunFolder, stage: int) -> None:
    """Removes what an overwritten stage left, and the stages after it: they refine what no longer exists."""
    for old in run.started:
        if old.number >= stage:
            for file in (old.best, old.last, old.metrics, old.start, old.calibration, old.config_file):
                file.unlink(missing_ok=True)
