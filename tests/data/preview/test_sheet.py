"""The sheet of `data show`: where things are drawn, and that its words can be read."""

from __future__ import annotations

import numpy as np
import pytest

from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.preview.sheet import (
    CELL,
    EMPTY,
    INITIAL_BOX_COLOR,
    draw_sheet,
    image_cell,
    input_cell,
    joint_cell,
)
from deeppose_cli.visualization.drawing import joint_color

RED = (200, 30, 30)
NOTHING = np.full((14, 2), np.nan)
LEFT = LSP14.index("left_wrist")


def plain(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), RED, np.uint8)


def extent(pixels: np.ndarray, color: tuple[int, int, int], tolerance: int = 12) -> np.ndarray:
    """left, top, right, bottom of all that has the color, in px of the cell."""
    ys, xs = np.nonzero(np.abs(pixels.astype(int) - color).max(-1) < tolerance)
    assert len(xs), "nothing has this color"
    return np.array([xs.min() - 0.5, ys.min() - 0.5, xs.max() + 0.5, ys.max() + 0.5])


@pytest.mark.parametrize(
    "box",
    [(49.5, 29.5, 100, 60), (49.5, 29.5, 100, 100), (80, 20, 90, 90), (-10, 0, 60, 40), (49.5, 29.5, 30, 20)],
)
def test_image_and_initial_box_lie_as_in_px(box: tuple[float, ...]) -> None:
    pixels, caption = image_cell(plain(100, 60), NOTHING, [(np.array(box), INITIAL_BOX_COLOR, 3)], LSP14, "a box")
    assert pixels.shape == (CELL, CELL, 3)
    assert caption == "a box"
    cx, cy, w, h = box
    low, high = (
        np.minimum(0, [cx - w / 2 + 0.5, cy - h / 2 + 0.5]),
        np.maximum([100, 60], [cx + w / 2 + 0.5, cy + h / 2 + 0.5]),
    )
    scale = CELL / ((high - low).max() * 1.02)
    drawn = extent(pixels, INITIAL_BOX_COLOR)
    np.testing.assert_allclose((drawn[2:] - drawn[:2]) / scale, [w, h], atol=7 / scale)
    # Against an edge of the image that the box does not cover.
    red = extent(pixels, RED)
    right_of_image = (cx + w / 2 + 0.5) - 100
    if right_of_image < 0:
        assert (drawn[2] - red[2]) / scale == pytest.approx(right_of_image, abs=5 / scale)


def test_a_box_far_away_does_not_shrink_the_image_to_nothing() -> None:
    box = np.array([5e6, 5e6, 10.0, 10.0])
    pixels, _ = image_cell(plain(100, 60), NOTHING, [(box, INITIAL_BOX_COLOR, 3)], LSP14, "")
    left, _, right, _ = extent(pixels, RED)
    assert right - left > CELL / 4


def test_boxes_have_their_color_and_width() -> None:
    left, right = joint_color("left_wrist"), joint_color("right_wrist")
    assert left != right
    boxes = [(np.array([70.0, 30, 20, 20]), right, 0), (np.array([30.0, 30, 20, 20]), left, 3)]
    pixels, _ = image_cell(plain(100, 60), NOTHING, boxes, LSP14, "")
    amounts = [int((np.abs(pixels.astype(int) - color).max(-1) < 60).sum()) for color in (left, right)]
    assert amounts[0] > 2 * amounts[1] > 0
    scale = CELL / 102
    for color, middle in ((left, 30), (right, 70)):
        x1, _, x2, _ = extent(pixels, color, 60)
        assert (x1 + x2) / 2 == pytest.approx((middle + 1.5) * scale, abs=1.5)


def test_an_image_without_boxes_is_drawn_all_the_same() -> None:
    extent(image_cell(plain(100, 60), NOTHING, [], LSP14, "no labels")[0], RED)


def test_a_refinement_input_rings_the_label_of_its_own_joint() -> None:
    target = NOTHING.copy()
    target[LEFT] = -0.2, 0.3
    target[0] = -0.4, -0.4
    pixels, caption = joint_cell(plain(64, 64), target, LEFT, LSP14)
    assert caption == "left wrist"
    # The line to the crop's middle leads up and to the right: left and lower ends are the ring's.
    left, _, _, bottom = extent(pixels, joint_color("left_wrist"))
    assert left == pytest.approx(0.3 * CELL - 22, abs=4)
    assert bottom == pytest.approx(0.8 * CELL + 22, abs=4)
    assert (pixels[CELL // 2, CELL // 2] > 200).all(), "the cross in the middle is white"


@pytest.mark.parametrize("place", [(1e7, -1e7), (np.nan, np.nan)])
def test_labels_far_outside_or_missing_do_no_harm(place: tuple[float, float]) -> None:
    target = NOTHING.copy()
    target[LEFT] = place
    assert joint_cell(plain(64, 64), target, LEFT, LSP14)[0].shape == (CELL, CELL, 3)
    assert input_cell(plain(64, 64), "64 px", LSP14, target)[0].shape == (CELL, CELL, 3)


@pytest.mark.parametrize(("lines", "columns"), [(1, 5), (2, 10), (6, 3)])
def test_no_words_run_over_each_other_or_the_edge(lines: int, columns: int) -> None:
    name = "12-oclock-high-special-edition-00034051.jpg"
    cells = [(EMPTY[0], "right shoulder")] * lines
    heading = "stage 2, epoch 1,\nnot displaced yet"
    figure = draw_sheet([name] * lines, [(heading, cells)] * columns, "lsp, train: preset small, seed 0")
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    texts = [text for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label)]
    texts += [*figure.legends[0].get_texts(), figure._suptitle]  # type: ignore[attr-defined]
    shown = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text()]
    assert len(shown) == lines * (columns + 1) + columns + 6
    for i, (words, area) in enumerate(shown):
        assert area.x0 >= 0, words
        assert area.y0 >= 0, words
        assert area.x1 <= figure.bbox.x1, words
        assert area.y1 <= figure.bbox.y1, words
        for others, other in shown[i + 1 :]:
            assert not area.overlaps(other), f"{words!r} and {others!r}"
