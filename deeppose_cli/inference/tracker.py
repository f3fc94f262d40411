"""People through the frames of a video: a person's next initial box comes from the last pose.

Every tracked person has a number. A person whose pose the cascade is no longer confident of, or whose pose became that
of another tracked person, is lost. Lost people are searched for; someone who is found where a person was lost, not long
ago, gets that number again. Newcomers are searched for at intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deeppose_cli.core.geometry import Box, FloatArray, overlap
from deeppose_cli.detection.person_finder import non_max_suppression
from deeppose_cli.media.images import Image

SEARCH_INTERVAL = 15
"""Frames between two searches for newcomers; a search costs as much as forty predictions of one person."""
MIN_CONFIDENCE = 0.35
"""A person with less is lost."""
MEMORY = 60
"""Frames for which a lost person's number is kept."""
SAME_OVERLAP, LOST_OVERLAP = 0.4, 0.3
"""Least intersection over union of the initial boxes of a found and a tracked person who are one, and of a found person
and a lost one who is back."""


@dataclass
class Track:
    """One person's number, the initial box in the next frame, and the last frame with a pose."""

    number: int
    box: Box
    frame: int


class Tracker:
    """Tracks people frame after frame: `boxes` of a frame, then `update` with the poses in them."""

    def __init__(
        self, find: Callable[[Image], list[Box]], next_box: Callable[[FloatArray], Box], *, newcomers: bool = True
    ) -> None:
        """`find`: everyone's initial box in an image. `next_box`: a pose (K, 2) → the next initial box. `newcomers`:
        False where `find` gives the same boxes each time."""
        self._find, self._next_box, self._newcomers = find, next_box, newcomers
        self._tracks: list[Track] = []
        self._lost: list[Track] = []
        self._frame = -1
        self._last_search = -SEARCH_INTERVAL
        self._last_number = 0

    def boxes(self, image: Image) -> list[tuple[int, Box]]:
        """Everyone's number and initial box in the next frame."""
        self._frame += 1
        self._lost = [track for track in self._lost if self._frame - track.frame <= MEMORY]
        pause = self._frame - self._last_search
        if (self._newcomers and pause >= SEARCH_INTERVAL) or (not self._tracks and pause >= SEARCH_INTERVAL / 3):
            self._last_search = self._frame
            for box in self._find(image):
                if all(overlap(box, track.box) < SAME_OVERLAP for track in self._tracks):
                    self._tracks.append(Track(self._number(box), box, self._frame))
        return [(track.number, track.box) for track in self._tracks]

    def update(self, poses: FloatArray, confidence: FloatArray) -> list[bool]:
        """Take the poses (N, K, 2) in the boxes of this frame, and their confidences (N); return which are people."""
        order = non_max_suppression(poses, np.nan_to_num(confidence, nan=0.0))
        kept = sorted(i for i in order if not confidence[i] < MIN_CONFIDENCE)  # NaN is not less
        self._lost += [track for i, track in enumerate(self._tracks) if i not in kept]
        self._tracks = [Track(self._tracks[i].number, self._next_box(poses[i]), self._frame) for i in kept]
        return [i in kept for i in range(len(poses))]

    def _number(self, box: Box) -> int:
        """That of the nearest lost person who fits the box, or a new one."""
        near = [track for track in self._lost if overlap(box, track.box) >= LOST_OVERLAP]
        if near:
            track = max(near, key=lambda track: overlap(box, track.box))
            self._lost.remove(track)
            return track.number
        self._last_number += 1
        return self._last_number
