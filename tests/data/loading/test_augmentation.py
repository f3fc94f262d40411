"""Random variants of a training image: the joints go where the pixels go."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from deeppose_cli.config.schema import Augmentation
from deeppose_cli.core.geometry import Box, denormalise, mirror_points, normalise
from deeppose_cli.core.skeleton import FLIC10, LSP14
from deeppose_cli.data.loading.augmentation import Augmenter, View
from deeppose_cli.media.cropping import MEAN_COLOR, crop
from tests.helpers import dots

WIDTH, HEIGHT = 200, 150
NOTHING = Augmentation(flip=0.0)
EVERYTHING = Augmentation(flip=0.5, translate=0.1, scale=0.2, rotate=40.0, color=0.4, gray=0.3, gamma=0.5)
FULL = Box.of_image(WIDTH, HEIGHT)


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    keypoints = dots.joints_on_a_grid(np.random.default_rng(seed), WIDTH, HEIGHT)
    return dots.draw(keypoints, WIDTH, HEIGHT), keypoints


def vary(settings: Augmentation, seed: int, box: Box = FULL, keypoints: np.ndarray | None = None) -> View:
    image, drawn = scene()
    return Augmenter(settings, LSP14)(
        image, drawn if keypoints is None else keypoints, box, np.random.default_rng(seed)
    )


def turned(view: View) -> np.ndarray:
    """The turned image, (H, W, 3), as crops show it."""
    height, width = view.image.shape[:2]
    side = max(height, width)
    return crop(view.image, Box.of_image(side, side), side, turn=view.turn)[:height, :width]


def test_without_any_setting_nothing_changes() -> None:
    image, keypoints = scene()
    for seed in range(5):
        view = vary(NOTHING, seed, Box(30, 40, 50, 60))
        np.testing.assert_array_equal(view.image, image)
        np.testing.assert_array_equal(view.keypoints, keypoints)
        assert (view.box, view.mirrored) == (Box(30, 40, 50, 60), False)


def test_a_mirrored_left_wrist_is_a_right_wrist() -> None:
    image, keypoints = scene()
    view = vary(Augmentation(flip=1.0), 0, Box(30, 40, 50, 60))
    assert view.mirrored
    np.testing.assert_array_equal(view.image, image[:, ::-1])
    x, y = keypoints[LSP14.index("left_wrist")]
    np.testing.assert_allclose(view.keypoints[LSP14.index("right_wrist")], [WIDTH - 1 - x, y])
    np.testing.assert_allclose(view.keypoints[LSP14.index("neck")][0], WIDTH - 1 - keypoints[LSP14.index("neck")][0])
    assert view.box == Box(WIDTH - 1 - 30, 40, 50, 60)


@pytest.mark.parametrize(
    "settings",
    [
        Augmentation(flip=0.5),
        Augmentation(flip=0.5, rotate=15.0),
        Augmentation(flip=0.5, rotate=40.0, translate=0.1, scale=0.2),
    ],
)
@pytest.mark.parametrize("box", [FULL, Box(80, 70, 90, 60)])
def test_dots_drawn_at_the_joints_move_with_the_labels(settings: Augmentation, box: Box) -> None:
    checked, mirrored = 0, set()
    for seed in range(30):
        view = vary(settings, seed, box)
        mirrored.add(view.mirrored)
        for joint, at in enumerate(view.keypoints):
            # A mirrored image's dots have their partners' colors.
            found = dots.find(turned(view), LSP14.mirror[joint] if view.mirrored else joint, 62)
            size = np.array(view.image.shape[1::-1])
            if (at > dots.RADIUS + 2).all() and (at < size - dots.RADIUS - 3).all() and found is not None:
                assert np.abs(found - at).max() < 1.0, (seed, joint)
                checked += 1
    assert mirrored == {True, False}
    assert checked > 100


def test_colors_change_but_nothing_moves() -> None:
    image, keypoints = scene()
    views = [vary(Augmentation(flip=0.0, color=0.4), seed) for seed in range(10)]
    assert sum(not np.array_equal(view.image, image) for view in views) >= 5
    for view in views:
        np.testing.assert_allclose(view.keypoints, keypoints, atol=1e-4)
        edges = [np.abs(np.diff(p.astype(int), axis=1)).max(-1) > 0 for p in (view.image, image)]
        assert (edges[0] & ~edges[1]).mean() < 0.01


def test_the_same_generator_gives_the_same_variant_and_another_one_another() -> None:
    one, same, other = vary(EVERYTHING, 5), vary(EVERYTHING, 5), vary(EVERYTHING, 6)
    np.testing.assert_array_equal(turned(one), turned(same))
    np.testing.assert_array_equal(one.keypoints, same.keypoints)
    assert one.box == same.box
    assert one.box != other.box
    assert not np.allclose(one.keypoints, other.keypoints)


def test_an_augmenter_keeps_nothing_of_earlier_images() -> None:
    image, keypoints = scene()
    augmenter = Augmenter(EVERYTHING, LSP14)
    first = augmenter(image, keypoints, FULL, np.random.default_rng(1))
    for seed in range(3):
        augmenter(image[:40], keypoints, FULL, np.random.default_rng(seed))
    again = augmenter(image, keypoints, FULL, np.random.default_rng(1))
    np.testing.assert_array_equal(turned(first), turned(again))
    np.testing.assert_array_equal(first.keypoints, again.keypoints)


def test_a_joint_without_a_label_has_none_afterwards_and_its_partner_takes_it_over() -> None:
    _, keypoints = scene()
    left, right = LSP14.index("left_wrist"), LSP14.index("right_wrist")
    keypoints[left] = np.nan
    for seed in range(12):
        view = vary(EVERYTHING, seed, keypoints=keypoints)
        missing = np.flatnonzero(np.isnan(view.keypoints).any(-1))
        assert missing.tolist() == [right if view.mirrored else left]
    without = vary(EVERYTHING, 0, keypoints=np.full((14, 2), np.nan))
    assert np.isnan(without.keypoints).all()


def test_joints_outside_the_image_keep_their_place_relative_to_the_others() -> None:
    _, keypoints = scene()
    keypoints[3], keypoints[8] = [-40, 30], [WIDTH + 25, HEIGHT + 60]
    settings = Augmentation(flip=0.0, rotate=40.0)
    for seed in range(10):
        view = vary(settings, seed, keypoints=keypoints)
        assert np.isfinite(view.keypoints).all()
        distances = [np.linalg.norm(pose[3] - pose, axis=-1) for pose in (view.keypoints, keypoints)]
        np.testing.assert_allclose(*distances, atol=1e-2)


def test_shift_and_size_of_the_box_vary_as_the_settings_give() -> None:
    settings = Augmentation(flip=0.0, translate=0.05, scale=0.1)
    box = Box(90, 70, 100, 60)
    found = np.array([vary(settings, seed, box).box for seed in range(800)])
    shift = (found[:, :2] - box[:2]) / np.array(box[2:])
    np.testing.assert_allclose(shift.mean(0), 0, atol=0.008)
    np.testing.assert_allclose(shift.std(0), 0.05, rtol=0.1)
    factor = np.log(found[:, 2] / box[2])
    np.testing.assert_allclose([factor.mean(), factor.std()], [0, 0.1], atol=0.012)
    np.testing.assert_allclose(found[:, 2] / found[:, 3], 100 / 60)


def test_what_the_box_shows_is_there_although_only_a_window_is_processed() -> None:
    """The window around a small box must hold all that a rotated crop can show."""
    rng = np.random.default_rng(0)
    image = rng.integers(130, 256, (400, 400, 3), np.uint8)  # nowhere near the fill color
    augmenter = Augmenter(Augmentation(flip=0.5, rotate=45.0, translate=0.05, scale=0.1), LSP14)
    for seed in range(40):
        view = augmenter(image, np.full((14, 2), 200.0), Box(200, 200, 80, 80), np.random.default_rng(seed))
        shown = crop(view.image, view.box, 64, turn=view.turn)
        assert (shown.astype(int) - MEAN_COLOR).min() > 0, seed


def test_turns_are_about_the_boxs_middle_and_spread_evenly() -> None:
    image, centre = np.zeros((100, 120, 3), np.uint8), np.array([40.0, 55.0])
    keypoints = centre + np.array([[0, 0], [30, 0], *[[0, 5]] * 12])
    augmenter = Augmenter(Augmentation(flip=0.0, rotate=40.0), LSP14)
    views = [augmenter(image, keypoints, Box(40, 55, 50, 30), np.random.default_rng(seed)) for seed in range(400)]
    moved = np.array([view.keypoints for view in views]) - centre
    assert all(view.box == Box(40, 55, 50, 30) for view in views)
    np.testing.assert_allclose(moved[:, 0], 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(moved[:, 1], axis=-1), 30)
    angles = np.sort(np.degrees(np.arctan2(moved[:, 1, 1], moved[:, 1, 0])))
    assert np.abs(angles - np.linspace(-40, 40, 400)).max() < 80 * 0.1  # Kolmogorov–Smirnov, far beyond 1 %


def test_what_lies_outside_of_a_turned_image_has_the_color_of_every_crops_outside() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(200, 256, (60, 80, 3), np.uint8)
    # The labels show how the pixels went: an affine map that these corners fix.
    corners = np.array([[0, 0], [79, 0], [0, 59], [79, 59]] + [[40, 30]] * 10, dtype=float)
    augmenter = Augmenter(Augmentation(flip=0.5, rotate=40.0, color=0.4, gamma=0.4), LSP14)
    y, x = np.mgrid[:60, :80]
    outside_at_all, recolored = 0, 0
    for seed in range(20):
        view = augmenter(image, corners, Box(40, 30, 80, 60), np.random.default_rng(seed))
        sent = corners if not view.mirrored else mirror_points(corners, 80, LSP14)
        known = np.column_stack([view.keypoints, np.ones(14)])
        back, *_ = np.linalg.lstsq(known, sent, rcond=None)
        source = np.stack([x, y, np.ones_like(x)], -1) @ back
        outside = ((source < -1.01) | (source > [80.01, 60.01])).any(-1)
        inside = ((source > 0.01) & (source < [78.99, 58.99])).all(-1)
        shown = turned(view)
        assert (shown[outside] == MEAN_COLOR).all(), seed
        assert inside.any()
        outside_at_all += int(outside.sum())
        recolored += bool((shown[inside] < 190).any())
    assert outside_at_all > 1000
    assert recolored > 5


def test_the_mirror_of_another_skeleton_is_its_own() -> None:
    keypoints = np.arange(20.0).reshape(10, 2)
    view = Augmenter(Augmentation(flip=1.0), FLIC10)(
        np.zeros((50, 50, 3), np.uint8), keypoints, Box.of_image(50, 50), np.random.default_rng(0)
    )
    left, right = FLIC10.index("left_hip"), FLIC10.index("right_hip")
    np.testing.assert_array_equal(view.keypoints[left], [49 - keypoints[right, 0], keypoints[right, 1]])


def test_targets_in_the_box_lead_back_to_the_joints() -> None:
    view = vary(EVERYTHING, 3)
    box = np.array(view.box)
    np.testing.assert_allclose(denormalise(normalise(view.keypoints, box), box), view.keypoints)


def finish(crops: np.ndarray, settings: Augmentation, seed: int = 0) -> np.ndarray:
    varied = crops.copy()
    Augmenter(settings, LSP14).finish(varied, np.random.default_rng(seed))
    return varied


def test_erased_patches_are_rectangles_of_the_given_size_shape_and_number() -> None:
    """2 to 30 % of the crop, sides in a ratio of 0.3 to 1 / 0.3."""
    count, side = 1000, 50
    gone = finish(np.full((count, side, side, 3), 255, np.uint8), Augmentation(erase=0.5)) != 255
    assert (gone.any(-1) == gone.all(-1)).all()
    gone = gone.any(-1)
    hit = gone.any((1, 2))
    assert hit.mean() == pytest.approx(0.5, abs=0.05)
    heights, widths, areas = gone.any(2).sum(1)[hit], gone.any(1).sum(1)[hit], gone.sum((1, 2))[hit]
    np.testing.assert_array_equal(areas, heights * widths)  # whole rectangles
    assert 0.015 < areas.min() / side**2 < 0.04
    assert 0.25 < areas.max() / side**2 < 0.32
    ratio = np.log(heights / widths)[areas > 200]  # there a rounded side changes the ratio little
    assert np.abs(ratio).max() < -np.log(0.3) + 0.15
    assert ratio.min() < -0.9
    assert ratio.max() > 0.5
    edges = [gone[hit][:, 0], gone[hit][:, -1], gone[hit][:, :, 0], gone[hit][:, :, -1]]
    assert min(edge.any(1).mean() for edge in edges) > 0.01, "a patch may touch every edge of the crop"


def test_an_erased_patch_has_the_mean_color() -> None:
    crops = np.full((20, 32, 32, 3), 255, np.uint8)
    varied = finish(crops, Augmentation(erase=1.0))
    assert (varied[(varied != crops).any(-1)] == MEAN_COLOR).all()


def test_without_changes_of_the_crop_nothing_is_drawn() -> None:
    rng, crops = np.random.default_rng(3), np.full((4, 8, 8, 3), 9, np.uint8)
    Augmenter(Augmentation(color=0.3, gray=1.0, gamma=0.5), LSP14).finish(crops, rng)
    assert (crops == 9).all()
    assert rng.random() == np.random.default_rng(3).random()


def test_a_gray_image_is_gray_and_as_bright() -> None:
    image, _ = scene()
    view = vary(Augmentation(flip=0.0, gray=1.0), 0)
    assert (np.ptp(view.image, axis=-1) == 0).all()
    weighted = image @ (0.299, 0.587, 0.114)
    assert np.abs(view.image[..., 0] - weighted).max() < 2


def test_gamma_keeps_the_order_of_pixel_values_and_both_ends() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, -1).repeat(4, 0)
    augmenter = Augmenter(Augmentation(flip=0.0, gamma=1.0), LSP14)
    middles = []
    for seed in range(40):
        view = augmenter(ramp, np.zeros((14, 2)), Box.of_image(256, 4), np.random.default_rng(seed))
        row = view.image[0, :, 0].astype(int)
        assert (np.diff(row) >= 0).all()
        assert (row[0], row[-1]) == (0, 255)
        middles.append(np.log(row[128] / 255) / np.log(128 / 255))
    assert 0.5 - 0.02 < min(middles) < 0.75
    assert 1.6 < max(middles) < 2.02


def test_blur_smooths_noise_roughens_and_compression_makes_blocks() -> None:
    rng = np.random.default_rng(0)
    rough = rng.integers(60, 190, (6, 64, 64, 3), np.uint8)
    blurred = finish(rough, Augmentation(blur=1.0))
    assert (blurred.std((1, 2, 3)) < 0.8 * rough.std((1, 2, 3))).all()
    flat = np.full((6, 64, 64, 3), 128, np.uint8)
    noisy = finish(flat, Augmentation(noise=1.0)).astype(float) - 128
    spread = noisy.std((1, 2, 3)) / 255
    assert spread.min() > 0.005
    assert spread.max() < 0.09
    assert np.ptp(spread) > 0.005
    compressed = finish(rough, Augmentation(jpeg=1.0)).astype(int)
    assert (compressed != rough).any((1, 2, 3)).all()
    steps = np.abs(np.diff(compressed, axis=2)).mean((0, 1, 3))
    assert steps[7::8].mean() > steps.mean(), "the largest steps are at the edges of blocks of 8 px"


@pytest.mark.parametrize("name", ["blur", "noise", "jpeg", "erase"])
def test_so_many_crops_are_changed_and_each_in_its_own_way(name: str) -> None:
    crops = np.random.default_rng(1).integers(0, 256, (1, 24, 24, 3), np.uint8).repeat(300, 0)
    varied = finish(crops, Augmentation(**{name: 0.3}))
    changed = (varied != crops).any((1, 2, 3))
    assert changed.mean() == pytest.approx(0.3, abs=0.09)
    assert len({crop.tobytes() for crop in varied[changed]}) > 10


def test_one_change_of_a_crop_does_not_come_with_another() -> None:
    """Each has draws of its own: were they the same, what is noisy would always be erased too."""
    crops = np.full((400, 24, 24, 3), 128, np.uint8)
    varied = finish(crops, Augmentation(noise=0.5, erase=0.5))
    erased = (varied == MEAN_COLOR).all(-1).mean((1, 2)) > 0.01
    noisy = ((varied != 128) & (varied != MEAN_COLOR)).any((1, 2, 3))
    assert abs(np.corrcoef(erased, noisy)[0, 1]) < 0.2


def test_images_that_cannot_be_written_to_are_varied_all_the_same() -> None:
    image, keypoints = scene()
    before = image.copy()
    image.flags.writeable = False
    augmenter = Augmenter(Augmentation(flip=0.0, color=0.4, gray=0.5, gamma=0.5), LSP14)
    for seed in range(5):
        augmenter(image, keypoints, FULL, np.random.default_rng(seed))
    np.testing.assert_array_equal(image, before)


def test_albumentations_is_imported_only_where_colors_change_and_never_uses_the_network() -> None:
    code = """
import socket, sys
def refuse(*_, **__): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
from deeppose_cli.config.schema import Augmentation
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.loading.augmentation import Augmenter
Augmenter(Augmentation(flip=0.5, rotate=10.0), LSP14)
assert "albumentations" not in sys.modules
Augmenter(Augmentation(color=0.2), LSP14)
assert "albumentations" in sys.modules
assert not [name for name in sys.modules if name == "albumentations.check_version" and sys.modules[name].opener]
"""
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "0"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
