"""`deeppose refine`: stages 2, 3, …"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deeppose_cli.cli import training_options as t
from deeppose_cli.cli.options import flatten_flags
from deeppose_cli.config.schema import RefinementPreset
from deeppose_cli.core.errors import UsageError


@flatten_flags(RefinementPreset)
def refine(
    *,
    stage: Annotated[int, typer.Option("--stage", metavar="N", help="Stage: 2, 3, … in their order.")] = 2,
    run: t.RunFlags,
    settings: dict[str, Any],
    machine: t.MachineFlags,
) -> None:
    """Train a refinement stage: a crop around each joint in, that joint's correction out. Without a flag the preset
    decides."""
    from deeppose_cli.training.train import run_training

    if stage < 2:
        raise UsageError(f"--stage {stage}: refine makes stages 2, 3, …; for the first type: deeppose train --stage 1")
    run_training(t.train_options(stage, run, settings, machine))
