"""`deeppose refine`: stages 2, 3, …"""

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


def refine(
    stage: Annotated[int, typer.Option("--stage", metavar="N", help="The stage: 2, 3, … in their order.")] = 2,
    data: DataOption = None,
    preset: PresetOption = None,
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
    regressor: Annotated[
        str | None,
        typer.Option(
            "--regressor", metavar="KIND", help="shared: one network for all joints; per-joint: one for each."
        ),
    ] = None,
    sigma: Annotated[
        float | None, typer.Option("--sigma", metavar="X", help="Side of the crops in units of the torso.")
    ] = None,
    draws: Annotated[
        int | None, typer.Option("--draws", metavar="N", help="Displaced crops per picture and joint in one epoch.")
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="FROM",
            help="Starting values: previous (stage), random, torchvision, a backbone's file; full-body, upper-body or "
            "a file of deeppose export.",
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
    """Train a refinement stage: a crop around each joint in, that joint's correction out."""
    if stage < 2:
        raise UsageError(f"--stage {stage}: refine makes stages 2, 3, …; for the first type: deeppose train --stage 1")
    from deeppose_cli.orders import Orders

    t.start(
        Orders(
            stage=stage,
            data=data,
            data_root=data_root,
            runs_root=runs_root,
            run=run,
            preset=preset,
            overrides=t.overrides(
                max_epochs=max_epochs,
                input_size=input_size,
                batch_size=batch_size,
                learning_rate=learning_rate,
                backbone=backbone,
                head=head,
                frozen=frozen,
                regressor=t.one_of("--regressor", regressor, ("shared", "per-joint")),
                sigma=sigma,
                draws=draws,
                start=t.start_from(begin, first=False),
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
