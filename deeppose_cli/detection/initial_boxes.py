"""The initial boxes b⁰ of a data set's examples.

| `--box` | b⁰ |
|---|---|
| `image` | the whole image (LSP, Image Parse: paper, section 4) |
| `own` | the box in the annotations (LSPET's, for training), else the whole image |
| `face` | the paper's, for FLIC and Buffy: a face detector's box, enlarged and shifted as learned on training people |
| `torso` | the data set's own torso box (FLIC's), enlarged likewise |
| `person` | the box of a detected person, the most probable one |
| `auto` | the detected person whose box fits the labels best: the labels only say who is meant |
| `joints` | the tight box of the labels: an upper bound, as it needs the labels |
| `x,y,w,h` | left, top, width, height in px |

Where a detector finds nothing, or nothing that fits the person's torso box, the whole image is the fallback.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import (
    BOX_SOURCES,
    FACE_ABOVE_TORSO,
    FACE_PLACEMENT,
    FACE_SIZES,
    FACE_TOLERANCE,
    TORSO_PLACEMENT,
    Placement,
)
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.geometry import Box, FloatArray, overlap
from deeppose_cli.core.progress import Progress
from deeppose_cli.detection.box_file import parse_box
from deeppose_cli.detection.detectors import Detector, HaarFaceDetector, detect_cached
from deeppose_cli.detection.person_detector import PersonDetector
from deeppose_cli.media.images import image_size

VALID = f"valid: {', '.join(BOX_SOURCES)}, or x,y,w,h in px (left, top, width, height)"
UPPER_BOUND = "joints"
"""The source that needs the labels: marked wherever it is printed."""


@dataclass(frozen=True, eq=False)
class InitialBoxes:
    """b⁰ of each row of annotations."""

    source: str
    boxes: NDArray[np.float64]
    """(N, 4) px; NaN where the image's size was needed and could not be read."""
    found: NDArray[np.bool_]
    """(N) False where the source has nothing and the whole image is the fallback."""

    def summary(self) -> str:
        """One line to print above the scores."""
        notes = {
            UPPER_BOUND: " (made from the labels: an upper bound)",
            "own": " where there is one, else the whole image",
            "auto": " (the detected person who fits the labels best)",
        }
        note = notes.get(self.source, "")
        if self.found.all():
            return f"initial box: {self.source}{note}"
        count = int(self.found.sum())
        share = f"{count:,} of {len(self.found):,}"
        return f"initial box: {self.source}{note}, found for {share}; the whole image for the rest"


def usual_source(initial_box: str, split: str, evaluation_only: bool) -> str:
    """The default source of b⁰ for a split: that of training for training images."""
    return training_source(initial_box) if split == "train" and not evaluation_only else initial_box


def training_source(initial_box: str) -> str:
    """The source in training where evaluation uses `initial_box`: LSPET's images show more than the person, so their
    own boxes are used in place of LSP's whole images."""
    return "own" if initial_box == "image" else initial_box


def initial_boxes(
    annotations: Annotations, spec: str = "own", folder: Path | None = None, progress: Progress | None = None
) -> InitialBoxes:
    """Initial boxes by one of the sources above.

    `folder`: the data set's, for cached detections. Raises UsageError for another spec, or for `torso` where the data
    set has none.
    """
    n = len(annotations)
    if spec not in BOX_SOURCES:
        return InitialBoxes(spec, np.tile(np.array(parse_box(spec, VALID)), (n, 1)), np.ones(n, dtype=bool))
    sources: dict[str, Callable[[], NDArray[np.float64]]] = {
        "image": lambda: np.full((n, 4), np.nan),
        "own": annotations.boxes.copy,
        "face": lambda: place(faces(annotations, folder, progress), FACE_PLACEMENT),
        "torso": lambda: place(_torsos(annotations), TORSO_PLACEMENT),
        "person": lambda: _detected(PersonDetector(), choose_person, annotations, folder, progress),
        "auto": lambda: _matched(annotations, folder, progress),
        "joints": lambda: _label_boxes(annotations.keypoints),
    }
    boxes = sources[spec]()
    missing = np.isnan(boxes).any(-1)
    for i in np.flatnonzero(missing):
        boxes[i] = np.nan
        with suppress(DeepPoseError):  # reported where the image itself is needed
            boxes[i] = Box.of_image(*image_size(annotations.files[i]))
    found = np.ones(n, dtype=bool) if spec in ("image", "own") else np.asarray(~missing)
    return InitialBoxes(spec, boxes, found)


