"""The figures: that the files are whole, the same each time, and show what they are given."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from deeppose_cli.core.skeleton import FLIC10, LSP14, Skeleton
from deeppose_cli.evaluation import scores
from deeppose_cli.evaluation.published_results import comparable_results
from deeppose_cli.evaluation.scores import ScoredPredictions
from deeppose_cli.visualization import figures


def scores_document(skeleton: Skeleton, names: list[str]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 100, (30, len(skeleton), 2))
    rows = [
        scores.scores(ScoredPredictions.of_all(name, truth + rng.normal(0, 4 * i + 4, truth.shape)), truth, skeleton)
        for i, name in enumerate(names)
    ]
    return {"data": "lsp", "split": "test", "images": 30, "published": [], "rows": rows}


MANY = ["mean pose", "stage 1", "stage 2", "stage 3", "x.npz", "a_file_with_a_name_that_is_rather_long.json"]


@pytest.mark.parametrize(("skeleton", "names"), [(LSP14, MANY), (FLIC10, ["mean pose"])])
def test_the_pdj_figure_has_a_panel_for_each_kind_and_a_line_for_each_row(skeleton: Skeleton, names: list[str]) -> None:
    document = scores_document(skeleton, names)
    figure = figures.pdj_figure(document)
    panels = {panel.get_title(): panel for panel in figure.axes if panel.get_visible()}
    assert list(panels) == [kind.replace("_", " ") for kind in skeleton.joint_kinds]
    curve = [line for line in panels["elbow"].lines if len(line.get_xdata()) == 51]
    assert len(curve) == len(names)
    for line, row in zip(curve, document["rows"], strict=True):
        np.testing.assert_allclose(line.get_ydata(), 100 * np.array(row["curve"]["elbow"]))
    styles = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in curve}
    assert len(styles) == len(names)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names
    assert all(panel.get_legend() is None for panel in figure.axes)
    assert all(word in figure.get_suptitle() for word in ("lsp", "test", "30 images"))


def test_the_axis_of_thresholds_names_the_unit() -> None:
    document = scores_document(LSP14, ["stage 1"])
    assert figures.pdj_figure(document).legends[0].get_title().get_text() == "threshold, in torsos"
    document["unit"] = "the diagonal of the pose's box"
    title = figures.pdj_figure(document).legends[0].get_title().get_text()
    assert title == "threshold, share of the diagonal of the pose's box"


def test_nothing_in_the_pdj_figure_overlaps_or_is_cut() -> None:
    figure = figures.pdj_figure(scores_document(LSP14, MANY))
    figure.draw_without_rendering()
    frame, legend = figure.bbox, figure.legends[0].get_window_extent()
    assert frame.x0 <= legend.x0
    assert legend.x1 <= frame.x1
    for panel in figure.axes:
        box = panel.get_tightbbox()
        assert not legend.overlaps(box)
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1


def test_a_kind_that_is_nowhere_labelled_leaves_its_panel_empty() -> None:
    document = scores_document(LSP14, ["stage 1"])
    document["rows"][0]["curve"]["wrist"] = [None] * 51
    figures.pdj_figure(document).draw_without_rendering()


def test_the_confidence_figure_has_a_line_for_each_row_with_confidences() -> None:
    document = scores_document(LSP14, ["mean pose", "stage 1", "stage 2"])
    for row, off in zip(document["rows"][1:], (0.0, 0.05), strict=True):
        bins = [[confidence, confidence + off, 10 * n] for n, confidence in enumerate((0.1, 0.15, 0.55, 0.9), start=1)]
        row["confidence"] = {"error": off, "bins": bins}
    figure = figures.reliability_figure(document)
    _, *lines = figure.axes[0].lines
    assert [line.get_ydata().tolist() for line in lines] == [pytest.approx([15, 55, 90]), pytest.approx([20, 60, 95])]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["stage 1 (mean error 0.0 points)", "stage 2 (mean error 5.0 points)"]
    assert "lsp test, 30 images" in figure.get_suptitle()


def test_confidences_in_one_large_enough_bin_make_no_figure() -> None:
    document = scores_document(LSP14, ["mean pose", "stage 1"])
    assert figures.reliability_figure(document) is None
    document["rows"][1]["confidence"] = {"error": 0.1, "bins": [[0.15, 0.2, 50], [0.3, 0.9, 3]]}
    assert figures.reliability_figure(document) is None
    document["rows"][1]["confidence"]["bins"].append([0.55, 0.6, 20])
    assert figures.reliability_figure(document)


# --- Comparison ------------------------------------------------------------------------------------------------------


def flic_document(names: list[str]) -> dict[str, Any]:
    document = scores_document(FLIC10, names)
    beside = comparable_results("flic", "test", 1016, centric="person", usual_box=True, pcp_rule="strict")
    return {**document, "published": beside}


def test_without_published_wrists_and_elbows_there_is_no_comparison() -> None:
    assert figures.comparison_figure(flic_document(["stage 1"]))
    pcp_only = comparable_results("lsp", "test", 1000, centric="person", usual_box=True, pcp_rule="strict")
    document = scores_document(LSP14, ["mean pose", "stage 1"])
    assert figures.comparison_figure(document) is None
    assert figures.comparison_figure({**document, "published": pcp_only}) is None


def test_the_comparison_has_wrists_and_elbows_of_all_rows_and_published_figures_as_markers() -> None:
    document = flic_document(MANY)
    figure = figures.comparison_figure(document)
    assert [panel.get_title() for panel in figure.axes] == ["wrist", "elbow"]
    published = {"wrist": [82.0, 91.5], "elbow": [92.3, 93.4]}
    for panel in figure.axes:
        kind = panel.get_title()
        curves = [line for line in panel.lines if len(line.get_xdata()) == 51]
        for line, row in zip(curves, document["rows"], strict=True):
            np.testing.assert_allclose(line.get_ydata(), 100 * np.array(row["curve"][kind]))
        dashed = [line.get_linestyle() == "--" for line in curves]
        assert dashed == [name == "mean pose" for name in MANY]
        markers = [line for line in panel.lines if len(line.get_xdata()) == 1]
        assert [float(line.get_ydata()[0]) for line in markers] == pytest.approx(published[kind])
        assert {float(line.get_xdata()[0]) for line in markers} == {0.2}
        marked = [line for line in panel.lines if list(line.get_xdata()) == [0.2, 0.2]]
        assert len(marked) == 1
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [*MANY, "DeepPose (unverified)", "MediaPipe Pose"]


def test_a_row_without_wrists_has_no_line_there() -> None:
    document = flic_document(["stage 1", "stage 2"])
    document["rows"][0]["curve"]["wrist"] = [None] * 51
    figure = figures.comparison_figure(document)
    figure.draw_without_rendering()
    shown = [line for line in figure.axes[0].lines if np.isfinite(np.asarray(line.get_ydata(), float)).sum() == 51]
    assert len(shown) == 1


@pytest.mark.parametrize("document", [flic_document(MANY), flic_document(MANY[:2])])
def test_nothing_in_the_comparison_overlaps_or_is_cut(document: dict[str, Any]) -> None:
    figure = figures.comparison_figure(document)
    figure.draw_without_rendering()
    frame, legend = figure.bbox, figure.legends[0].get_window_extent()
    assert frame.x0 <= legend.x0 < legend.x1 <= frame.x1
    for panel in figure.axes:
        box = panel.get_tightbbox()
        assert not legend.overlaps(box)
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert panel.bbox.height > 0.4 * frame.height


def test_the_files_are_sharp_whole_and_the_same_each_time(tmp_path: Path) -> None:
    document = flic_document(MANY[:3])
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name, figure in {"pdj": figures.pdj_figure, "comparison": figures.comparison_figure}.items():
            figures.save(figure(document), *(tmp_path / folder / f"{name}.{kind}" for kind in ("png", "svg")))
    for name in ("pdj.png", "pdj.svg", "comparison.png", "comparison.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    image = cv2.imread(str(tmp_path / "a" / "pdj.png"))
    assert image is not None
    width = figures.pdj_figure(document).get_figwidth()
    assert image.shape[1] >= 150 * width
    assert ET.parse(tmp_path / "a" / "pdj.svg").getroot().tag.endswith("svg")


def test_the_contact_sheet_takes_images_of_all_shapes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cells = []
    for label, (height, width) in {"best": (90, 50), "median": (40, 120), "worst": (700, 900)}.items():
        image = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        poses = [rng.uniform(-20, 2 * width, (14, 2)) for _ in range(3)]
        poses[2][:] = np.nan
        cells.append((label, image, poses, ["im.jpg", "PDJ 50%", "PDJ 0%"]))
    figure = figures.contact_sheet(cells, ["truth", "stage 1", "stage 2"], LSP14)
    assert [panel.get_title() for panel in figure.axes[:3]] == ["truth", "stage 1", "stage 2"]
    assert [panel.get_ylabel() for panel in figure.axes[::3]] == ["best", "median", "worst"]
    (path,) = figures.save(figure, tmp_path / "poses.png")
    assert cv2.imread(str(path)) is not None


def test_figures_leave_pyplot_alone() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    figures.pdj_figure(scores_document(FLIC10, ["stage 1"]))
    assert dict(mpl.rcParams) == before
