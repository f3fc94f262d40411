"""Network cameras, read while they send."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.media.video import open_video
from tests.helpers.streams import FRAMES, RATE, network_camera


@pytest.mark.parametrize("kind", ["mjpeg", "mpegts", "rtsp"])
def test_frames_come_while_the_camera_sends(kind: str, tmp_path: Path) -> None:
    with network_camera(kind, tmp_path) as camera, open_video(camera.address) as video:
        first = video.read()
        assert first is not None
        sent = camera.sent
        times = [first.time, *(frame.time for frame in video)]
    assert sent < 1
    assert len(times) >= 0.9 * FRAMES
    np.testing.assert_allclose(np.diff(times), 1 / RATE, atol=0.005)


def test_a_camera_that_is_not_there_is_named() -> None:
    with pytest.raises(DeepPoseError, match=r"^rtsp://127\.0\.0\.1:1/camera: cannot be opened \(.*\)$"):
        open_video("rtsp://127.0.0.1:1/camera")
