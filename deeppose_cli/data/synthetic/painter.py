"""One drawn person: build, clothes and colours, and all parts of the body painted from the farthest to the nearest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.skeleton import SIDES
from deeppose_cli.data.synthetic.body import HEAD_LONG, HEAD_WIDE, Projection
from deeppose_cli.data.synthetic.canvas import (
    ARM_PART,
    HAIR_PART,
    HEAD_PART,
    LEG_PART,
    OUTLINE,
    SKIRT_PART,
    TORSO_PART,
    Canvas,
    Colour,
    Float,
    Rng,
    Shape,
    different_colour,
    mix,
    paint_jointed,
    random_colour,
    rgb,
)


@dataclass(frozen=True)
class Stage1Scorer:
    """Build, clothes and colours."""

    stout: float
    skin: Colour
    hair: Colour
    top: Colour
    trim: Colour
    bottom: Colour
    shoes: Colour
    belt: Colour
    pattern: str
    """`plain`, `hoops`, `stripes`, `halves` or `dots`, on the torso and sleeves."""
    front: str
    """What is seen on the chest only: `v-neck`, `buttons`, `badge` or `tie`."""
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


def random_look(rng: Rng) -> Stage1Scorer:
    skin = rgb(*SKINS[int(rng.integers(len(SKINS)))]) * np.float32(rng.uniform(0.94, 1.04))
    hair = rgb(*HAIRS[int(rng.integers(len(HAIRS)))]) * np.float32(rng.uniform(0.85, 1.15))
    if np.abs(hair - skin).sum() < 110:
        hair = rgb(*HAIRS[0])
    top = different_colour(rng, skin)
    skirted = rng.random() < 0.14
    return Stage1Scorer(
        stout=rng.uniform(0.88, 1.22),
        skin=skin,
        hair=hair,
        top=top,
        trim=different_colour(rng, top),
        bottom=different_colour(rng, top),
        shoes=random_colour(rng, value=(0.15, 0.9)),
        belt=random_colour(rng, value=(0.1, 0.4)),
        pattern=str(rng.choice(["plain", "hoops", "stripes", "halves", "dots"], p=[0.42, 0.22, 0.14, 0.12, 0.1])),
        front=str(rng.choice(["v-neck", "buttons", "badge", "tie"])),
        sleeves=float(rng.choice([0.12, rng.uniform(0.4, 0.75), rng.uniform(1.75, 1.95)], p=[0.15, 0.4, 0.45])),
        legs=float(rng.uniform(0.05, 0.2) if skirted else rng.choice([rng.uniform(0.5, 0.95), 1.93], p=[0.35, 0.65])),
        skirt=float(rng.uniform(0.5, 0.95) if skirted else 0),
        tress=float(rng.uniform(0.35, 0.9) if rng.random() < 0.4 else 0),
    )


def paint_person(canvas: Canvas, stage: Projection, look: Stage1Scorer) -> None:
    """All parts, from the farthest to the nearest. The biases settle who lies over whom at equal depth: hanging arms
    over the torso, the torso over standing legs, the head over the collar."""
    chest = stage.depth("neck", "neck", "pelvis")
    legs = {side: stage.depth(f"{side}_knee", f"{side}_ankle") - 0.05 for side in SIDES}
    layers = [(chest, TORSO_PART, ""), (stage.depth("head") + 0.06, HEAD_PART, "")]
    layers += [(stage.depth(f"{s}_elbow", f"{s}_wrist", f"{s}_wrist") + 0.06, ARM_PART[s], s) for s in SIDES]
    layers += [(legs[side], LEG_PART[side], side) for side in SIDES]
    if look.skirt:
        layers.append((max(legs.values()) + 1e-3, SKIRT_PART, ""))
    if look.tress:
        # From behind it lies over head and back; from the front the body hides all but what shows beside the neck.
        behind = stage.figure.head[2, 2] < 0
        layers.append((stage.depth("nape") + 0.07 if behind else min(layers[:2])[0] - 1e-3, HAIR_PART, ""))
    for _, part, side in sorted(layers):
        if part == TORSO_PART:
            _paint_torso(canvas, stage, look)
        elif part == HEAD_PART:
            paint_head(canvas, stage, look)
        elif part == SKIRT_PART:
            _paint_skirt(canvas, stage, look)
        elif part == HAIR_PART:
            _paint_tress(canvas, stage, look)
        elif part == ARM_PART[side]:
            _paint_arm(canvas, stage, look, side)
        else:
            _paint_leg(canvas, stage, look, side)


def _sleeve(shape: Shape, cloth: Float, skin: Colour, covered: float, length: float) -> Float:
    """(3, h, w) cloth on the first `covered` of the limb, then skin; the seam is smooth over one px."""
    if covered <= 0:
        return skin
    if covered >= 1:
        return cloth
    return mix(cloth, skin, (shape.along - np.float32(covered)) * np.float32(max(length, 1.0)) + 0.5)


def _pattern(shape: Shape, look: Stage1Scorer, repeats: float) -> Float:
    """(3, h, w) the top's cloth."""
    if look.pattern == "hoops":
        share = 0.5 + 3 * np.sin(2 * np.pi * repeats * shape.along)
    elif look.pattern == "stripes":
        share = 0.5 + 3 * np.sin(2 * np.pi * 2.2 * shape.across)
    elif look.pattern == "dots":
        share = 4 * (np.cos(2 * np.pi * repeats * shape.along) * np.cos(2 * np.pi * 2 * shape.across) - 0.4)
    elif look.pattern == "halves":
        share = (shape.along - 0.45) * 20
    else:
        share = np.zeros_like(shape.along)
    return mix(look.top, look.trim, share.astype(np.float32))


