"""`deeppose train`: stage 1."""

from __future__ import annotations

from typing import Annotated

import typer

from deeppose_cli.cli import training_options as t
from deeppose_cli.cli.flatten import flatten_flags
from deeppose_cli.core.errors import UsageError


@flatten_flags
def train(
    *,
    stage: Annotated[int, typer.Option("--stage", metavar="1", help="The stage; train makes stage 1.")] = 1,
    which: t.RunFlags,
    box: t.BoxOption = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--init-weights",
            metavar="FROM",
            help="Starting values: random; torchvision (published ones); a backbone's file; full-body, upper-body or a "
            "file of deeppose export.",
        ),
    ] = None,
    progressive_size: Annotated[
        str | None,
        typer.Option(
            "--progressive-size",
            metavar="LIST",
            help="Smaller inputs at first: 96:0.4,128:0.8 is 96 px until 0.4 of the epochs are done, 128 until 0.8.",
        ),
    ] = None,
    settings: t.StageFlags,
    machine: t.MachineFlags,
) -> None:
    """Train stage 1: the whole person in, all joints out."""
    if stage != 1:
        raise UsageError(f"--stage {stage}: train makes stage 1; for the next type: deeppose refine --stage {stage}")
    given = settings.overrides(progressive_size=progressive_size, init_weights=t.start_from(begin, first=True))
    t.start(t.orders(stage, which, machine, given, box))
