"""The toolkit in a program or a notebook.

    from deeppose_cli import load

    find = load("full-body")        # or a run's name, or a weights file
    pose = find("photo.jpg")
    pose.keypoints                  # (K, 2) px
    pose.plot()
    everyone = find.people("group.jpg")

Lightning is not imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.checkpoints.model_source import ENGINES, DefaultModel, resolve_model
from deeppose_cli.checkpoints.onnx_cascade import SUFFIX as ONNX_SUFFIX
from deeppose_cli.checkpoints.pretrained import NAMES
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.checkpoints.weights_header import SUFFIX
from deeppose_cli.config.defaults import RUNS_ROOT
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.geometry import Box
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.detection.person_finder import PersonFinder
from deeppose_cli.detection.person_search import find_people, stage1_scorer
from deeppose_cli.inference.records import coco_results, image_record
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models.cascade import Person
from deeppose_cli.visualization.annotate import view

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
    """(K) how likely each joint is within 0.2 of the torso; NaN where that was never measured."""
    box: Corners
    """Where the first stage looked."""
    stages: NDArray[np.float64]
    """(S, K, 2) what each stage of the cascade said; the last is `keypoints`."""
    source: str
    """The image's path; empty for one that was handed over as pixels."""
    image: Image = field(repr=False)
    """(H, W, 3) RGB, as it is shown."""
    _person: Person = field(repr=False)
    _skeleton: Skeleton = field(repr=False)

    def __repr__(self) -> str:
        of = f" of {self.source}" if self.source else ""
        return f"<Pose{of}: {len(self.names)} joints, mean score {self.scores.mean():.2f}>"

    def to_coco(self) -> dict[str, Any]:
        """A COCO keypoint result, as in `predictions.json`."""
        height, width = self.image.shape[:2]
        name = Path(self.source).name
        line = image_record(self.source, name, (width, height), "", [self._person], self._skeleton)
        return next(coco_results(line, ""))

    def to_pandas(self) -> DataFrame:
        """A row for each joint, by name: x, y, score. Raises DeepPoseError where pandas is not installed."""
        try:
            import pandas as pd
        except ImportError:
            raise DeepPoseError("to_pandas needs pandas; to have it, type: pip install pandas") from None
        columns = {"x": self.keypoints[:, 0], "y": self.keypoints[:, 1], "score": self.scores}
        return pd.DataFrame(columns, index=pd.Index(self.names, name="joint"))

    def drawn(self) -> Image:
        """(H, W, 3) the image with the pose over it; a small one is enlarged."""
        return view(self.image, [self._person], self._skeleton)

    def plot(self, axes: Axes | None = None) -> Axes:
        """The image with the pose over it, on these axes or new ones."""
        if axes is None:
            from matplotlib import pyplot as plt

            _, axes = plt.subplots(layout="constrained")
        axes.imshow(self.drawn())
        axes.set_axis_off()
        return axes


