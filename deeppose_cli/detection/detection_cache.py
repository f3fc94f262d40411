"""What a detector found in many images, kept beside the data set: looking takes a tenth of a second an image."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import write_text
from deeppose_cli.core.progress import Progress
from deeppose_cli.detection.detectors import Detector
from deeppose_cli.media.images import read_image

KEPT_FOLDER = ".detections"
"""Inside the data set's folder. It may be deleted at any time."""
SAVE_EVERY = 500
"""Images: an interrupted search loses no more."""


def detect(
    detector: Detector, files: Sequence[Path], folder: Path | None = None, progress: Progress | None = None
) -> dict[Path, NDArray[np.float64]]:
    """Each file's (M, 5): boxes (cx, cy, w, h) px and a score. (0, 5) for an image that cannot be read.

    With `folder`, what was found is kept in `<folder>/.detections/<detector>.json` and used again for files of the
    same size and time. A folder that cannot be written is no error: then everything is looked for again next time.
    """
    base = folder.resolve() if folder is not None else None
    store = base / KEPT_FOLDER / f"{detector.name}.json" if base is not None else None
    kept = _load(store)
    unique = list(dict.fromkeys(files))
    keys = {file: _key(file, base) for file in unique}
    found = {file: _restored(kept.get(key)) for file, key in keys.items()}
    missing = [file for file in unique if found[file] is None]

    def look(file: Path) -> NDArray[np.float64]:
        try:
            return detector.find(read_image(file))
        except DeepPoseError:
            return np.zeros((0, 5))  # reported where the image itself is needed

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # one image a thread; OpenCV's own threads would be in each other's way
    try:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            try:
                for done, (file, boxes) in enumerate(zip(missing, pool.map(look, missing), strict=True), 1):
                    found[file] = boxes
                    kept[keys[file]] = np.round(boxes, 3).tolist()
                    if progress is not None:
                        progress("looking for the people", done, len(missing))
                    if done % SAVE_EVERY == 0:
                        _save(store, kept)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        cv2.setNumThreads(threads)
    if missing:
        _save(store, kept)
    return {file: boxes for file, boxes in found.items() if boxes is not None}


def _key(file: Path, base: Path | None) -> str:
    """The file's place below the folder, its size and its time: a changed image is looked at again."""
    try:
        status = file.stat()
    except OSError:
        return f"{file} missing"
    place = file.resolve()
    name = place.relative_to(base).as_posix() if base is not None and base in place.parents else str(place)
    return f"{name} {status.st_size} {status.st_mtime_ns}"


def _restored(boxes: Any) -> NDArray[np.float64] | None:
    try:
        array = np.array(boxes, dtype=np.float64).reshape(-1, 5)
    except (TypeError, ValueError):
        return None
    return array if boxes is not None and np.isfinite(array).all() else None


def _load(store: Path | None) -> dict[str, Any]:
    try:
        kept = json.loads(store.read_text(encoding="utf-8")) if store is not None else {}
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _save(store: Path | None, kept: dict[str, Any]) -> None:
    if store is None:
        return
    with suppress(DeepPoseError):
        write_text(store, json.dumps(kept))
