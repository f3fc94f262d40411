"""Where the first box comes from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from deeppose_cli.boxes import first_boxes, parse_box, picture_size
from deeppose_cli.errors import DeepPoseError, UsageError
from deeppose_cli.samples import Annotations
from deeppose_cli.skeleton import LSP14

SIZES = [(30, 20), (17, 40), (8, 8)]


@pytest.fixture
def three(tmp_path: Path) -> Annotations:
    """Three pictures; the middle one's person has a box of its own."""
    files = tuple(tmp_path / f"{i}.png" for i in range(3))
    for file, (width, height) in zip(files, SIZES, strict=True):
        cv2.imwrite(str(file), np.zeros((height, width, 3), np.uint8))
    boxes = np.full((3, 4), np.nan)
    boxes[1] = [5, 6, 7, 8]
    return Annotations(LSP14, files, np.zeros((3, 14, 2)), boxes, tuple(file.name for file in files))


def of_image(size: tuple[int, int]) -> list[float]:
    """Pixel centres are at integers: a picture W wide covers -0.5 to W - 0.5."""
    return [(size[0] - 1) / 2, (size[1] - 1) / 2, *size]


@pytest.mark.parametrize(
    ("spec", "box"),
    [("10,20,30,40", (24.5, 39.5, 30, 40)), ("-5,-6.5,1,2", (-5, -6, 1, 2)), (" 1e1, 0 ,2,4", (10.5, 1.5, 2, 4))],
)
def test_left_top_width_height(spec: str, box: tuple[float, ...]) -> None:
    assert parse_box(spec) == pytest.approx(box)


@pytest.mark.parametrize(
    "spec", ["", "full", "1,2,3", "1,2,3,4,5", "1,2,3,x", "1,2,0,4", "1,2,3,-4", "nan,0,5,5", "0,0,inf,5", "0,0,5,nan"]
)
def test_what_is_no_box_is_a_usage_error(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_box(spec)
    assert str(caught.value).startswith(f"--box {spec}: ")
    assert caught.value.exit_code == 2


def test_the_size_is_read_without_decoding(tmp_path: Path) -> None:
    file = tmp_path / "cut.png"
    whole = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (33, 21, 3), np.uint8))[1].tobytes()
    file.write_bytes(whole[:200])  # header and some pixels
    assert picture_size(file) == (21, 33)
    for name, content in (("text.jpg", b"no picture"), ("empty.jpg", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DeepPoseError, match=name):
            picture_size(tmp_path / name)


def test_own_boxes_where_there_are_and_the_picture_elsewhere(three: Annotations) -> None:
    expected = [of_image(SIZES[0]), [5, 6, 7, 8], of_image(SIZES[2])]
    np.testing.assert_allclose(first_boxes(three), expected)
    assert np.isnan(three.boxes[0]).all(), "the annotations themselves were changed"


def test_image_leaves_own_boxes_aside(three: Annotations) -> None:
    np.testing.assert_allclose(first_boxes(three, "image"), [of_image(size) for size in SIZES])


def test_one_box_for_all(three: Annotations) -> None:
    np.testing.assert_allclose(first_boxes(three, "1,2,3,4"), [[2, 3.5, 3, 4]] * 3)
    np.testing.assert_allclose(first_boxes(three, "0,0,30,20")[0], first_boxes(three, "image")[0])
    with pytest.raises(UsageError, match="--box face"):
        first_boxes(three, "face")
    assert first_boxes(three.take([]), "own").shape == (0, 4)


def test_a_picture_whose_size_is_needed_is_named_when_it_is_missing(three: Annotations) -> None:
    three.files[0].unlink()
    with pytest.raises(DeepPoseError, match=r"0\.png"):
        first_boxes(three)
    assert len(first_boxes(three, "0,0,5,5")) == 3  # nobody asks for it
