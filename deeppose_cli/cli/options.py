"""The flags that many verbs share, each with its help text, once. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deeppose_cli.config.presets import PRESETS, RECIPES

SEED = 0

DataOption = Annotated[
    str | None,
    typer.Option("--data", metavar="NAME", help="Data set. Default: the run's own; demo where there is no run."),
]
DataRootOption = Annotated[
    Path, typer.Option("--data-root", metavar="DIR", help="Folder that holds one folder for each data set.")
]
RunsRootOption = Annotated[
    Path, typer.Option("--runs-root", metavar="DIR", help="Folder that holds one folder for each run.")
]
RunOption = Annotated[
    str | None,
    typer.Option("--run", metavar="NAME", help="Run. Default: in train the data set's name, else the newest run."),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="NAME|FILE",
        help="In place of a run: full-body or upper-body, which come with deeppose, or a file of deeppose export. "
        "Default, where there is no run: those that fit.",
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help=f"One of {', '.join(PRESETS)}. Default: the data set's own. {', '.join(RECIPES)} are recipes: train then "
        "takes their data set and initial box too. `deeppose presets` tells what each is and costs.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of every random draw.")]
FlipTestOption = Annotated[
    bool,
    typer.Option("--flip-test", help="Average each stage's answer with that for the mirror image; twice the time."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout; everything else goes to stderr.")
]
