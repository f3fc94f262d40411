"""The flags that `train` and `refine` share."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeppose_cli.cli.options import DataOption, DataRootOption, PresetOption, RunOption, RunsRootOption
from deeppose_cli.config.defaults import (
    BOX_SOURCES,
    CHECKPOINT_SECONDS,
    COORDINATE_LOSSES,
    DATA_ROOT,
    HEADS,
    OPTIMIZERS,
    RUNS_ROOT,
    SCHEDULES,
)
from deeppose_cli.config.presets import preset_by_name
from deeppose_cli.core.errors import UsageError

if TYPE_CHECKING:
    from deeppose_cli.training.run_config import TrainOptions

_TRAINED = tuple(source for source in BOX_SOURCES if source != "own")
BoxOption = Annotated[
    str | None,
    typer.Option(
        "--box", metavar="BOX", help=f"Initial box: {', '.join(_TRAINED)}. Default: the recipe's or the data set's."
    ),
]


@dataclass(frozen=True)
class RunFlags:
    """What is trained, and where it goes."""

    data: DataOption = None
    preset: PresetOption = None
    run: RunOption = None
    resume: Annotated[bool, typer.Option("--resume", help="Go on from last.ckpt, at the very step.")] = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start again where the run folder already holds this stage.")
    ] = False
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of every random draw. Default: 0.")
    ] = None


@dataclass(frozen=True)
class StageFlags:
    """Fields of the stage's preset, and of its augmentation, under their names. None: as the preset says."""

    max_epochs: Annotated[int | None, typer.Option("--max-epochs", metavar="N", help="Epochs to train.")] = None
    input_size: Annotated[
        int | None, typer.Option("--input-size", metavar="PX", help="Side of the network's square input.")
    ] = None
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", help="Crops per step, over all devices together.")
    ] = None
    optimizer: Annotated[
        str | None, typer.Option("--optimizer", metavar="NAME", help=f"{' or '.join(OPTIMIZERS)}.")
    ] = None
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", metavar="X", help="Peak learning rate.")] = (
        None
    )
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", metavar="X", help="The optimiser's weight decay; 0: none.")
    ] = None
    schedule: Annotated[
        str | None, typer.Option("--schedule", metavar="NAME", help="constant, or cosine (with a warm-up).")
    ] = None
    coordinate_loss: Annotated[
        str | None, typer.Option("--coordinate-loss", metavar="NAME", help=f"{', '.join(COORDINATE_LOSSES)}.")
    ] = None
    heatmap_weight: Annotated[
        float | None, typer.Option("--heatmap-weight", metavar="X", help="Weight of the loss of the maps; 0: none.")
    ] = None
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", metavar="NAME", help="Network made for ImageNet that the head is put on."),
    ] = None
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="NAME", help="integral (soft maps) or regression (fully connected)."),
    ] = None
    freeze_blocks: Annotated[
        int | None, typer.Option("--freeze-blocks", metavar="N", help="The backbone's first N steps keep their values.")
    ] = None
    head_channels: Annotated[
        int | None, typer.Option("--head-channels", metavar="N", help="Channels in which the head merges the features.")
    ] = None
    flip: Annotated[
        float | None, typer.Option("--flip", metavar="P", help="Share of images that are mirrored; 0: none.")
    ] = None
    rotate: Annotated[
        float | None, typer.Option("--rotate", metavar="DEG", help="Images are turned by at most so much; 0: none.")
    ] = None
    scale: Annotated[
        float | None, typer.Option("--scale", metavar="X", help="Spread of the crops' size (log); 0: none.")
    ] = None
    translate: Annotated[
        float | None, typer.Option("--translate", metavar="X", help="Spread of the initial box's shift, in its sides.")
    ] = None
    color: Annotated[
        float | None, typer.Option("--color", metavar="X", help="Strength of colour changes, 0 to 1; 0: none.")
    ] = None
    erase: Annotated[
        float | None, typer.Option("--erase", metavar="P", help="Share of crops with a patch painted over; 0: none.")
    ] = None

    def overrides(self, **more: Any) -> dict[str, Any]:
        """Those that were given on the line, and `more` of a verb's own. Raises UsageError for what cannot be."""
        mine = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: value for name, value in {**mine, **more}.items() if value is not None}
        for name, value in given.items():
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, float) and math.isinf(value):
                raise UsageError(f"{flag} {value}: must be finite")
            if name in _CHOICES:
                one_of(flag, value, _CHOICES[name])
            elif name in _MOST:
                most = _MOST[name]
                if not 0 <= value <= most:
                    raise UsageError(f"{flag} {value}: valid: 0 {f'to {most:g}' if most < math.inf else 'or more'}")
            elif isinstance(value, int | float) and not value > 0:
                raise UsageError(f"{flag} {value}: must be positive")
        return given


