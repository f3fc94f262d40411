"""Random changes of training images: the crop moves, albumentations changes the colors.

Flip, shift, size and rotation are left to the crop, which interpolates the image anyway, once. albumentations would not
exchange left and right joints of a mirrored image. A joint that leaves the image keeps its place: it is still a label.
"""

from __future__ import annotations

import math
import os
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from deeppose_cli.config.defaults import (
    BLUR_SIGMA,
    ERASED_AREA,
    ERASED_ASPECT,
    JPEG_QUALITY,
    LABEL_BOX_SCALE,
    NOISE_STD,
)
from deeppose_cli.config.schema import Augmentation
from deeppose_cli.core.geometry import Box, FloatArray, mirror_points, turn_matrix
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.media.cropping import MEAN_COLOR
from deeppose_cli.media.images import Image

if TYPE_CHECKING:
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
    """(2, 3) from px of the image to px of the turned image; None: they are the same."""


def photometric_pipeline(settings: Augmentation) -> A.Compose:
    """Build all color changes that the settings describe: one pipeline of two parts.

    The first part changes the image before the crop, each pixel alone, so that what lies outside the image keeps the
    mean color. The second part changes the crop, whose pixels are the unit of blur, noise, compression and patches.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else its import requests a newer version number online
    import albumentations as A

    image: list[A.BasicTransform] = []
    crop: list[A.BasicTransform] = []
    if s := settings.color:
        strength, hue = (1 - s, 1 + s), (-0.1 * s, 0.1 * s)
        image.append(A.ColorJitter(brightness=strength, contrast=strength, saturation=strength, hue=hue, p=0.8))
    if settings.gray:
        image.append(A.ToGray(p=settings.gray))
    if settings.gamma:
        image.append(A.RandomGamma(gamma_limit=(100 / (1 + settings.gamma), 100 * (1 + settings.gamma)), p=1.0))
    if settings.blur:
        crop.append(A.GaussianBlur(sigma_limit=BLUR_SIGMA, p=settings.blur))
    if settings.noise:
        crop.append(A.GaussNoise(std_range=NOISE_STD, p=settings.noise))
    if settings.jpeg:
        crop.append(A.ImageCompression(quality_range=JPEG_QUALITY, p=settings.jpeg))
    if settings.erase:
        crop.append(A.Erasing(scale=ERASED_AREA, ratio=ERASED_ASPECT, fill=MEAN_COLOR, p=settings.erase))
    return A.Compose([A.Compose(image), A.Compose(crop)])


class Augmenter:
    """Random variants of an image, its labels and its box."""

    def __init__(self, settings: Augmentation, skeleton: Skeleton, reach: float = 1.5) -> None:
        """`reach`: how many box sides of the image the crops can show after rotation; the rest is not processed."""
        self.settings, self.skeleton, self.reach = settings, skeleton, reach
        s = settings
        self._changes_image = any((s.color, s.gray, s.gamma))
        self._changes_crops = any((s.blur, s.noise, s.jpeg, s.erase))
        # Here and not at the first image, so that worker processes need not import albumentations each.
        self._pipeline = photometric_pipeline(s) if self._changes_image or self._changes_crops else None

    def __call__(
        self, image: Image, keypoints: FloatArray, box: Box, rng: np.random.Generator, angle: float = 0.0
    ) -> View:
        """Vary an image before its crop. The same state of `rng` gives the same variant.

        Shape: keypoints (K, 2) px, NaN where unlabelled. angle: degrees by which the crop is turned without variation.
        """
        s = self.settings
        if s.label_box and rng.random() < s.label_box:
            box = draw_label_box(keypoints, box, rng)
        cx, cy, w, h = box
        if s.translate:
            dx, dy = rng.normal(0.0, s.translate, 2)
            cx, cy = cx + dx * w, cy + dy * h
        if s.scale:
            factor = math.exp(rng.normal(0.0, s.scale))
            w, h = w * factor, h * factor
        box = Box(cx, cy, w, h)
        mirrored = bool(s.flip and rng.random() < s.flip)
        if self._changes_image:
            image, keypoints, box = _window(image, keypoints, box, self.reach)
        if mirrored:
            width = image.shape[1]
            image = np.asarray(cv2.flip(image, 1), dtype=np.uint8)
            keypoints = mirror_points(keypoints, width, self.skeleton)
            box, angle = Box(width - 1 - box[0], *box[1:]), -angle
        turn = None
        if s.rotate or s.any_angle:
            largest = 180.0 if s.any_angle and rng.random() < s.any_angle else s.rotate
            angle += rng.uniform(-largest, largest)
        if s.rotate or s.any_angle or angle:
            turn = turn_matrix(box, angle)
            keypoints = keypoints @ turn[:, :2].T + turn[:, 2]
        if self._changes_image:
            image = self._run(0, image, int(rng.integers(2**31)))
        return View(image, keypoints, box, mirrored, turn)

    def finish(self, crops: Image, rng: np.random.Generator) -> None:
        """Vary the crops (M, S, S, 3) in place. Without such settings nothing is drawn from `rng`."""
        if self._changes_crops:
            for crop in crops:
                crop[:] = self._run(1, crop, int(rng.integers(2**31)))

    def _run(self, part: int, image: Image, seed: int) -> Image:
        assert self._pipeline is not None
        # `set_random_seed` would give every transform the same numbers: what is blurred would always be noisy too.
        self._pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
        return np.asarray(self._pipeline[part](image=image, force_apply=True)["image"], dtype=np.uint8)


def draw_label_box(keypoints: FloatArray, box: Box, rng: np.random.Generator) -> Box:
    """A square around the labelled joints (K, 2) px, 1 to `LABEL_BOX_SCALE` times as large as their tight box.

    `box` where they have no extent.
    """
    scale = rng.uniform(1.0, LABEL_BOX_SCALE)
    if np.isnan(keypoints).any(-1).all():
        return box
    tight = Box.around(keypoints).square()
    return Box(tight[0], tight[1], tight[2] * scale, tight[3] * scale) if tight[2] > 1 else box


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
