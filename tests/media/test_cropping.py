"""Cutting what the networks see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeppose_cli.core.geometry import Box, crop_matrix
from deeppose_cli.media.cropping import MEAN_COLOR, crop, crops
from tests.media.test_images import noise


def turn_about(x: float, y: float, degrees: float) -> np.ndarray:
    """(2, 3) rotation about a point, from px of an image to px of the turned one."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y]])


def slow_crop(image: np.ndarray, box: Box, size: int, turn: np.ndarray) -> np.ndarray:
    """Bilinear sampling, pixel by pixel; pixels that are not in the image have the mean color."""
    height, width = image.shape[:2]
    cx, cy, w, h = box
    back = np.linalg.inv(np.vstack([turn, [0, 0, 1]]))

    def pixel(x: int, y: int) -> np.ndarray:
        inside = 0 <= x < width and 0 <= y < height
        return image[y, x].astype(float) if inside else np.array(MEAN_COLOR, float)

    out = np.empty((size, size, 3))
    for v in range(size):
        for u in range(size):
            x, y, _ = back @ [cx + ((u + 0.5) / size - 0.5) * w, cy + ((v + 0.5) / size - 0.5) * h, 1.0]
            x0, y0 = int(np.floor(x)), int(np.floor(y))
            a, b = x - x0, y - y0
            top = (1 - a) * pixel(x0, y0) + a * pixel(x0 + 1, y0)
            bottom = (1 - a) * pixel(x0, y0 + 1) + a * pixel(x0 + 1, y0 + 1)
            out[v, u] = (1 - b) * top + b * bottom
    return out


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    centre=st.tuples(st.floats(-15, 40), st.floats(-15, 40)),
    side=st.tuples(st.floats(0.5, 17.9), st.floats(0.5, 17.9)),  # less than twice the crop: nothing is averaged
    degrees=st.one_of(st.none(), st.floats(-180, 180)),
)
def test_a_crop_is_what_bilinear_sampling_of_the_box_gives(
    seed: int,
    shape: tuple[int, int],
    centre: tuple[float, float],
    side: tuple[float, float],
    degrees: float | None,
) -> None:
    image, box = noise(*shape, seed), Box(*centre, *side)
    turn = None if degrees is None else turn_about(8.3, 9.1, degrees)
    found = crop(image, box, 9, turn=turn)
    difference = np.abs(found.astype(float) - slow_crop(image, box, 9, turn_about(0, 0, 0) if turn is None else turn))
    # OpenCV rounds positions to 1/32 px: at most 1/64 off on each axis, times the steepest edge, and the rounding.
    assert difference.max() <= 255 / 32 + 1.5
    assert difference.mean() <= 3


def test_outside_the_image_there_is_the_mean_color() -> None:
    found = crop(np.zeros((10, 10, 3), np.uint8), Box(0, 4.5, 20, 10), 20)
    np.testing.assert_array_equal(found[:, :9], np.broadcast_to(MEAN_COLOR, (20, 9, 3)))
    assert not found[2:-2, 11:-2].any()


@pytest.mark.parametrize("side", [1, 2, 31, 64])
def test_a_box_that_is_the_image_gives_the_image(side: int) -> None:
    image = noise(side, side)
    np.testing.assert_array_equal(crop(image, Box.of_image(side, side), side), image)


def test_a_box_of_whole_pixels_gives_these_pixels() -> None:
    image = noise(40, 50)
    np.testing.assert_array_equal(crop(image, Box.of_corners(6.5, 9.5, 22.5, 25.5), 16), image[10:26, 7:23])


@pytest.mark.parametrize("ratio", [2.0, 4.0, 8.0, 9.7, 12.5, 20.0])
def test_fine_detail_is_averaged_when_a_crop_reduces_much(ratio: float) -> None:
    side = int(32 * ratio)
    board = np.indices((side, side)).sum(0) % 2 * 255
    found = crop(np.dstack([board.astype(np.uint8)] * 3), Box.of_image(side, side), 32)
    assert np.abs(found.astype(float) - 127.5).max() < 20


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.9, 3.3, 4.0, 4.9, 7.7, 13.0])
@pytest.mark.parametrize("degrees", [None, 33.0, -120.0])
def test_a_blob_is_where_the_crops_transform_is(ratio: float, degrees: float | None) -> None:
    rng = np.random.default_rng(int(ratio * 10))
    size, width, height = 48, 1403, 1211
    y, x = np.arange(height)[:, None], np.arange(width)
    for _ in range(3):
        at, side = rng.uniform(580, 630, 2), size * ratio
        box = Box(*(at + rng.uniform(-0.2, 0.2, 2) * side), side, side * rng.uniform(0.8, 1.2))
        weight = np.exp(-0.5 * ((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2.5 * max(1.0, ratio)) ** 2)
        turn = None if degrees is None else turn_about(*at + rng.uniform(-0.01, 0.01, 2) * side, degrees)
        blob = np.dstack([(255 * weight).astype(np.uint8)] * 3)
        found = crop(blob, box, size, turn=turn)[..., 0].astype(float)
        v, u = np.mgrid[0:size, 0:size]
        centroid = np.array([(found * u).sum(), (found * v).sum()]) / found.sum()
        there = at if turn is None else turn @ [*at, 1.0]
        expected = crop_matrix(box, size) @ [*there, 1.0]
        assert np.abs(centroid - expected).max() < 0.1


@pytest.mark.parametrize(
    "box",
    [
        Box(20, 20, 1e-6, 1e-6),
        Box(20, 20, 1e-6, 500),
        Box(20, 20, 1e7, 1e7),
        Box(1e6, -1e6, 30, 30),
        Box(20, 20, 3000, 2),
    ],
)
def test_degenerate_boxes_give_a_crop_all_the_same(box: Box) -> None:
    for shape in ((40, 40), (1, 40), (40, 1), (1, 1)):
        assert crop(noise(*shape), box, 16).shape == (16, 16, 3)


def test_a_box_far_outside_shows_the_mean_color_only() -> None:
    found = crop(noise(40, 40), Box(1e6, -1e6, 30, 30), 16)
    np.testing.assert_array_equal(found, np.broadcast_to(MEAN_COLOR, found.shape))


def test_many_crops_are_single_crops() -> None:
    image = noise(50, 60)
    boxes = np.random.default_rng(2).uniform(5, 60, (7, 4))
    many = crops(image, boxes, 11)
    np.testing.assert_array_equal(many, np.stack([crop(image, box, 11) for box in boxes]))
    assert crops(image, np.zeros((0, 4)), 11).shape == (0, 11, 11, 3)