_CHOICES = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "coordinate_loss": COORDINATE_LOSSES,
    "head": HEADS,
    "regressor": ("shared", "per-joint"),
    "displacement_split": ("train", "validation"),
}
_MOST = {
    "freeze_blocks": math.inf,
    "weight_decay": math.inf,
    "heatmap_weight": math.inf,
    "flip": 1.0,
    "rotate": 180.0,
    "scale": 1.0,
    "translate": 1.0,
    "color": 1.0,
    "erase": 1.0,
}
"""What may also be 0, and how much at most."""


@dataclass(frozen=True)
class MachineFlags:
    """On what it is trained, and what is kept of it."""

    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=0, help="Processes that cut crops. Default: cores less one."),
    ] = None
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep decoded images in the data set's folder (.cache).")
    ] = True
    logger: Annotated[
        str,
        typer.Option("--logger", metavar="LIST", help="csv (always written), tensorboard, wandb; with commas between."),
    ] = "csv"
    wandb_online: Annotated[bool, typer.Option("--wandb-online", help="Let wandb send what it logs.")] = False
    checkpoint_seconds: Annotated[
        float,
        typer.Option("--checkpoint-seconds", metavar="S", help="How often last.ckpt is written within an epoch."),
    ] = CHECKPOINT_SECONDS
    checkpoint_steps: Annotated[
        int | None,
        typer.Option("--checkpoint-steps", metavar="N", min=1, help="The same in steps, in place of seconds."),
    ] = None
    accelerator: Annotated[
        str | None, typer.Option("--accelerator", metavar="NAME", help="cpu, gpu, …. Default: auto.")
    ] = None
    devices: Annotated[
        str | None, typer.Option("--devices", metavar="N", help="Number of devices, or their indices. Default: auto.")
    ] = None
    num_nodes: Annotated[
        int | None, typer.Option("--num-nodes", metavar="N", min=1, help="Number of machines. Default: 1.")
    ] = None
    strategy: Annotated[str | None, typer.Option("--strategy", metavar="NAME", help="ddp, …. Default: auto.")] = None
    precision: Annotated[
        str | None,
        typer.Option("--precision", metavar="NAME", help="32-true, bf16-mixed, 16-mixed, …. Default: 32-true."),
    ] = None
    trainer: Annotated[
        list[str] | None,
        typer.Option("--trainer", metavar="KEY=VALUE", help="Any other argument of Lightning's Trainer; repeatable."),
    ] = None
    data_root: DataRootOption = DATA_ROOT
    runs_root: RunsRootOption = RUNS_ROOT


def orders(
    stage: int, which: RunFlags, machine: MachineFlags, overrides: dict[str, Any], box: str | None = None
) -> TrainOptions:
    """What the line says. Raises UsageError for what it cannot say."""
    from deeppose_cli.training.run_config import TrainOptions

    return TrainOptions(
        stage=stage,
        data=which.data,
        data_root=machine.data_root,
        runs_root=machine.runs_root,
        run=which.run,
        preset=which.preset,
        box=one_of("--box", box, _TRAINED),
        overrides=overrides,
        seed=which.seed,
        workers=machine.workers,
        cache=machine.cache,
        loggers=loggers(machine.logger),
        wandb_online=machine.wandb_online,
        resume=which.resume,
        overwrite=which.overwrite,
        checkpoint_seconds=machine.checkpoint_seconds,
        checkpoint_steps=machine.checkpoint_steps,
        trainer=trainer_flags(
            machine.trainer,
            accelerator=machine.accelerator,
            devices=machine.devices,
            num_nodes=machine.num_nodes,
            strategy=machine.strategy,
            precision=machine.precision,
        ),
    )


