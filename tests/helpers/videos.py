"""Synthetic videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeppose_cli.media.video_writer import VideoWriter

FRAMES = 12


def write_video(file: Path, frames: int = FRAMES, size: tuple[int, int] = (96, 64), rate: float = 10) -> Path:
    """Each frame is one gray, by its number."""
    with VideoWriter(file, rate) as writer:
        for i in range(frames):
            writer.write(np.full((size[1], size[0], 3), 20 * i, np.uint8), i / rate)
    return file
