"""Videos are written and read; what counts as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.media.formats import camera_number, is_video
from deeppose_cli.media.video import open_video
from deeppose_cli.media.video_writer import VideoWriter
from tests.helpers.videos import FRAMES, write_video


def test_written_frames_are_read(tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "a.mp4")) as opened:
        grays = [int(frame.image.mean()) for frame in opened]
        assert (opened.rate, opened.count) == (10, FRAMES)
    np.testing.assert_allclose(grays, np.arange(FRAMES) * 20, atol=4)


def test_what_counts_as_a_write_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("3").touch()
    assert [camera_number(Path(name)) for name in ("0", "12", "3", "٣", "1.5", "12345")] == [0, 12] + [None] * 4
    assert is_video(Path("x.MP4"))
    assert not is_video(Path("x.jpg"))


def test_a_video_of_which_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(DeepPoseError, match="cannot be written"), VideoWriter(tmp_path / "no" / "a.mp4", 10) as writer:
        writer.write(np.zeros((4, 4, 3), np.uint8), 0.0)