def place(parts: FloatArray, placement: Placement) -> NDArray[np.float64]:
    """Boxes (N, 4) of faces or torsos → boxes (N, 4) of the people; NaN stays NaN."""
    height = parts[:, 3]
    centre = (parts[:, 0], parts[:, 1] + placement.dy * height)
    return np.stack([*centre, placement.width * height, placement.height * height], axis=-1)


def choose_face(found: FloatArray, torso: FloatArray | None = None) -> NDArray[np.float64]:
    """(M, 5) detections, best first → the box (4) of one face, NaN where none fits.

    With a torso box (4), the face nearest to that person's expected one, of a size that fits. Without, the one with
    most votes: on FLIC's training frames it is the labelled person's in 64 %; the largest is in 36 %.
    """
    if torso is not None and not np.isnan(torso).any():
        cx, cy, _, height = torso
        off = np.hypot(found[:, 0] - cx, found[:, 1] - (cy - FACE_ABOVE_TORSO * height)) / height
        size = found[:, 3] / height
        nearest = np.argsort(off, kind="stable")
        fits = (off <= FACE_TOLERANCE) & (size >= FACE_SIZES[0]) & (size <= FACE_SIZES[1])
        found = found[nearest][fits[nearest]]
    return _best_box(found)


def choose_person(found: FloatArray, torso: FloatArray | None = None) -> NDArray[np.float64]:
    """(M, 5) detections, best first → the box (4) of one person: with a torso box the best that holds its centre."""
    if torso is not None and not np.isnan(torso).any():
        found = found[(np.abs(found[:, :2] - torso[:2]) <= found[:, 2:4] / 2).all(-1)]
    return _best_box(found)


def _best_box(found: FloatArray) -> NDArray[np.float64]:
    """(M, 5) detections, best first → the box (4) of the best one, NaN where there is none."""
    return np.asarray(found[0, :4]) if len(found) else np.full(4, np.nan)


def faces(annotations: Annotations, folder: Path | None, progress: Progress | None = None) -> NDArray[np.float64]:
    """(N, 4) face boxes of the examples, NaN where none was found."""
    return _detected(HaarFaceDetector(), choose_face, annotations, folder, progress)


def _detected(
    detector: Detector,
    choose: Callable[[FloatArray, FloatArray | None], NDArray[np.float64]],
    annotations: Annotations,
    folder: Path | None,
    progress: Progress | None,
) -> NDArray[np.float64]:
    """(N, 4) the detection that `choose` takes for each example, by its torso box where there is one."""
    found = detect_cached(detector, annotations.files, folder, progress)
    torsos = [None] * len(annotations) if annotations.torsos is None else list(annotations.torsos)
    chosen = [choose(found[file], torso) for file, torso in zip(annotations.files, torsos, strict=True)]
    return np.array(chosen).reshape(-1, 4)


def _matched(annotations: Annotations, folder: Path | None, progress: Progress | None) -> NDArray[np.float64]:
    """(N, 4) of the detected people the one whose box overlaps the labels' box most; NaN where none does."""
    found = detect_cached(PersonDetector(), annotations.files, folder, progress)
    chosen = np.full((len(annotations), 4), np.nan)
    for row, label, file in zip(chosen, _label_boxes(annotations.keypoints), annotations.files, strict=True):
        overlaps = np.array([overlap(box, label) for box in found[file][:, :4]])
        if (overlaps > 0).any():
            row[:] = found[file][overlaps.argmax(), :4]
    return chosen


def _torsos(annotations: Annotations) -> NDArray[np.float64]:
    if annotations.torsos is None:
        others = ", ".join(source for source in BOX_SOURCES if source != "torso")
        raise UsageError(f"--box torso: this data set has no torso boxes; valid: {others}, or x,y,w,h in px")
    return annotations.torsos


def _label_boxes(keypoints: FloatArray) -> NDArray[np.float64]:
    """(N, 4) tight boxes of the labels; NaN where they have no extent."""
    boxes = np.full((len(keypoints), 4), np.nan)
    for i, pose in enumerate(keypoints):
        if not np.isnan(pose).any(-1).all() and min((box := Box.around(pose))[2:]) > 0:
            boxes[i] = box
    return boxes
