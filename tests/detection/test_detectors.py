"""OpenCV's detector of faces, on synthetic ones, and the cache of their detections."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deeppose_cli.core.geometry import overlap
from deeppose_cli.detection.detectors import CACHE_FOLDER, HaarFaceDetector, detect_cached
from deeppose_cli.media.images import Image


def draw_face(image: Image, x: int, y: int, side: int) -> None:
    """A face as tall as `side` px with its middle at (x, y)."""

    def oval(cx: float, cy: float, rx: float, ry: float, color: tuple[int, int, int]) -> None:
        centre, radii = (round(x + cx * side), round(y + cy * side)), (round(rx * side), round(ry * side))
        cv2.ellipse(image, centre, radii, 0, 0, 360, color, -1)

    oval(0, -0.1, 0.46, 0.55, (60, 45, 35))
    oval(0, 0, 0.38, 0.5, (224, 180, 150))
    for eye in (-0.17, 0.17):
        oval(eye, -0.18, 0.11, 0.03, (70, 50, 40))
        oval(eye, -0.08, 0.09, 0.045, (150, 110, 90))
        oval(eye, -0.08, 0.04, 0.04, (30, 20, 20))
    oval(0, 0.12, 0.07, 0.04, (180, 130, 105))
    oval(0, 0.28, 0.15, 0.04, (150, 70, 70))


def scene(width: int, height: int, *faces: tuple[int, int, int]) -> Image:
    image = np.full((height, width, 3), 110, np.uint8)
    for face in faces:
        draw_face(image, *face)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), width / 200), dtype=np.uint8)


@pytest.mark.parametrize(("width", "side"), [(400, 60), (400, 150), (1600, 400)])
def test_a_face_is_found_where_it_is_whatever_the_size_of_the_image(width: int, side: int) -> None:
    x, y = width // 2, width // 3
    best = HaarFaceDetector().find(scene(width, width * 3 // 4, (x, y, side)))[0]
    assert np.hypot(best[0] - x, best[1] - y) < 0.15 * side
    assert 0.8 * side < best[2] < 1.3 * side


def test_two_faces_are_two_boxes() -> None:
    found = HaarFaceDetector().find(scene(600, 300, (150, 150, 90), (430, 140, 130)))
    strong = found[found[:, 4] >= 0.3 * found[0, 4]]
    assert sorted(round(x, -1) for x in strong[:, 0]) == [150, 430]


def test_an_image_without_faces_has_no_boxes() -> None:
    empty = np.full((300, 400, 3), 110, np.uint8)
    assert HaarFaceDetector().find(empty).shape == (0, 5)
    assert HaarFaceDetector().find(np.zeros((1, 1, 3), np.uint8)).shape == (0, 5)


def test_overlap_of_two_boxes() -> None:
    one = np.array([0.0, 0, 10, 10])
    assert overlap(one, one) == 1
    assert overlap(one, np.array([5.0, 0, 10, 10])) == pytest.approx(50 / 150)
    assert overlap(one, np.array([10.0, 0, 10, 10])) == 0
    assert overlap(one, np.array([3.0, 3, 0, 0])) == 0


class Counting:
    """A detector whose score is the first pixel's brightness; it counts its calls."""

    name = "counting-1"

    def __init__(self) -> None:
        self.calls = 0

    def find(self, image: Image) -> NDArray[np.float64]:
        self.calls += 1
        return np.array([[1.0, 2, 3, 4, image[0, 0, 0]]])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, ...]:
    (tmp_path / "images").mkdir()
    names = tuple(tmp_path / "images" / f"{i}.png" for i in range(4))
    for i, file in enumerate(names):
        cv2.imwrite(str(file), np.full((4, 4, 3), i, np.uint8))
    return names


def test_no_image_is_searched_twice(files: tuple[Path, ...], tmp_path: Path) -> None:
    detector = Counting()
    first = detect_cached(detector, (*files, files[0]), tmp_path)
    assert detector.calls == 4
    assert [first[file][0, 4] for file in files] == [0, 1, 2, 3]
    again = detect_cached(detector, files, tmp_path)
    assert detector.calls == 4
    for file in files:
        np.testing.assert_array_equal(again[file], first[file])


def test_a_changed_image_is_searched_again(files: tuple[Path, ...], tmp_path: Path) -> None:
    detector = Counting()
    detect_cached(detector, files, tmp_path)
    cv2.imwrite(str(files[2]), np.full((4, 4, 3), 77, np.uint8))
    os.utime(files[2], ns=(1, 1))
    assert detect_cached(detector, files, tmp_path)[files[2]][0, 4] == 77
    assert detector.calls == 5


def test_the_cache_moves_with_the_folder(files: tuple[Path, ...], tmp_path: Path) -> None:
    detector = Counting()
    detect_cached(detector, files, tmp_path)
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    detect_cached(detector, [moved / file.relative_to(tmp_path) for file in files], moved)
    assert detector.calls == 4


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"a": 7}', '{"a": [[1, 2]]}', '{"a": [[1, 2, 3, 4, null]]}', "null"]
)
def test_a_damaged_cache_is_made_anew(damage: str, files: tuple[Path, ...], tmp_path: Path) -> None:
    detector = Counting()
    detect_cached(detector, files, tmp_path)
    store = tmp_path / CACHE_FOLDER / "counting-1.json"
    store.write_text(damage)
    assert len(detect_cached(detector, files, tmp_path)) == 4
    assert detector.calls == 8
    assert len(json.loads(store.read_text())) >= 4


def test_an_unreadable_image_has_no_boxes_and_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    (tmp_path / CACHE_FOLDER).write_text("a file where the folder should be")
    found = detect_cached(Counting(), [broken, tmp_path / "missing.png"], tmp_path)
    assert [len(boxes) for boxes in found.values()] == [0, 0]
