"""`deeppose data show`: a sheet of examples with the networks' inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deeppose_cli.cli.options import SEED, DataRootOption, PresetOption, RunsRootOption, SeedOption
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Data set; `deeppose data list` shows them.")],
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="train, validation or test. Default: the first with images."),
    ] = None,
    stage: Annotated[
        int | None,
        typer.Option("--stage", metavar="N", min=1, help="Only inputs of stage N. Default: 1 and 2, or the run's."),
    ] = None,
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, max=40, help="Examples, drawn by --seed.")] = 6,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="NAME", help="Settings of a run; its stages place the refinement crops."),
    ] = None,
    preset: PresetOption = None,
    box: Annotated[
        str | None, typer.Option("--box", metavar="BOX", help="Initial box, as in `eval`. Default: the data set's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.png", help="Default: in sheets/ below the data root.")
    ] = None,
    seed: SeedOption = SEED,
    data_root: DataRootOption = DATA_ROOT,
    runs_root: RunsRootOption = RUNS_ROOT,
) -> None:
    """Draw examples with the networks' inputs: initial box, inputs, augmented copies, refinement boxes.

    Left and right have their own colors, so that swapped sides are visible. Each change of colors that the preset has
    is also drawn alone. Without --run the refinement boxes are around the labels, with it around the run's poses.
    """
    from deeppose_cli.data.preview.preview import preview

    print(
        preview(
            name,
            split=split,
            stage=stage,
            count=count,
            run=run,
            preset=preset,
            box=box,
            out=out,
            seed=seed,
            data_root=data_root,
            runs_root=runs_root,
        )
    )
