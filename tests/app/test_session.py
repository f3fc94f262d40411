"""What the page does with an upload, without a browser."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from deeppose_cli.app.examples import draw_examples
from deeppose_cli.app.server import _free_port
from deeppose_cli.app.session import MAX_OVERLAY, Settings, find_poses, list_models
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.inference.estimator import load
from deeppose_cli.media.video import open_video
from tests.helpers.media_files import encode

pytestmark = pytest.mark.usefixtures("pretrained_weights")
FAST = Settings("people-fast", box="image")


def test_the_pose_and_files_of_an_image(tmp_path: Path) -> None:
    (file, *_) = draw_examples(tmp_path)
    found = find_poses(file, FAST, tmp_path, tmp_path)
    pose = load("people-fast", box="image")(file)
    assert found.summary == "1 person"
    assert [row[1] for row in found.table] == [name.replace("_", " ") for name in pose.names]
    np.testing.assert_allclose([row[2:4] for row in found.table], pose.keypoints, atol=0.06)
    (result,) = json.loads(found.json.read_text())
    np.testing.assert_allclose(result["keypoints"][::3], pose.keypoints[:, 0], atol=0.001)
    (row,) = csv.DictReader(found.csv.read_text().splitlines())
    assert row["source"] == file.name
    assert cv2.imread(str(found.overlay)) is not None
    assert [caption for _, caption in found.stages] == ["1: person 1, input"]


def test_the_overlay_of_a_large_image_is_reduced(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((600, 3000, 3), np.uint8))
    found = find_poses(tmp_path / "a.jpg", FAST, tmp_path, tmp_path)
    assert max(cv2.imread(str(found.overlay)).shape) == MAX_OVERLAY


def test_nobody_is_a_result_with_a_hint(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((90, 120, 3), np.uint8))
    found = find_poses(tmp_path / "a.png", Settings("people-fast"), tmp_path, tmp_path)
    assert found.summary.startswith("Nobody found. Try")
    assert found.table == found.stages == json.loads(found.json.read_text()) == []


def test_a_video_with_its_progress(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4")
    steps: list[tuple[int, int | None]] = []
    found = find_poses(tmp_path / "a.mp4", FAST, tmp_path, tmp_path, lambda *step: steps.append(step))
    assert (found.summary, found.is_video) == ("1 person in 6 frames", True)
    assert steps == [(i, 6) for i in range(1, 7)]
    with open_video(found.overlay) as video:
        assert sum(1 for _ in video) == 6


@pytest.mark.parametrize("name", ["a.jpg", "a.mp4"])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"neither image nor video")
    with pytest.raises(DeepPoseError, match=name):
        find_poses(tmp_path / name, FAST, tmp_path, tmp_path)


def test_models_are_the_pretrained_ones_and_the_runs(tmp_path: Path) -> None:
    assert list_models(tmp_path) == ["people", "people-fast"]


def test_a_port_that_is_taken_is_named() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: cannot be used"):
            _free_port("127.0.0.1", port)
