"""The flags that `train` and `refine` share."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeppose_cli.errors import UsageError
from deeppose_cli.presets import BOX_SOURCES, preset_by_name

if TYPE_CHECKING:
    from deeppose_cli.orders import Orders

InputSizeOption = Annotated[
    int | None, typer.Option("--input-size", metavar="PX", help="Side of the network's square input.")
]
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", help="Crops per step, over all devices together.")
]
LearningRateOption = Annotated[float | None, typer.Option("--learning-rate", metavar="X", help="Peak learning rate.")]
BackboneOption = Annotated[
    str | None,
    typer.Option("--backbone", metavar="NAME", help="Network made for ImageNet that the head is put on."),
]
HeadOption = Annotated[
    str | None, typer.Option("--head", metavar="NAME", help="integral (soft maps) or regression (fully connected).")
]
FrozenOption = Annotated[
    int | None, typer.Option("--frozen", metavar="N", min=0, help="The backbone's first N steps keep their values.")
]
MaxEpochsOption = Annotated[int | None, typer.Option("--max-epochs", metavar="N", help="Epochs to train.")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", metavar="N", min=0, help="Processes that cut crops. Default: cores less one.")
]
CacheOption = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Keep decoded pictures in the data set's folder (.cache).")
]
_TRAINED = tuple(source for source in BOX_SOURCES if source != "own")
BoxOption = Annotated[
    str | None,
    typer.Option(
        "--box", metavar="BOX", help=f"First box: {', '.join(_TRAINED)}. Default: the recipe's or the data set's."
    ),
]
LoggerOption = Annotated[
    str, typer.Option("--logger", metavar="LIST", help="csv (always written), tensorboard, wandb; with commas between.")
]
WandbOnlineOption = Annotated[bool, typer.Option("--wandb-online", help="Let wandb send what it logs.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from last.ckpt, at the very step.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Start again where the run folder already holds this stage.")
]
CheckpointSecondsOption = Annotated[
    float, typer.Option("--checkpoint-seconds", metavar="S", help="How often last.ckpt is written within an epoch.")
]
CheckpointStepsOption = Annotated[
    int | None, typer.Option("--checkpoint-steps", metavar="N", min=1, help="The same in steps, in place of seconds.")
]
TrainingSeedOption = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of every random draw. Default: 0.")
]
AcceleratorOption = Annotated[
    str | None, typer.Option("--accelerator", metavar="NAME", help="cpu, gpu, …. Default: auto.")
]
DevicesOption = Annotated[
    str | None, typer.Option("--devices", metavar="N", help="Number of devices, or their indices. Default: auto.")
]
NumNodesOption = Annotated[
    int | None, typer.Option("--num-nodes", metavar="N", min=1, help="Number of machines. Default: 1.")
]
StrategyOption = Annotated[str | None, typer.Option("--strategy", metavar="NAME", help="ddp, …. Default: auto.")]
PrecisionOption = Annotated[
    str | None, typer.Option("--precision", metavar="NAME", help="32-true, bf16-mixed, 16-mixed, …. Default: 32-true.")
]
TrainerOption = Annotated[
    list[str] | None,
    typer.Option("--trainer", metavar="KEY=VALUE", help="Any other argument of Lightning's Trainer; repeatable."),
]


def overrides(**values: Any) -> dict[str, Any]:
    """The preset's fields that were given on the line. Raises UsageError for a number that cannot be."""
    given = {name: value for name, value in values.items() if value is not None}
    for name, value in given.items():
        if isinstance(value, int | float) and not value > 0 and name != "frozen":
            raise UsageError(f"--{name.replace('_', '-')} {value}: must be positive")
    return given


def one_of(flag: str, value: str | None, valid: tuple[str, ...]) -> str | None:
    if value is not None and value not in valid:
        raise UsageError(f"{flag} {value}: unknown; valid: {', '.join(valid)}")
    return value


def box(source: str | None) -> str | None:
    return one_of("--box", source, _TRAINED)


def start_from(start: str | None, *, first: bool) -> str | None:
    """Raises UsageError, naming what is valid, for starting values that are no word and no file."""
    from deeppose_cli.pretrained import NAMES

    words = ("random", "torchvision", *(() if first else ("previous",)), *NAMES)
    if start is not None and start not in words and not Path(start).is_file():
        raise UsageError(
            f"--start {start}: no such file; valid: {', '.join(words)}, or a file"
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


def start(orders: Orders) -> None:
    """Finds the data set that the orders mean, and trains.

    Without --data `train` takes the recipe's where --preset names one. With neither, nor --run, `refine` goes on with
    the newest run, and `train` takes the drawn people.
    """
    from rich.console import Console

    from deeppose_cli.datamodules.catalogue import description
    from deeppose_cli.run_folder import list_runs, run_folder
    from deeppose_cli.runs import train_stage

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