class PoseEstimator:
    """A trained cascade, ready to be asked."""

    def __init__(self, cascade: Cascade, name: str, boxes: PersonFinder) -> None:
        self.cascade, self.name = cascade, name
        self._boxes = boxes
        self._look = stage1_scorer(cascade) if boxes.searches else None

    def __repr__(self) -> str:
        return f"<PoseEstimator {self.name}: {self.cascade.num_stages} stage(s), {len(self.names)} joints>"

    @property
    def names(self) -> tuple[str, ...]:
        """(K) the joints, in the order of `Pose.keypoints`."""
        return self.cascade.skeleton.joints

    def __call__(self, image: AnyImage, box: Corners | None = None, *, flip_test: bool = False) -> Pose:
        """The pose of one person, the surest one.

        image: a file, or pixels: (H, W, 3) RGB or (H, W) grey, uint8, or a PIL image. box: where the person is (left,
        top, width, height in px); by default as `load` was told, and the whole image where nobody is found.
        flip_test: better, in twice the time. Raises DeepPoseError for a file that cannot be read and UsageError for
        other pixels, or a box beside the image.
        """
        return self.batch([image], None if box is None else [box], flip_test=flip_test)[0]

    def batch(
        self, images: Sequence[AnyImage], boxes: Sequence[Corners] | None = None, *, flip_test: bool = False
    ) -> list[Pose]:
        """The same for many images, of any sizes; faster than one after the other. Raises as a single call does."""
        if boxes is not None and len(boxes) != len(images):
            raise UsageError(f"{len(boxes)} boxes for {len(images)} images; valid: one each, or none")
        poses: list[Pose] = []
        for start in range(0, len(images), _BATCH):
            some = images[start : start + _BATCH]
            pixels = [_pixels(image) for image in some]
            sources = [str(image) if isinstance(image, str | PathLike) else "" for image in some]
            own: list[Corners | None] = [None] * len(some) if boxes is None else list(boxes[start : start + _BATCH])
            where = [self._where(*each) for each in zip(pixels, sources, own, strict=True)]
            poses += self._ask(pixels, sources, where, flip_test)
        return poses

    def people(self, image: AnyImage, *, flip_test: bool = False) -> list[Pose]:
        """The poses of everyone who is found in an image, the surest first; nobody may be. Raises as a call does."""
        pixels = _pixels(image)
        source = str(image) if isinstance(image, str | PathLike) else ""
        boxes = self._everyone(pixels, source)
        return self._ask([pixels] * len(boxes), [source] * len(boxes), boxes, flip_test) if boxes else []

    def _everyone(self, image: Image, source: str) -> list[Box]:
        if self._look is not None:
            return find_people(self._look, image)
        return self._boxes.of(image, Path(source or "image"))

    def _where(self, image: Image, source: str, box: Corners | None) -> Box:
        if box is not None:
            return PersonFinder(",".join(map(str, box))).of(image, Path(source or "image"))[0]
        return next(iter(self._everyone(image, source)), Box.of_image(*image.shape[1::-1]))

    def _ask(self, pixels: list[Image], sources: list[str], where: list[Box], flip_test: bool) -> list[Pose]:
        result = self.cascade.predict(pixels, np.array(where), flip_test=flip_test)
        found = []
        for i, (image, source, box) in enumerate(zip(pixels, sources, where, strict=True)):
            person = Person(box, result.poses[:, i], result.boxes[:, i], result.confidence[:, i])
            poses = person.poses
            about = (self.names, person.confidence[-1], box.left_top(), poses, source, image, person)
            found.append(Pose(poses[-1], *about, self.cascade.skeleton))
        return found


def load(
    model: str | PathLike[str] | None = None,
    *,
    stages: int | None = None,
    box: str = "auto",
    engine: str | None = None,
    runs_root: str | PathLike[str] = RUNS_ROOT,
) -> PoseEstimator:
    """A trained cascade: `full-body` or `upper-body`, which come with the package, a weights file, or a run's name.

    None: `full-body`. stages: only so many of the cascade's. box: where the people
    are in an image: `auto`, `image`, `face`, `person`, x,y,w,h, or a file of boxes. engine: `torch`, or `onnx`, for
    which no torch is imported; None: as the file is. Raises DeepPoseError, which says what is valid, for a model that
    is not there or damaged.
    """
    said = None if model is None else str(model)
    is_weights = said is not None and (said in NAMES or said.endswith((SUFFIX, ONNX_SUFFIX)))
    if engine not in (None, *ENGINES):
        raise UsageError(f"engine={engine!r}: valid: {', '.join(ENGINES)}")
    run, weights = (None, said) if is_weights else (said, None)
    if run is not None and not RunFolder(Path(runs_root) / run).stages:
        raise UsageError(
            f"{run}: no run in {runs_root} and no weights; valid: {', '.join(NAMES)}, a run's name, or a {SUFFIX} or "
            f"{ONNX_SUFFIX} file"
        )
    chosen = resolve_model(Path(runs_root), run, weights, engine=engine, default=DefaultModel.PRETRAINED)
    if stages is not None and not 1 <= stages <= chosen.num_stages:
        raise UsageError(f"stages={stages}: {chosen.name} has {chosen.num_stages}; valid: 1 to {chosen.num_stages}")
    return PoseEstimator(chosen.load(stages), chosen.name, PersonFinder(box, chosen.initial_box))


def _pixels(image: AnyImage) -> Image:
    if isinstance(image, str | PathLike):
        return read_image(Path(image), exif=True)
    if not isinstance(image, np.ndarray):  # a PIL image
        return np.asarray(image.convert("RGB"), dtype=np.uint8)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        valid = "valid: uint8, (H, W, 3) RGB or (H, W)"
        raise UsageError(f"pixels of type {image.dtype}, shape {image.shape}; {valid}")
    if not image.size:
        raise UsageError(f"pixels of shape {image.shape}: there are none")
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
