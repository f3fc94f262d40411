"""Where people are, for every value of `--box`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deeppose_cli.config.defaults import FACE_PLACEMENT
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.geometry import Box
from deeppose_cli.detection.person_finder import PersonFinder
from tests.detection.test_detectors import scene
from tests.detection.test_person_search import person, scorer

EMPTY = np.full((60, 40, 3), 90, np.uint8)
FILE = Path("in/x.png")


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
