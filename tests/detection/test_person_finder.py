"""Where people are, for every value of `--box`; the cascade's own search finds each once, and nobody in an empty
image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeppose_cli.config.defaults import FACE_PLACEMENT
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.geometry import Box, FloatArray
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.detection.person_finder import (
    PersonFinder,
    Stage1Scorer,
    box_around_pose,
    non_max_suppression,
    search_people,
    stage1_scorer,
    windows,
)
from deeppose_cli.models.cascade import Cascade, Stage
from tests.detection.test_detectors import scene

EMPTY = np.full((60, 40, 3), 90, np.uint8)
FILE = Path("in/x.png")
STANDING = np.random.default_rng(3).uniform(-0.5, 0.5, (14, 2)) * (0.5, 1)
"""A pose of height about 1."""


def person(x: float, y: float, height: float) -> FloatArray:
    return STANDING * height + (x, y)


def scorer(people: list[FloatArray]) -> Stage1Scorer:
    """Finds the person nearest to a box's centre, more confident and with less error the better the box fits."""

    def score(image: FloatArray, boxes: FloatArray) -> tuple[FloatArray, FloatArray]:
        poses, confidence = [], []
        for x, y, side, other in boxes:
            fits = []
            for pose in people:
                fx, fy, fit, _ = box_around_pose(pose)
                fits.append(np.exp(-np.hypot(fx - x, fy - y) / fit - abs(np.log2(max(side, other) / fit)) / 2))
            best = int(np.argmax(fits)) if people else -1
            confidence.append(fits[best] if people else 0.2)
            poses.append(people[best] + (1 - fits[best]) * 0.2 * side if people else STANDING * side + (x, y))
        return np.array(poses), np.array(confidence)

    return score


def test_the_whole_image_and_a_box_of_the_user() -> None:
    assert PersonFinder("image").find(EMPTY, FILE) == [Box.of_image(40, 60)]
    assert PersonFinder("10,20,30,16").find(EMPTY, FILE) == [Box(24.5, 27.5, 30, 16)]
    assert PersonFinder("-5,-5,10,10").find(EMPTY, FILE) == [Box(-0.5, -0.5, 10, 10)]
    with pytest.raises(DeepPoseError, match=r"x.png: --box lies outside of the image \(40 × 60 px\)"):
        PersonFinder("40,0,9,9").find(EMPTY, FILE)


@pytest.mark.parametrize("spec", ["own", "torso", "joints", "head", "1,2,3", "1,2,0,4"])
def test_other_values_are_usage_errors(spec: str) -> None:
    with pytest.raises(UsageError, match=f"^--box {spec}: "):
        PersonFinder(spec)


def test_the_box_around_a_face_and_the_whole_image_where_there_is_none() -> None:
    finder = PersonFinder("face")
    (box,) = finder.find(scene(400, 600, (200, 150, 80)), FILE)
    assert abs(box[0] - 200) < 15
    assert box[2] == pytest.approx(FACE_PLACEMENT.width * 80, rel=0.25)
    assert finder.find(EMPTY, FILE) == [Box.of_image(40, 60)]
    assert PersonFinder("person").find(EMPTY, FILE) == [Box.of_image(40, 60)]


def test_every_face_for_a_cascade_of_upper_bodies() -> None:
    finder = PersonFinder("auto", "torso", scorer([]))
    found = finder.find(scene(900, 600, (200, 150, 90), (650, 160, 110)), FILE)
    assert sorted(round(box[0], -2) for box in found) == [200, 700]
    assert finder.find(EMPTY, FILE) == [Box.of_image(40, 60)]


def test_the_cascade_searches_itself_with_auto_only() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    people = scorer([person(110, 130, 180), person(330, 120, 150)])
    assert len(PersonFinder("auto", "image", people).find(image, FILE)) == 2
    assert PersonFinder("auto", "image", scorer([])).find(image, FILE) == []
    whole = [Box.of_image(640, 480)]
    assert PersonFinder("image", "image", people).find(image, FILE) == whole
    assert PersonFinder("auto", "image").find(image, FILE) == whole  # its confidence was not measured


