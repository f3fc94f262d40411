"""`deeppose import`: a run from an exported weights file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deeppose_cli.cli.options import RunsRootOption
from deeppose_cli.config.defaults import RUNS_ROOT


def import_(
    weights: Annotated[
        str,
        typer.Argument(metavar="NAME|FILE", help="people or people-fast, or a file of deeppose export."),
    ],
    run: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="Name of the new run. Default: the file's.")
    ] = None,
    stage: Annotated[int | None, typer.Option("--stage", metavar="N", help="Stages 1 to N only. Default: all.")] = None,
    runs_root: RunsRootOption = RUNS_ROOT,
) -> None:
    """Create a run from an exported weights file. Its stages can then be refined, as if they had been trained here."""
    from deeppose_cli.checkpoints.lightning import how_to_train
    from deeppose_cli.checkpoints.pretrained import weights_path
    from deeppose_cli.checkpoints.run_folder import run_folder
    from deeppose_cli.exporting.importer import import_cascade

    file = weights_path(weights, "NAME|FILE")
    folder = run_folder(runs_root, run or Path(file).stem)
    import_cascade(file, folder, stage)
    count = len(folder.stages)
    print(f"{folder.path}: {count} stage(s) of {weights}; for the next, {how_to_train(count + 1, folder)}")
