"""Initial boxes of a data set's examples."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.box_quality import describe, learn_placement
from deeppose_cli.config.defaults import FACE_PLACEMENT, TORSO_PLACEMENT, Placement
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import FLIC10, LSP14
from deeppose_cli.detection.box_file import parse_box
from deeppose_cli.detection.initial_boxes import (
    VALID,
    InitialBoxes,
    choose_face,
    choose_person,
    initial_boxes,
    place,
)
from deeppose_cli.media.images import image_size
from tests.detection.test_detectors import scene

SIZES = [(30, 20), (17, 40), (8, 8)]


@pytest.fixture
def three(tmp_path: Path) -> Annotations:
    """Three images; the middle one's person has a box of its own."""
    files = tuple(tmp_path / f"{i}.png" for i in range(3))
    for file, (width, height) in zip(files, SIZES, strict=True):
        cv2.imwrite(str(file), np.zeros((height, width, 3), np.uint8))
    boxes = np.full((3, 4), np.nan)
    boxes[1] = [5, 6, 7, 8]
    return Annotations(LSP14, files, np.zeros((3, 14, 2)), boxes, tuple(file.name for file in files))


def of_image(size: tuple[int, int]) -> list[float]:
    """Pixel centres are at integers: an image W wide covers -0.5 to W - 0.5."""
    return [(size[0] - 1) / 2, (size[1] - 1) / 2, *size]


@pytest.mark.parametrize(
    ("spec", "box"),
    [("10,20,30,40", (24.5, 39.5, 30, 40)), ("-5,-6.5,1,2", (-5, -6, 1, 2)), (" 1e1, 0 ,2,4", (10.5, 1.5, 2, 4))],
)
def test_left_top_width_height(spec: str, box: tuple[float, ...]) -> None:
    assert parse_box(spec, VALID) == pytest.approx(box)


