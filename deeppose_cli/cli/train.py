"""`deeppose train`: stage 1."""

from __future__ import annotations

from typing import Annotated

import typer

from deeppose_cli.cli import training_options as t
from deeppose_cli.cli.options import (
    DataOption,
    DataRootOption,
    PresetOption,
    RunOption,
    RunsRootOption,
)
from deeppose_cli.errors import UsageError
from deeppose_cli.presets import CHECKPOINT_SECONDS, DATA_ROOT, RUNS_ROOT


def train(
    stage: Annotated[int, typer.Option("--stage", metavar="1", help="The stage; train makes stage 1.")] = 1,
    data: DataOption = None,
    preset: PresetOption = None,
    box: t.BoxOption = None,
    run: RunOption = None,
    resume: t.ResumeOption = False,
    overwrite: t.OverwriteOption = False,
    seed: t.TrainingSeedOption = None,
    max_epochs: t.MaxEpochsOption = None,
    input_size: t.InputSizeOption = None,
    batch_size: t.BatchSizeOption = None,
    learning_rate: t.LearningRateOption = None,
    backbone: t.BackboneOption = None,
    head: t.HeadOption = None,
    frozen: t.FrozenOption = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="FROM",
            help="Starting values: random; torchvision (published ones); a backbone's file; full-body, upper-body or a "
            "file of deeppose export.",
        ),
    ] = None,
    workers: t.WorkersOption = None,
    cache: t.CacheOption = True,
    logger: t.LoggerOption = "csv",
    wandb_online: t.WandbOnlineOption = False,
    checkpoint_seconds: t.CheckpointSecondsOption = CHECKPOINT_SECONDS,
    checkpoint_steps: t.CheckpointStepsOption = None,
    accelerator: t.AcceleratorOption = None,
    devices: t.DevicesOption = None,
    num_nodes: t.NumNodesOption = None,
    strategy: t.StrategyOption = None,
    precision: t.PrecisionOption = None,
    trainer: t.TrainerOption = None,
    data_root: DataRootOption = DATA_ROOT,
    runs_root: RunsRootOption = RUNS_ROOT,
) -> None:
    """Train stage 1: the whole person in, all joints out."""
    if stage != 1:
        raise UsageError(f"--stage {stage}: train makes stage 1; for the next type: deeppose refine --stage {stage}")
    from deeppose_cli.orders import Orders

    t.start(
        Orders(
            stage=1,
            data=data,
            data_root=data_root,
            runs_root=runs_root,
            run=run,
            preset=preset,
            box=t.box(box),
            overrides=t.overrides(
                max_epochs=max_epochs,
                input_size=input_size,
                batch_size=batch_size,
                learning_rate=learning_rate,
                backbone=backbone,
                head=head,
                frozen=frozen,
                start=t.start_from(begin, first=True),
            ),
            seed=seed,
            workers=workers,
            cache=cache,
            loggers=t.loggers(logger),
            wandb_online=wandb_online,
            resume=resume,
            overwrite=overwrite,
            checkpoint_seconds=checkpoint_seconds,
            checkpoint_steps=checkpoint_steps,
            trainer=t.trainer_flags(
                trainer,
                accelerator=accelerator,
                devices=devices,
                num_nodes=num_nodes,
                strategy=strategy,
                precision=precision,
            ),
        )
    )
