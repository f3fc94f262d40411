"""`deeppose train`: stage 1. `deeppose refine`: stages 2, 3, … Their flags, besides the settings of a stage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeppose_cli.cli.options import (
    ConfigOption,
    DataOption,
    DataRootOption,
    PresetOption,
    RunOption,
    RunsRootOption,
    flatten_flags,
)
from deeppose_cli.config.defaults import BOX_SOURCES, CHECKPOINT_SECONDS, DATA_ROOT, RUNS_ROOT
from deeppose_cli.config.schema import RefinementPreset, StagePreset
from deeppose_cli.core.errors import UsageError

if TYPE_CHECKING:
    from deeppose_cli.training.run_config import TrainOptions

BoxOption = Annotated[
    str | None,
    typer.Option(
        "--box",
        metavar="BOX",
        help=f"Initial box: {', '.join(BOX_SOURCES)}. own: the box in the annotations, else the whole image. "
        "Default: the recipe's or the data set's.",
    ),
]


@dataclass(frozen=True)
class RunFlags:
    """What is trained, and into which run."""

    config: ConfigOption = None
    data: DataOption = None
    preset: PresetOption = None
    run: RunOption = None
    resume: Annotated[bool, typer.Option("--resume", help="Continue from last.ckpt, at the same step.")] = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start again where the run holds this stage already.")
    ] = False
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of every random draw. Default: 0.")
    ] = None
    data_root: DataRootOption = DATA_ROOT
    runs_root: RunsRootOption = RUNS_ROOT


def _machine(flag: str, metavar: str, help: str, **more: Any) -> Any:
    return typer.Option(flag, metavar=metavar, help=help, rich_help_panel="Machine", **more)


@dataclass(frozen=True)
class MachineFlags:
    """The machine, and what is written."""

    accelerator: Annotated[str | None, _machine("--accelerator", "NAME", "cpu, gpu, …. Default: auto.")] = None
    devices: Annotated[
        str | None, _machine("--devices", "N", "Number of devices, or their indices. Default: auto.")
    ] = None
    num_nodes: Annotated[int | None, _machine("--num-nodes", "N", "Number of machines. Default: 1.", min=1)] = None
    strategy: Annotated[str | None, _machine("--strategy", "NAME", "ddp, …. Default: auto.")] = None
    precision: Annotated[
        str | None, _machine("--precision", "NAME", "32-true, bf16-mixed, 16-mixed, …. Default: 32-true.")
    ] = None
    trainer: Annotated[
        list[str] | None, _machine("--trainer", "KEY=VALUE", "Other argument of Lightning's Trainer; repeatable.")
    ] = None
    workers: Annotated[
        int | None, _machine("--workers", "N", "Processes that cut crops. Default: cores less one.", min=0)
    ] = None
    cache: Annotated[
        bool,
        typer.Option(
            "--cache/--no-cache",
            help="Keep decoded images in the data set's folder (.cache).",
            rich_help_panel="Machine",
        ),
    ] = True
    checkpoint_seconds: Annotated[
        float, _machine("--checkpoint-seconds", "S", "Interval of writing last.ckpt within an epoch.")
    ] = CHECKPOINT_SECONDS
    checkpoint_steps: Annotated[
        int | None, _machine("--checkpoint-steps", "N", "The same in steps, in place of seconds.", min=1)
    ] = None
    logger: Annotated[
        str, _machine("--logger", "LIST", "csv (always written), tensorboard, wandb; with commas between.")
    ] = "csv"
    wandb_online: Annotated[
        bool, typer.Option("--wandb-online", help="Let wandb upload its logs.", rich_help_panel="Machine")
    ] = False


@flatten_flags(StagePreset)
def train(
    *,
    stage: Annotated[int, typer.Option("--stage", metavar="1", help="Stage; train makes stage 1.")] = 1,
    run: RunFlags,
    box: BoxOption = None,
    settings: dict[str, Any],
    machine: MachineFlags,
) -> None:
    """Train stage 1: the whole person in, all joints out. Without a flag the preset decides."""
    from deeppose_cli.training.train import run_training

    if stage != 1:
        raise UsageError(f"--stage {stage}: train makes stage 1; for the next type: deeppose refine --stage {stage}")
    run_training(train_options(1, run, settings, machine, box))


@flatten_flags(RefinementPreset)
def refine(
    *,
    stage: Annotated[int, typer.Option("--stage", metavar="N", help="Stage: 2, 3, … in their order.")] = 2,
    run: RunFlags,
    settings: dict[str, Any],
    machine: MachineFlags,
) -> None:
    """Train a refinement stage: a crop around each joint in, that joint's correction out. Without a flag the preset
    decides."""
    from deeppose_cli.training.train import run_training

    if stage < 2:
        raise UsageError(f"--stage {stage}: refine makes stages 2, 3, …; for the first type: deeppose train --stage 1")
    run_training(train_options(stage, run, settings, machine))


def train_options(
    stage: int, run: RunFlags, settings: dict[str, Any], machine: MachineFlags, box: str | None = None
) -> TrainOptions:
    """Raises UsageError for flags that no training can have."""
    from deeppose_cli.training.run_config import TrainOptions

    return TrainOptions(
        stage=stage,
        data=run.data,
        run=run.run,
        preset=run.preset,
        box=box,
        settings=settings,
        seed=run.seed,
        resume=run.resume,
        overwrite=run.overwrite,
        workers=machine.workers,
        cache=machine.cache,
        loggers=tuple(name.strip() for name in machine.logger.split(",") if name.strip()),
        wandb_online=machine.wandb_online,
        checkpoint_seconds=machine.checkpoint_seconds,
        checkpoint_steps=machine.checkpoint_steps,
        trainer=_trainer_arguments(machine),
        data_root=run.data_root,
        runs_root=run.runs_root,
    )


def _trainer_arguments(machine: MachineFlags) -> dict[str, Any]:
    """Arguments for Lightning's Trainer, of the flags that were given."""
    own = ("accelerator", "devices", "num_nodes", "strategy", "precision")
    given = {name: value for name in own if (value := getattr(machine, name)) is not None}
    if str(given.get("devices", "")).isdigit():
        given["devices"] = int(given["devices"])
    return {**given, **_parse_trainer(machine.trainer or (), exclude=own)}


