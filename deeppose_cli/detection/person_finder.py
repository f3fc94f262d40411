"""Where the people in an image are: the initial boxes for prediction, for images, videos and programs alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeppose_cli.config.defaults import FACE_PLACEMENT, FACE_SURE
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box, FloatArray
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.detection.box_file import AUTO, FACE, IMAGE, PERSON, BoxFile, BoxSource, parse_source
from deeppose_cli.detection.detectors import Detector, HaarFaceDetector
from deeppose_cli.detection.initial_boxes import place
from deeppose_cli.detection.person_detector import PersonDetector
from deeppose_cli.media.images import Image

UPPER_BODY_BOXES = ("face", "torso")
"""Initial boxes of cascades for upper bodies."""
IMAGE_MARGIN = 1.35
"""Side of the square around a person for a cascade that was trained on whole images, in longer sides of the detected
box: the median over LSP's validation images."""
MARGIN = 1.4
"""Side of the square around a pose, in its longer sides: 1.31 in half of LSP's images. PDJ@0.2 of a second prediction
is .775 with 1.2, .790 with 1.35, .779 with 1.5, on 120 validation images; that of the first is .786."""
UPPER_MARGIN = (1.6, 0.1)
"""The same for FLIC's ten joints, and the shift of the square's centre below theirs, in its sides: medians of the
squares around FLIC's torso boxes, on its validation people."""
SAME_DISTANCE = 0.1
"""Two poses are one person's if the mean distance of their joints is smaller, in longer sides of the larger pose."""


class PersonFinder:
    """Finds the initial box of everyone in an image.

    | source | people |
    |---|---|
    | `auto` | everyone who is detected; for a cascade of upper bodies, everyone with a face |
    | | for a cascade that is not of people, the whole image |
    | `image` | one person, the whole image |
    | `face`, `person` | the clearest face or the most probable person; the whole image where none is found |
    | `x,y,w,h` | one person: left, top, width, height in px |
    | FILE | everyone in a COCO or CSV file of boxes (`box_file.py`) |
    """

    def __init__(self, source: BoxSource, initial_box: str = IMAGE, skeleton: Skeleton | None = None) -> None:
        """`initial_box`: the source that the cascade was trained with. `skeleton`: the cascade's; None: of people.
        Raises UsageError as `parse_source`."""
        self.source = parse_source(source) if isinstance(source, str) else source
        self._upper_body = initial_box in UPPER_BODY_BOXES
        self._margin = IMAGE_MARGIN if initial_box == IMAGE else None
        self._detector: Detector | None = None
        if self.source == FACE or (self.source == AUTO and self._upper_body):
            self._detector = HaarFaceDetector()
        elif self.source == PERSON or (self.source == AUTO and (skeleton is None or skeleton.is_person)):
            self._detector = PersonDetector()

    @property
    def is_dynamic(self) -> bool:
        """Whether the boxes depend on what an image shows."""
        return self._detector is not None

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
        whole = Box.of_image(*image.shape[1::-1])
        if self._detector is None:
            return [whole]
        found = self._detector.find(image)
        if isinstance(self._detector, PersonDetector):
            boxes = [self._around(Box(*box[:4])) for box in found]
            return boxes if self.source == AUTO else boxes[:1] or [whole]
        sure = found[found[:, 4] >= FACE_SURE] if self.source == AUTO else found[:1]
        return [Box(*box) for box in place(sure, FACE_PLACEMENT)] or [whole]

    def _around(self, person: Box) -> Box:
        """The detected box of a person → the kind of box that the cascade was trained on."""
        if self._margin is None:
            return person
        side = max(person[2:]) * self._margin
        return Box(person[0], person[1], side, side)

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
    """Whether two poses (K, 2) are one person's: their joints are close."""
    both = np.stack([pose, other])
    longest = (both.max(1) - both.min(1)).max()
    return bool(np.linalg.norm(pose - other, axis=-1).mean() <= SAME_DISTANCE * max(longest, 1e-9))
