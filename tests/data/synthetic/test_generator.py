"""The generator: the same bytes for the same seed, and joints that are at their place in the image."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from deeppose_cli.core.skeleton import LSP14, SIDES
from deeppose_cli.data.synthetic.body import (
    HEAD_WIDE,
    LONG_SIDE,
    SHORT_SIDE,
    UPPER_LEG,
    Figure,
    Projection,
    framing,
    random_figure,
)
from deeppose_cli.data.synthetic.generator import SyntheticPerson, _is_covered, draw_person
from deeppose_cli.data.synthetic.painter import ENLARGEMENT, Canvas, Part, PersonPainter, capsule, random_appearance


@cache
def people(count: int, clutter: bool = True) -> list[SyntheticPerson]:
    return [draw_person(np.random.default_rng((7, i)), clutter=clutter) for i in range(count)]


def neighbourhood(image: np.ndarray, point: np.ndarray) -> np.ndarray:
    """(9, 3) the pixels around a point."""
    x, y = np.round(point).astype(int)
    return image[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(-1, 3).astype(int)


def test_same_seed_same_bytes() -> None:
    for i in range(3):
        again = draw_person(np.random.default_rng((7, i)))
        assert again.image.tobytes() == people(40)[i].image.tobytes()
        assert again.joints.tobytes() == people(40)[i].joints.tobytes()
        assert (again.occluded == people(40)[i].occluded).all()


def test_other_seed_other_person() -> None:
    assert len({drawing.image.tobytes() for drawing in people(40)}) == 40
    joints = np.array([drawing.joints for drawing in people(40)])
    assert joints.std(0).min() > 5  # px, each joint and axis


def test_types_and_sizes() -> None:
    for image, joints, occluded in people(40):
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        assert min(image.shape[:2]) >= SHORT_SIDE
        assert max(image.shape[:2]) <= LONG_SIDE[1]
        assert joints.shape == (14, 2)
        assert occluded.shape == (14,)
        assert occluded.dtype == bool


def test_joints_are_inside_the_image() -> None:
    for image, joints, _ in people(40):
        height, width = image.shape[:2]
        assert ((joints >= 0) & (joints <= (width - 1, height - 1))).all()


def test_the_person_fills_the_image_as_in_lsp() -> None:
    extents = [np.ptp(joints, axis=0) / image.shape[1::-1] for image, joints, _ in people(40)]
    assert 0.5 < np.median([extent.max() for extent in extents]) < 0.85


def test_a_mean_pose_does_not_do() -> None:
    """The set must not be solvable without the image: PDJ@0.2 of the mean pose in relative coordinates."""
    everyone = people(40)
    sizes = np.array([person.image.shape[1::-1] for person in everyone])[:, None]
    joints = np.array([person.joints for person in everyone])
    error = np.linalg.norm((joints / sizes).mean(0) * sizes - joints, axis=-1)
    a, b = LSP14.scale_index
    diameter = np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)
    assert (error <= 0.2 * diameter[:, None]).mean() < 0.25


def test_paint_is_where_the_joints_are() -> None:
    """On an even background every joint that is not at the rim of the body has color all around it."""
    for image, joints, _ in people(40, clutter=False):
        for name, joint in zip(LSP14.joints, joints, strict=True):
            different = np.abs(neighbourhood(image, joint) - image[0, 0]).sum(-1) > 12
            assert different.mean() > (0.2 if name == "head_top" else 0.85), name


def test_head_top_is_on_the_edge_of_the_head() -> None:
    """Along the line from the neck over the head top, paint ends within two px of the joint: one of outline, one of
    rounding. Heads in front of other parts do not count."""
    gaps = []
    for image, joints, _ in people(40, clutter=False):
        neck, top = joints[LSP14.index("neck")], joints[LSP14.index("head_top")]
        step = (top - neck) / np.linalg.norm(top - neck)
        if np.linalg.norm(top - neck) < 12:  # from above: the top is inside the head's outline
            continue
        beyond = [neighbourhood(image, top + k * step)[[4]] for k in range(7)]
        painted = [bool(np.abs(pixel - image[0, 0]).sum() > 60) for pixel in beyond]
        if not all(painted):
            gaps.append(painted.index(False))
    assert len(gaps) > 20
    assert np.median(gaps) <= 3


def figure(yaw: float) -> Figure:
    """The first upright figure with about this yaw."""
    for i in range(200):
        candidate = random_figure(np.random.default_rng((3, i)))
        facing = np.cos(np.radians(yaw)) * candidate.torso[2, 2]
        if facing > 0.85 and candidate.torso[1, 1] > 0.85:
            return candidate
    raise AssertionError("no such figure in 200")


@pytest.mark.parametrize(("yaw", "sign"), [(0, 1), (180, -1)])
def test_sides_are_the_persons(yaw: float, sign: int) -> None:
    """A person who faces the viewer has the left shoulder on the right of the image; from behind, on the left."""
    points = figure(yaw).points
    for kind in ("shoulder", "hip"):
        assert sign * (points[f"left_{kind}"][0] - points[f"right_{kind}"][0]) > 0


def head_colors(yaw: float) -> np.ndarray:
    """(n, 3) the head's pixels of that figure, painted with red skin and green hair."""
    person = figure(yaw)
    rng = np.random.default_rng(0)
    size, scale, origin = framing(person, rng)
    style = random_appearance(rng)
    canvas = Canvas(*size)
    body = Projection(person, scale, origin)
    red, green = np.array([255.0, 0, 0]), np.array([0, 255.0, 0])
    PersonPainter(canvas, body, dataclasses.replace(style, skin=red, hair=green)).head()
    x, y, near = body["head"]
    rows, columns = np.indices(size)
    return canvas.reduced()[np.hypot(columns - x, rows - y) < 0.9 * HEAD_WIDE * near]


