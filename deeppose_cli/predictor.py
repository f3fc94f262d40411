"""Pictures in; overlay pictures and COCO keypoint results out. Needs no torch, so that mistakes show at once.

Shape letters: S stages, K joints.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os.path import realpath  # unlike Path.resolve, it takes links that lead in a circle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.boxes import SingleFinder, parse_box
from deeppose_cli.decoding import Picture, read_picture
from deeppose_cli.errors import DeepPoseError, UsageError, one_line
from deeppose_cli.geometry import Box, FloatArray
from deeppose_cli.overlay import draw_pose
from deeppose_cli.presets import BOX_SOURCES
from deeppose_cli.skeleton import Skeleton

if TYPE_CHECKING:
    from deeppose_cli.cascade import CascadeResult

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""What is taken from a folder. A file that is named itself is tried whatever its suffix."""

VIEW_SIDE = 480
"""Smaller pictures are enlarged for viewing until their longer side is this many px: lines can then be told apart."""

BATCH_PICTURES, BATCH_PIXELS = 16, 16_000_000
"""A batch is full at either; so a folder of camera pictures needs no more memory than one of thumbnails."""

RESULTS_NAME = "predictions.json"


class PosePredictor(Protocol):
    """What a cascade must offer here."""

    @property
    def skeleton(self) -> Skeleton: ...

    def predict(self, pictures: Sequence[Picture], boxes: FloatArray, /, *, flip_test: bool) -> CascadeResult: ...


@dataclass(frozen=True)
class Job:
    """One picture to look at."""

    source: Path
    image_id: str
    """The file's name, as in a data set's list of examples; the path as typed where two files share the name."""
    overlay: Path
    """Where its overlay goes."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the cascade found in one picture."""

    job: Job
    width: int
    height: int
    first_box: Box
    poses: NDArray[np.float64]
    """(S, K, 2) px."""
    boxes: NDArray[np.float64]
    """(S, K, 4) px: where each stage looked."""


@dataclass(frozen=True)
class Failure:
    """A picture that was skipped, and why."""

    source: Path
    reason: str


class BoxSource:
    """Where b⁰ of a picture without annotations comes from: `image`, `face`, `person`, or `x,y,w,h` px for all.

    Of several faces or people the clearest counts; where none is found, the whole picture.
    """

    VALID = "valid: image, face, person, or x,y,w,h in px"

    def __init__(self, spec: str) -> None:
        if spec in BOX_SOURCES and spec not in ("image", "face", "person"):
            raise UsageError(
                f"--box {spec}: only a data set's pictures have labels or boxes of their own; {self.VALID}"
            )
        self.finder = SingleFinder(spec) if spec in ("face", "person") else None
        self.box = None if spec == "image" or self.finder is not None else parse_box(spec)

    def of(self, picture: Picture, path: Path) -> Box:
        """Raises DeepPoseError where the box misses the picture."""
        height, width = picture.shape[:2]
        found = self.finder.find(picture) if self.finder is not None else self.box
        if self.box is None:
            return found or Box.of_image(width, height)
        _, _, w, h = self.box
        left, top, *_ = self.box.left_top()
        if not (-w < left < width and -h < top < height):
            raise DeepPoseError(f"{one_line(path)}: --box lies outside of the picture ({width} × {height} px)")
        return self.box


def find_pictures(inputs: Sequence[Path]) -> tuple[list[Path], list[Failure]]:
    """Files as they are, folders as their pictures in order of name; none twice. A folder with none is a failure."""
    found: dict[str, Path] = {}
    failures = []
    for given in inputs:
        files = [given]
        if given.is_dir():
            try:
                files = sorted(p for p in given.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and not p.is_dir())
            except OSError as error:
                failures.append(Failure(given, f"{one_line(given)}: cannot be read ({error.strerror})"))
                continue
            if not files:
                missing = f"no picture in this folder ({', '.join(PICTURE_SUFFIXES)})"
                failures.append(Failure(given, f"{one_line(given)}: {missing}"))
        for file in files:
            found.setdefault(realpath(file), file)
    return list(found.values()), failures


def plan(files: Sequence[Path], out: Path) -> list[Job]:
    """Where each picture's overlay goes: under a name that no other overlay and no input has."""
    # Without regard to case: on some file systems X.jpg and x.jpg are one file.
    taken = {realpath(file).casefold() for file in files}
    names = [file.name for file in files]
    jobs = []
    for file in files:
        number, overlay = 1, out / f"{file.stem}_pose.jpg"
        while realpath(overlay).casefold() in taken:
            number += 1
            overlay = out / f"{file.stem}_pose{number}.jpg"
        taken.add(realpath(overlay).casefold())
        jobs.append(Job(file, file.name if names.count(file.name) == 1 else str(file), overlay))
    return jobs


