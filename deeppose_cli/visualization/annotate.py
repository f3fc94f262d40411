"""An image as it is shown with the poses found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.media.images import Image
from deeppose_cli.models.cascade import Person
from deeppose_cli.visualization.drawing import draw_boxes, draw_pose, draw_title

VIEW_SIDE = 480
"""Smaller images are enlarged for viewing until their longer side is this many px: lines can then be told apart."""
GAP = 0.01
"""Between panels, in longer sides of the image."""


@dataclass(frozen=True)
class Style:
    """What is shown beside the poses."""

    names: bool = False
    """The joints' names."""
    panels: bool = False
    """Every stage by itself, side by side, with the boxes that it looked at."""


PLAIN = Style()


def view(image: Image, people: Sequence[Person], skeleton: Skeleton, style: Style = PLAIN) -> Image:
    """(H, W, 3): the image with its poses, enlarged to VIEW_SIDE if it is smaller. People with a number bear it."""
    if not style.panels or not people:
        return _stage(image, people, skeleton, style, -1)
    count = len(people[0].poses)
    panels = [_stage(image, people, skeleton, style, stage) for stage in range(count)]
    gap = np.full((panels[0].shape[0], max(2, round(GAP * max(panels[0].shape))), 3), 255, np.uint8)
    return np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1)


def _stage(image: Image, people: Sequence[Person], skeleton: Skeleton, style: Style, stage: int) -> Image:
    """`stage`: from 0; -1 is the last, without its boxes."""
    height, width = image.shape[:2]
    factor = max(1.0, VIEW_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scale = np.array([size[0] / width, size[1] / height])
    if factor > 1:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)

    def shown(points: FloatArray) -> FloatArray:
        # Pixel centres are at integers, so the corner that stays in place is at -0.5.
        return np.asarray((points + 0.5) * scale - 0.5)

    for person in people:
        if stage >= 0:
            boxes = person.boxes[stage][:1] if stage == 0 else person.boxes[stage]
            corners = np.stack([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
            image = draw_boxes(image, shown(corners))
        label = "" if person.track is None else str(person.track)
        image = draw_pose(image, shown(person.poses[stage]), skeleton, names=style.names, label=label)
    return draw_title(image, f"stage {stage + 1}") if stage >= 0 else image


def write_image(path: Path, image: Image) -> None:
    """Raises DeepPoseError that names the file."""
    flags: list[Any] = [cv2.IMWRITE_JPEG_QUALITY, 92]
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
    if not done:
        raise DeepPoseError(f"{path}: the overlay could not be encoded")
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise DeepPoseError(f"{path}: cannot be written ({error.strerror})") from None
