"""`deeppose refine`: stages 2, 3, …"""

from __future__ import annotations

from typing import Annotated

import typer

from deeppose_cli.cli import training_options as t
from deeppose_cli.cli.flatten import flatten_flags
from deeppose_cli.core.errors import UsageError


@flatten_flags
def refine(
    *,
    stage: Annotated[int, typer.Option("--stage", metavar="N", help="The stage: 2, 3, … in their order.")] = 2,
    which: t.RunFlags,
    regressor: Annotated[
        str | None,
        typer.Option(
            "--regressor", metavar="KIND", help="shared: one network for all joints; per-joint: one for each."
        ),
    ] = None,
    sigma: Annotated[
        float | None, typer.Option("--sigma", metavar="X", help="Side of the crops in units of the torso.")
    ] = None,
    crops_per_joint: Annotated[
        int | None,
        typer.Option("--crops-per-joint", metavar="N", help="Displaced crops per image and joint in one epoch."),
    ] = None,
    displacement_split: Annotated[
        str | None,
        typer.Option(
            "--displacement-split",
            metavar="SPLIT",
            help="Crops are as far off as the stage before on images of this split: train, or validation.",
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--init-weights",
            metavar="FROM",
            help="Starting values: previous (stage), random, torchvision, a backbone's file; full-body, upper-body or "
            "a file of deeppose export.",
        ),
    ] = None,
    settings: t.StageFlags,
    machine: t.MachineFlags,
) -> None:
    """Train a refinement stage: a crop around each joint in, that joint's correction out."""
    if stage < 2:
        raise UsageError(f"--stage {stage}: refine makes stages 2, 3, …; for the first type: deeppose train --stage 1")
    given = settings.overrides(
        regressor=regressor,
        sigma=sigma,
        crops_per_joint=crops_per_joint,
        displacement_split=displacement_split,
        init_weights=t.start_from(begin, first=False),
    )
    t.start(t.orders(stage, which, machine, given))