def test_faces_are_in_front_and_hair_is_behind() -> None:
    face, back = head_colors(0), head_colors(180)

    def share(pixels: np.ndarray, channel: int) -> float:
        return float((pixels[:, channel] > pixels.sum(-1) - pixels[:, channel]).mean())

    assert share(face, 0) > 0.25
    assert face[:, 2].max() > 100  # blue is in the white of the eyes only
    assert share(back, 1) > 0.8
    assert back[:, 2].max() < 1


def test_limbs_keep_their_length_in_space_but_not_in_the_image() -> None:
    lengths = []
    for i in range(30):
        points = random_figure(np.random.default_rng((4, i))).points
        for side in SIDES:
            thigh = points[f"{side}_knee"] - points[f"{side}_hip"]
            assert np.linalg.norm(thigh) == pytest.approx(UPPER_LEG, rel=0.08)
            lengths.append(np.linalg.norm(thigh[:2]) / np.linalg.norm(thigh))
    assert min(lengths) < 0.5
    assert max(lengths) > 0.97


def test_occluded_is_what_something_else_covers() -> None:
    """A post painted over the right knee hides that joint, and only joints that it touches."""
    rng = np.random.default_rng(5)
    person = figure(0)
    size, scale, origin = framing(person, rng)
    canvas, body = Canvas(*size), Projection(person, scale, origin)
    PersonPainter(canvas, body, random_appearance(rng)).paint()
    before = [_is_covered(canvas, body, joint) for joint in LSP14.joints]
    knee = body["right_knee"]
    canvas.paint([(capsule(knee, knee, 4.0, 4.0), np.zeros(3))], Part.OCCLUDER)
    after = [_is_covered(canvas, body, joint) for joint in LSP14.joints]
    changed = [joint for joint, a, b in zip(LSP14.joints, before, after, strict=True) if a != b]
    assert changed == ["right_knee"]
    assert after[LSP14.index("right_knee")]


def test_some_joints_are_occluded_but_not_many() -> None:
    share = np.mean([person.occluded for person in people(40)])
    assert 0.02 < share < 0.2


def test_a_capsules_ends_are_its_axis() -> None:
    """Half of the axis lies on each side of its middle, and the ends reach beyond it by their radii, at fractions of a
    pixel."""
    canvas = Canvas(40, 60)
    canvas.paint([(capsule((10.25, 12.0), (43.25, 12.0), 5.0, 3.0), np.full(3, 200.0))], Part.LEFT_ARM)
    covered = canvas.reduced()[..., 0].astype(float) / 200
    assert covered[12].sum() == pytest.approx(43.25 + 3 - (10.25 - 5), abs=0.5)
    assert covered[:, 10].sum() == pytest.approx(2 * 5.0, abs=0.5)
    assert covered[:, 43].sum() == pytest.approx(2 * 3.0, abs=0.5)
    assert (canvas.owner[canvas.place(10, 12)], canvas.owner[0, 0]) == (Part.LEFT_ARM, Part.BACKGROUND)


def test_shapes_beyond_the_image_are_cut_off() -> None:
    canvas = Canvas(20, 20)
    color = np.array([200.0, 0, 0])
    canvas.paint([(capsule((-50.0, -50.0), (-40.0, -40.0), 4.0, 4.0), color)], Part.OCCLUDER)
    assert not canvas.pixels.any()
    canvas.paint([(capsule((-5.0, 10.0), (40.0, 10.0), 2.0, 2.0), color)], Part.OCCLUDER)
    assert canvas.pixels[10 * ENLARGEMENT, :, 0].min() > 100
    assert not canvas.pixels[: 7 * ENLARGEMENT].any()
