"""Where the initial boxes b⁰ of an image without annotations come from: `--box` of `deeppose predict`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from deeppose_cli.config.defaults import BOX_SOURCES, FACE_PLACEMENT, FACE_SURE
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.geometry import Box, FloatArray
from deeppose_cli.detection.box_file import SUFFIXES, BoxFile
from deeppose_cli.detection.detectors import HaarFaceDetector
from deeppose_cli.detection.initial_boxes import SinglePersonDetector, parse_box, place
from deeppose_cli.detection.person_search import box_around_pose
from deeppose_cli.media.images import Image

AUTO, IMAGE = "auto", "image"
_SINGLE = ("face", "person")
_UPPER = ("face", "torso")
"""Initial boxes of cascades that know upper bodies."""


class PersonFinder:
    """b⁰ of everyone in an image.

    | spec | who |
    |---|---|
    | `auto` | everyone whom the cascade finds itself (`searching.py`); for one of upper bodies everyone with a face |
    | `image` | one person, the whole image |
    | `face`, `person` | the clearest face or standing person; where none is found, the whole image |
    | `x,y,w,h` | one person: left, top, width, height in px |
    | FILE | everyone in a COCO or CSV file of boxes (`box_files.py`) |
    """

    VALID = "valid: auto, image, face, person, x,y,w,h in px, or a .json (COCO) or .csv file of boxes"

    def __init__(self, spec: str, initial_box: str = IMAGE) -> None:
        """`initial_box`: the kind that the cascade was trained on. Raises UsageError for what cannot be."""
        if spec in BOX_SOURCES and spec not in (IMAGE, *_SINGLE):
            raise UsageError(f"--box {spec}: only a data set's images have labels or boxes of their own; {self.VALID}")
        self.spec = spec
        self._upper = initial_box in _UPPER
        self.searches = spec == AUTO and initial_box not in _UPPER
        """Whether the cascade is to be asked; `of` then is not."""
        self._faces = HaarFaceDetector() if spec == AUTO and initial_box in _UPPER else None
        self._finder = SinglePersonDetector(spec) if spec in _SINGLE else None
        is_file = spec.lower().endswith(SUFFIXES)
        self._file = BoxFile(Path(spec)) if is_file else None
        self._box = None if is_file or spec in (AUTO, IMAGE, *_SINGLE) else parse_box(spec, self.VALID)

    @property
    def finds(self) -> bool:
        """Whether the boxes depend on what an image shows."""
        return self.spec in (AUTO, *_SINGLE)

    def follow(self, pose: FloatArray) -> Box:
        """(K, 2) px → b⁰ of the same person in a video's next frame."""
        return box_around_pose(pose, self._upper)

    def said(self) -> str:
        """Tells this source from others, a changed file too."""
        if self._file is None:
            return self.spec
        return f"{self.spec} {hashlib.sha256(self._file.file.read_bytes()).hexdigest()[:16]}"

    def check(self, paths: Sequence[Path]) -> None:
        """Raises UsageError where a file of boxes has none for any of these images: it is that of others."""
        if self._file is not None and paths and not any(map(self._file.of, paths)):
            raise UsageError(
                f"--box {self.spec}: has no box for any of these images, such as {paths[0]}; valid are their paths, "
                "names, names without suffix, or COCO's numbers in their names"
            )

    def of(self, image: Image, path: Path) -> list[Box]:
        """Raises DeepPoseError where a box of the user's misses the image."""
        height, width = image.shape[:2]
        whole = Box.of_image(width, height)
        if self._faces is not None:
            found = self._faces.find(image)
            found = found[found[:, 4] >= FACE_SURE]
            return [Box(*box) for box in place(found, FACE_PLACEMENT)] or [whole]
        if self._finder is not None:
            return [self._finder.find(image) or whole]
        if self._box is None and self._file is None:
            return [whole]
        boxes = [self._box] if self._box is not None else self._file.of(path) if self._file is not None else []
        for box in boxes:
            left, top, w, h = box.left_top()
            if not (-w < left < width and -h < top < height):
                name = "--box" if self._file is None else f"a box of {self._file.file}"
                raise DeepPoseError(f"{path}: {name} lies outside of the image ({width} × {height} px)")
        return boxes
