"""Where the people in an image are: the initial boxes for prediction, for images, videos and programs alike."""

from __future__ import annotations

from pathlib import Path

from deeppose_cli.config.defaults import BOX_SOURCES, FACE_PLACEMENT, FACE_SURE
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.geometry import Box, FloatArray
from deeppose_cli.detection.box_file import SUFFIXES, BoxFile
from deeppose_cli.detection.detectors import HaarFaceDetector
from deeppose_cli.detection.initial_boxes import SinglePersonDetector, parse_box, place
from deeppose_cli.detection.person_search import Stage1Scorer, box_around_pose, search_people
from deeppose_cli.media.images import Image

AUTO, IMAGE = "auto", "image"
_SINGLE = ("face", "person")
_UPPER_BODY = ("face", "torso")
"""Initial boxes of cascades for upper bodies."""
VALID = "valid: auto, image, face, person, x,y,w,h in px, or a .json (COCO) or .csv file of boxes"

BoxSource = str | Box | BoxFile


def parse_source(spec: str) -> BoxSource:
    """The value of `--box`: a name below, `x,y,w,h`, or a file. Raises UsageError that names what is valid."""
    if spec in (AUTO, IMAGE, *_SINGLE):
        return spec
    if spec in BOX_SOURCES:
        raise UsageError(f"--box {spec}: only a data set's images have labels or boxes of their own; {VALID}")
    return BoxFile(Path(spec)) if spec.lower().endswith(SUFFIXES) else parse_box(spec, VALID)


class PersonFinder:
    """Finds the initial box of everyone in an image.

    | source | people |
    |---|---|
    | `auto` | everyone whom the cascade finds itself (`person_search.py`); one for upper bodies: everyone with a face |
    | `image` | one person, the whole image |
    | `face`, `person` | the clearest face or upright person; the whole image where none is found |
    | `x,y,w,h` | one person: left, top, width, height in px |
    | FILE | everyone in a COCO or CSV file of boxes (`box_file.py`) |
    """

    def __init__(self, source: BoxSource, initial_box: str = IMAGE, scorer: Stage1Scorer | None = None) -> None:
        """`initial_box`: the source that the cascade was trained with. `scorer`: its stage 1, for `auto`; without one
        the whole image is the box. Raises UsageError as `parse_source`."""
        self.source = parse_source(source) if isinstance(source, str) else source
        self._upper_body = initial_box in _UPPER_BODY
        is_auto = self.source == AUTO
        self._scorer = scorer if is_auto and not self._upper_body else None
        self._faces = HaarFaceDetector() if is_auto and self._upper_body else None
        self._single = SinglePersonDetector(str(self.source)) if self.source in _SINGLE else None

    @property
    def is_dynamic(self) -> bool:
        """Whether the boxes depend on what an image shows."""
        return not (self._scorer is self._faces is self._single is None)

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
        boxes = []
        if self._faces is not None:
            faces = self._faces.find(image)
            boxes = [Box(*box) for box in place(faces[faces[:, 4] >= FACE_SURE], FACE_PLACEMENT)]
        elif self._single is not None and (box := self._single.find(image)) is not None:
            boxes = [box]
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
