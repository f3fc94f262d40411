"""`deeppose eval`: score a model, the mean pose and external predictions by the same rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deeppose_cli.cli.options import (
    SEED,
    DataOption,
    DataRootOption,
    FlipTestOption,
    JsonOption,
    RunOption,
    RunsRootOption,
    SeedOption,
    WeightsOption,
)
from deeppose_cli.config.defaults import (
    BOOTSTRAP_DRAWS,
    BOX_SOURCES,
    DATA_ROOT,
    EVALUATION_BATCH_SIZE,
    RUNS_ROOT,
    Centric,
    Metric,
    PcpRule,
    Split,
)
from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.progress import progress_bar

CENTRIC_HELP = "Whose left and right: observer changes those of labels and predictions, each by its own torso."
PREDICTIONS_CENTRIC_HELP = (
    "Whose left and right the --predictions files have. observer: they are compared as they are; needs --centric "
    "observer."
)
PCP_RULE_HELP = (
    "When a limb counts as found. strict and mean use the joints (Buffy's elbow: mean of the two marked ends), buffy "
    "the limbs as they were marked."
)
BOX_HELP = f"Initial box: {', '.join(BOX_SOURCES)}, or x,y,w,h in px. Default: the model's, or the data set's."
PREDICTIONS_HELP = (
    "Score external predictions from .npz (keypoints, N x K x 2 px) or COCO results .json (image_id: number in the "
    "split, or name); `deeppose data list NAME` prints both orders. Repeatable. No network is run then, unless --run "
    "or --weights is given."
)
OUT_HELP = (
    "Folder for scores.json, per-image.csv and the figures. Default: eval/<data>-<split> in the run's folder; for "
    "weights in weights-<name>/ beside the runs, for files alone in predictions/."
)


def evaluate(
    metric: Annotated[Metric, typer.Option(help="Table to print; the files hold all.")] = "pdj",
    split: Annotated[Split, typer.Option(help="Which images to score.")] = "test",
    stage: Annotated[str, typer.Option(metavar="all|N", help="A row for each stage, or for one.")] = "all",
    centric: Annotated[Centric, typer.Option(help=CENTRIC_HELP)] = "person",
    predictions_centric: Annotated[Centric, typer.Option(help=PREDICTIONS_CENTRIC_HELP)] = "person",
    pcp_rule: Annotated[PcpRule, typer.Option(help=PCP_RULE_HELP)] = "strict",
    box: Annotated[str | None, typer.Option(metavar="BOX", help=BOX_HELP)] = None,
    predictions: Annotated[list[Path] | None, typer.Option(metavar="FILE", help=PREDICTIONS_HELP)] = None,
    run: RunOption = None,
    weights: WeightsOption = None,
    data: DataOption = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help=OUT_HELP)] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Write report.html too: tables, curves and images as one page.")
    ] = False,
    logger: Annotated[
        str, typer.Option("--logger", metavar="LIST", help="tensorboard, wandb: log the scores there too.")
    ] = "",
    wandb_online: Annotated[bool, typer.Option("--wandb-online", help="Let wandb upload its logs.")] = False,
    bootstrap: Annotated[
        int, typer.Option(metavar="N", min=0, help="Draws of images for the 95 % intervals, by --seed. 0: none.")
    ] = BOOTSTRAP_DRAWS,
    flip_test: FlipTestOption = False,
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="Images in memory at a time.")
    ] = EVALUATION_BATCH_SIZE,
    data_root: DataRootOption = DATA_ROOT,
    runs_root: RunsRootOption = RUNS_ROOT,
    seed: SeedOption = SEED,
    json_: JsonOption = False,
) -> None:
    """Score the newest run, beside the mean pose of the training images, and draw the figures.

    Where there is no run, the pretrained weights are scored.
    """
    from deeppose_cli.evaluation import evaluate as evaluation

    with progress_bar() as progress:
        result = evaluation.evaluate(
            weights=weights,
            run=run,
            data=data,
            split=split,
            stage=_parse_stage(stage),
            metric=metric,
            pcp_rule=pcp_rule,
            centric=centric,
            predictions_centric=predictions_centric,
            box=box,
            predictions=predictions or (),
            flip_test=flip_test,
            bootstrap=bootstrap,
            seed=seed,
            batch_size=batch_size,
            html=report,
            loggers=tuple(name.strip() for name in logger.split(",") if name.strip()),
            wandb_online=wandb_online,
            out=out or "auto",
            data_root=data_root,
            runs_root=runs_root,
            progress=progress,
        )

    from rich.console import Console

    console = Console(stderr=json_, highlight=False)
    result.print_tables(console)
    for file in result.files:
        console.print(str(file), markup=False, soft_wrap=True)
    if json_:
        print(result.to_json())


def _parse_stage(stage: str) -> int | None:
    if stage == "all":
        return None
    if not (stage.isascii() and stage.isdigit() and int(stage) > 0):
        raise UsageError(f"--stage {stage}: valid: all, or the number of a stage (1, 2, …)")
    return int(stage)
