"""What the page does with an upload, without the page: an image or a video in, poses and files out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from deeppose_cli.checkpoints.pretrained import pretrained_files
from deeppose_cli.checkpoints.run_folder import list_runs
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import turn_matrix
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.inference.estimator import Pose, PoseEstimator, load
from deeppose_cli.inference.image_predictor import Predictor
from deeppose_cli.inference.inputs import Job
from deeppose_cli.inference.records import Record, coco_results, image_record, write_csv
from deeppose_cli.inference.video_predictor import predict_video
from deeppose_cli.inference.writer import COCO, CSV, ResultWriter
from deeppose_cli.media.cropping import crop
from deeppose_cli.media.formats import is_video
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models.cascade import Person
from deeppose_cli.visualization.drawing import AnnotationStyle, annotate_image, write_image

BOXES = ("auto", "image", "person", "face")
MAX_PEOPLE_SHOWN = 3
"""People whose crops are shown."""
MAX_OVERLAY = 2048
"""px of the longer side of an image's overlay, so that the browser shows it at once."""
MAX_VIEW = 512
"""The same of the image after each stage."""
MAX_SHOWN = 40
"""Images of stages and crops."""


@dataclass(frozen=True)
class Settings:
    """The controls of the page."""

    model: str
    box: str = "auto"
    stages: int | None = None
    min_confidence: float = 0.3
    flip_test: bool = False
    names: bool = False

    @property
    def style(self) -> AnnotationStyle:
        return AnnotationStyle(names=self.names, min_confidence=self.min_confidence)


@dataclass(frozen=True)
class Result:
    """What the page shows of one upload."""

    summary: str
    """One line."""
    overlay: Path
    """An image or a video."""
    json: Path
    csv: Path
    is_video: bool = False
    stages: list[tuple[Path, str]] = field(default_factory=list)
    """The pose after each stage, and the crops that each stage saw, with captions."""
    table: list[list[str | float]] = field(default_factory=list)
    """Rows of person, joint, x, y, confidence."""


def list_models(runs_root: Path) -> list[str]:
    """The pretrained weights and the finished runs."""
    return [*pretrained_files(), *(run.path.name for run in list_runs(runs_root) if run.stages)]


@lru_cache(maxsize=4)
def estimator(model: str, box: str, stages: int | None, runs_root: Path) -> PoseEstimator:
    """A loaded model; the last few are kept."""
    return load(model, box=box, stages=stages, runs_root=runs_root)


def find_poses(
    file: Path,
    settings: Settings,
    folder: Path,
    runs_root: Path,
    on_frame: Callable[[int, int | None], None] = lambda *_: None,
) -> Result:
    """Predict everyone in an upload; the files of results go into the folder. `on_frame`: frames done, and of how many.

    Raises DeepPoseError, one line that names the upload, for what cannot be read.
    """
    model = estimator(settings.model, settings.box, settings.stages, runs_root)
    if is_video(file):
        return _video(file, model, settings, folder, on_frame)
    poses = model.people(file, flip_test=settings.flip_test, min_confidence=settings.min_confidence)
    return _image(file, poses, model, settings, folder)


def _image(file: Path, poses: Sequence[Pose], model: PoseEstimator, settings: Settings, folder: Path) -> Result:
    skeleton, people = model.cascade.skeleton, [pose.person for pose in poses]
    pixels = poses[0].image if poses else read_image(file, as_displayed=True)
    overlay = folder / f"{file.stem}_pose.jpg"
    write_image(overlay, _drawn(pixels, people, skeleton, settings, MAX_OVERLAY))
    record = image_record(file.name, file.name, pixels, overlay.name, people, skeleton)
    results = folder / f"{file.stem}.json"
    results.write_text(json.dumps(list(coco_results(record, ".")), indent=1), encoding="utf-8")
    return Result(
        _count(len(people)),
        overlay,
        results,
        _csv([record], folder / f"{file.stem}.csv"),
        stages=_stages(pixels, people, model, settings, folder),
        table=_table(poses),
    )


