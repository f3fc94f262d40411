"""`deeppose predict`: pictures in, overlay pictures and one JSON document out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deeppose_cli.cli.options import FlipTestOption, JsonOption, RunOption, RunsRootOption, WeightsOption
from deeppose_cli.errors import UsageError, one_line
from deeppose_cli.presets import RUNS_ROOT

if TYPE_CHECKING:
    from rich.table import Table

    from deeppose_cli.models import Model
    from deeppose_cli.predictor import Failure, Prediction

OUT = Path("predictions")
SHOWN = 20
"""Pictures that the summary names one by one; predictions.json has them all."""


def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures, or folders of pictures.")],
    run: RunOption = None,
    weights: WeightsOption = None,
    runs_root: RunsRootOption = RUNS_ROOT,
    box: Annotated[
        str,
        typer.Option(
            "--box", metavar="BOX", help="Where the person is: image, face, person, or left,top,width,height in px."
        ),
    ] = "image",
    stage: Annotated[int | None, typer.Option("--stage", metavar="N", help="Stop after stage N. Default: all.")] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for overlays and predictions.json.")] = OUT,
    flip_test: FlipTestOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find one person's pose in each picture: an overlay picture, and a COCO keypoint result in predictions.json.

    A picture that cannot be read is reported and skipped; the exit code is then 1.
    """
    from deeppose_cli.models import choose_model

    model = choose_model(runs_root, run, weights)
    stages = _stages(model, stage)

    from rich.console import Console
    from rich.progress import Progress

    from deeppose_cli import predictor

    boxes = predictor.BoxSource(box)
    files, failures = predictor.find_pictures(images)
    predictor.prepare_folder(out)
    cascade = model.load(stages)

    # stdout is the document's alone where it was asked for.
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    console = errors if as_json else Console(highlight=False, soft_wrap=True)
    done: list[Prediction] = []

    def report(failure: Failure) -> None:
        errors.print(f"skipped: {failure.reason}", markup=False)

    for failure in failures:
        report(failure)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("predict", total=len(files))

        def hear(result: Prediction | Failure) -> None:
            progress.advance(task)
            if isinstance(result, predictor.Failure):
                failures.append(result)
                report(result)
            else:
                done.append(result)

        document, path = predictor.predict_pictures(cascade, files, out, boxes, flip_test=flip_test, on_result=hear)

    if as_json:
        import json

        print(json.dumps(document, allow_nan=False))
    if done:
        console.print(_table(done))
    skipped = f", {len(failures)} skipped" if failures else ""
    where = f" → {path}" if path else ""
    console.print(f"{model.name}, {stages} stage(s): {len(done)} predicted{skipped}{where}", markup=False)
    if failures:
        raise typer.Exit(1)


def _stages(model: Model, stage: int | None) -> int:
    trained = model.num_stages
    if stage is not None and not 1 <= stage <= trained:
        raise UsageError(
            f"--stage {stage}: {model.kind} {model.name} has {trained} trained stage(s); valid: 1 to {trained}"
        )
    return stage or trained


def _table(done: list[Prediction]) -> Table:
    from rich.table import Column, Table
    from rich.text import Text

    from deeppose_cli.geometry import Box

    # Folded, not cut: a path must stay whole.
    table = Table(Column("picture", overflow="fold"), "box", Column("overlay", overflow="fold"), box=None)
    for prediction in done[:SHOWN]:
        whole = prediction.first_box == Box.of_image(prediction.width, prediction.height)
        box = "whole picture" if whole else ",".join(f"{value:g}" for value in prediction.first_box.left_top())
        job = prediction.job
        table.add_row(Text(one_line(job.source)), box, Text(one_line(job.overlay)))
    if len(done) > SHOWN:
        table.add_row(f"... and {len(done) - SHOWN} more")
    return table
