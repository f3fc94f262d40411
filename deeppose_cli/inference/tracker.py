"""People through the frames of a video: a person's next initial box comes from the last pose.

Everyone who is followed has a number, which stays. A person whom the cascade is no longer sure of, or in whose place it
sees someone else who is followed, is lost; lost people are looked for, and who is found where one was lost, not long
ago, gets that number again. Now and then newcomers are looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deeppose_cli.core.geometry import Box, FloatArray, overlap
from deeppose_cli.detection.person_search import is_same_person
from deeppose_cli.media.images import Image

LOOK = 15
"""Frames of a video between two looks for newcomers; a search costs as much as forty looks at one person."""
LOST = 0.35
"""Confidence below which a person who is followed is lost."""
MEMORY = 60
"""Frames for which a lost person's number is kept."""
OVERLAP, KNOWN = 0.4, 0.3
"""Intersection over union of initial boxes: of someone found with someone followed, who then are one; with where
someone was lost, who then is back."""

Find = Callable[[Image], list[Box]]
Follow = Callable[[FloatArray], Box]
"""A pose (K, 2) → the next initial box."""


@dataclass
class Track:
    number: int
    box: Box
    """Where the next frame is looked at."""
    seen: int
    """Frame."""


class Tracker:
    """Frame after frame: `boxes` of a frame, then `see` what was found there."""

    def __init__(self, find: Find, follow: Follow, *, again: bool = True) -> None:
        """`again`: newcomers are looked for too; False where `find` gives the same boxes each time."""
        self._find, self._follow, self._again = find, follow, again
        self._followed: list[Track] = []
        self._lost: list[Track] = []
        self._frame = -1
        self._looked = -LOOK
        self._last_number = 0

    def boxes(self, image: Image) -> list[tuple[int, Box]]:
        """Everyone's number and initial box in the next frame."""
        self._frame += 1
        self._lost = [one for one in self._lost if self._frame - one.seen <= MEMORY]
        pause = self._frame - self._looked
        if (self._again and pause >= LOOK) or (not self._followed and pause >= LOOK / 3):
            self._looked = self._frame
            for box in self._find(image):
                if all(overlap(box, one.box) < OVERLAP for one in self._followed):
                    self._followed.append(Track(self._number(box), box, self._frame))
        return [(one.number, one.box) for one in self._followed]

    def see(self, poses: FloatArray, sure: FloatArray) -> list[bool]:
        """The poses (N, K, 2) in the boxes of this frame, and how sure each is. Which of them are people's."""
        order = np.argsort(-np.nan_to_num(sure, nan=0.0), kind="stable")
        kept: list[int] = []
        for i in map(int, order):
            alone = not any(is_same_person(poses[i], poses[j]) for j in kept)
            if alone and not sure[i] < LOST:  # NaN is not less
                kept.append(i)
        for i in set(range(len(poses))) - set(kept):
            self._lost.append(self._followed[i])
        self._followed = [Track(self._followed[i].number, self._follow(poses[i]), self._frame) for i in sorted(kept)]
        return [i in kept for i in range(len(poses))]

    def _number(self, box: Box) -> int:
        near = [one for one in self._lost if overlap(box, one.box) >= KNOWN]
        if near:
            known = max(near, key=lambda one: overlap(box, one.box))
            self._lost.remove(known)
            return known.number
        self._last_number += 1
        return self._last_number
