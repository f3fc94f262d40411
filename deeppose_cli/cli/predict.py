"""`deeppose predict`: images and videos in, overlays and results out. `deeppose merge`: the results of its parts."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deeppose_cli.cli.options import FlipTestOption, JsonOption, RunOption, RunsRootOption, WeightsOption
from deeppose_cli.config.defaults import MIN_CONFIDENCE, RUNS_ROOT

CODEC = "libx264"
OUT = Path("predictions")


class Engine(StrEnum):
    TORCH = "torch"
    ONNX = "onnx"


def predict(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Images, videos, folders of them, patterns in quotes, URLs of videos, a camera's number, or - for a "
            "list or a video on stdin.",
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
            help="Where the people are. auto: everyone who is found. image: one person, who fills the image. face, "
            "person: the clearest one. left,top,width,height in px: one. FILE: a detector's boxes, COCO .json or a "
            ".csv of image,x,y,w,h.",
        ),
    ] = "auto",
    stage: Annotated[int | None, typer.Option("--stage", metavar="N", help="Stop after stage N. Default: all.")] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for overlays and results.")] = OUT,
    overlays: Annotated[bool, typer.Option("--overlays/--no-overlays", help="Draw the poses into copies.")] = True,
    names: Annotated[bool, typer.Option("--names", help="Write the joints' names into the overlays.")] = False,
    show_stages: Annotated[
        bool, typer.Option("--show-stages", help="Show every stage by itself in the overlays, with its crop boxes.")
    ] = False,
    min_confidence: Annotated[
        float,
        typer.Option(
            "--min-confidence",
            metavar="P",
            help="Leave out people detected in images whose joints have a lower mean; draw joints with less faint.",
        ),
    ] = MIN_CONFIDENCE,
    frames: Annotated[
        int | None, typer.Option("--frames", metavar="N", min=1, help="At most N frames of each video or camera.")
    ] = None,
    codec: Annotated[
        str, typer.Option("--codec", metavar="NAME", help="FFmpeg's encoder of annotated videos, such as libx265.")
    ] = CODEC,
    audio: Annotated[bool, typer.Option("--audio/--no-audio", help="Keep the sound of annotated videos.")] = True,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start again where DIR holds a run that was stopped.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Part I of N of the input, for one of N machines; see merge."),
    ] = None,
    flip_test: FlipTestOption = False,
    engine: Annotated[
        Engine | None,
        typer.Option("--engine", help="What runs the networks. Default: onnx for the pretrained weights, else torch."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find people's poses in images and videos.

    Writes an overlay image or video for each; predictions.jsonl, a line for each image or frame, as they come; at
    the end predictions.json, COCO keypoint results, and predictions.csv. What cannot be read is reported and skipped;
    the exit code is then 1. A camera is read until Ctrl-C.
    """
    from deeppose_cli.cli.predict_output import PredictionOutput
    from deeppose_cli.inference import pipeline

    output = PredictionOutput(as_json)
    try:
        summary = pipeline.predict(
            images,
            weights=weights,
            run=run,
            stage=stage,
            box=box,
            out=out,
            flip_test=flip_test,
            engine=engine,
            overlays=overlays,
            names=names,
            show_stages=show_stages,
            min_confidence=min_confidence,
            frames=frames,
            codec=codec,
            audio=audio,
            resume=resume,
            overwrite=overwrite,
            shard=shard,
            runs_root=runs_root,
            stdin=sys.stdin.buffer,
            listener=output,
        )
    finally:
        output.stop()
    output.print_summary(summary)
    if summary.skipped:
        raise typer.Exit(1)


def merge(
    parts: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of deeppose predict --shard, one for each part.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the merged results.")],
) -> None:
    """Merge the results of `deeppose predict --shard`, overlays too, in the order of the input."""
    from deeppose_cli.inference import sharding

    counts = sharding.merge(parts, out)
    print(f"{len(parts)} part(s): {counts} → {out}")
