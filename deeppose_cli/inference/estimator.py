"""A trained model in a program or a notebook, without files of results and without Lightning.

from deeppose_cli import load

estimator = load("people")   # or a run's name, or a weights file
pose = estimator("photo.jpg")
pose.keypoints                  # (K, 2) px
pose.plot()
everyone = estimator.people("group.jpg")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.checkpoints.model_source import ENGINES, DefaultModel, check_stage, resolve_model
from deeppose_cli.checkpoints.pretrained import NAMES, ONNX_SUFFIX, SUFFIX
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.config.defaults import MIN_CONFIDENCE, RUNS_ROOT
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.geometry import Box
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.detection.box_file import parse_source
from deeppose_cli.detection.person_finder import PersonFinder
from deeppose_cli.inference.image_predictor import distinct_people, predict_people
from deeppose_cli.inference.records import coco_results, image_record
from deeppose_cli.media.images import Image, from_pil, read_image
from deeppose_cli.models.cascade import Person
from deeppose_cli.visualization.drawing import annotate_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame
    from PIL.Image import Image as PilImage

    from deeppose_cli.models.cascade import Cascade

    AnyImage = str | PathLike[str] | NDArray[np.uint8] | PilImage

Corners = tuple[float, float, float, float]
"""left, top, width, height in px."""
_BATCH = 16


@dataclass(frozen=True, eq=False)
class Pose:
    """One person's joints in one image. Coordinates are px, 0-based, pixel centres at integers, x right, y down."""

    keypoints: NDArray[np.float64]
    """(K, 2)"""
    names: tuple[str, ...]
    """(K) the joints; left and right are the person's."""
    scores: NDArray[np.float64]
    """(K) the probability that each joint is within 0.2 of the torso; NaN where that was not measured."""
    box: Corners
    """The initial box."""
    stages: NDArray[np.float64]
    """(S, K, 2) the pose after each stage of the cascade; the last is `keypoints`."""
    source: str
    """The image's path; empty for pixels."""
    image: Image = field(repr=False)
    """(H, W, 3) RGB, after its EXIF rotation."""
    person: Person = field(repr=False)
    """The same with the crops of every stage."""
    _skeleton: Skeleton = field(repr=False)

    def __repr__(self) -> str:
        source = f" of {self.source}" if self.source else ""
        return f"<Pose{source}: {len(self.names)} joints, mean score {self.scores.mean():.2f}>"

    def to_coco(self) -> dict[str, Any]:
        """A COCO keypoint result, as in `predictions.json`."""
        name = Path(self.source).name
        record = image_record(self.source, name, self.image, "", [self.person], self._skeleton)
        return next(coco_results(record, ""))

    def to_pandas(self) -> DataFrame:
        """A table with a row for each joint: x, y, score. Raises DeepPoseError where pandas is not installed."""
        try:
            import pandas as pd
        except ImportError:
            raise DeepPoseError("to_pandas needs pandas; type: pip install pandas") from None
        columns = {"x": self.keypoints[:, 0], "y": self.keypoints[:, 1], "score": self.scores}
        return pd.DataFrame(columns, index=pd.Index(self.names, name="joint"))

    def drawn(self) -> Image:
        """The image (H, W, 3) with the pose over it; a small image is enlarged."""
        return annotate_image(self.image, [self.person], self._skeleton)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Show the image with the pose over it, on these axes or new ones."""
        if axes is None:
            from matplotlib import pyplot as plt

            _, axes = plt.subplots(layout="constrained")
        axes.imshow(self.drawn())
        axes.set_axis_off()
        return axes


class PoseEstimator:
    """A loaded cascade that predicts poses."""

    def __init__(self, cascade: Cascade, name: str, finder: PersonFinder) -> None:
        self.cascade, self.name, self.finder = cascade, name, finder

    def __repr__(self) -> str:
        return f"<PoseEstimator {self.name}: {self.cascade.num_stages} stage(s), {len(self.names)} joints>"

    @property
    def names(self) -> tuple[str, ...]:
        """(K) the joints, in the order of `Pose.keypoints`."""
        return self.cascade.skeleton.joints

    def __call__(self, image: AnyImage, box: Corners | None = None, *, flip_test: bool = False) -> Pose:
        """Predict the pose of one person, the most confident one.

        Args:
            image: A file, or pixels: (H, W, 3) RGB or (H, W) gray, uint8, or a PIL image.
            box: Where the person is: left, top, width, height in px. None: by the `box` of `load`; the whole image
                where nobody is found.
            flip_test: Average the predictions for the image and its mirror image; better, in twice the time.

        Raises:
            UsageError: For pixels of another type or shape.
            DeepPoseError: For a file that cannot be read, or a box outside of the image.
        """
        return self.batch([image], None if box is None else [box], flip_test=flip_test)[0]

    def batch(
        self, images: Sequence[AnyImage], boxes: Sequence[Corners] | None = None, *, flip_test: bool = False
    ) -> list[Pose]:
        """Predict one person in each of many images of any sizes; faster than one by one. Raises as a call does."""
        if isinstance(images, str | PathLike):
            raise UsageError(f"{images}: one file; valid: a list of images")
        if boxes is not None and len(boxes) != len(images):
            raise UsageError(f"{len(boxes)} boxes for {len(images)} images; valid: one for each image, or none")
        poses: list[Pose] = []
        for start in range(0, len(images), _BATCH):
            decoded = [_read(image) for image in images[start : start + _BATCH]]
            chosen = []
            for i, (pixels, source) in enumerate(decoded, start):
                finder = self.finder if boxes is None else PersonFinder(",".join(map(str, boxes[i])))
                found = finder.find(pixels, Path(source or "image"))
                chosen.append(found[0] if found else Box.of_image(*pixels.shape[1::-1]))
            people = predict_people(self.cascade, [pixels for pixels, _ in decoded], chosen, flip_test=flip_test)
            poses += self._poses(decoded, people)
        return poses

    def people(self, image: AnyImage, *, flip_test: bool = False, min_confidence: float = MIN_CONFIDENCE) -> list[Pose]:
        """Predict everyone who is found in an image, the most confident first; there may be nobody.

        `min_confidence`: a detected person whose joints have a lower mean is left out. Raises as a call does."""
        pixels, source = _read(image)
        path = Path(source or "image")
        people = self.find_people(pixels, path, flip_test=flip_test, min_confidence=min_confidence)
        return self._poses([(pixels, source)] * len(people), people)

    def find_people(self, pixels: Image, path: Path, *, flip_test: bool, min_confidence: float) -> list[Person]:
        """Everyone in decoded pixels, as `people`, which needs the path for a file of boxes alone."""
        boxes = self.finder.find(pixels, path)
        people = predict_people(self.cascade, [pixels] * len(boxes), boxes, flip_test=flip_test)
        return distinct_people(people, min_confidence) if self.finder.is_dynamic else people

    def _poses(self, images: Sequence[tuple[Image, str]], people: Sequence[Person]) -> list[Pose]:
        return [
            Pose(
                keypoints=person.poses[-1],
                names=self.names,
                scores=person.confidence[-1],
                box=person.initial_box.left_top(),
                stages=person.poses,
                source=source,
                image=pixels,
                person=person,
                _skeleton=self.cascade.skeleton,
            )
            for (pixels, source), person in zip(images, people, strict=True)
        ]


def load(
    model: str | PathLike[str] | None = None,
    *,
    stages: int | None = None,
    box: str = "auto",
    engine: str | None = None,
    runs_root: str | PathLike[str] = RUNS_ROOT,
) -> PoseEstimator:
    """Load a trained cascade: `people` or `people-fast`, the pretrained weights, a weights file, or a run's name.

    Args:
        model: The name or the file; None: `people`.
        stages: How many stages of the cascade are used; None: all.
        box: Where the people in an image are: `auto`, `image`, `face`, `person`, `x,y,w,h`, or a file of boxes.
        engine: `torch`, or `onnx`, which imports no torch; None: `onnx` for the pretrained weights, else that of the
            file.
        runs_root: Folder that holds one folder for each run.

    Raises:
        UsageError: For a value that is not valid; it names those that are.
        DeepPoseError: For a damaged model.
    """
    if engine not in (None, *ENGINES):
        raise UsageError(f"engine={engine!r}: valid: {', '.join(ENGINES)}")
    name = None if model is None else str(model)
    is_run = name is not None and name not in NAMES and not name.endswith((SUFFIX, ONNX_SUFFIX))
    if is_run and not RunFolder(Path(runs_root, str(name))).stages:
        raise UsageError(
            f"{name}: no run in {runs_root} and no weights; valid: {', '.join(NAMES)}, a run's name, or a {SUFFIX} or "
            f"{ONNX_SUFFIX} file"
        )
    run, weights = (name, None) if is_run else (None, name)
    chosen = resolve_model(
        Path(runs_root), run, weights, engine=engine, default=DefaultModel.PRETRAINED, prefer_onnx=True
    )
    source = parse_source(box)
    cascade = chosen.load(check_stage(chosen, stages))
    return PoseEstimator(cascade, chosen.name, PersonFinder(source, chosen.initial_box, cascade.skeleton))


def _read(image: AnyImage) -> tuple[Image, str]:
    """Pixels (H, W, 3) RGB and the path; the path is empty for pixels."""
    if isinstance(image, str) and "://" in image:
        raise UsageError(f"{image}: a URL; valid: a file, pixels (array), or a PIL image; download it first")
    if isinstance(image, str | PathLike):
        return read_image(Path(image), as_displayed=True), str(image)
    if not isinstance(image, np.ndarray):
        if not hasattr(image, "has_transparency_data"):
            raise UsageError(f"an image of type {type(image).__name__}; valid: a file, pixels (array), or a PIL image")
        return from_pil(image, as_displayed=True), ""
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        valid = "valid: uint8, (H, W, 3) RGB or (H, W)"
        raise UsageError(f"pixels of type {image.dtype}, shape {image.shape}; {valid}")
    if not image.size:
        raise UsageError(f"pixels of shape {image.shape}: there are none")
    return (image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)), ""
