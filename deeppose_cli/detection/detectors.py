"""OpenCV's detector of faces, and a cache of detections.

A detection takes a tenth of a second an image, so those of a data set are cached beside it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import write_text
from deeppose_cli.core.geometry import overlap
from deeppose_cli.core.progress import Progress
from deeppose_cli.media.images import Image, read_image

CACHE_FOLDER = ".detections"
"""Inside the data set's folder. It may be deleted at any time."""

FACE_SIDE = 720
"""px of the longer side of an image that is searched for faces, as in FLIC's frames; the smallest face is FACE_SHARE
of it."""
FACE_SHARE = 0.045

_FRONTAL = ("haarcascade_frontalface_default.xml", "haarcascade_frontalface_alt2.xml")
_PROFILE = "haarcascade_profileface.xml"
_SCALE_STEP, _MIN_VOTES = 1.2, 1
"""Factor between two window sizes; fewest votes of a face. With a torso box as a hint, one vote is better than none."""
_OVERLAP = 0.3
"""Intersection over union above which a box gives its votes to a better one."""


class Detector(Protocol):
    """Finds boxes in an image. Several threads may use one detector."""

    name: str
    """Changes with the settings: cached detections are stored under it."""

    def find(self, image: Image) -> NDArray[np.float64]:
        """(H, W, 3) RGB → (M, 5) centre x, centre y, width, height in px and a score, best first.

        The score counts votes: the accepted windows of nearly the same place and size.
        """


class HaarFaceDetector:
    """Viola and Jones' face detector (CVPR 2001): two cascades for frontal faces, one for profiles of both sides.

    In 81 % of 120 training frames of FLIC it finds the right face; with one frontal cascade and at least two votes in
    71 %.
    """

    name = "haar-faces-2"

    def __init__(self) -> None:
        self._local = threading.local()  # a cascade keeps state while it searches

    def find(self, image: Image) -> NDArray[np.float64]:
        if not hasattr(self._local, "cascades"):
            self._local.cascades = [_load_cascade(name) for name in (*_FRONTAL, _PROFILE)]
        cascades = self._local.cascades
        gray, scale = _resize_gray(image, FACE_SIDE)
        found = [_find_faces(cascade, gray) for cascade in cascades]
        mirrored = _find_faces(cascades[-1], np.ascontiguousarray(gray[:, ::-1]))
        mirrored[:, 0] = gray.shape[1] - mirrored[:, 0] - mirrored[:, 2]
        return _merge_votes(np.concatenate([*found, mirrored]), scale)


def detect_cached(
    detector: Detector, files: Sequence[Path], folder: Path | None = None, progress: Progress | None = None
) -> dict[Path, NDArray[np.float64]]:
    """Detect in every file: (M, 5) centre boxes in px and a score; (0, 5) for an image that cannot be read.

    With `folder`, detections are cached in `<folder>/.detections/<detector>.json` for files of the same size and time.
    A folder that cannot be written is no error.
    """
    base = None if folder is None else folder.resolve()
    store = None if base is None else base / CACHE_FOLDER / f"{detector.name}.json"
    cache = _load_cache(store)
    keys = {file: _cache_key(file, base) for file in files}
    missing = [file for file, key in keys.items() if key not in cache]

    def detect(file: Path) -> NDArray[np.float64]:
        try:
            return detector.find(read_image(file))
        except DeepPoseError:
            return np.zeros((0, 5))  # reported where the image itself is needed

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # one image a thread; OpenCV's own threads would compete with them
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for done, (file, boxes) in enumerate(zip(missing, pool.map(detect, missing), strict=True), 1):
            cache[keys[file]] = np.round(boxes, 3)
            if progress is not None:
                progress("detecting people", done, len(missing))
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)
        if missing and store is not None:  # after Ctrl-C too
            with suppress(DeepPoseError):
                write_text(store, json.dumps({key: boxes.tolist() for key, boxes in cache.items()}))
    return {file: cache[key] for file, key in keys.items()}


def _cache_key(file: Path, base: Path | None) -> str:
    """The file's path below the folder, its size and its time: in a changed image, people are detected again."""
    try:
        status = file.stat()
    except OSError:
        return f"{file} missing"
    path = file.resolve()
    name = path.relative_to(base).as_posix() if base is not None and base in path.parents else str(path)
    return f"{name} {status.st_size} {status.st_mtime_ns}"


def _load_cache(store: Path | None) -> dict[str, NDArray[np.float64]]:
    """Detections by key; empty where there is no cache, or it is damaged."""
    try:
        entries = {} if store is None else json.loads(store.read_text(encoding="utf-8"))
        cache = {key: np.array(boxes, dtype=np.float64).reshape(-1, 5) for key, boxes in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return cache if all(np.isfinite(boxes).all() for boxes in cache.values()) else {}


def _load_cascade(name: str) -> cv2.CascadeClassifier:
    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / name))
    if cascade.empty():
        raise DeepPoseError(f"OpenCV {cv2.__version__} has no {name}; the face box needs opencv-python-headless 4")
    return cascade


def _resize_gray(image: Image, side: int) -> tuple[NDArray[np.uint8], float]:
    """The gray image with its longer side at `side` px, and the factor from the source's px to its px."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = side / max(gray.shape)
    width, height = (max(1, round(length * scale)) for length in gray.shape[::-1])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(gray, (width, height), interpolation=interpolation), dtype=np.uint8), scale


def _find_faces(cascade: cv2.CascadeClassifier, gray: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(M, 5) left, top, width, height, votes."""
    least = round(FACE_SHARE * FACE_SIDE)
    found, votes = cascade.detectMultiScale2(
        gray, scaleFactor=_SCALE_STEP, minNeighbors=_MIN_VOTES, minSize=(least, least)
    )
    boxes = np.asarray(found, dtype=np.float64).reshape(-1, 4)
    return np.column_stack([boxes, np.asarray(votes, dtype=np.float64).reshape(-1)])


def _merge_votes(found: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """(M, 5) left, top, width, height, score of the resized image → (m, 5) cx, cy, w, h, score of the source."""
    found[:, :2] += found[:, 2:4] / 2
    kept: list[NDArray[np.float64]] = []
    for candidate in found[np.argsort(-found[:, 4], kind="stable")]:
        better = next((box for box in kept if overlap(box, candidate) > _OVERLAP), None)
        if better is None:
            kept.append(candidate.copy())
        else:
            better[4] += candidate[4]
    best = np.array(sorted(kept, key=lambda box: -box[4])).reshape(-1, 5)
    best[:, :4] /= scale
    best[:, :2] -= 0.5
    return best
