"""Detections of many images, cached beside the data set: a detection takes a tenth of a second an image."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import write_text
from deeppose_cli.core.progress import Progress
from deeppose_cli.detection.detectors import Detector
from deeppose_cli.media.images import read_image

CACHE_FOLDER = ".detections"
"""Inside the data set's folder. It may be deleted at any time."""


def detect_cached(
    detector: Detector, files: Sequence[Path], folder: Path | None = None, progress: Progress | None = None
) -> dict[Path, NDArray[np.float64]]:
    """Detect in every file: (M, 5) centre boxes in px and a score; (0, 5) for an image that cannot be read.

    With `folder`, detections are cached in `<folder>/.detections/<detector>.json` for files of the same size and time.
    A folder that cannot be written is no error.
    """
    base = None if folder is None else folder.resolve()
    store = None if base is None else base / CACHE_FOLDER / f"{detector.name}.json"
    cache = _load(store)
    keys = {file: _key(file, base) for file in files}
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


def _key(file: Path, base: Path | None) -> str:
    """The file's path below the folder, its size and its time: in a changed image, people are detected again."""
    try:
        status = file.stat()
    except OSError:
        return f"{file} missing"
    path = file.resolve()
    name = path.relative_to(base).as_posix() if base is not None and base in path.parents else str(path)
    return f"{name} {status.st_size} {status.st_mtime_ns}"


def _load(store: Path | None) -> dict[str, NDArray[np.float64]]:
    """Detections by key; empty where there is no cache, or it is damaged."""
    try:
        entries = {} if store is None else json.loads(store.read_text(encoding="utf-8"))
        cache = {key: np.array(boxes, dtype=np.float64).reshape(-1, 5) for key, boxes in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return cache if all(np.isfinite(boxes).all() for boxes in cache.values()) else {}