def test_boxes_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text("image,x,y,w,h\nx.png,0,0,40,60\nfar.png,90,0,9,9\n")
    finder = PersonFinder(str(file))
    assert finder.find(EMPTY, FILE) == [Box.of_image(40, 60)]
    assert finder.find(EMPTY, Path("y.png")) == []
    with pytest.raises(DeepPoseError, match=r"a box of .* lies outside"):
        finder.find(EMPTY, Path("far.png"))


def test_which_finders_depend_on_the_image() -> None:
    finders = {
        "searches": PersonFinder("auto", "image", scorer([])),
        "faces": PersonFinder("auto", "face"),
        "face": PersonFinder("face"),
        "image": PersonFinder("image"),
        "no scorer": PersonFinder("auto", "image"),
        "box": PersonFinder("1,2,3,4"),
    }
    assert [name for name, finder in finders.items() if finder.is_dynamic] == ["searches", "faces", "face"]
    assert [name for name, finder in finders.items() if finder.is_whole_image] == ["image", "no scorer"]


# Search by the cascade


def test_each_of_several_is_found_once() -> None:
    people = [person(110, 130, 180), person(330, 120, 150), person(520, 330, 200)]
    found = search_people(scorer(people), np.zeros((480, 640, 3), np.uint8))
    assert len(found) == 3
    for pose in people:
        wanted = box_around_pose(pose)
        nearest = min(found, key=lambda box: abs(box[0] - wanted[0]) + abs(box[1] - wanted[1]))
        np.testing.assert_allclose(nearest, wanted, rtol=0.15, atol=10)


def test_nobody() -> None:
    assert search_people(scorer([]), np.zeros((480, 640, 3), np.uint8)) == []


def test_people_smaller_than_the_windows_are_left_out() -> None:
    people = [person(110, 130, 180), person(330, 120, 30)]
    (found,) = search_people(scorer(people), np.zeros((480, 640, 3), np.uint8))
    assert abs(found[0] - box_around_pose(people[0])[0]) < 10
    (found,) = search_people(scorer([person(20, 20, 30)]), np.zeros((40, 40, 3), np.uint8))
    assert found[2] < 60


def test_a_doubtful_pose_is_better_than_none_but_alone() -> None:
    def score(image: FloatArray, boxes: FloatArray) -> tuple[FloatArray, FloatArray]:
        return boxes[:, None, :2] + STANDING * boxes[:, None, 2:], np.linspace(0.45, 0.4, len(boxes))

    assert len(search_people(score, np.zeros((300, 300, 3), np.uint8))) == 1


@given(st.integers(1, 3000), st.integers(1, 3000))
@settings(deadline=None)
def test_windows_cover_the_image_and_are_not_too_many(width: int, height: int) -> None:
    boxes = windows(width, height)
    assert tuple(boxes[0]) == Box.of_image(width, height)
    assert len(boxes) <= 60 * max(width, height) / min(width, height) + 1
    sides = {box[2] for box in boxes[1:]}
    for side in sides:
        same = boxes[1:][boxes[1:, 2] == side]
        assert (same[:, :2] - side / 2).min() == pytest.approx(-0.5)
        assert (same[:, :2] + side / 2).max(0) == pytest.approx([width - 0.5, height - 0.5])


def test_poses_of_one_person_become_the_most_confident() -> None:
    poses = np.array([person(0, 0, 100), person(4, 3, 104), person(90, 0, 100)])
    assert non_max_suppression(poses, np.array([0.5, 0.7, 0.6])) == [1, 2]
    assert non_max_suppression(poses[:0], np.zeros(0)) == []


def test_a_cascade_without_calibration_has_no_scorer() -> None:
    assert stage1_scorer(Cascade(LSP14, [Stage(None, 32)], square_initial_box=True)) is None  # type: ignore[arg-type]