@pytest.mark.parametrize(
    "spec", ["", "full", "1,2,3", "1,2,3,4,5", "1,2,3,x", "1,2,0,4", "1,2,3,-4", "nan,0,5,5", "0,0,inf,5", "0,0,5,nan"]
)
def test_a_value_that_is_no_box_is_a_usage_error(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_box(spec, VALID)
    assert str(caught.value).startswith(f"--box {spec}: ")
    assert caught.value.exit_code == 2


def test_the_size_is_read_without_decoding(tmp_path: Path) -> None:
    file = tmp_path / "cut.png"
    whole = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (33, 21, 3), np.uint8))[1].tobytes()
    file.write_bytes(whole[:200])  # header and some pixels
    assert image_size(file) == (21, 33)
    for name, content in (("text.jpg", b"no image"), ("empty.jpg", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DeepPoseError, match=name):
            image_size(tmp_path / name)


def test_own_boxes_where_there_are_and_the_image_elsewhere(three: Annotations) -> None:
    expected = [of_image(SIZES[0]), [5, 6, 7, 8], of_image(SIZES[2])]
    np.testing.assert_allclose(initial_boxes(three).boxes, expected)
    assert np.isnan(three.boxes[0]).all(), "the annotations themselves were changed"


def test_image_leaves_own_boxes_aside(three: Annotations) -> None:
    np.testing.assert_allclose(initial_boxes(three, "image").boxes, [of_image(size) for size in SIZES])


def test_one_box_for_all(three: Annotations) -> None:
    np.testing.assert_allclose(initial_boxes(three, "1,2,3,4").boxes, [[2, 3.5, 3, 4]] * 3)
    np.testing.assert_allclose(initial_boxes(three, "0,0,30,20").boxes[0], initial_boxes(three, "image").boxes[0])
    with pytest.raises(UsageError, match="--box head"):
        initial_boxes(three, "head")
    assert initial_boxes(three.take([]), "own").boxes.shape == (0, 4)


def test_an_image_whose_size_cannot_be_read_has_no_box(three: Annotations) -> None:
    three.files[0].unlink()
    assert np.isnan(initial_boxes(three).boxes).any(-1).tolist() == [True, False, False]
    assert not np.isnan(initial_boxes(three, "0,0,5,5").boxes).any()  # it is not needed


def test_the_joints_own_box_is_tight_and_called_an_upper_bound(three: Annotations) -> None:
    three.keypoints[0] = np.nan
    three.keypoints[1, :, 0], three.keypoints[1, :, 1] = np.arange(14), np.linspace(3, 8, 14)
    three.keypoints[1, 13] = np.nan
    found = initial_boxes(three, "joints")
    low, high = np.array([0, 3]), np.array([12, 3 + 5 * 12 / 13])
    np.testing.assert_allclose(found.boxes[1], [*(low + high) / 2, *(high - low)])
    # Nothing labelled, and all joints on one spot: the whole image.
    assert found.found.tolist() == [False, True, False]
    np.testing.assert_allclose(found.boxes[[0, 2]], [of_image(SIZES[0]), of_image(SIZES[2])])
    assert "upper bound" in found.summary()
    assert "found for 1 of 3" in found.summary()


def test_the_torso_box_is_enlarged_and_refused_where_there_is_none(three: Annotations) -> None:
    with pytest.raises(UsageError, match="--box torso"):
        initial_boxes(three, "torso")
    torsos = np.array([[10.0, 12, 6, 8], [np.nan] * 4, [20, 30, 10, 10]])
    some = Annotations(LSP14, three.files, three.keypoints, three.boxes, three.names, torsos)
    found = initial_boxes(some, "torso")
    p = TORSO_PLACEMENT
    np.testing.assert_allclose(found.boxes[0], [10, 12 + 8 * p.dy, 8 * p.width, 8 * p.height])
    assert found.found.tolist() == [True, False, True]
    np.testing.assert_allclose(found.boxes[1], of_image(SIZES[1]))


@pytest.fixture
def frame(tmp_path: Path) -> Annotations:
    """One frame, two people: a small face left, a large one right; the torso box says that the left one is meant, then
    the right one, then someone without a face."""
    cv2.imwrite(str(tmp_path / "frame.png"), scene(600, 400, (150, 120, 70), (430, 140, 120)))
    height = {150: 150.0, 430: 255.0}
    torsos = [[x, y + 0.9 * height[x], 0.67 * height[x], height[x]] for x, y in ((150, 120), (430, 140))]
    torsos.append([290.0, 300, 40, 60])
    n = len(torsos)
    empty = np.full((n, len(FLIC10), 2), np.nan), np.full((n, 4), np.nan)
    names = tuple(f"frame.png#{i}" for i in range(n))
    return Annotations(FLIC10, (tmp_path / "frame.png",) * n, *empty, names, np.array(torsos))


def test_the_face_of_the_labelled_person(frame: Annotations, tmp_path: Path) -> None:
    found = initial_boxes(frame, "face", tmp_path)
    assert found.found.tolist() == [True, True, False]
    np.testing.assert_allclose(found.boxes[2], of_image((600, 400)))
    for box, x, side in ((found.boxes[0], 150, 70), (found.boxes[1], 430, 120)):
        assert abs(box[0] - x) < 0.2 * side
        assert box[2] == pytest.approx(FACE_PLACEMENT.width * side, rel=0.25)
        assert box[2] / box[3] == pytest.approx(FACE_PLACEMENT.width / FACE_PLACEMENT.height)
    assert "found for 2 of 3; the whole image for the rest" in found.summary()


def test_without_a_torso_box_the_face_with_most_votes() -> None:
    found = np.array([[10.0, 10, 20, 20, 50], [60, 10, 30, 30, 30], [90, 90, 80, 80, 3]])
    assert choose_face(found).tolist() == [10, 10, 20, 20]
    assert np.isnan(choose_face(found[:0])).all()
    assert np.isnan(choose_face(found[:0], np.array([5.0, 5, 5, 5]))).all()


def test_the_person_who_holds_the_torso() -> None:
    found = np.array([[10.0, 10, 20, 40, 5], [60, 20, 30, 60, 3]])
    assert choose_person(found).tolist() == [10, 10, 20, 40]
    assert choose_person(found, np.array([62.0, 25, 5, 5])).tolist() == [60, 20, 30, 60]
    assert np.isnan(choose_person(found, np.array([200.0, 25, 5, 5]))).all()


def test_a_placement_is_learned_and_put_back() -> None:
    """People whose joints fill a known rectangle around the face: that rectangle comes out, at any size and place."""
    rng = np.random.default_rng(0)
    n = 200
    size, centre = rng.uniform(5, 50, n), rng.uniform(0, 500, (n, 2))
    corners = np.array([[-2.0, -0.5], [2, -0.5], [-2, 4], [2, 4]])
    keypoints = centre[:, None] + size[:, None, None] * corners
    parts = np.column_stack([centre, size, size])
    parts[0] = keypoints[1] = np.nan
    placement = learn_placement(parts, keypoints)
    assert placement == Placement(pytest.approx(1.75), pytest.approx(4.0), pytest.approx(4.5))
    boxes = place(parts, placement)
    np.testing.assert_allclose(boxes[2:, :2] - boxes[2:, 2:] / 2, keypoints[2:, 0], atol=1e-9)
    with pytest.raises(ValueError, match="nobody"):
        learn_placement(parts[:1], keypoints[:1])


def test_a_placement_holds_the_share_of_people_that_is_given() -> None:
    rng = np.random.default_rng(1)
    parts = np.tile([0.0, 0, 1, 1], (1000, 1))
    keypoints = rng.normal(0, 1, (1000, 5, 2))
    for share in (0.5, 0.95):
        box = place(parts, learn_placement(parts, keypoints, share))[0]
        inside = (np.abs(keypoints - box[:2]) <= box[2:] / 2).all((1, 2)).mean()
        assert share <= inside < share + 0.03


def test_what_the_report_counts(three: Annotations) -> None:
    three.keypoints[:] = np.nan
    three.keypoints[0, :2] = [[0, 0], [10, 10]]  # all inside, the joints' box is a quarter of b⁰
    three.keypoints[1, :4] = [[0, 0], [10, 10], [0, 10], [25, 10]]  # one of four outside
    first = InitialBoxes(
        "face", np.array([[5.0, 5, 20, 20], [5, 5, 20, 20], [5, 5, 20, 20]]), np.array([True, False, True])
    )
    report = describe(three, first)
    assert report["people"] == 3
    assert report["found"] == pytest.approx(2 / 3, abs=1e-6)
    assert report["all_inside"] == 0.5  # of the two with labels
    assert report["all_inside_found"] == 1
    assert report["joints_inside"] == pytest.approx(5 / 6, abs=1e-6)
    assert report["overlap"] == pytest.approx((100 / 400 + 150 / (400 + 250 - 150)) / 2, abs=1e-6)
    assert report["size"] == pytest.approx((2 + 20 / 25) / 2)