def predict_jobs(
    cascade: PosePredictor, jobs: Sequence[Job], boxes: BoxSource, *, flip_test: bool = False
) -> Iterator[Prediction | Failure]:
    """Predict and write overlays, a batch at a time, in the jobs' order; failures come as they are met."""
    batch: list[tuple[Job, Picture, Box]] = []
    pixels = 0
    for job in jobs:
        try:
            picture = read_picture(job.source, exif=True)
            box = boxes.of(picture, job.source)
        except DeepPoseError as error:
            yield Failure(job.source, str(error))
            continue
        batch.append((job, picture, box))
        pixels += picture.shape[0] * picture.shape[1]
        if len(batch) == BATCH_PICTURES or pixels >= BATCH_PIXELS:
            yield from _predict_batch(cascade, batch, flip_test)
            batch, pixels = [], 0
    if batch:
        yield from _predict_batch(cascade, batch, flip_test)


def _predict_batch(
    cascade: PosePredictor, batch: Sequence[tuple[Job, Picture, Box]], flip_test: bool
) -> Iterator[Prediction]:
    pictures, boxes = [picture for _, picture, _ in batch], np.array([box for _, _, box in batch])
    result = cascade.predict(pictures, boxes, flip_test=flip_test)
    for i, (job, picture, box) in enumerate(batch):
        _write_picture(job.overlay, view(picture, result.poses[-1, i], cascade.skeleton))
        height, width = picture.shape[:2]
        yield Prediction(job, width, height, box, result.poses[:, i], result.boxes[:, i])


def view(picture: Picture, pose: FloatArray, skeleton: Skeleton) -> Picture:
    """The picture with its pose (K, 2), enlarged to VIEW_SIDE if it is smaller."""
    height, width = picture.shape[:2]
    factor = max(1.0, VIEW_SIDE / max(height, width))
    if factor > 1:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
        # Pixel centres are at integers, so the corner that stays in place is at -0.5.
        pose = (pose + 0.5) * (size[0] / width, size[1] / height) - 0.5
    return draw_pose(picture, pose, skeleton)


def _write_picture(path: Path, picture: Picture) -> None:
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not done:
        raise DeepPoseError(f"{one_line(path)}: the overlay could not be encoded")
    path.write_bytes(data.tobytes())


def coco_results(predictions: Sequence[Prediction], skeleton: Skeleton) -> list[dict[str, Any]]:
    """COCO keypoint results, one for each picture, plus what COCO has no place for: joint names, boxes, every stage.

    `keypoints` is the last stage's pose as x, y, 1 for each joint (COCO gives the third number no meaning in results).
    Boxes are left, top, width, height. Coordinates are px of the picture as it is shown, its EXIF rotation applied,
    0-based, pixel centres at integers. A cascade gives no score; 1 stands in its place.
    """
    return [
        {
            "image_id": prediction.job.image_id,
            "category_id": 1,
            "keypoints": [value for x, y in _rounded(prediction.poses[-1]) for value in (x, y, 1)],
            "score": 1.0,
            "bbox": _corner_boxes(np.array(prediction.first_box)),
            "file_name": str(prediction.job.source),
            "width": prediction.width,
            "height": prediction.height,
            "overlay": str(prediction.job.overlay),
            "joint_names": list(skeleton.joints),
            "stages": [
                {"stage": s, "keypoints": _rounded(pose), "boxes": _corner_boxes(boxes)}
                for s, (pose, boxes) in enumerate(zip(prediction.poses, prediction.boxes, strict=True), start=1)
            ],
        }
        for prediction in predictions
    ]


def _rounded(values: FloatArray) -> Any:
    return np.round(values, 3).tolist()


def _corner_boxes(boxes: FloatArray) -> Any:
    """Centre boxes (..., 4) as left, top, width, height, COCO's way: the whole picture is 0, 0, W, H."""
    return _rounded(np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2 + 0.5, boxes[..., 2:]], axis=-1))


def prepare_folder(out: Path) -> None:
    """Make the output folder. Raises DeepPoseError where that is not possible, before any network is loaded."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".{RESULTS_NAME}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DeepPoseError(f"--out {out}: not a folder that can be written to ({error.strerror})") from None


def predict_pictures(
    cascade: PosePredictor,
    files: Sequence[Path],
    out: Path,
    boxes: BoxSource,
    *,
    flip_test: bool = False,
    on_result: Callable[[Prediction | Failure], None] = lambda _: None,
) -> tuple[list[dict[str, Any]], Path | None]:
    """All of it for files: overlays and the results document under `out`. → (document, its path; None if no picture
    could be read). `on_result` hears of each picture as it is done."""
    done: list[Prediction] = []
    for result in predict_jobs(cascade, plan(files, out), boxes, flip_test=flip_test):
        if isinstance(result, Prediction):
            done.append(result)
        on_result(result)
    document = coco_results(done, cascade.skeleton)
    if not done:
        return document, None
    path = out / RESULTS_NAME
    path.write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")
    return document, path
