"""A jointed figure in 3-D: posed by angles, projected from a random viewpoint, and placed in an image.

Frames. Body: x to the person's left, y up, z forward, in units of the person's stature, origin between the hips. View:
x right, y up, z towards the viewer, same units. Image: px, 0-based, pixel centres at integers, x right, y down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.skeleton import SIDES

Rng = np.random.Generator
Range = tuple[float, float]

# Bone lengths in units of the stature: textbook figure-drawing proportions with a slightly larger head, so that the
# face still differs from the back of the head in a 64 px input.
TORSO, SHOULDER_DROP, SHOULDER_HALF, HIP_HALF = 0.29, 0.018, 0.108, 0.062
UPPER_ARM, LOWER_ARM, HAND = 0.17, 0.15, 0.035
UPPER_LEG, LOWER_LEG, FOOT = 0.245, 0.235, 0.075
NECK, HEAD_LONG, HEAD_WIDE = 0.03, 0.08, 0.066

BACK_VIEW = 0.3
"""Share of the people whose back is to the viewer."""

LONG_SIDE = (122, 180)
"""Range of an image's longer side, px; LSP's images are like this."""
SHORT_SIDE = 104
"""No side is shorter, px."""
FILL = (0.72, 0.94)
"""Range of the person's share of the image's height, MARGIN included: the joints alone span about 0.1 less."""
FILL_WIDTH = 0.92
"""The most that the person takes of the image's width."""
LARGEST = 200.0
"""The longest stature, px: a squatting person is not blown up until the head fills the image."""
MARGIN = 0.055
"""How far hands, feet and thickness reach beyond the joints, in units of the stature."""
PERSPECTIVE = 0.25
"""Growth per stature of nearness: what is nearer to the viewer appears a little larger."""


@dataclass(frozen=True)
class Figure:
    """A posed body."""

    points: dict[str, NDArray[np.float64]]
    """The 14 joints, and hands, feet and the pelvis: (3,) in view coordinates."""
    torso: NDArray[np.float64]
    """(3, 3) columns: the torso's left, up and forward in view coordinates."""
    head: NDArray[np.float64]
    """(3, 3) the same for the head."""


