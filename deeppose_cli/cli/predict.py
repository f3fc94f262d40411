"""`deeppose predict`: images in, overlay images and results out."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeppose_cli.cli.options import FlipTestOption, JsonOption, RunOption, RunsRootOption, WeightsOption
from deeppose_cli.config.defaults import RUNS_ROOT
from deeppose_cli.core.errors import UsageError, one_line

if TYPE_CHECKING:
    from rich.table import Table


OUT = Path("predictions")
SHOWN = 20
"""Images that the summary names one by one; the files have them all."""
BOXES_SHOWN = 2


class Engine(StrEnum):
    TORCH = "torch"
    ONNX = "onnx"


def predict(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Images, videos, folders of them, patterns in quotes, a camera's number, or - for a list on stdin.",
        ),
    ],
    run: RunOption = None,
    weights: WeightsOption = None,
    runs_root: RunsRootOption = RUNS_ROOT,
    box: Annotated[
        str,
        typer.Option(
            "--box",
            metavar="BOX",
            help="Where the people are. auto: everyone is looked for. image: one person, who fills the image. face, "
            "person: the clearest. left,top,width,height in px: one. FILE: a detector's boxes, COCO .json or a .csv of "
            "image,x,y,w,h.",
        ),
    ] = "auto",
    stage: Annotated[int | None, typer.Option("--stage", metavar="N", help="Stop after stage N. Default: all.")] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for overlays and results.")] = OUT,
    overlays: Annotated[bool, typer.Option("--overlays/--no-overlays", help="Draw the poses into copies.")] = True,
    names: Annotated[bool, typer.Option("--names", help="Write the joints' names into the overlays.")] = False,
    panels: Annotated[
        bool, typer.Option("--show-stages", help="Show every stage by itself in the overlays, with where it looked.")
    ] = False,
    frames: Annotated[
        int | None, typer.Option("--frames", metavar="N", min=1, help="Of a video or camera no more than N frames.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin again where DIR holds a run that was stopped.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Part I of N of the input, for one of N machines; see merge."),
    ] = None,
    flip_test: FlipTestOption = False,
    engine: Annotated[
        Engine | None,
        typer.Option("--engine", help="What runs the networks. onnx starts faster, without torch. Default: torch."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find people's poses in images and videos.

    Writes an overlay image or video for each; predictions.jsonl, a line for each image or frame, as they come; at
    the end predictions.json, COCO keypoint results, and predictions.csv. What cannot be read is reported and skipped;
    the exit code is then 1. A camera is watched until Ctrl-C.
    """
    from deeppose_cli.checkpoints.model_source import DefaultModel, check_stage, resolve_model
    from deeppose_cli.inference.inputs import STDIN, Shard, find_images

    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    part = Shard.parse(shard) if shard is not None else Shard()
    model = resolve_model(runs_root, run, weights, engine=engine, default=DefaultModel.FINISHED_RUN)
    stages = check_stage(model, stage)

    from rich.console import Console
    from rich.progress import Progress

    from deeppose_cli.detection.person_finder import PersonFinder
    from deeppose_cli.inference.image_predictor import plan, predict_images
    from deeppose_cli.inference.records import Record
    from deeppose_cli.inference.video_predictor import predict_video
    from deeppose_cli.inference.writer import ResultWriter
    from deeppose_cli.media.video import is_video
    from deeppose_cli.visualization.annotate import Style

    boxes = PersonFinder(box, model.initial_box)
    files, failures = find_images(images, sys.stdin.buffer if STDIN in images else None)
    jobs = [job for i, job in enumerate(plan(files, out)) if part.has(i)]
    boxes.check(files)
    settings = {
        **{"model": model.fingerprint(stages), "stages": stages, "box": boxes.said(), "flip test": flip_test},
        **{"overlays": overlays, "names": names, "panels": panels, "frames": frames, "shard": [part.number, part.of]},
    }
    # stdout is the document's alone where it was asked for.
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    console = errors if as_json else Console(highlight=False, soft_wrap=True)
    summary = Summary()
    style = Style(names, panels) if overlays else None

    if not any(os.path.lexists(file) or is_video(file) for file in files) and not resume:
        # A name that was mistyped is no reason to begin a folder, or to give up what it holds.
        reasons = [
            *(failure.reason for failure in failures),
            *(f"{file}: cannot be read (no such file)" for file in files),
        ]
        for reason in reasons:
            errors.print(f"skipped: {one_line(reason)}", markup=False)
        console.print(f"{model.name}, {stages} stage(s): 0 predicted, {len(reasons)} skipped", markup=False)
        if as_json:
            _print_json(None)
        raise typer.Exit(1)

    with ResultWriter(out, settings, resume=resume, overwrite=overwrite) as results:
        cascade = model.load(stages)
        if results.replaced:
            errors.print(f"{out}: results of an earlier run are replaced", markup=False)
        for failure in failures:
            errors.print(f"skipped: {one_line(failure.reason)}", markup=False)
        if results.done:
            console.print(f"{len(results.done)} image(s) are done already", markup=False)
        left = [job for job in jobs if str(job.source) not in results.done]
        with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
            task = progress.add_task("predict", total=len(jobs), completed=len(jobs) - len(left))

            def hear(line: Record) -> None:
                frame = line.get("frame")
                progress.update(task, description="predict" if frame is None else f"frame {frame}")
                if not frame:
                    progress.advance(task)
                if "error" in line:
                    errors.print(f"skipped: {one_line(line['error'])}", markup=False)
                else:
                    summary.add(line)

            try:
                for videos, some in groupby(left, lambda job: is_video(job.source)):
                    if videos:
                        for video in some:
                            predict_video(
                                *(cascade, video, results, boxes),
                                flip_test=flip_test,
                                style=style,
                                frames=frames,
                                on_line=hear,
                            )
                    else:
                        predict_images(
                            cascade, list(some), results, boxes, flip_test=flip_test, style=style, on_line=hear
                        )
            except KeyboardInterrupt:
                errors.print(f"stopped; {len(results.done)} of {len(jobs)} are done; to go on, the same with --resume")
                raise
        path = results.finish()
        count = results.count

    if as_json:
        _print_json(path)
    if summary.rows:
        console.print(summary.table(out, count["predicted"]))
    skipped = count["skipped"] + len(failures)
    said = f", {skipped} skipped" if skipped else ""
    of_videos = f" ({count['frames']} frames of videos)" if count["frames"] else ""
    where = f" → {path}" if path else ""
    done = f"{count['predicted']} predicted{of_videos}{said}{where}"
    console.print(f"{model.name}, {stages} stage(s): {done}", markup=False)
    if skipped:
        raise typer.Exit(1)