def _parse_trainer(items: Iterable[str], exclude: tuple[str, ...]) -> dict[str, Any]:
    """`--trainer KEY=VALUE`, checked against the Trainer's signature."""
    import yaml

    parsed = {}
    for item in items:
        valid = trainer_parameters() - {*exclude, *OWN_ARGUMENTS}
        key, equals, value = item.partition("=")
        if not equals or key not in valid:
            raise UsageError(f"--trainer {item}: valid is KEY=VALUE with one of the keys {', '.join(sorted(valid))}")
        try:
            parsed[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError(f"--trainer {item}: '{value}' is no number, word or list") from None
    return parsed


OWN_ARGUMENTS = (
    "callbacks",
    "default_root_dir",
    "enable_checkpointing",
    "enable_model_summary",
    "enable_progress_bar",
    "log_every_n_steps",
    "logger",
    "max_epochs",
    "num_sanity_val_steps",
    "use_distributed_sampler",
)
"""Arguments of Lightning's Trainer that `training/trainer.py` sets, or another flag."""


def trainer_parameters() -> set[str]:
    """Names of the Trainer's arguments, read from Lightning's source text: importing it takes ten seconds."""
    import ast
    from importlib.util import find_spec

    found = find_spec("lightning")
    folder = Path((found.submodule_search_locations or [""])[0]) if found else Path()
    source = folder / "pytorch" / "trainer" / "trainer.py"
    trainer = next(
        node
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == "Trainer"
    )
    init = next(node for node in trainer.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    return {argument.arg for argument in (*init.args.args, *init.args.kwonlyargs)} - {"self"}
