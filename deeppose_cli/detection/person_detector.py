"""A detector of people: MoveNet MultiPose's centre and box heads (Google, 2021), run by ONNX Runtime.

`exporting/finder.py` describes its file. A person is a cell whose centre value is the largest of its neighbours and at
least THRESHOLD.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import FloatArray, overlap
from deeppose_cli.media.images import Image

FILE = Path(__file__).parents[1] / "pretrained" / "finder.onnx"
SIDE = 384
"""px of the longer side of the image for the network."""
LARGE = 2
"""An image whose longer side is at least so many SIDEs may be searched at this size too, for small people."""
SMALL = 0.2
"""It is where nobody is found at SIDE, or somebody smaller than this share of the image. In training images of MPII
that finds as many people as always searching twice, and 30 % of photographs are searched twice."""
THRESHOLD = 0.2
MAX_OVERLAP = 0.6
"""Largest intersection over union of two people's boxes."""
SCALE = 1.1
"""The box of a person, in boxes of the network."""
_STRIDE, _MULTIPLE, _LEAST = 4, 32, 64
"""px of a cell; of which the sides of the network's input are multiples; of its shorter side."""
_HEADS = ["center", "box_scale", "box_offset"]


class PersonDetector:
    """Finds everyone in an image, of any size and in any posture. Several threads may use one."""

    name = "people-1"

    def __init__(self, file: Path = FILE) -> None:
        self._file = file
        self._session: Any = None

    def find(self, image: Image) -> NDArray[np.float64]:
        """(H, W, 3) RGB → (M, 5) centre x, centre y, width, height in px and the probability, best first.

        Raises DeepPoseError where the network's file is missing or damaged.
        """
        found, longer = self._find(image, SIDE), max(image.shape[:2])
        if longer >= SIDE * LARGE and (not len(found) or found[:, 2:4].max(1).min() < SMALL * longer):
            found = np.concatenate([found, self._find(image, SIDE * LARGE)])
        found[:, 2:4] *= SCALE
        kept: list[NDArray[np.float64]] = []
        for candidate in found[np.argsort(-found[:, 4], kind="stable")]:
            if all(overlap(box, candidate) <= MAX_OVERLAP for box in kept):
                kept.append(candidate)
        return np.array(kept).reshape(-1, 5)

    def _find(self, image: Image, side: int) -> NDArray[np.float64]:
        """(M, 5) as `find`, of the image with its longer side at `side` px; several for one person."""
        scale = side / max(image.shape[:2])
        height, width = (max(1, round(length * scale)) for length in image.shape[:2])
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        rows, columns = (max(_LEAST, -(-length // _MULTIPLE) * _MULTIPLE) for length in (height, width))
        padded = np.full((1, 3, rows, columns), 0, np.float32)  # 0 is mid gray
        padded[0, :, :height, :width] = resized.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
        found = decode(*self._forward(padded))
        found[:, :4] = found[:, :4] * _STRIDE / scale
        found[:, :2] -= 0.5
        return found

    def _forward(self, pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        if self._session is None:  # only where an image is searched
            import onnxruntime as ort

            options = ort.SessionOptions()
            options.log_severity_level = 4
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # in the way of the cascade
            try:
                self._session = ort.InferenceSession(self._file.read_bytes(), options, ["CPUExecutionProvider"])
            except Exception:  # its own types are those of its C++ library
                raise DeepPoseError(f"{self._file}: missing or damaged; install deeppose-cli again") from None
        return [output[0] for output in self._session.run(_HEADS, {"image": pixels})]


def decode(center: FloatArray, size: FloatArray, offset: FloatArray) -> NDArray[np.float64]:
    """Outputs (1, h, w), (2, h, w), (2, h, w) of the network → (M, 5) centre x, centre y, width, height in cells, and
    the probability of every person. The corner of the first cell is (0, 0)."""
    probability = 1 / (1 + np.exp(-center[0]))
    largest = cv2.dilate(probability, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero((probability >= THRESHOLD) & (probability == largest))
    (heights, widths), (dy, dx) = size[:, rows, columns], offset[:, rows, columns]
    boxes = [columns + dx, rows + dy, np.maximum(widths, 1), np.maximum(heights, 1), probability[rows, columns]]
    return np.stack(boxes, axis=-1).astype(np.float64)