def one_of(flag: str, value: str | None, valid: tuple[str, ...]) -> str | None:
    if value is not None and value not in valid:
        raise UsageError(f"{flag} {value}: unknown; valid: {', '.join(valid)}")
    return value


def start_from(start: str | None, *, first: bool) -> str | None:
    """Raises UsageError, naming what is valid, for starting values that are no word and no file."""
    from deeppose_cli.checkpoints.pretrained import NAMES

    words = ("random", "torchvision", *(() if first else ("previous",)), *NAMES)
    if start is not None and start not in words and not Path(start).is_file():
        raise UsageError(
            f"--init-weights {start}: no such file; valid: {', '.join(words)}, or a file"
            + ("" if first else " (previous: the stage before)")
        )
    return start


def loggers(spec: str) -> tuple[str, ...]:
    valid = ("csv", "tensorboard", "wandb")
    names = tuple(name.strip() for name in spec.split(",") if name.strip())
    for name in names:
        if name not in valid:
            raise UsageError(f"--logger {name}: unknown; valid: {', '.join(valid)}")
    return names


def trainer_flags(extra: list[str] | None, **given: Any) -> dict[str, Any]:
    """Keyword arguments for Trainer, those given only; `--trainer KEY=VALUE` is checked against its signature."""
    flags = {name: value for name, value in given.items() if value is not None}
    if str(flags.get("devices", "")).isdigit():
        flags["devices"] = int(flags["devices"])
    if extra:
        import inspect

        import yaml
        from lightning import Trainer

        reserved = {"self", "callbacks", "logger", "max_epochs", "enable_checkpointing", "enable_progress_bar", *given}
        reserved |= {"default_root_dir", "enable_model_summary", "num_sanity_val_steps", "use_distributed_sampler"}
        reserved |= {"log_every_n_steps"}
        valid = set(inspect.signature(Trainer.__init__).parameters) - reserved
        for item in extra:
            key, equals, value = item.partition("=")
            if not equals or key not in valid:
                raise UsageError(
                    f"--trainer {item}: valid is KEY=VALUE with one of the keys {', '.join(sorted(valid))}"
                )
            try:
                flags[key] = yaml.safe_load(value)
            except yaml.YAMLError:
                raise UsageError(f"--trainer {item}: '{value}' is no number, word or list") from None
    return flags


def start(orders: TrainOptions) -> None:
    """Finds the data set that the orders mean, and trains.

    Without --data `train` takes the recipe's where --preset names one. With neither, nor --run, `refine` goes on with
    the newest run, and `train` takes the drawn people.
    """
    from rich.console import Console

    from deeppose_cli.checkpoints.run_folder import list_runs, run_folder
    from deeppose_cli.data.datasets.registry import description
    from deeppose_cli.training.train import train_stage

    console = Console(file=sys.stderr, soft_wrap=not sys.stderr.isatty())  # a log keeps its lines whole
    if orders.data is None and orders.run is None and orders.stage > 1:
        newest = next((run for run in list_runs(orders.runs_root) if run.stages), None)
        orders = replace(orders, run=newest.name if newest else None)
    name = orders.data
    if name is None and orders.preset is not None and orders.stage == 1:
        name = preset_by_name(orders.preset).data or None
    if name is None and orders.run is not None:
        first = run_folder(orders.runs_root, orders.run).stage(1)
        name = str(first.read_config()["data"]) if first.config_file.is_file() else None
    if name is None:
        name = "demo"
        console.print(
            "no --data given: drawn people (demo); for photographs: deeppose data prepare lsp --from lsp_dataset.zip, "
            "then --data lsp",
            highlight=False,
        )
    train_stage(orders, description(name), console)