def _print_json(path: Path | None) -> None:
    """The COCO results as they are in the file, whatever their length."""
    import shutil

    if path is None:
        print("[]")
        return
    with path.open(encoding="utf-8") as file:
        shutil.copyfileobj(file, sys.stdout)


class Summary:
    """What is told at the end of the first images and videos."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def add(self, line: dict[str, Any]) -> None:
        source = line["source"]
        if source not in self.rows:
            if len(self.rows) == SHOWN:
                return
            self.rows[source] = {**line, "frames": 0, "ids": set()}
        if "frame" in line:
            self.rows[source]["frames"] += 1
            self.rows[source]["ids"] |= {person.get("id") for person in line["people"]}

    def table(self, out: Path, predicted: int) -> Table:
        from rich.table import Column, Table
        from rich.text import Text

        # Folded, not cut: a path must stay whole.
        columns = (Column("image", overflow="fold"), "people", "initial box", Column("overlay", overflow="fold"))
        table = Table(*columns, box=None)
        for line in self.rows.values():
            people, where = len(line["people"]), _boxes(line)
            if line["frames"]:
                people, where = len(line["ids"]), f"{line['frames']} frames"
            overlay = str(out / line["overlay"]) if line["overlay"] else ""
            table.add_row(Text(one_line(line["source"])), str(people or "nobody"), where, Text(one_line(overlay)))
        if predicted > len(self.rows):
            table.add_row(f"... and {predicted - len(self.rows)} more")
        return table


def _boxes(line: dict[str, Any]) -> str:
    whole = [0, 0, line["width"], line["height"]]
    boxes = [person["box"] for person in line["people"][:BOXES_SHOWN]]
    said = ["whole image" if box == whole else ",".join(f"{round(value, 1):g}" for value in box) for box in boxes]
    return "; ".join([*said, *(["…"] if len(line["people"]) > BOXES_SHOWN else [])])
