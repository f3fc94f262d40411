"""`deeppose train`: stage 1."""

from __future__ import annotations

from typing import Annotated

import typer

from deeppose_cli.cli import training_options as t
from deeppose_cli.cli.flags import spread
from deeppose_cli.errors import UsageError


@spread
def train(
    *,
    stage: Annotated[int, typer.Option("--stage", metavar="1", help="The stage; train makes stage 1.")] = 1,
    which: t.RunFlags,
    box: t.BoxOption = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="FROM",
            help="Starting values: random; torchvision (published ones); a backbone's file; full-body, upper-body or a "
            "file of deeppose export.",
        ),
    ] = None,
    settings: t.StageFlags,
    machine: t.MachineFlags,
) -> None:
    """Train stage 1: the whole person in, all joints out."""
    if stage != 1:
        raise UsageError(f"--stage {stage}: train makes stage 1; for the next type: deeppose refine --stage {stage}")
    t.start(t.orders(stage, which, machine, settings.overrides(start=t.start_from(begin, first=True)), box))
