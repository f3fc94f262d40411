"""Where people are, for every value of `--box`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deeppose_cli.config.defaults import FACE_PLACEMENT
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.geometry import Box, FloatArray, overlap
from deeppose_cli.core.skeleton import LSP14, Skeleton
from deeppose_cli.data.synthetic.generator import draw_person
from deeppose_cli.detection.person_finder import PersonFinder, non_max_suppression
from deeppose_cli.media.images import Image
from tests.detection.test_detectors import scene

EMPTY = np.full((60, 40, 3), 90, np.uint8)
FILE = Path("in/x.png")
STANDING = np.random.default_rng(3).uniform(-0.5, 0.5, (14, 2)) * (0.5, 1)
"""A pose of height about 1."""


def person(x: float, y: float, height: float) -> FloatArray:
    return STANDING * height + (x, y)


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
    finder = PersonFinder("auto", "torso")
    found = finder.find(scene(900, 600, (200, 150, 90), (650, 160, 110)), FILE)
    assert sorted(round(box[0], -2) for box in found) == [200, 700]
    assert finder.find(EMPTY, FILE) == [Box.of_image(40, 60)]


def drawn_people() -> tuple[Image, list[Box]]:
    """Two synthetic people in one image, and the boxes around their joints."""
    canvas, boxes = np.full((260, 520, 3), 128, np.uint8), []
    for seed, left in ((1, 20), (2, 280)):
        drawn = draw_person(np.random.default_rng(seed))
        height, width = drawn.image.shape[:2]
        canvas[10 : 10 + height, left : left + width] = drawn.image
        boxes.append(Box.around(drawn.joints + np.array([left, 10])))
    return canvas, boxes


def test_everyone_is_found_with_auto_and_one_with_person() -> None:
    image, boxes = drawn_people()
    everyone = PersonFinder("auto", "own").find(image, FILE)
    assert len(everyone) == 2
    for box in boxes:
        assert max(overlap(np.array(box), np.array(found)) for found in everyone) >= 0.5
    assert PersonFinder("person", "own").find(image, FILE) == everyone[:1]
    assert PersonFinder("auto", "own").find(EMPTY, FILE) == []


def test_a_cascade_of_whole_images_gets_squares_with_a_margin() -> None:
    image, _ = drawn_people()
    for tight, square in zip(*(PersonFinder("auto", box).find(image, FILE) for box in ("own", "image")), strict=True):
        assert square[:2] == tight[:2]
        assert square[2] == square[3] == pytest.approx(1.35 * max(tight[2:]))


def test_a_cascade_that_is_not_of_people_gets_the_whole_image() -> None:
    image, _ = drawn_people()
    arm = Skeleton("arm", ("base", "elbow", "tip"))
    assert PersonFinder("auto", "own", arm).find(image, FILE) == [Box.of_image(520, 260)]
    assert len(PersonFinder("auto", "own", LSP14).find(image, FILE)) == 2


def test_boxes_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text("image,x,y,w,h\nx.png,0,0,40,60\nfar.png,90,0,9,9\n")
    finder = PersonFinder(str(file))
    assert finder.find(EMPTY, FILE) == [Box.of_image(40, 60)]
    assert finder.find(EMPTY, Path("y.png")) == []
    with pytest.raises(DeepPoseError, match=r"a box of .* lies outside"):
        finder.find(EMPTY, Path("far.png"))


def test_which_finders_depend_on_the_image() -> None:
    finders = {name: PersonFinder(name) for name in ("auto", "face", "person", "image", "1,2,3,4")}
    assert [name for name, finder in finders.items() if finder.is_dynamic] == ["auto", "face", "person"]
    assert [name for name, finder in finders.items() if finder.is_whole_image] == ["image"]


def test_poses_of_one_person_become_the_most_confident() -> None:
    poses = np.array([person(0, 0, 100), person(4, 3, 104), person(90, 0, 100)])
    assert non_max_suppression(poses, np.array([0.5, 0.7, 0.6])) == [1, 2]
    assert non_max_suppression(poses[:0], np.zeros(0)) == []


def test_a_child_before_an_adult_is_another_person() -> None:
    poses = np.array([person(0, 0, 200), person(0, 40, 90)])
    assert sorted(non_max_suppression(poses, np.array([0.9, 0.6]))) == [0, 1]