def _video(
    file: Path,
    model: PoseEstimator,
    settings: Settings,
    folder: Path,
    on_frame: Callable[[int, int | None], None],
) -> Result:
    total: list[int | None] = [None]
    problems: list[str] = []

    def on_record(record: Record) -> None:
        if "error" in record:
            problems.append(record["error"])
        else:
            on_frame(record["frame"] + 1, total[0])

    with ResultWriter(folder, {}) as writer:
        predictor = Predictor(
            cascade=model.cascade,
            finder=model.finder,
            writer=writer,
            flip_test=settings.flip_test,
            style=settings.style,
            min_confidence=settings.min_confidence,
            on_video=lambda _, frames: total.__setitem__(0, frames),
            on_record=on_record,
        )
        predict_video(predictor, Job(file, file.name, f"{file.stem}_pose.mp4"))
        writer.finish()
    counts = writer.counts
    if not counts.frames:
        raise DeepPoseError(problems[0] if problems else f"{file.name}: no frame can be decoded")
    summary = f"{_count(counts.people)} in {counts.frames:,} frames"
    summary += f"; {problems[0].removeprefix(f'{file}: ')}" if problems else ""
    return Result(summary, folder / f"{file.stem}_pose.mp4", folder / COCO, folder / CSV, is_video=True)


def _stages(
    pixels: Image, people: Sequence[Person], model: PoseEstimator, settings: Settings, folder: Path
) -> list[tuple[Path, str]]:
    """For each stage the crops that it saw of the first people, then everyone's pose after it."""
    shown: list[tuple[Path, str]] = []

    def show(image: Image, caption: str) -> None:
        if len(shown) < MAX_SHOWN:
            file = folder / f"view-{len(shown):02d}.jpg"
            write_image(file, image)
            shown.append((file, caption))

    cascade = model.cascade
    for number, stage in enumerate(cascade.stages):
        for i, person in enumerate(people[:MAX_PEOPLE_SHOWN], start=1):
            boxes = person.boxes[number]
            is_whole = len(np.unique(boxes, axis=0)) == 1
            names = ["input"] if is_whole else [joint.replace("_", " ") for joint in cascade.skeleton.joints]
            for box, name in zip(boxes[: 1 if is_whole else None], names, strict=True):
                view = crop(pixels, box, stage.input_size, turn=turn_matrix(box, person.angles[number]))
                show(view, f"{number + 1}: person {i}, {name}")
        if people and len(cascade.stages) > 1:
            poses = [person.up_to(number + 1) for person in people]
            show(_drawn(pixels, poses, cascade.skeleton, settings, MAX_VIEW), f"{number + 1}: result")
    return shown


def _drawn(pixels: Image, people: Sequence[Person], skeleton: Skeleton, settings: Settings, side: int) -> Image:
    """The image with the poses; a larger one is reduced to this longer side first, which is faster."""
    factor = side / max(pixels.shape[:2])
    if factor < 1:
        pixels = np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
        people = [replace(person, poses=(person.poses + 0.5) * factor - 0.5) for person in people]
    return annotate_image(pixels, people, skeleton, settings.style)


def _table(poses: Sequence[Pose]) -> list[list[str | float]]:
    return [
        [i, name.replace("_", " "), round(float(x), 1), round(float(y), 1), round(float(score), 2)]
        for i, pose in enumerate(poses, start=1)
        for name, (x, y), score in zip(pose.names, pose.keypoints, pose.scores, strict=True)
    ]


def _csv(records: Sequence[Record], file: Path) -> Path:
    with file.open("w", encoding="utf-8", newline="") as out:
        write_csv(records, out)
    return file


def _count(people: int) -> str:
    if not people:
        return "Nobody found. Try the box “image”, or a lower least confidence."
    return "1 person" if people == 1 else f"{people:,} people"
