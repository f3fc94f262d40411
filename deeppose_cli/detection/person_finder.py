"""Where the people in an image are: the initial boxes for prediction, for images, videos and programs alike.

The cascade itself searches for people: stage 1 predicts in the whole image and in squares of several sizes all over
it. Where its heatmaps agree on a pose (a high confidence, as measured on validation images), it predicts again in the
box around that pose, the kind of box that it was trained on. Poses of the same person become one. The cascade's initial
box must be the whole image, as LSP's: one that was trained on boxes of upper bodies is as confident of a wall.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import FACE_PLACEMENT, FACE_SURE
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box, FloatArray
from deeppose_cli.detection.box_file import AUTO, FACE, IMAGE, PERSON, BoxFile, BoxSource, parse_source
from deeppose_cli.detection.detectors import Detector, HaarFaceDetector, HogPersonDetector
from deeppose_cli.detection.initial_boxes import place
from deeppose_cli.media.images import Image
from deeppose_cli.models.cascade import Cascade

UPPER_BODY_BOXES = ("face", "torso")
"""Initial boxes of cascades for upper bodies."""
WINDOW_SHARES = (1.0, 0.62, 0.38)
"""Sides of the search windows, in shorter sides of the image; the whole image is searched too."""
WINDOW_STEP = 0.62
"""Largest distance of two windows, in sides."""
MIN_WINDOW = 64
"""px of a window's side; a person in it has no more pixels than the networks can use."""
MIN_CANDIDATE, MIN_PERSON, MIN_ONLY_PERSON = 0.25, 0.5, 0.3
"""Least confidences, means over the joints: of a candidate, of a person, and of the only person in an image. With the
weights for full bodies, half of LSP's validation images have .81 and more, a twentieth .51 or less; half of the windows
beside the people of FLIC's validation frames .15 or less, a twentieth .45 and more."""
REFINEMENTS = 2
"""Predictions in the box around the pose."""
MARGIN = 1.4
"""Side of the square around a pose, in its longer sides: 1.31 in half of LSP's images. PDJ@0.2 of a second prediction
is .775 with 1.2, .790 with 1.35, .779 with 1.5, on 120 validation images; that of the first is .786."""
UPPER_MARGIN = (1.6, 0.1)
"""The same for FLIC's ten joints, and the shift of the square's centre below theirs, in its sides: medians of the
squares around FLIC's torso boxes, on its validation people."""
SAME_DISTANCE, SAME_SHARE = 0.2, 0.7
"""Two poses are one person's if the mean distance of their joints is smaller, in longer sides of the larger pose, or
if their tight boxes share more of the smaller one."""

Stage1Scorer = Callable[[Image, FloatArray], tuple[FloatArray, FloatArray]]
"""(H, W, 3) and boxes (N, 4) px → stage 1's poses (N, K, 2) px and their confidences (N)."""


class PersonFinder:
    """Finds the initial box of everyone in an image.

    | source | people |
    |---|---|
    | `auto` | everyone whom the cascade finds itself; one for upper bodies: everyone with a face |
    | `image` | one person, the whole image |
    | `face`, `person` | the clearest face or upright person; the whole image where none is found |
    | `x,y,w,h` | one person: left, top, width, height in px |
    | FILE | everyone in a COCO or CSV file of boxes (`box_file.py`) |
    """

    def __init__(self, source: BoxSource, initial_box: str = IMAGE, scorer: Stage1Scorer | None = None) -> None:
        """`initial_box`: the source that the cascade was trained with. `scorer`: its stage 1, for `auto`; without one
        the whole image is the box. Raises UsageError as `parse_source`."""
        self.source = parse_source(source) if isinstance(source, str) else source
        self._upper_body = initial_box in UPPER_BODY_BOXES
        self._scorer: Stage1Scorer | None = None
        self._detector: Detector | None = None
        if self.source == FACE or (self.source == AUTO and self._upper_body):
            self._detector = HaarFaceDetector()
        elif self.source == PERSON:
            self._detector = HogPersonDetector()
        elif self.source == AUTO:
            self._scorer = scorer

    @property
    def is_dynamic(self) -> bool:
        """Whether the boxes depend on what an image shows."""
        return self._scorer is not None or self._detector is not None

    @property
    def is_whole_image(self) -> bool:
        """Whether the whole image is the box of one person, in every image."""
        return isinstance(self.source, str) and not self.is_dynamic

    def find(self, image: Image, path: Path) -> list[Box]:
        """Initial boxes, best first; empty where nobody is found. `path`: the image's, for a file of boxes.

        Raises DeepPoseError where a box of the user lies outside of the image.
        """
        if isinstance(self.source, Box):
            return _inside(image, path, [self.source], "--box")
        if isinstance(self.source, BoxFile):
            return _inside(image, path, self.source.find(path), f"a box of {self.source.file}")
        if self._scorer is not None:
            return search_people(self._scorer, image)
        boxes: list[Box] = []
        if self._detector is not None:
            found = self._detector.find(image)
            found = found[found[:, 4] >= FACE_SURE] if self.source == AUTO else found[:1]
            placed = found if self.source == PERSON else place(found, FACE_PLACEMENT)
            boxes = [Box(*box[:4]) for box in placed]
        return boxes or [Box.of_image(*image.shape[1::-1])]

    def next_box(self, pose: FloatArray) -> Box:
        """(K, 2) px → the initial box of the same person in a video's next frame."""
        return box_around_pose(pose, self._upper_body)


