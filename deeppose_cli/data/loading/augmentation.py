"""How training images vary: mirror, rotation and colour of the pixels; shift and size of the box; erased patches.

albumentations changes the colours. The rotation is left to the crop, which interpolates anyway, and left and right
joints change places when an image is mirrored, which albumentations would not do. A joint that leaves the image
keeps its place: it is still a label.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from deeppose_cli.config.defaults import ERASED_AREA, ERASED_ASPECT
from deeppose_cli.config.schema import Augmentation
from deeppose_cli.core.geometry import Box, FloatArray, mirror_points
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.media.cropping import MEAN_COLOUR
from deeppose_cli.media.images import Image

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the network for a newer release on import
import albumentations as A


@dataclass(frozen=True, eq=False)
class View:
    """A training image as it will be cropped, by `crop(image, box, size, turn=turn)`."""

    image: Image
    keypoints: FloatArray
    """(K, 2) px of the turned image; NaN: not labelled."""
    box: Box
    """px of the turned image."""
    mirrored: bool
    turn: FloatArray | None = None
    """(2, 3) from px of the image to px of the turned image; none: they are the same."""


@dataclass(frozen=True)
class Augmenter:
    """Turns an image, its labels and its box into a random variant of them."""

    settings: Augmentation
    skeleton: Skeleton
    reach: float = 1.5
    """How many box sides of the image can be seen in the crops after rotation: the rest is not processed."""

    @cached_property
    def _colours(self) -> A.ColorJitter | None:
        colour = self.settings.color
        if not colour:
            return None
        strength, hue = (1 - colour, 1 + colour), (-0.1 * colour, 0.1 * colour)
        return A.ColorJitter(brightness=strength, contrast=strength, saturation=strength, hue=hue, p=0.8)

    def __call__(self, image: Image, keypoints: FloatArray, box: Box, rng: np.random.Generator) -> View:
        """keypoints: (K, 2) px, NaN where unlabelled. The same generator state gives the same variant."""
        s = self.settings
        cx, cy, w, h = box
        if s.translate:
            dx, dy = rng.normal(0.0, s.translate, 2)
            cx, cy = cx + dx * w, cy + dy * h
        if s.scale:
            factor = math.exp(rng.normal(0.0, s.scale))
            w, h = w * factor, h * factor
        box = Box(cx, cy, w, h)
        mirrored = bool(s.flip and rng.random() < s.flip)
        if self._colours is not None:
            image, keypoints, box = _window(image, keypoints, box, self.reach)
        if mirrored:
            width = image.shape[1]
            image = np.asarray(cv2.flip(image, 1), dtype=np.uint8)
            keypoints = mirror_points(keypoints, width, self.skeleton)
            box = Box(width - 1 - box[0], *box[1:])
        turn = None
        if s.rotate:
            turn = np.asarray(cv2.getRotationMatrix2D(box[:2], rng.uniform(-s.rotate, s.rotate), 1.0), np.float64)
            keypoints = keypoints @ turn[:, :2].T + turn[:, 2]
        if self._colours is not None:
            self._colours.set_random_seed(int(rng.integers(2**31)))
            image = self._colours(image=image)["image"]
        return View(image, keypoints, box, mirrored, turn)


def erase_patches(pixels: Image, probability: float, rng: np.random.Generator) -> None:
    """Paints a patch of some crops over with MEAN_COLOUR, in place (random erasing: Zhong et al., AAAI 2020).

    pixels: (M, S, S, 3). Size and shape of a patch are drawn until it fits, its place evenly. With probability 0
    nothing is drawn from the generator.
    """
    if not probability:
        return
    for crop in pixels:
        if rng.random() >= probability:
            continue
        side = crop.shape[0]
        height, width = side + 1, side + 1
        while height > side or width > side:
            area = rng.uniform(*ERASED_AREA) * side**2
            aspect = math.exp(rng.uniform(math.log(ERASED_ASPECT), -math.log(ERASED_ASPECT)))
            height, width = max(1, round(math.sqrt(area * aspect))), max(1, round(math.sqrt(area / aspect)))
        y, x = (int(rng.integers(side - extent + 1)) for extent in (height, width))
        crop[y : y + height, x : x + width] = MEAN_COLOUR


def _window(image: Image, keypoints: FloatArray, box: Box, sides: float) -> tuple[Image, FloatArray, Box]:
    """The part of the image around the box that augmentation can bring into the crop."""
    cx, cy, w, h = box
    height, width = image.shape[:2]
    reach = sides * max(w, h) / 2
    x1, y1 = max(0, math.floor(cx - reach)), max(0, math.floor(cy - reach))
    x2, y2 = min(width, math.ceil(cx + reach) + 1), min(height, math.ceil(cy + reach) + 1)
    if x2 - x1 < 2 or y2 - y1 < 2 or (x2 - x1, y2 - y1) == (width, height):
        return image, keypoints, box
    return image[y1:y2, x1:x2], keypoints - np.array([x1, y1]), Box(cx - x1, cy - y1, w, h)