def turn(axis: str, degrees: float) -> NDArray[np.float64]:
    """(3, 3) rotation about x (forward bend), y (turn to the left) or z (tilt to the right)."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    rows = {
        "x": ((1, 0, 0), (0, c, -s), (0, s, c)),
        "y": ((c, 0, s), (0, 1, 0), (-s, 0, c)),
        "z": ((c, -s, 0), (s, c, 0), (0, 0, 1)),
    }
    return np.array(rows[axis], dtype=float)


# Degrees. Arms: (abduction, flexion, inward rotation, elbow). Legs: (flexion, abduction, knee).
ARMS: dict[str, tuple[float, tuple[Range, Range, Range, Range]]] = {
    "hanging": (0.26, ((4, 28), (-25, 25), (-10, 60), (0, 35))),
    "on hip": (0.12, ((30, 60), (-35, 5), (60, 100), (70, 120))),
    "sideways": (0.16, ((60, 115), (-20, 20), (-100, 60), (0, 90))),
    "raised": (0.20, ((120, 172), (-15, 20), (-110, 60), (0, 80))),
    "forward": (0.14, ((0, 35), (40, 120), (-20, 60), (0, 70))),
    "folded": (0.12, ((5, 40), (0, 60), (10, 90), (70, 140))),
}
LEGS: dict[str, tuple[float, tuple[tuple[Range, Range, Range], tuple[Range, Range, Range]]]] = {
    "standing": (0.26, (((-8, 10), (0, 10), (0, 14)), ((-8, 10), (0, 10), (0, 14)))),
    "apart": (0.18, (((-12, 20), (12, 40), (0, 25)), ((-12, 20), (12, 40), (0, 25)))),
    "striding": (0.18, (((15, 50), (0, 12), (0, 40)), ((-30, -5), (0, 12), (10, 70)))),
    "kicking": (0.12, (((20, 95), (15, 70), (0, 90)), ((-8, 10), (0, 10), (0, 20)))),
    "kneeling": (0.08, (((65, 95), (5, 25), (70, 100)), ((-10, 10), (5, 20), (60, 110)))),
    "sitting": (0.10, (((65, 100), (0, 28), (50, 105)), ((65, 100), (0, 28), (50, 105)))),
    "squatting": (0.08, (((80, 115), (15, 45), (90, 130)), ((80, 115), (15, 45), (90, 130)))),
}
SAME_ARMS = 0.4
"""Share of the people whose arms are of the same kind."""


def _pick(table: Mapping[str, tuple[float, object]], rng: Rng) -> str:
    shares = np.array([share for share, _ in table.values()])
    return list(table)[int(rng.choice(len(shares), p=shares / shares.sum()))]


def _within(ranges: Sequence[Range], rng: Rng) -> list[float]:
    return [float(rng.uniform(*bounds)) for bounds in ranges]


def random_figure(rng: Rng) -> Figure:
    """A random figure: view, bend, arms and legs."""
    tall, wide = rng.uniform(0.93, 1.07), rng.uniform(0.88, 1.15)
    yaw = rng.normal(180 if rng.random() < BACK_VIEW else 0, 20)
    kind = rng.random()
    roll = rng.normal(0, 8)
    if kind < 0.05:
        roll += rng.choice([-90, 90])
    elif kind < 0.08:
        roll = rng.uniform(-180, 180)
    view = turn("z", roll) @ turn("x", rng.normal(13, 7)) @ turn("y", yaw)

    bend = rng.uniform(25, 85) if rng.random() < 0.1 else rng.normal(4, 7)
    torso = view @ turn("y", rng.normal(0, 10)) @ turn("z", rng.normal(0, 9)) @ turn("x", bend)
    head = torso @ turn("y", rng.normal(0, 14)) @ turn("z", rng.normal(0, 8)) @ turn("x", rng.normal(-0.3 * bend, 9))

    points: dict[str, NDArray[np.float64]] = {"pelvis": np.zeros(3), "neck": torso @ (0, TORSO * tall, 0)}
    points["head"] = points["neck"] + head @ (0, NECK + HEAD_LONG, 0)
    points["head_top"] = points["head"] + head @ (0, HEAD_LONG, 0)

    arms = [_pick(ARMS, rng) for _ in SIDES]
    if rng.random() < SAME_ARMS:
        arms[1] = arms[0]
    legs = LEGS[_pick(LEGS, rng)][1]
    leading = int(rng.integers(2))
    for i, side in enumerate(SIDES):
        out = 1 - 2 * i
        abduction, flexion, inward, elbow = _within(ARMS[arms[i]][1], rng)
        upper = torso @ turn("z", out * abduction) @ turn("x", -flexion) @ turn("y", -out * inward)
        lower = upper @ turn("x", -elbow)
        shoulder = points["neck"] + torso @ (out * SHOULDER_HALF * wide, -SHOULDER_DROP, 0)
        points[f"{side}_shoulder"] = shoulder
        points[f"{side}_elbow"] = shoulder + upper @ (0, -UPPER_ARM * tall, 0)
        points[f"{side}_wrist"] = points[f"{side}_elbow"] + lower @ (0, -LOWER_ARM * tall, 0)
        points[f"{side}_hand"] = points[f"{side}_wrist"] + lower @ (0, -HAND, 0)

        flexion, abduction, knee = _within(legs[(i + leading) % 2], rng)
        thigh = view @ turn("z", out * abduction) @ turn("x", -flexion) @ turn("y", out * rng.uniform(-5, 25))
        shank = thigh @ turn("x", knee)
        points[f"{side}_hip"] = view @ (out * HIP_HALF * wide, 0, 0)
        points[f"{side}_knee"] = points[f"{side}_hip"] + thigh @ (0, -UPPER_LEG * tall, 0)
        points[f"{side}_ankle"] = points[f"{side}_knee"] + shank @ (0, -LOWER_LEG * tall, 0)
        points[f"{side}_foot"] = points[f"{side}_ankle"] + shank @ (0, -0.35 * FOOT, FOOT)
    return Figure(points, torso, head)


def _project(point: NDArray[np.float64]) -> tuple[float, float, float]:
    """Project view coordinates onto the image plane, still in statures: (x right, y down, magnification)."""
    near = 1.0 / (1.0 - PERSPECTIVE * float(point[2]))
    return float(point[0]) * near, -float(point[1]) * near, near


class Projection:
    """A figure placed in an image."""

    def __init__(self, figure: Figure, scale: float, origin: tuple[float, float]) -> None:
        self.figure, self.scale, self.origin = figure, scale, origin

    def at(self, point: NDArray[np.float64]) -> tuple[float, float, float]:
        """(x px, y px, px per stature there)."""
        x, y, near = _project(point)
        return x * self.scale + self.origin[0], y * self.scale + self.origin[1], self.scale * near

    def __getitem__(self, name: str) -> tuple[float, float, float]:
        return self.at(self.figure.points[name])

    def depth(self, *names: str) -> float:
        """Mean nearness to the viewer."""
        return float(np.mean([self.figure.points[name][2] for name in names]))


def framing(figure: Figure, rng: Rng) -> tuple[tuple[int, int], float, tuple[float, float]]:
    """Random framing: image (height, width) px, px per stature, position of the figure's origin px."""
    flat = np.array([_project(point)[:2] for point in figure.points.values()])
    low, high = flat.min(0) - MARGIN, flat.max(0) + MARGIN
    extent = high - low
    aspect = float(np.clip(np.sqrt(extent[0] / extent[1]) * np.exp(rng.normal(0, 0.16)), 0.6, 1.6))
    longest = rng.uniform(*LONG_SIDE)
    width, height = (max(round(longest * min(1.0, a)), SHORT_SIDE) for a in (aspect, 1 / aspect))
    scale = min(rng.uniform(*FILL) * height / extent[1], FILL_WIDTH * width / extent[0], LARGEST)
    room = np.array([width, height]) - extent * scale
    shift = np.clip(rng.normal(0, 0.45, 2), -1, 1) * room / 2
    origin = (np.array([width, height]) - 1) / 2 + shift - (low + high) / 2 * scale
    return (height, width), float(scale), (float(origin[0]), float(origin[1]))
