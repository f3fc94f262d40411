"""One synthetic person: build, clothes and colors; all parts of the body, painted from the farthest to the nearest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.skeleton import SIDES
from deeppose_cli.data.synthetic.body import HEAD_LONG, HEAD_WIDE, Projection
from deeppose_cli.data.synthetic.canvas import (
    ARM,
    LEG,
    OUTLINE,
    Canvas,
    Color,
    Float,
    Part,
    Point,
    Rng,
    Shape,
    different_color,
    mix,
    paint_jointed,
    random_color,
    rgb,
)


@dataclass(frozen=True)
class Appearance:
    """Build, clothes and colors."""

    stout: float
    skin: Color
    hair: Color
    top: Color
    trim: Color
    bottom: Color
    shoes: Color
    belt: Color
    pattern: str
    """`plain`, `hoops`, `stripes`, `halves` or `dots`, on the torso and sleeves."""
    front: str
    """On the chest only: `v-neck`, `buttons`, `badge` or `tie`."""
    sleeves: float
    """Share of the arm, 0 to 2, from the shoulder (0) over the elbow (1) to the wrist (2)."""
    legs: float
    """The same for trousers and the leg."""
    skirt: float
    """Share of the thighs that a skirt covers; 0: no skirt."""
    tress: float
    """Width of long hair, in head widths; 0: short hair."""


SKINS = ((255, 222, 196), (240, 194, 158), (222, 170, 126), (190, 134, 92), (150, 100, 66), (108, 70, 46))
HAIRS = ((28, 24, 24), (62, 40, 26), (104, 66, 36), (206, 164, 84), (166, 70, 32), (146, 146, 150), (150, 40, 120))


def random_appearance(rng: Rng) -> Appearance:
    skin = rgb(*SKINS[int(rng.integers(len(SKINS)))]) * np.float32(rng.uniform(0.94, 1.04))
    hair = rgb(*HAIRS[int(rng.integers(len(HAIRS)))]) * np.float32(rng.uniform(0.85, 1.15))
    if np.abs(hair - skin).sum() < 110:
        hair = rgb(*HAIRS[0])
    top = different_color(rng, skin)
    skirted = rng.random() < 0.14
    return Appearance(
        stout=rng.uniform(0.88, 1.22),
        skin=skin,
        hair=hair,
        top=top,
        trim=different_color(rng, top),
        bottom=different_color(rng, top),
        shoes=random_color(rng, value=(0.15, 0.9)),
        belt=random_color(rng, value=(0.1, 0.4)),
        pattern=str(rng.choice(["plain", "hoops", "stripes", "halves", "dots"], p=[0.42, 0.22, 0.14, 0.12, 0.1])),
        front=str(rng.choice(["v-neck", "buttons", "badge", "tie"])),
        sleeves=float(rng.choice([0.12, rng.uniform(0.4, 0.75), rng.uniform(1.75, 1.95)], p=[0.15, 0.4, 0.45])),
        legs=float(rng.uniform(0.05, 0.2) if skirted else rng.choice([rng.uniform(0.5, 0.95), 1.93], p=[0.35, 0.65])),
        skirt=float(rng.uniform(0.5, 0.95) if skirted else 0),
        tress=float(rng.uniform(0.35, 0.9) if rng.random() < 0.4 else 0),
    )


def _pair(kind: str) -> tuple[str, str]:
    return f"left_{kind}", f"right_{kind}"


@dataclass(frozen=True, eq=False)
class PersonPainter:
    """Paints one person onto a canvas."""

    canvas: Canvas
    body: Projection
    style: Appearance

    def paint(self) -> None:
        """Paint all parts, from the farthest to the nearest.

        The biases decide the order at equal depth: hanging arms over the torso, the torso over straight legs, the head
        over the collar.
        """
        depth = self.body.depth
        chest = depth("neck", "neck", "pelvis")
        legs = {side: depth(f"{side}_knee", f"{side}_ankle") - 0.05 for side in SIDES}
        layers = [(chest, Part.TORSO, ""), (depth("head") + 0.06, Part.HEAD, "")]
        layers += [(depth(f"{s}_elbow", f"{s}_wrist", f"{s}_wrist") + 0.06, ARM[s], s) for s in SIDES]
        layers += [(legs[side], LEG[side], side) for side in SIDES]
        if self.style.skirt:
            layers.append((max(legs.values()) + 1e-3, Part.SKIRT, ""))
        if self.style.tress:
            # From behind it lies over head and back; from the front the body hides all but the part beside the neck.
            behind = self.body.figure.head[2, 2] < 0
            layers.append((depth("nape") + 0.07 if behind else min(layers[:2])[0] - 1e-3, Part.HAIR, ""))
        paints = {Part.TORSO: self._torso, Part.HEAD: self.head, Part.SKIRT: self._skirt, Part.HAIR: self._tress}
        for _, part, side in sorted(layers):
            if part in paints:
                paints[part]()
            elif part == ARM[side]:
                self._arm(side)
            else:
                self._leg(side)

    def _points(self, side: str, *kinds: str) -> list[Point]:
        return [self.body[f"{side}_{kind}"] for kind in kinds]

    def _outline(self, shape: Shape, color: Color, darkness: float = 0.28) -> None:
        self.canvas.line(shape, OUTLINE * self.body.scale, np.float32(darkness) * color)

    def _pattern(self, shape: Shape, repeats: float) -> Float:
        """(3, h, w) the top's cloth."""
        if self.style.pattern == "hoops":
            share = 0.5 + 3 * np.sin(2 * np.pi * repeats * shape.along)
        elif self.style.pattern == "stripes":
            share = 0.5 + 3 * np.sin(2 * np.pi * 2.2 * shape.across)
        elif self.style.pattern == "dots":
            share = 4 * (np.cos(2 * np.pi * repeats * shape.along) * np.cos(2 * np.pi * 2 * shape.across) - 0.4)
        elif self.style.pattern == "halves":
            share = (shape.along - 0.45) * 20
        else:
            share = np.zeros_like(shape.along)
        return mix(self.style.top, self.style.trim, share.astype(np.float32))

    def _clothed(self, shape: Shape, cloth: Float, covered: float, start: Point, end: Point) -> Float:
        """(3, h, w) cloth on the first `covered` of the bone, then skin; the seam is smooth over one px."""
        if not 0 < covered < 1:
            return cloth if covered > 0 else self.style.skin
        length = max(float(np.hypot(end[0] - start[0], end[1] - start[1])), 1.0)
        return mix(cloth, self.style.skin, (shape.along - np.float32(covered)) * np.float32(length) + 0.5)

    def _arm(self, side: str) -> None:
        style, capsule = self.style, self.canvas.capsule
        shoulder, elbow, wrist, hand = self._points(side, "shoulder", "elbow", "wrist", "hand")
        upper = capsule(shoulder, elbow, 0.038 * style.stout * shoulder[2], 0.029 * style.stout * elbow[2])
        lower = capsule(elbow, wrist, 0.029 * style.stout * elbow[2], 0.02 * wrist[2])
        palm = capsule(wrist, hand, 0.021 * wrist[2], 0.026 * hand[2])
        cloths = [self._pattern(upper, 2.0), self._pattern(lower, 2.0)]
        if style.pattern == "halves":
            cloths = [style.top, style.trim]
        upper_color = self._clothed(upper, cloths[0], style.sleeves, shoulder, elbow)
        lower_color = self._clothed(lower, cloths[1], style.sleeves - 1, elbow, wrist)
        colors = [style.skin, lower_color, upper_color]
        paint_jointed(self.canvas, [palm, lower, upper], colors, OUTLINE * self.body.scale, ARM[side])

    def _leg(self, side: str) -> None:
        style, capsule = self.style, self.canvas.capsule
        hip, knee, ankle, foot = self._points(side, "hip", "knee", "ankle", "foot")
        upper = capsule(hip, knee, 0.056 * style.stout * hip[2], 0.04 * style.stout * knee[2])
        lower = capsule(knee, ankle, 0.039 * style.stout * knee[2], 0.026 * ankle[2])
        shoe = capsule(ankle, foot, 0.028 * ankle[2], 0.024 * foot[2])
        upper_color = self._clothed(upper, style.bottom, style.legs, hip, knee)
        lower_color = self._clothed(lower, style.bottom, style.legs - 1, knee, ankle)
        shapes, paints = [upper, lower, shoe], [upper_color, lower_color, style.shoes]
        if self.body.depth(f"{side}_ankle") < self.body.depth(f"{side}_knee"):
            shapes, paints = shapes[::-1], paints[::-1]
        paint_jointed(self.canvas, shapes, paints, OUTLINE * self.body.scale, LEG[side])

    def _torso(self) -> None:
        """Shoulders to hips. The clothes on the chest differ from those on the back."""
        style = self.style
        corners = {name: np.array(self.body[name][:2]) for name in ("neck", *_pair("shoulder"), *_pair("hip"))}
        outline: dict[str, list[NDArray[np.float64]]] = {}
        for side in SIDES:
            shoulder, hip = corners[f"{side}_shoulder"], corners[f"{side}_hip"]
            middle = (corners["neck"] + (corners["left_hip"] + corners["right_hip"]) / 2) / 2
            waist = 0.22 * middle + 0.78 * (0.45 * shoulder + 0.55 * hip)
            outline[side] = [0.86 * shoulder + 0.14 * corners["neck"], waist, hip]
        shape = self.canvas.polygon(
            np.array([*outline["left"], *reversed(outline["right"])]), 0.04 * style.stout * self.body.scale
        )
        cloth = self._pattern(shape, 3.5)
        along, across = shape.along, shape.across
        sharp = np.float32(0.25 * self.body.scale)  # about one px, in units of `along`
        if self.body.figure.torso[2, 2] > 0.15:
            if style.front == "v-neck":
                cloth = mix(cloth, style.skin, (0.2 - along - 0.45 * np.abs(across)) * sharp)
            elif style.front == "buttons":
                cloth = mix(cloth, np.float32(0.35) * style.top, (0.05 - np.abs(across)) * sharp)
                cloth = mix(cloth, rgb(245, 245, 245), (np.cos(along * 30) - 0.3) * (np.abs(across) < 0.09) * 4)
            elif style.front == "badge":
                cloth = mix(cloth, style.trim, (0.24 - np.hypot(along - 0.38, 0.55 * across)) * sharp)
            else:
                tie = (0.06 + 0.1 * along - np.abs(across)) * sharp * (along < 0.62)
                cloth = mix(cloth, style.trim * np.float32(0.8), tie)
        cloth = mix(cloth, style.bottom, (along - 0.86) * sharp)
        if not style.skirt:
            cloth = mix(cloth, style.belt, (0.03 - np.abs(along - 0.86)) * sharp)
        self._outline(shape, style.top)
        self.canvas.fill(shape, cloth, Part.TORSO)

    def _skirt(self) -> None:
        style = self.style
        waist = [np.array(self.body[name][:2]) for name in _pair("hip")]
        knees = [np.array(self.body[name][:2]) for name in _pair("knee")]
        left, right = (hip + style.skirt * (knee - hip) for hip, knee in zip(waist, knees, strict=True))
        flare = 0.12 * (left - right)
        corners = np.array([waist[0], left + flare, right - flare, waist[1]])
        shape = self.canvas.polygon(corners, 0.05 * style.stout * self.body.scale)
        folds = style.bottom * (1 + 0.12 * np.sin(9 * shape.across))
        self._outline(shape, style.bottom)
        self.canvas.fill(shape, folds.astype(np.float32), Part.SKIRT)

    def _tress(self) -> None:
        nape, tip, width = self.body["nape"], self.body["tress"], self.style.tress
        shape = self.canvas.capsule(nape, tip, HEAD_WIDE * (0.35 + 0.6 * width) * nape[2], HEAD_WIDE * width * tip[2])
        strands = self.style.hair * (1 + 0.1 * np.sin(11 * shape.across))
        self._outline(shape, self.style.hair)
        self.canvas.fill(shape, strands.astype(np.float32), Part.HAIR)

    def head(self) -> None:
        """Paint an ellipsoid with a face on its front and hair on the rest, from any viewpoint."""
        style, canvas = self.style, self.canvas
        neck, centre = self.body["neck"], self.body["head"]
        throat = canvas.capsule(neck, centre, 0.031 * style.stout * neck[2], 0.028 * style.stout * centre[2])
        self._outline(throat, style.skin, 0.4)
        canvas.fill(throat, style.skin * np.float32(0.9), Part.HEAD)

        window, x, y = canvas.window(centre[:1], centre[1:2], HEAD_LONG * centre[2] + 3)
        # (3, 3) view coordinates to the unit sphere's. For each pixel find its nearest point to the viewer on the
        # sphere.
        to_sphere = (self.body.figure.head.T / np.array([[HEAD_WIDE], [HEAD_LONG], [HEAD_WIDE]])).astype(np.float32)
        vx, vy = (
            (x - np.float32(centre[0])) / np.float32(centre[2]),
            (np.float32(centre[1]) - y) / np.float32(centre[2]),
        )
        flat = [row[0] * vx + row[1] * vy for row in to_sphere]
        deep = to_sphere[:, 2]
        a, b = float(deep @ deep), sum(f * d for f, d in zip(flat, deep, strict=True))
        rest = sum(f * f for f in flat) - b * b / a
        z = (-b + np.sqrt(np.maximum(a * (1 - rest), 0))) / a
        left, up, front = (f + d * z for f, d in zip(flat, deep, strict=True))
        radius = np.float32(HEAD_WIDE * centre[2])
        light = 1 + 0.16 * (vx * canvas.light[0] - vy * canvas.light[1]) / HEAD_WIDE - 0.1 * rest
        shape = Shape(window, (np.sqrt(np.maximum(rest, 0)) - 1) * radius, up, left, light.astype(np.float32))

        def spot(distance: Float) -> Float:
            """Cover of a spot on the face, from its signed distance on the sphere."""
            return np.where(front > 0, np.clip(0.5 - distance * radius, 0, 1), 0).astype(np.float32)

        hairy = np.maximum(up - 0.42, 0.12 - front - 0.5 * np.maximum(-0.45 - up, 0))
        color = mix(style.skin, style.hair, hairy * radius + 0.5)
        ear = np.hypot(np.hypot(up + 0.08, front - 0.02), np.abs(left) - 0.97)
        color = mix(color, style.skin * np.float32(0.85), (0.26 - ear) * radius)
        for eye in (-0.38, 0.38):
            offset = np.hypot(left - eye, 0.85 * (up - 0.02))
            color = mix(color, rgb(250, 250, 250), spot(offset - 0.27))
            color = mix(color, rgb(20, 20, 30), spot(offset - 0.14))
        color = mix(color, style.skin * np.float32(0.78), spot(np.hypot(left, 0.8 * (up + 0.24)) - 0.12))
        mouth = np.hypot(np.maximum(np.abs(left) - 0.2, 0), up + 0.53 - 0.5 * left * left) - 0.08
        color = mix(color, rgb(150, 40, 44), spot(mouth))
        self._outline(shape, style.hair, 0.3)
        canvas.fill(shape, color, Part.HEAD)
