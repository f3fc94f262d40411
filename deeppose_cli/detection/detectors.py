"""Finders of faces and of people that come with OpenCV: no download, no network, a rough initial box.

`find` takes an image and gives (M, 5): boxes (centre x, centre y, width, height) in px and a score, best first. A
score counts votes: how many windows of nearly the same place and size the detector accepted. A detector's `name`
changes with its settings: kept detections go by it.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import overlap
from deeppose_cli.media.images import Image

FACE_VIEW = 720
"""Images are searched for faces with their longer side at this many px, whatever they come with: FLIC's frames are
as wide. The smallest face looked for is FACE_SHARE of it."""
FACE_SHARE = 0.045
PERSON_VIEW = 640
"""As FACE_VIEW, for people; the detector's window is 64 × 128 px, so people less than a fifth as tall are missed."""

_FRONTAL = ("haarcascade_frontalface_default.xml", "haarcascade_frontalface_alt2.xml")
_PROFILE = "haarcascade_profileface.xml"
_STEP, _VOTES = 1.2, 1
"""Between two sizes of the window; and the fewest votes a face needs. With a hint where the person is, a face with one
vote is better than none."""
_OVERLAP = 0.3
"""A box that overlaps a better one more (intersection over union) gives it its votes."""
_HOG_MARGIN = (16 / 64, 16 / 128)
"""Of the HOG detector's window, how much of its width and height lies beside the person, on each side."""


class Detector(Protocol):
    """What finds boxes in an image. One object may be used by several threads."""

    name: str

    def find(self, image: Image) -> NDArray[np.float64]:
        """(H, W, 3) RGB → (M, 5) cx, cy, w, h px, score; best first."""


class HaarFaceDetector:
    """Viola and Jones' face detector (CVPR 2001): frontal faces, as two cascades see them, and profiles to both sides.

    On 120 training frames of FLIC the right face was among what it found in 81 %; with one frontal cascade and a
    coarser net (two votes) in 71 %.
    """

    name = "haar-faces-2"

    def __init__(self) -> None:
        self._local = threading.local()  # a cascade keeps state while it searches

    def find(self, image: Image) -> NDArray[np.float64]:
        *frontal, profile = self._cascades()
        grey, scale = _view(image, FACE_VIEW)
        mirrored = np.ascontiguousarray(grey[:, ::-1])
        found = [_search(cascade, grey) for cascade in (*frontal, profile)]
        return _best(np.concatenate([*found, _mirrored(_search(profile, mirrored), grey.shape[1])]), scale)

    def _cascades(self) -> list[cv2.CascadeClassifier]:
        if not hasattr(self._local, "cascades"):
            self._local.cascades = [_cascade(name) for name in (*_FRONTAL, _PROFILE)]
        return list(self._local.cascades)


class HogPersonDetector:
    """Dalal and Triggs' pedestrian detector (CVPR 2005): people who stand; not for sports or close-ups."""

    name = "hog-people-1"

    def __init__(self) -> None:
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector(), dtype=np.float32))

    def find(self, image: Image) -> NDArray[np.float64]:
        grey, scale = _view(image, PERSON_VIEW)
        # People who fill the image are found only with room around them for the detector's window.
        pad = PERSON_VIEW // 8
        room = cv2.copyMakeBorder(grey, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        found, weights = self._hog.detectMultiScale(room, winStride=(8, 8), padding=(0, 0), scale=1.05)
        boxes = np.asarray(found, dtype=np.float64).reshape(-1, 4)
        margin = boxes[:, 2:] * np.array(_HOG_MARGIN)
        boxes[:, :2] += margin - pad
        boxes[:, 2:] -= 2 * margin
        return _best(np.column_stack([boxes, np.asarray(weights, dtype=np.float64).reshape(-1)]), scale)


def _cascade(name: str) -> cv2.CascadeClassifier:
    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / name))
    if cascade.empty():
        raise DeepPoseError(
            f"OpenCV {cv2.__version__} came without {name}; the face box needs opencv-python-headless 4"
        )
    return cascade


def _view(image: Image, side: int) -> tuple[NDArray[np.uint8], float]:
    """The image in grey with its longer side at `side` px, and how many px of it are one of the source."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = side / max(grey.shape)
    width, height = (max(1, round(length * scale)) for length in grey.shape[::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (width, height), interpolation=how), dtype=np.uint8), scale


def _search(cascade: cv2.CascadeClassifier, grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(M, 5) left, top, width, height, votes."""
    least = round(FACE_SHARE * FACE_VIEW)
    found, votes = cascade.detectMultiScale2(grey, scaleFactor=_STEP, minNeighbors=_VOTES, minSize=(least, least))
    boxes = np.asarray(found, dtype=np.float64).reshape(-1, 4)
    return np.column_stack([boxes, np.asarray(votes, dtype=np.float64).reshape(-1)])


def _mirrored(found: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    found[:, 0] = width - found[:, 0] - found[:, 2]
    return found


def _best(found: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """(M, 5) left, top, width, height, score in the view → (m, 5) cx, cy, w, h, score in the source, best first."""
    found[:, :2] += found[:, 2:4] / 2
    kept: list[NDArray[np.float64]] = []
    for candidate in found[np.argsort(-found[:, 4], kind="stable")]:
        better = next((box for box in kept if overlap(box, candidate) > _OVERLAP), None)
        if better is None:
            kept.append(candidate.copy())
        else:
            better[4] += candidate[4]
    if not kept:
        return np.zeros((0, 5))
    best = np.array(sorted(kept, key=lambda box: -box[4]))
    best[:, :4] /= scale
    best[:, :2] -= 0.5
    return best
