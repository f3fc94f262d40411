"""Overlays: poses in their place, names beside the joints, every stage by itself."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from deeppose_cli.core.geometry import Box
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.media.images import Image
from deeppose_cli.models.cascade import Person
from deeppose_cli.visualization.drawing import SIDE_COLORS, TRACK_COLORS, AnnotationStyle, annotate_image, draw_pose


def person(poses: np.ndarray, track: int | None = None) -> Person:
    box = Box(30, 45, 50, 60)
    boxes = np.tile(np.array(box), (*poses.shape[:2], 1))
    return Person(box, poses, boxes, np.zeros(len(poses)), np.full(poses.shape[:2], np.nan), track)


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


def test_names_of_close_joints_and_people_do_not_cover_each_other() -> None:
    image = np.full((480, 640, 3), 128, np.uint8)
    rng = np.random.default_rng(0)
    places: list[tuple[float, float, float, float]] = []

    def recorded(text: str, origin: tuple[int, int], scale: float, thickness: int) -> None:
        (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        places.append((origin[0], origin[1] - height, origin[0] + width, origin[1] + below))

    people = [person(rng.uniform((200, 150), (360, 300), (1, len(LSP14), 2)), number) for number in range(1, 5)]
    put = cv2.putText
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "deeppose_cli.visualization.labels.cv2.putText",
            lambda canvas, text, origin, font, scale, color, thickness, line: (
                recorded(text, origin, scale, thickness) if color != (0, 0, 0) else None,
                put(canvas, text, origin, font, scale, color, thickness, line),
            ),
        )
        annotate_image(image, people, LSP14, AnnotationStyle(names=True))
    assert len(places) > 20
    for i, (left, top, right, bottom) in enumerate(places):
        assert 0 <= left < right <= 640
        assert 0 <= top < bottom <= 480
        for other in places[:i]:
            assert left >= other[2] or other[0] >= right or top >= other[3] or other[1] >= bottom


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


def gray(height: int = 200, width: int = 160) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def spread_out() -> np.ndarray:
    """(14, 2): every joint on a spot of its own."""
    return np.array([(20 + 30 * (i % 5), 20 + 60 * (i // 5)) for i in range(14)], dtype=float)


def test_joints_are_drawn_where_they_are_in_the_color_of_their_side() -> None:
    image, pose = gray(), spread_out()
    drawn = draw_pose(image, pose, LSP14)
    assert (image == 100).all()
    for (x, y), joint in zip(pose.astype(int), LSP14.joints, strict=True):
        side = joint.partition("_")[0]
        assert tuple(drawn[y, x]) == SIDE_COLORS[side if side in SIDE_COLORS else ""]


def test_a_joint_that_is_missing_takes_its_limbs_with_it_and_no_other() -> None:
    pose = np.full((14, 2), np.nan)
    pose[LSP14.index("left_elbow")], pose[LSP14.index("left_wrist")] = (40, 40), (120, 40)
    drawn = draw_pose(gray(), pose, LSP14)
    assert tuple(drawn[40, 80]) == SIDE_COLORS["left"]
    pose[LSP14.index("left_wrist")] = np.nan
    drawn = draw_pose(gray(), pose, LSP14)
    assert (drawn[40, 80] == 100).all()
    assert (drawn[40, 40] != 100).any()
    assert (draw_pose(gray(), np.full((14, 2), np.nan), LSP14) == 100).all()


def test_joints_far_outside_are_cut_off_at_the_edge() -> None:
    pose = np.full((14, 2), np.nan)
    pose[LSP14.index("left_elbow")], pose[LSP14.index("left_wrist")] = (40, 40), (1e12, 40)
    drawn = draw_pose(gray(), pose, LSP14)
    assert drawn.shape == (200, 160, 3)
    assert tuple(drawn[40, 159]) == SIDE_COLORS["left"]
    pose[:] = -np.inf
    assert (draw_pose(gray(), pose, LSP14) == 100).all()


def test_lines_grow_with_the_image() -> None:
    def thickness(scale: int) -> int:
        pose = np.full((14, 2), np.nan)
        pose[LSP14.index("neck")], pose[LSP14.index("head_top")] = (10 * scale, 60 * scale), (90 * scale, 60 * scale)
        drawn = draw_pose(gray(120 * scale, 100 * scale), pose, LSP14)
        return int((drawn[:, 50 * scale] > 170).all(-1).sum())

    assert 1 <= thickness(1) < thickness(5) <= 8


def test_lines_of_a_small_person_in_a_large_image_are_thin() -> None:
    def changed(height: float) -> float:
        """Share of the person's box that is drawn over."""
        pose = np.stack([np.linspace(0, height / 2, 14) + 300, np.linspace(0, height, 14) + 100], axis=-1)
        drawn = draw_pose(gray(3000, 1000), pose, LSP14)
        return float((drawn != 100).any(-1).sum() / height**2)

    assert changed(90) < 3 * changed(800)


def test_unsure_joints_are_faint_and_the_others_as_ever() -> None:
    pose, faint = spread_out(), np.zeros(14, bool)
    wrist, ankle = LSP14.index("left_wrist"), LSP14.index("left_ankle")
    faint[wrist] = True
    plain, drawn = (draw_pose(gray(), pose, LSP14, faint=one) for one in (None, faint))

    def contrast(image: Image, joint: int) -> int:
        x, y = pose[joint].astype(int)
        return int(np.abs(image[y, x].astype(int) - 100).max())

    assert contrast(drawn, ankle) == contrast(plain, ankle)
    assert 0 < contrast(drawn, wrist) < contrast(plain, wrist) / 2


def test_an_image_of_one_pixel() -> None:
    assert draw_pose(gray(1, 1), np.zeros((14, 2)), LSP14).shape == (1, 1, 3)


def test_people_of_different_tracks_have_midlines_of_different_colors() -> None:
    image = np.full((600, 600, 3), 128, np.uint8)
    pose = np.full((len(LSP14), 2), np.nan)
    pose[LSP14.index("neck")], pose[LSP14.index("head_top")] = (300, 400), (300, 200)
    drawn = [draw_pose(image, pose, LSP14, midline=color)[300, 300] for color in TRACK_COLORS]
    np.testing.assert_array_equal(drawn, TRACK_COLORS)
    assert len({tuple(color) for color in drawn}) == len(TRACK_COLORS)
    assert not {tuple(color) for color in drawn} & {SIDE_COLORS["left"], SIDE_COLORS["right"]}
