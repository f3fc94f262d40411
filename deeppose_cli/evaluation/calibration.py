"""Calibrate the confidences of a cascade on validation images, and on images without people made from them.

Shape letters: S stages, N images, K joints.
"""

from __future__ import annotations

import cv2
import numpy as np

from deeppose_cli.config.defaults import PDJ_THRESHOLD
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box, FloatArray
from deeppose_cli.evaluation import metrics
from deeppose_cli.evaluation.predict_split import Predictor, predict_split
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models import confidence
from deeppose_cli.models.confidence import Calibration

MAX_EMPTY = 100
"""Images without people."""
_SIDE = 256
"""Their side, px."""


def calibrate(cascade: Predictor, annotations: Annotations, boxes: FloatArray) -> list[Calibration | None]:
    """Fit each stage's confidence, by PDJ, to the heatmap peaks on images that it was not trained on.

    None for a stage without heatmaps, or with too few images (`confidence.fit`).
    """
    peak_mass = np.full((cascade.num_stages, len(annotations), len(cascade.skeleton)), np.nan)
    poses = predict_split(cascade, annotations, boxes, outputs={"peak_mass": peak_mass})
    empty = empty_images(annotations)
    whole = np.tile(np.array(Box.of_image(_SIDE, _SIDE)), (len(empty), 1))
    empty_peak_mass = cascade.predict(empty, whole, flip_test=False).peak_mass
    found = []
    for pose, mass, empty_mass in zip(poses, peak_mass, empty_peak_mass, strict=True):
        hits, valid = metrics.pdj_hits(pose, annotations.keypoints, annotations.skeleton, PDJ_THRESHOLD)
        found.append(confidence.fit(mass, hits, valid, empty_mass, annotations.skeleton.kinds))
    return found


def empty_images(annotations: Annotations) -> list[Image]:
    """Images without people, as many as there are annotations, at most `MAX_EMPTY`: of five, one of noise, one of one
    color, and three of which the tiles of an annotated image are shuffled."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(annotations))[:MAX_EMPTY]
    made: list[Image] = []
    for number, row in enumerate(rows.tolist()):
        if number % 5 == 0:
            grain = int(rng.choice([1, 4, 16]))
            noise = rng.integers(0, 256, (_SIDE // grain, _SIDE // grain, 3), dtype=np.uint8)
            made.append(np.asarray(cv2.resize(noise, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC), np.uint8))
        elif number % 5 == 1:
            made.append(np.full((_SIDE, _SIDE, 3), rng.integers(0, 256, 3), np.uint8))
        else:
            try:
                made.append(_shuffle_tiles(read_image(annotations.files[row]), rng))
            except DeepPoseError:  # reported where its pose is predicted
                continue
    return made


def _shuffle_tiles(image: Image, rng: np.random.Generator) -> Image:
    """The image at `_SIDE` px, cut into 4, 8 or 16 tiles a side, which are shuffled."""
    count = int(rng.choice([4, 8, 16]))
    side = _SIDE // count
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    tiles = small.reshape(count, side, count, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    shuffled = rng.permutation(tiles).reshape(count, count, side, side, 3).swapaxes(1, 2)
    return np.ascontiguousarray(shuffled.reshape(_SIDE, _SIDE, 3))
