"""Reading videos and cameras, writing videos, by OpenCV's FFmpeg. Sound is not kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.media.formats import VIDEO_OUTPUT_SUFFIX, camera_number
from deeppose_cli.media.images import MAX_PIXELS, Image

DEFAULT_RATE = 25.0
"""Frames per second if the file or camera has none."""
_CODEC = "mp4v"
"""MPEG-4 part 2: OpenCV's own FFmpeg can write it into an .mp4."""


class VideoReader:
    """Frames of a video or a camera, in order. A context manager."""

    def __init__(self, source: Path) -> None:
        """`source`: a file, or a camera's number. Raises DeepPoseError if it cannot be opened."""
        self.source = source
        number = camera_number(source)
        self.is_camera = number is not None
        if not self.is_camera and not source.is_file():  # FFmpeg would also open URLs, pipes and devices
            raise DeepPoseError(f"{source}: not a file; expected a video")
        self._capture = (
            cv2.VideoCapture(os.fspath(source), cv2.CAP_FFMPEG) if number is None else cv2.VideoCapture(number)
        )
        if not self._capture.isOpened():
            self._capture.release()
            reason = "no camera has this number" if self.is_camera else "not a video that can be decoded"
            raise DeepPoseError(f"{source}: {reason}")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = float(rate) if np.isfinite(rate) and 1 <= rate <= 1000 else DEFAULT_RATE
        """Frames per second."""
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.count = int(count) if np.isfinite(count) and 0 < count < 1e9 and not self.is_camera else None
        """Number of frames by the file's header; None: unknown."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def read(self) -> Image | None:
        """The next frame, (H, W, 3) RGB; None after the last."""
        ok, frame = self._capture.read()
        if not ok or frame is None or frame.shape[0] * frame.shape[1] > MAX_PIXELS:
            return None
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def __iter__(self) -> Iterator[Image]:
        while (frame := self.read()) is not None:
            yield frame


class VideoWriter:
    """Writer of an .mp4 file. A context manager: the file appears when it is complete; an error leaves no file."""

    def __init__(self, file: Path, rate: float) -> None:
        self.file, self.rate = file, rate
        self._temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp{VIDEO_OUTPUT_SUFFIX}")
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._writer is not None:
            self._writer.release()
            if kind is None:
                os.replace(self._temporary, self.file)
        self._temporary.unlink(missing_ok=True)

    def write(self, image: Image) -> None:
        """Append a frame, (H, W, 3) RGB, all of one size. Raises DeepPoseError if the file cannot be written."""
        height, width = image.shape[:2]
        if self._writer is None:
            code = cv2.VideoWriter.fourcc(*_CODEC)
            self._writer = cv2.VideoWriter(os.fspath(self._temporary), cv2.CAP_FFMPEG, code, self.rate, (width, height))
            if not self._writer.isOpened():
                raise DeepPoseError(f"{self.file}: the video cannot be written ({width} × {height} px)")
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
