"""Overlays: poses in their place, names beside the joints, every stage by itself."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from deeppose_cli.core.geometry import Box
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.models.cascade import Person
from deeppose_cli.visualization.annotate import AnnotationStyle, annotate_image


def person(poses: np.ndarray, track: int | None = None) -> Person:
    box = Box(30, 45, 50, 60)
    boxes = np.tile(np.array(box), (*poses.shape[:2], 1))
    return Person(box, poses, boxes, np.full(poses.shape[:2], np.nan), track)


def neck_at(*places: tuple[float, float]) -> np.ndarray:
    """(S, K, 2): a stage for each place, nothing but the neck."""
    poses = np.full((len(places), len(LSP14), 2), np.nan)
    poses[:, LSP14.index("neck")] = places
    return poses


GREY = np.full((60, 40, 3), 128, np.uint8)


def changed(shown: np.ndarray) -> np.ndarray:
    """(N, 2) y, x of all pixels that are not grey."""
    return np.argwhere((shown != 128).any(-1))


def test_the_pose_lies_on_the_same_spot_of_the_enlarged_image() -> None:
    shown = annotate_image(GREY, [person(neck_at((10, 45)))], LSP14)
    # Eight times as large: the centre of pixel 10 comes to (10 + 0.5) · 8 − 0.5.
    assert np.allclose(changed(shown).mean(0)[::-1], (83.5, 363.5), atol=0.6)
    assert np.array_equal(cv2.resize(shown, (40, 60), interpolation=cv2.INTER_NEAREST)[:30], GREY[:30])


def test_a_large_image_keeps_its_size_and_the_original_its_pixels() -> None:
    large = np.full((500, 700, 3), 128, np.uint8)
    assert annotate_image(large, [person(neck_at((10, 45)))], LSP14).shape == large.shape
    assert (large == 128).all()


@pytest.mark.parametrize("x", [2.0, 20.0, 38.0])
def test_names_stay_inside_the_image(x: float) -> None:
    plain = changed(annotate_image(GREY, [person(neck_at((x, 30)))], LSP14))
    named = changed(annotate_image(GREY, [person(neck_at((x, 30)))], LSP14, AnnotationStyle(names=True)))
    assert len(named) > 1.5 * len(plain)
    assert abs(named[:, 0].mean() - plain[:, 0].mean()) < 8
    assert (np.ptp(named, axis=0) < (40, 160)).all()


def test_a_track_number_is_above_its_person() -> None:
    plain = changed(annotate_image(GREY, [person(neck_at((20, 30)))], LSP14))
    numbered = changed(annotate_image(GREY, [person(neck_at((20, 30)), 7)], LSP14))
    assert numbered[:, 0].min() < plain[:, 0].min() - 10
    assert numbered[:, 0].max() == plain[:, 0].max()


def test_every_stage_shows_its_own_pose_and_boxes() -> None:
    shown = annotate_image(GREY, [person(neck_at((10, 20), (30, 50)))], LSP14, AnnotationStyle(show_stages=True))
    assert shown.shape[0] == 480
    one, other = shown[:, :320], shown[:, -320:]
    assert shown.shape[1] > 640
    for panel, (x, y) in ((one, (10, 20)), (other, (30, 50))):
        at, away = (round((y + 0.5) * 8), round((x + 0.5) * 8)), (round((35.5) * 8), round(20.5 * 8))
        assert tuple(panel[at]) != (128, 128, 128)
        assert tuple(panel[away]) == (128, 128, 128)
        # The box's left edge, 30 − 25 = 5 px.
        assert (panel[300:310, 5 * 8 - 4 : 5 * 8 + 8] != 128).any()


def test_stages_without_people_are_the_image() -> None:
    assert (annotate_image(GREY, [], LSP14, AnnotationStyle(show_stages=True)) == 128).all()
