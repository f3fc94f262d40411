"""Tracked people keep their numbers, also across frames in which they are hidden."""

from __future__ import annotations

import numpy as np

from deeppose_cli.core.geometry import Box
from deeppose_cli.detection.person_finder import box_around_pose
from deeppose_cli.inference.tracker import MEMORY, SEARCH_INTERVAL, Tracker
from tests.detection.test_person_finder import person

IMAGE = np.zeros((400, 900, 3), np.uint8)
Places = dict[str, float | None]


class World:
    """People who walk; in each box the nearest one is predicted."""

    def __init__(self) -> None:
        self.people: dict[str, np.ndarray] = {}
        self.searches = 0
        self.tracker = Tracker(self.find, box_around_pose)

    def find(self, image: np.ndarray) -> list[Box]:
        self.searches += 1
        return [box_around_pose(pose) for pose in self.people.values()]

    def frame(self, **places: float | None) -> dict[str, int]:
        """Where everyone is, None: hidden. Returns the names and numbers of those who are tracked."""
        self.people = {name: person(x, 200, 160) for name, x in places.items() if x is not None}
        known = self.tracker.boxes(IMAGE)
        poses, confidence, names = [], [], []
        for _, box in known:
            far = {n: float(np.hypot(*(np.array(box_around_pose(p)[:2]) - box[:2]))) for n, p in self.people.items()}
            nearest = min(far, key=lambda name: far[name], default="")
            seen = nearest != "" and far[nearest] < 80
            poses.append(self.people[nearest] if seen else person(*box[:2], 160))
            confidence.append(0.9 if seen else 0.1)
            names.append(nearest)
        keep = self.tracker.update(np.array(poses).reshape(-1, 14, 2), np.array(confidence))
        return {name: number for name, (number, _), kept in zip(names, known, keep, strict=True) if kept}


def test_numbers_stay_while_people_walk_past_each_other() -> None:
    world = World()
    first = world.frame(anna=100.0, ben=800.0)
    assert sorted(first.values()) == [1, 2]
    for step in range(1, 60):
        assert world.frame(anna=100.0 + 5 * step, ben=800.0 - 3 * step) == first
    assert world.searches <= 60 / SEARCH_INTERVAL + 1


def test_a_person_who_was_hidden_for_a_while_gets_the_old_number_again() -> None:
    world = World()
    first = world.frame(anna=100.0, ben=500.0)
    for _ in range(SEARCH_INTERVAL):
        assert set(world.frame(anna=100.0, ben=None)) == {"anna"}
    for _ in range(SEARCH_INTERVAL):
        last = world.frame(anna=100.0, ben=510.0)
    assert last == first


def test_a_newcomer_gets_a_new_number_and_so_does_a_person_who_returns_much_later() -> None:
    world = World()
    world.frame(anna=100.0)
    for _ in range(SEARCH_INTERVAL):
        found = world.frame(anna=100.0, ben=700.0)
    assert found == {"anna": 1, "ben": 2}
    for _ in range(MEMORY + 2):
        world.frame(anna=100.0, ben=None)
    for _ in range(SEARCH_INTERVAL):
        found = world.frame(anna=100.0, ben=700.0)
    assert found == {"anna": 1, "ben": 3}


def test_two_who_become_one_leave_one() -> None:
    world = World()
    world.frame(anna=100.0, ben=400.0)
    tracker = world.tracker
    known = tracker.boxes(IMAGE)
    pose = person(100, 200, 160)
    assert tracker.update(np.array([pose, pose + 1]), np.array([0.6, 0.9])) == [False, True]
    assert [number for number, _ in tracker.boxes(IMAGE)] == [known[1][0]]


def test_without_a_measured_confidence_nobody_is_lost() -> None:
    tracker = Tracker(lambda _: [box_around_pose(person(100, 200, 160))], box_around_pose, newcomers=False)
    for step in range(50):
        ((number, _),) = tracker.boxes(IMAGE)
        assert number == 1
        assert tracker.update(person(100 + step, 200, 160)[None], np.array([np.nan])) == [True]


def test_an_empty_scene_is_searched_now_and_then_only() -> None:
    world = World()
    for _ in range(60):
        assert world.frame() == {}
    assert 4 <= world.searches <= 13
