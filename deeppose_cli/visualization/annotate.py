"""An image with the poses of its people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import write_bytes
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.media.images import Image
from deeppose_cli.models.cascade import Person
from deeppose_cli.visualization.drawing import draw_boxes, draw_pose, draw_title

MIN_SIDE = 480
"""Smaller images are enlarged until their longer side is this many px, so that lines can be distinguished."""
GAP = 0.01
"""Between the stages, in longer sides of the image."""
JPEG_QUALITY = 92


@dataclass(frozen=True)
class AnnotationStyle:
    """What is drawn beside the poses."""

    names: bool = False
    """The joints' names."""
    show_stages: bool = False
    """Every stage by itself, side by side, with its crop boxes."""


PLAIN = AnnotationStyle()


def annotate_image(image: Image, people: Sequence[Person], skeleton: Skeleton, style: AnnotationStyle = PLAIN) -> Image:
    """(H, W, 3): the image with its poses, enlarged to MIN_SIDE if it is smaller, and the numbers of tracked people."""
    if not style.show_stages or not people:
        return _draw_stage(image, people, skeleton, style, None)
    stages = [_draw_stage(image, people, skeleton, style, stage) for stage in range(len(people[0].poses))]
    height, width = stages[0].shape[:2]
    gap = np.full((height, max(2, round(GAP * max(height, width))), 3), 255, np.uint8)
    return np.concatenate([part for drawn in stages for part in (gap, drawn)][1:], axis=1)


def _draw_stage(
    image: Image, people: Sequence[Person], skeleton: Skeleton, style: AnnotationStyle, stage: int | None
) -> Image:
    """`stage`: from 0; None is the last, without its boxes."""
    height, width = image.shape[:2]
    factor = max(1.0, MIN_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scale = np.array([size[0] / width, size[1] / height])
    if factor > 1:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)

    def enlarged(points: FloatArray) -> FloatArray:
        # Pixel centres are at integers, so the corner that stays in place is at -0.5.
        return np.asarray((points + 0.5) * scale - 0.5)

    for person in people:
        if stage is not None:
            boxes = person.boxes[stage][:1] if stage == 0 else person.boxes[stage]
            corners = np.stack([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
            image = draw_boxes(image, enlarged(corners))
        pose = person.poses[-1 if stage is None else stage]
        label = "" if person.track is None else str(person.track)
        image = draw_pose(image, enlarged(pose), skeleton, names=style.names, label=label)
    return image if stage is None else draw_title(image, f"stage {stage + 1}")


def write_image(path: Path, image: Image) -> None:
    """Write (H, W, 3) RGB in the format of the suffix. Raises DeepPoseError that names the file."""
    done, data = cv2.imencode(
        path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise DeepPoseError(f"{path}: the overlay could not be encoded")
    write_bytes(path, data.tobytes())