def _paint_arm(canvas: Canvas, stage: Projection, look: Stage1Scorer, side: str) -> None:
    shoulder, elbow, wrist, hand = (stage[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "hand"))
    s = look.stout
    upper = canvas.capsule(shoulder, elbow, 0.038 * s * shoulder[2], 0.029 * s * elbow[2])
    lower = canvas.capsule(elbow, wrist, 0.029 * s * elbow[2], 0.02 * wrist[2])
    palm = canvas.capsule(wrist, hand, 0.021 * wrist[2], 0.026 * hand[2])
    covered = look.sleeves, look.sleeves - 1
    cloths = [_pattern(upper, look, 2.0), _pattern(lower, look, 2.0)]
    if look.pattern == "halves":
        cloths = [look.top, look.trim]
    colours = [
        _sleeve(shape, cloth, look.skin, share, float(np.hypot(b[0] - a[0], b[1] - a[1])))
        for shape, cloth, share, a, b in zip(
            (upper, lower), cloths, covered, (shoulder, elbow), (elbow, wrist), strict=True
        )
    ]
    paint_jointed(canvas, [palm, lower, upper], [look.skin, *reversed(colours)], OUTLINE * stage.scale, ARM_PART[side])


def _paint_leg(canvas: Canvas, stage: Projection, look: Stage1Scorer, side: str) -> None:
    hip, knee, ankle, foot = (stage[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot"))
    s = look.stout
    upper = canvas.capsule(hip, knee, 0.056 * s * hip[2], 0.04 * s * knee[2])
    lower = canvas.capsule(knee, ankle, 0.039 * s * knee[2], 0.026 * ankle[2])
    shoe = canvas.capsule(ankle, foot, 0.028 * ankle[2], 0.024 * foot[2])
    covered = look.legs, look.legs - 1
    colours = [
        _sleeve(shape, look.bottom, look.skin, share, float(np.hypot(b[0] - a[0], b[1] - a[1])))
        for shape, share, a, b in zip((upper, lower), covered, (hip, knee), (knee, ankle), strict=True)
    ]
    shapes, paints = [upper, lower, shoe], [*colours, look.shoes]
    if stage.depth(f"{side}_ankle") < stage.depth(f"{side}_knee"):
        shapes, paints = shapes[::-1], paints[::-1]
    paint_jointed(canvas, shapes, paints, OUTLINE * stage.scale, LEG_PART[side])


def _paint_torso(canvas: Canvas, stage: Projection, look: Stage1Scorer) -> None:
    """Shoulders to hips; what is worn on the chest tells the front from the back."""
    corners = {name: np.array(stage[name][:2]) for name in ("neck", *_of_torso("shoulder"), *_of_torso("hip"))}
    left: list[NDArray[np.float64]] = []
    right: list[NDArray[np.float64]] = []
    for side, points in (("left", left), ("right", right)):
        shoulder, hip = corners[f"{side}_shoulder"], corners[f"{side}_hip"]
        middle = (corners["neck"] + (corners["left_hip"] + corners["right_hip"]) / 2) / 2
        waist = 0.22 * middle + 0.78 * (0.45 * shoulder + 0.55 * hip)
        points += [0.86 * shoulder + 0.14 * corners["neck"], waist, hip]
    shape = canvas.polygon(np.array([*left, *reversed(right)]), 0.04 * look.stout * stage.scale)
    cloth = _pattern(shape, look, 3.5)
    along, across = shape.along, shape.across
    sharp = np.float32(0.25 * stage.scale)  # about one px, in units of `along`
    if stage.figure.torso[2, 2] > 0.15:
        if look.front == "v-neck":
            cloth = mix(cloth, look.skin, (0.2 - along - 0.45 * np.abs(across)) * sharp)
        elif look.front == "buttons":
            cloth = mix(cloth, np.float32(0.35) * look.top, (0.05 - np.abs(across)) * sharp)
            cloth = mix(cloth, rgb(245, 245, 245), (np.cos(along * 30) - 0.3) * (np.abs(across) < 0.09) * 4)
        elif look.front == "badge":
            cloth = mix(cloth, look.trim, (0.24 - np.hypot(along - 0.38, 0.55 * across)) * sharp)
        else:
            cloth = mix(
                cloth, look.trim * np.float32(0.8), (0.06 + 0.1 * along - np.abs(across)) * sharp * (along < 0.62)
            )
    cloth = mix(cloth, look.bottom, (along - 0.86) * sharp)
    if not look.skirt:
        cloth = mix(cloth, look.belt, (0.03 - np.abs(along - 0.86)) * sharp)
    canvas.line(shape, OUTLINE * stage.scale, np.float32(0.28) * look.top)
    canvas.fill(shape, cloth, TORSO_PART)


def _of_torso(kind: str) -> tuple[str, str]:
    return f"left_{kind}", f"right_{kind}"


def _paint_skirt(canvas: Canvas, stage: Projection, look: Stage1Scorer) -> None:
    waist = [np.array(stage[name][:2]) for name in _of_torso("hip")]
    knees = [np.array(stage[name][:2]) for name in _of_torso("knee")]
    left, right = (hip + look.skirt * (knee - hip) for hip, knee in zip(waist, knees, strict=True))
    flare = 0.12 * (left - right)
    shape = canvas.polygon(np.array([waist[0], left + flare, right - flare, waist[1]]), 0.05 * look.stout * stage.scale)
    folds = look.bottom * (1 + 0.12 * np.sin(9 * shape.across))
    canvas.line(shape, OUTLINE * stage.scale, np.float32(0.28) * look.bottom)
    canvas.fill(shape, folds.astype(np.float32), SKIRT_PART)


def _paint_tress(canvas: Canvas, stage: Projection, look: Stage1Scorer) -> None:
    nape, tip = stage["nape"], stage["tress"]
    shape = canvas.capsule(nape, tip, HEAD_WIDE * (0.35 + 0.6 * look.tress) * nape[2], HEAD_WIDE * look.tress * tip[2])
    strands = look.hair * (1 + 0.1 * np.sin(11 * shape.across))
    canvas.line(shape, OUTLINE * stage.scale, np.float32(0.28) * look.hair)
    canvas.fill(shape, strands.astype(np.float32), HAIR_PART)


def paint_head(canvas: Canvas, stage: Projection, look: Stage1Scorer) -> None:
    """An ellipsoid with a face painted on its front and hair on the rest, seen from wherever the viewer is."""
    neck, centre = stage["neck"], stage["head"]
    throat = canvas.capsule(neck, centre, 0.031 * look.stout * neck[2], 0.028 * look.stout * centre[2])
    canvas.line(throat, OUTLINE * stage.scale, np.float32(0.4) * look.skin)
    canvas.fill(throat, look.skin * np.float32(0.9), HEAD_PART)

    window, x, y = canvas.window(centre[:1], centre[1:2], HEAD_LONG * centre[2] + 3)
    # (3, 3) view coordinates to the unit sphere's. For each pixel find its nearest point to the viewer on the sphere.
    to_sphere = (stage.figure.head.T / np.array([[HEAD_WIDE], [HEAD_LONG], [HEAD_WIDE]])).astype(np.float32)
    vx, vy = (x - np.float32(centre[0])) / np.float32(centre[2]), (np.float32(centre[1]) - y) / np.float32(centre[2])
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
    colour = mix(look.skin, look.hair, hairy * radius + 0.5)
    ear = np.hypot(np.hypot(up + 0.08, front - 0.02), np.abs(left) - 0.97)
    colour = mix(colour, look.skin * np.float32(0.85), (0.26 - ear) * radius)
    for eye in (-0.38, 0.38):
        at = np.hypot(left - eye, 0.85 * (up - 0.02))
        colour = mix(colour, rgb(250, 250, 250), spot(at - 0.27))
        colour = mix(colour, rgb(20, 20, 30), spot(at - 0.14))
    colour = mix(colour, look.skin * np.float32(0.78), spot(np.hypot(left, 0.8 * (up + 0.24)) - 0.12))
    mouth = np.hypot(np.maximum(np.abs(left) - 0.2, 0), up + 0.53 - 0.5 * left * left) - 0.08
    colour = mix(colour, rgb(150, 40, 44), spot(mouth))
    canvas.line(shape, OUTLINE * stage.scale, np.float32(0.3) * look.hair)
    canvas.fill(shape, colour, HEAD_PART)
