"""`deeppose train`: stage 1."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deeppose_cli.cli import training_options as t
from deeppose_cli.cli.options import flatten_flags
from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.errors import UsageError


@flatten_flags(StagePreset)
def train(
    *,
    stage: Annotated[int, typer.Option("--stage", metavar="1", help="Stage; train makes stage 1.")] = 1,
    run: t.RunFlags,
    box: t.BoxOption = None,
    settings: dict[str, Any],
    machine: t.MachineFlags,
) -> None:
    """Train stage 1: the whole person in, all joints out. Without a flag the preset decides."""
    from deeppose_cli.training.train import run_training

    if stage != 1:
        raise UsageError(f"--stage {stage}: train makes stage 1; for the next type: deeppose refine --stage {stage}")
    run_training(t.train_options(1, run, settings, machine, box))
