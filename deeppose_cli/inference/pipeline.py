"""Prediction as a function: images and videos in, overlays and results out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from deeppose_cli.checkpoints.model_source import (
    DefaultModel,
    check_model_flags,
    check_stage,
    model_line,
    resolve_model,
)
from deeppose_cli.config.defaults import MIN_CONFIDENCE, RUNS_ROOT
from deeppose_cli.core.errors import UsageError, one_line
from deeppose_cli.core.progress import loading_notice
from deeppose_cli.detection.box_file import AUTO, BoxFile, parse_source
from deeppose_cli.inference.inputs import Job, find_inputs, plan_jobs
from deeppose_cli.inference.records import Record
from deeppose_cli.inference.sharding import WHOLE, parse_shard
from deeppose_cli.inference.writer import COCO, CSV, RECORDS, Counts, ResultWriter
from deeppose_cli.media.formats import Source, is_video
from deeppose_cli.media.video_writer import CODEC, check_codec

if TYPE_CHECKING:
    from deeppose_cli.inference.image_predictor import Predictor

OUT = Path("predictions")


@dataclass(kw_only=True)
class PredictionSummary(Counts):
    """What was predicted and where it was written."""

    folder: Path
    files: tuple[Path, ...]
    """`predictions.json`, `.csv` and `.jsonl`, those that were written; the overlays are beside them."""


class PredictionListener:
    """Calls that `predict` makes on its way; the methods of this class do nothing."""

    def on_model(self, line: str) -> None:
        """Once, before any other call: the model in one line."""

    def on_message(self, message: str) -> None:
        """A line about an input that was skipped, boxes without an image, a run that is resumed."""

    def on_start(self, total: int, done: int) -> None:
        """How many images and videos there are, and how many of them an earlier run has done."""

    def on_video(self, source: Source, frames: int | None) -> None:
        """At the start of each video: its name as it was given, and its number of frames where that is known."""

    def on_record(self, record: Record) -> None:
        """The record of an image or frame (`records.py`), once it is written."""


def predict(
    inputs: str | Path | Sequence[str | Path],
    *,
    weights: str | Path | None = None,
    run: str | None = None,
    stage: int | None = None,
    box: str = AUTO,
    out: str | Path = OUT,
    flip_test: bool = False,
    engine: str | None = None,
    overlays: bool = True,
    names: bool = False,
    show_stages: bool = False,
    min_confidence: float = MIN_CONFIDENCE,
    frames: int | None = None,
    codec: str = CODEC,
    audio: bool = True,
    resume: bool = False,
    overwrite: bool = False,
    shard: str | None = None,
    runs_root: str | Path = RUNS_ROOT,
    stdin: BinaryIO | None = None,
    listener: PredictionListener | None = None,
) -> PredictionSummary:
    """Find everyone's pose in images and videos.

    Writes an overlay for each image or video, `predictions.jsonl` with a record for each image or frame, and at the end
    COCO keypoint results (`predictions.json`) and a table (`predictions.csv`). An input that cannot be read is skipped.

    Args:
        inputs: Files, folders, patterns, URLs of videos, numbers of cameras, or `-` for a list or a video on `stdin`.
        weights: The model: `people`, `people-fast` or a file.
        run: The model: a run's name. Without both: the newest finished run that was trained on real images; where
            there is none, `people`.
        stage: The last stage of the cascade that is used; None: all.
        box: Where the people are: `auto`, `image`, `face`, `person`, `x,y,w,h`, or a file of boxes.
        out: The folder of results.
        flip_test: Average the predictions for the image and its mirror image; twice the time.
        engine: `torch` or `onnx`; None: `onnx` for the pretrained weights, else that of the file.
        overlays: Draw the poses into copies.
        names: Write the joints' names into the overlays.
        show_stages: Show every stage by itself in the overlays.
        min_confidence: A detected person in an image whose joints have a lower mean is left out; joints with less are
            drawn faint.
        frames: At most so many frames of each video.
        codec: FFmpeg's name of the encoder of annotated videos.
        audio: Copy the sound of videos into the annotated ones.
        resume: Continue a prediction that was stopped.
        overwrite: Replace a prediction that was stopped.
        shard: `i/n`, part i of n of the inputs.
        runs_root: Folder that holds one folder for each run.
        stdin: Where `-` reads its list from.
        listener: Is called on the way.

    Raises:
        UsageError: For arguments that are not valid.
        DeepPoseError: Where the model or the folder is not usable. Both before the networks are loaded.
    """
    listener = listener or PredictionListener()
    folder = Path(out)
    # First what needs neither NumPy nor a model.
    if not 0 <= min_confidence <= 1:
        raise UsageError(f"--min-confidence {min_confidence:g}: valid: 0 to 1")
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    number, count = WHOLE if shard is None else parse_shard(shard)
    name = None if weights is None else str(weights)
    check_model_flags(run, name, engine)
    if codec != CODEC:
        check_codec(codec)
    source = parse_source(box)
    files, problems = find_inputs([inputs] if isinstance(inputs, str | Path) else inputs, stdin)
    note = source.check([Path(file) for file in files]) if isinstance(source, BoxFile) else None
    if not resume and not any(os.path.lexists(file) or is_video(file) for file in files):
        # A mistyped name is no reason to begin a folder, or to replace an earlier run.
        problems += [f"{file}: cannot be read (no such file)" for file in files]
        _report(listener, problems)
        return PredictionSummary(folder=folder, files=(), skipped=len(problems))
    model = resolve_model(
        Path(runs_root), run, name, engine=engine, default=DefaultModel.FINISHED_RUN, prefer_onnx=True
    )
    stages = check_stage(model, stage)
    settings = {
        "model": model.fingerprint(stages),
        "stages": stages,
        "box": f"{box} {source.digest}" if isinstance(source, BoxFile) else box,
        "flip test": flip_test,
        "overlays": overlays,
        "names": names,
        "show stages": show_stages,
        "min confidence": min_confidence,
        "frames": frames,
        "codec": codec,
        "audio": audio,
        "shard": [number, count],
    }
    with ResultWriter(folder, settings, resume=resume, overwrite=overwrite) as writer:
        listener.on_model(model_line(model, stages))
        if writer.replaced:
            listener.on_message(f"{folder}: results of an earlier run are replaced")
        if note is not None:
            listener.on_message(note)
        _report(listener, problems)
        with loading_notice(f"{model.kind} {model.name}"):
            from deeppose_cli.detection.person_finder import PersonFinder
            from deeppose_cli.inference.image_predictor import Predictor
            from deeppose_cli.visualization.drawing import AnnotationStyle

            cascade = model.load(stages)

        def on_record(record: Record) -> None:
            listener.on_record(record)
            if "error" in record:
                _report(listener, [record["error"]])

        predictor = Predictor(
            cascade=cascade,
            finder=PersonFinder(source, model.initial_box, cascade.skeleton),
            writer=writer,
            flip_test=flip_test,
            style=AnnotationStyle(names, show_stages, min_confidence) if overlays else None,
            min_confidence=min_confidence,
            frames=frames,
            codec=codec,
            audio=audio,
            on_video=listener.on_video,
            on_record=on_record,
        )
        _predict_jobs(predictor, plan_jobs(files, folder)[number - 1 :: count], listener)
        writer.finish()
    written = tuple(file for file in (folder / COCO, folder / CSV, folder / RECORDS) if file.is_file())
    summary = PredictionSummary(folder=folder, files=written, **asdict(writer.counts))
    summary.skipped += len(problems)
    return summary


def _predict_jobs(predictor: Predictor, jobs: Sequence[Job], listener: PredictionListener) -> None:
    """Predict the images and videos that the writer does not hold yet, in their order."""
    from deeppose_cli.inference.image_predictor import predict_images
    from deeppose_cli.inference.video_predictor import predict_video

    done = predictor.writer.done
    left = [job for job in jobs if str(job.source) not in done]
    if len(left) < len(jobs):
        listener.on_message(f"{len(jobs) - len(left)} image(s) are done already")
    listener.on_start(len(jobs), len(jobs) - len(left))
    try:
        for videos, group in groupby(left, lambda job: job.is_video):
            if videos:
                for job in group:
                    predict_video(predictor, job)
            else:
                predict_images(predictor, list(group))
    except KeyboardInterrupt:
        progress = f"{len(done)} of {len(jobs)} are done"
        listener.on_message(f"stopped; {progress}; to continue, type the same command with --resume")
        raise


def _report(listener: PredictionListener, reasons: Sequence[str]) -> None:
    for reason in reasons:
        listener.on_message(f"skipped: {one_line(reason)}")
