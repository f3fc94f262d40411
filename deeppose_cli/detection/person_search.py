"""People in an image that nobody has labelled, found by the cascade itself.

Stage 1 looks at the whole image and at squares of several sizes all over it. Where its maps agree on a pose (a high
confidence, as measured on validation images), it looks again at the box around that pose, which is the kind of box
that it was trained on; poses that tell of the same person become one. No detector is trained or downloaded for it.

It needs a cascade whose initial box is the whole image, as LSP's: one that was trained on boxes of upper bodies is as
confident of a wall.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.geometry import Box, FloatArray
from deeppose_cli.media.images import Image
from deeppose_cli.models.cascade import Cascade

SHARES = (1.0, 0.62, 0.38)
"""Sides of the squares in which people are searched for, in shorter sides of the image; the whole image is looked
at too."""
STEP = 0.62
"""And how far they are apart at most, in sides."""
LEAST = 64
"""px of a side; a person in it has no more pixels than the networks can use."""
POSSIBLE, CERTAIN, LAST = 0.25, 0.5, 0.3
"""Confidences, means over the joints: of a place worth a closer look, of a person, and of the only one in an image.
With the weights for whole bodies, half of LSP's validation images have .81 and more, a twentieth .51 or less; half
of the windows beside the people of FLIC's validation frames .15 or less, a twentieth .45 and more."""
AGAIN = 2
"""Closer looks."""
ROOM = 1.4
"""Side of the square around a pose, in its longer sides: 1.31 in half of LSP's images. With 1.2 PDJ@0.2 of a second
look is .775, with 1.35 .790, with 1.5 .779, on 120 validation images of which the first look's is .786."""
ROOM_UPPER = (1.6, 0.1)
"""The same for FLIC's ten joints, and how far the square's centre lies below theirs, in its sides: medians of the
squares around FLIC's torso boxes, on its validation people."""
SAME = 0.2
"""Two poses are one person's if their joints are less apart, on average, in units of the larger one's longer side …"""
WITHIN = 0.7
"""… or if their tight boxes share so much of the smaller one."""

Stage1Scorer = Callable[[Image, FloatArray], tuple[FloatArray, FloatArray]]
"""(H, W, 3) and boxes (N, 4) px → stage 1's poses (N, K, 2) px and how sure each is, (N)."""


def stage1_scorer(cascade: Cascade) -> Stage1Scorer | None:
    """How stage 1 of a cascade looks at places; None for one that does not know how sure it is."""
    if not cascade.stages or cascade.stages[0].calibration is None:
        return None
    first = Cascade(cascade.skeleton, cascade.stages[:1], square_initial_box=cascade.square_initial_box)

    def look(image: Image, boxes: FloatArray) -> tuple[FloatArray, FloatArray]:
        result = first.predict([image] * len(boxes), boxes)
        return result.poses[0], result.confidence[0].mean(-1)

    return look


def find_people(look: Stage1Scorer, image: Image) -> list[Box]:
    """Initial boxes of the people in an image, the surest first; empty where nobody seems to be."""
    height, width = image.shape[:2]
    boxes = windows(width, height)
    poses, sure = look(image, boxes)
    chosen = [i for i in non_max_suppression(poses, sure) if sure[i] >= POSSIBLE]
    boxes, poses, sure = boxes[chosen], poses[chosen], sure[chosen]
    for _ in range(AGAIN):
        if not len(boxes):
            return []
        closer = np.array([box_around_pose(pose) for pose in poses])
        again, now_sure = look(image, closer)
        better = now_sure > sure
        boxes[better], poses[better], sure[better] = closer[better], again[better], now_sure[better]
    # Smaller than any window it was not looked for; a whole image may be as small.
    seen = boxes[:, 2:].max(1) >= min(LEAST, 0.5 * max(width, height))
    people = [i for i in non_max_suppression(poses, sure) if seen[i]]
    certain = [i for i in people if sure[i] >= CERTAIN]
    if not certain:  # better one doubtful pose than none, if there is anything to it
        certain = [i for i in people[:1] if sure[i] >= LAST]
    return [Box(*boxes[i]) for i in certain]


def windows(width: int, height: int) -> NDArray[np.float64]:
    """(N, 4) the whole image, then squares of SHARES of its shorter side."""
    found = [Box.of_image(width, height)]
    for share in SHARES:
        side = share * min(width, height)
        if side < LEAST or side > 0.9 * max(width, height):
            continue
        places = [_places(length, side) for length in (width, height)]
        found += [Box(x, y, side, side) for y in places[1] for x in places[0]]
    return np.array(found)


def _places(length: int, side: float) -> NDArray[np.float64]:
    """Centres of windows from edge to edge, no more than STEP of a side apart."""
    count = int(np.ceil((length - side) / (STEP * side))) + 1
    return np.linspace(side / 2, length - side / 2, count) - 0.5


def box_around_pose(pose: FloatArray, upper: bool = False) -> Box:
    """(K, 2) → the square that an image of this person alone would be; `upper`: b⁰ of an upper body."""
    room, down = ROOM_UPPER if upper else (ROOM, 0.0)
    low, high = pose.min(0), pose.max(0)
    side = max(float((high - low).max()) * room, 2.0)
    x, y = (low + high) / 2
    return Box(float(x), float(y) + down * side, side, side)


def non_max_suppression(poses: FloatArray, sure: FloatArray) -> list[int]:
    """Of poses (N, K, 2) that tell of the same person the surest alone; in that order."""
    kept: list[int] = []
    for i in np.argsort(-sure, kind="stable"):
        if not any(is_same_person(poses[i], poses[j]) for j in kept):
            kept.append(int(i))
    return kept


def is_same_person(one: FloatArray, other: FloatArray) -> bool:
    """Whether two poses (K, 2) tell of one person: their joints are close, or one lies within the other."""
    if pose_distance(one, other) <= SAME:
        return True
    low, high = (np.stack([limit(pose, axis=0) for pose in (one, other)]) for limit in (np.min, np.max))
    shared = np.clip(high.min(0) - low.max(0), 0, None).prod()
    return bool(shared >= WITHIN * (high - low).prod(-1).min() > 0)


def pose_distance(one: FloatArray, other: FloatArray) -> float:
    """How far two poses (K, 2) are from each other: the mean over joints, in units of the larger one's longer side."""
    size = max(float(np.ptp(pose, axis=0).max()) for pose in (one, other))
    return float(np.linalg.norm(one - other, axis=-1).mean()) / max(size, 1e-9)