def _inside(image: Image, path: Path, boxes: list[Box], name: str) -> list[Box]:
    """The boxes. Raises DeepPoseError, with their `name`, where one lies outside of the image."""
    height, width = image.shape[:2]
    for box in boxes:
        left, top, w, h = box.left_top()
        if not (-w < left < width and -h < top < height):
            raise DeepPoseError(f"{path}: {name} lies outside of the image ({width} × {height} px)")
    return boxes


def stage1_scorer(cascade: Cascade) -> Stage1Scorer | None:
    """Stage 1 of a cascade as a scorer of boxes; None where its confidence was not measured."""
    if not cascade.stages or cascade.stages[0].calibration is None:
        return None
    stage1 = Cascade(cascade.skeleton, cascade.stages[:1], square_initial_box=cascade.square_initial_box)

    def score(image: Image, boxes: FloatArray) -> tuple[FloatArray, FloatArray]:
        result = stage1.predict([image] * len(boxes), boxes)
        return result.poses[0], result.confidence[0].mean(-1)

    return score


def search_people(score: Stage1Scorer, image: Image) -> list[Box]:
    """Initial boxes of the people in an image, the most confident first; empty where there is nobody."""
    height, width = image.shape[:2]
    boxes = windows(width, height)
    poses, confidence = score(image, boxes)
    chosen = [i for i in non_max_suppression(poses, confidence) if confidence[i] >= MIN_CANDIDATE]
    boxes, poses, confidence = boxes[chosen], poses[chosen], confidence[chosen]
    for _ in range(REFINEMENTS):
        if not len(boxes):
            return []
        new_boxes = np.array([box_around_pose(pose) for pose in poses])
        new_poses, new_confidence = score(image, new_boxes)
        better = new_confidence > confidence
        boxes[better], poses[better], confidence[better] = new_boxes[better], new_poses[better], new_confidence[better]
    # People smaller than any window were not searched; a whole image may be as small.
    large = boxes[:, 2:].max(1) >= min(MIN_WINDOW, 0.5 * max(width, height))
    order = [i for i in non_max_suppression(poses, confidence) if large[i]]
    people = [i for i in order if confidence[i] >= MIN_PERSON]
    if not people and order and confidence[order[0]] >= MIN_ONLY_PERSON:
        people = order[:1]
    return [Box(*boxes[i]) for i in people]


def windows(width: int, height: int) -> NDArray[np.float64]:
    """(N, 4) the whole image, then squares of WINDOW_SHARES of its shorter side from edge to edge."""
    found = [Box.of_image(width, height)]
    for share in WINDOW_SHARES:
        side = share * min(width, height)
        if MIN_WINDOW <= side <= 0.9 * max(width, height):
            free = np.array([width, height]) - side
            columns, rows = (np.linspace(0, room, int(np.ceil(room / (WINDOW_STEP * side))) + 1) for room in free)
            found += [Box(x + side / 2 - 0.5, y + side / 2 - 0.5, side, side) for y in rows for x in columns]
    return np.array(found)


def box_around_pose(pose: FloatArray, upper_body: bool = False) -> Box:
    """The initial box of a known pose (K, 2): a square like an image of this person alone."""
    margin, shift = UPPER_MARGIN if upper_body else (MARGIN, 0.0)
    low, high = pose.min(0), pose.max(0)
    side = max(float((high - low).max()) * margin, 2.0)
    x, y = (low + high) / 2
    return Box(float(x), float(y) + shift * side, side, side)


def non_max_suppression(poses: FloatArray, confidence: FloatArray) -> list[int]:
    """Indices of the most confident one of each person's poses (N, K, 2), best first."""
    kept: list[int] = []
    for i in np.argsort(-confidence, kind="stable"):
        if not any(is_same_person(poses[i], poses[j]) for j in kept):
            kept.append(int(i))
    return kept


def is_same_person(pose: FloatArray, other: FloatArray) -> bool:
    """Whether two poses (K, 2) are one person's: their joints are close, or one lies within the other."""
    both = np.stack([pose, other])
    low, high = both.min(1), both.max(1)
    if np.linalg.norm(pose - other, axis=-1).mean() <= SAME_DISTANCE * max((high - low).max(), 1e-9):
        return True
    shared = np.clip(high.min(0) - low.max(0), 0, None).prod()
    return bool(shared >= SAME_SHARE * (high - low).prod(-1).min() > 0)
