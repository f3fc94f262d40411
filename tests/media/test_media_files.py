"""Files of many kinds, as phones, cameras and laboratories write them: read right, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.media.formats import is_video
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.media.video import open_video
from tests.helpers.media_files import IMAGES, VIDEOS, MediaFile


def corners(image: Image) -> list[list[int]]:
    height, width = image.shape[:2]
    y, x = height // 7, width // 7
    return [image[row, column].tolist() for row in (y, height - y) for column in (x, width - x)]


def check_image(image: Image, expected: MediaFile) -> None:
    assert image.shape == (*expected.size[::-1], 3)
    for found, color in zip(corners(image), expected.corners, strict=True):
        if color:
            np.testing.assert_allclose(found, color, atol=expected.tolerance)


@pytest.mark.parametrize("expected", VIDEOS, ids=lambda file: file.name)
def test_videos(tmp_path: Path, expected: MediaFile) -> None:
    path = tmp_path / expected.name
    expected.make(path)
    assert is_video(path)
    if expected.refused:
        with pytest.raises(DeepPoseError, match=expected.refused) as caught:
            open_video(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        return
    with open_video(path) as video:
        frames = list(video)
    problem = video.problem(len(frames), frames[-1].time)
    assert expected.problem in problem
    assert bool(problem) == bool(expected.problem)
    if not expected.problem:
        np.testing.assert_allclose([frame.time for frame in frames], expected.times, atol=0.001)
    for frame in frames[:-1] if problem else frames:  # the last may be half there
        check_image(frame.image, expected)


@pytest.mark.parametrize("expected", IMAGES, ids=lambda file: file.name)
def test_images(tmp_path: Path, expected: MediaFile) -> None:
    path = tmp_path / expected.name
    expected.make(path)
    assert not is_video(path)
    check_image(read_image(path, as_displayed=True), expected)


def test_a_video_says_how_many_frames_it_has(tmp_path: Path) -> None:
    counted = {}
    for file in VIDEOS:
        if file.name in ("h264.mp4", "uneven.mp4", "animated.gif", "slow.mp4"):
            file.make(tmp_path / file.name)
            with open_video(tmp_path / file.name) as video:
                counted[file.name] = video.count
    assert counted == {"h264.mp4": 6, "uneven.mp4": 6, "slow.mp4": 3, "animated.gif": 6}
