"""Texts written into an image: inside it, on a dark edge, and none over another."""

from __future__ import annotations

import cv2

from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.media.images import Image

_CAPITAL = 22
"""px of a capital letter of OpenCV's font at scale 1."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PLACES = ((0.0, False), (0.0, True), (-1.1, False), (1.1, False), (-1.1, True), (1.1, True))
"""Where a text may be: its height above the first place, in lines; and whether on the other side of the point."""


class Labels:
    """The texts of one image."""

    def __init__(self, canvas: Image) -> None:
        """`canvas` (H, W, 3) is written on in place."""
        self.canvas = canvas
        self._taken: list[tuple[int, int, int, int]] = []

    def write(
        self,
        text: str,
        point: FloatArray,
        letters: float,
        color: tuple[int, int, int],
        *,
        gap: float = 0.0,
        to_left: bool = False,
    ) -> bool:
        """Write a text beside a point (x, y), at its right or left with a `gap`, both px; `letters`: their height, px.

        Where another text is in the way it goes above, below or to the other side. Returns False, and writes nothing,
        where there is no room.
        """
        scale = letters / _CAPITAL
        thickness = max(1, round(scale * 1.6))
        (width, height), below = cv2.getTextSize(text, _FONT, scale, thickness)
        right, bottom = self.canvas.shape[1] - width - thickness, self.canvas.shape[0] - below
        for lines, other_side in _PLACES:
            is_left = to_left != other_side
            x = point[0] - gap - width if is_left else point[0] + gap
            y = point[1] + lines * (height + below)
            x, y = int(max(min(x, right), thickness)), int(max(min(y, bottom), height + thickness))
            place = (x, y - height, x + width, y + below)
            if not any(_overlap(place, other) for other in self._taken):
                self._taken.append(place)
                for extra, paint in ((2 + thickness, (0, 0, 0)), (0, color)):
                    cv2.putText(self.canvas, text, (x, y), _FONT, scale, paint, thickness + extra, cv2.LINE_AA)
                return True
        return False


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
