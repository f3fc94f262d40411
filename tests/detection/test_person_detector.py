"""The detector of people: what its outputs mean, and synthetic people whose place is known."""

from __future__ import annotations

import itertools
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box, FloatArray, overlap
from deeppose_cli.data.synthetic.generator import draw_person
from deeppose_cli.detection.person_detector import FILE, MAX_OVERLAP, SIDE, PersonDetector, decode
from deeppose_cli.media.images import Image

Cell = tuple[int, int]


def outputs(people: dict[Cell, tuple[float, float, float]], rows: int = 12, columns: int = 16) -> list[FloatArray]:
    """Outputs of a network that is sure of people: (row, column) → logit, height and width in cells."""
    center, size, offset = np.full((1, rows, columns), -6.0), np.ones((2, rows, columns)), np.zeros((2, rows, columns))
    for (row, column), (logit, height, width) in people.items():
        center[0, row, column] = logit
        size[:, row, column] = height, width
        offset[:, row, column] = 0.75, 0.25
    return [center, size, offset]


@given(st.tuples(st.integers(0, 11), st.integers(0, 15)), st.floats(-1, 8), st.floats(1, 40), st.floats(1, 40))
def test_a_peak_is_a_box_around_its_centre(cell: Cell, logit: float, height: float, width: float) -> None:
    (found,) = decode(*outputs({cell: (logit, height, width)}))
    np.testing.assert_allclose(found, [cell[1] + 0.25, cell[0] + 0.75, width, height, 1 / (1 + np.exp(-logit))])


def test_neighbours_of_a_peak_and_unsure_cells_are_nobody() -> None:
    found = decode(*outputs({(4, 4): (3, 8, 4), (4, 5): (2, 8, 4), (9, 12): (-1.5, 8, 4), (9, 3): (-1.3, 8, 4)}))
    assert sorted(map(tuple, found[:, :2])) == [(3.25, 9.75), (4.25, 4.75)]


@pytest.fixture(scope="module")
def people() -> list[tuple[Image, Box]]:
    """Synthetic images of one person, and the box around its joints."""
    drawn = [draw_person(np.random.default_rng(seed)) for seed in range(6)]
    return [(one.image, Box.around(one.joints)) for one in drawn]


def on_canvas(image: Image, left: int, top: int, width: int, height: int) -> Image:
    canvas = np.full((height, width, 3), 128, np.uint8)
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


def best_overlap(found: FloatArray, box: Box) -> float:
    return max((overlap(one[:4], np.array(box)) for one in found), default=0.0)


def test_synthetic_people_are_found_where_they_are(people: list[tuple[Image, Box]]) -> None:
    detector = PersonDetector()
    overlaps = []
    for image, box in people:
        found = detector.find(image)
        assert (np.diff(found[:, 4]) <= 0).all()
        overlaps.append(best_overlap(found, box))
    assert np.median(overlaps) >= 0.6
    assert sum(value >= 0.5 for value in overlaps) >= len(people) - 1


@pytest.mark.parametrize(
    ("left", "top", "width", "height"), [(0, 0, 500, 300), (300, 120, 500, 300), (900, 40, 1200, 400)]
)
def test_a_person_is_found_anywhere_in_a_larger_image(
    people: list[tuple[Image, Box]], left: int, top: int, width: int, height: int
) -> None:
    image, (x, y, w, h) = people[0]
    found = PersonDetector().find(on_canvas(image, left, top, width, height))
    assert best_overlap(found, Box(x + left, y + top, w, h)) >= 0.5


def test_two_people_are_found_and_no_two_boxes_are_the_same(people: list[tuple[Image, Box]]) -> None:
    first, second = people[0][0], people[1][0]
    canvas = on_canvas(first, 20, 20, 2 * SIDE + 10, 400)
    canvas[20 : 20 + second.shape[0], 600 : 600 + second.shape[1]] = second
    found = PersonDetector().find(canvas)
    assert {x // 300 for x in found[:, 0]} == {0, 2}
    pairs = itertools.combinations(found[:, :4], 2)
    assert all(overlap(one, other) <= MAX_OVERLAP for one, other in pairs)


@pytest.mark.parametrize(
    ("width", "times", "sizes"), [(700, 1, [384]), (800, 2, [384]), (800, 1, [384, 768]), (1700, 1, [384, 768])]
)
def test_a_large_image_is_searched_more_closely_where_people_are_small(
    people: list[tuple[Image, Box]], width: int, times: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = people[0][0].repeat(times, axis=0).repeat(times, axis=1)
    detector, searched = PersonDetector(), []
    forward = detector._forward
    monkeypatch.setattr(detector, "_forward", lambda pixels: (searched.append(pixels.shape[3]), forward(pixels))[1])
    assert len(detector.find(on_canvas(image, 10, 10, width, 420)))
    assert searched == sizes


@pytest.mark.parametrize("shape", [(300, 400, 3), (1, 1, 3), (1, 5000, 3), (5000, 1, 3)])
def test_nobody_is_in_an_empty_image(shape: tuple[int, int, int]) -> None:
    assert PersonDetector().find(np.full(shape, 110, np.uint8)).shape == (0, 5)
    assert PersonDetector().find(np.zeros(shape, np.uint8)).shape == (0, 5)


def test_threads_share_a_detector(people: list[tuple[Image, Box]]) -> None:
    detector = PersonDetector()
    images = [image for image, _ in people] * 3
    alone = [detector.find(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(detector.find, images), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("damage", [b"", b"no network", None])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes | None) -> None:
    file = tmp_path / "finder.onnx"
    if damage is None:
        shutil.copy(FILE, file)
        file.write_bytes(file.read_bytes()[:100_000])
    else:
        file.write_bytes(damage)
    with pytest.raises(DeepPoseError, match=r"finder.onnx: missing or damaged"):
        PersonDetector(file).find(np.zeros((20, 20, 3), np.uint8))
