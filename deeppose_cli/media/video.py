"""Reading videos, animations, streams and cameras: frames as a player shows them, each with its time."""

from __future__ import annotations

import math
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from deeppose_cli.core.errors import DeepPoseError, one_line
from deeppose_cli.media.formats import STDIN, Source, camera_number, is_animated, is_image_data, moving_stream
from deeppose_cli.media.images import MAX_PIXELS, Image, from_pil

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

DEFAULT_RATE = 25.0
"""Frames per second where the file or the camera has none."""
PAGE_RATE = 1.0
"""Pages per second of a TIFF, which has no times."""
MIN_SHARE = 0.9
"""A video that ends before this share of the frames or the duration in its header is reported as damaged."""
MISSING_SECONDS = 0.5
"""Headers are off by as much where nothing is missing."""
OPEN_SECONDS, READ_SECONDS = 20.0, 60.0
"""Of a stream: the longest wait for its start, and for its next data."""
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"v=0", b"[playlist]")
"""Texts that name other files, which FFmpeg would open."""
_BAD_RATES = 1000.0


@dataclass(frozen=True)
class Frame:
    """One frame of a video."""

    image: Image
    """(H, W, 3) RGB."""
    time: float
    """Seconds since the start of the file; of a camera, since its first frame."""


class Video(ABC):
    """Frames in order. A context manager and an iterator."""

    source: Source
    rate: float = DEFAULT_RATE
    """Frames per second, on average."""
    count: int | None = None
    """Number of frames by the file's header or duration; None: unknown."""
    duration: float | None = None
    """Seconds, by the file's header; None: unknown."""
    is_camera = False

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...

    @abstractmethod
    def read(self) -> Frame | None:
        """The next frame; None after the last."""

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame

    def problem(self, frames: int, last: float) -> str:
        """What was wrong with a video of which so many frames could be read, the last at that time; "" if nothing."""
        if not frames:
            return "no frame can be decoded"
        end = last + 1 / self.rate
        if self.duration is not None and end < min(MIN_SHARE * self.duration, self.duration - MISSING_SECONDS):
            return f"ends after {frames} frames, {end:.2f} of {self.duration:.2f} s"
        return ""


def open_video(source: Source) -> Video:
    """Open a video file, an animation, a URL, `-` or a camera's number. Raises DeepPoseError that names it."""
    if camera_number(source) is not None:
        return Camera(source)
    if isinstance(source, Path):
        if not source.is_file():  # FFmpeg would also open pipes and devices
            raise DeepPoseError(f"{source}: not a file; expected a video")
        try:
            with source.open("rb") as file:
                head = file.read(64)
        except OSError as error:
            raise DeepPoseError(f"{source}: cannot be read ({error.strerror or error})") from None
        if head.lstrip().startswith(_PLAYLISTS):
            raise DeepPoseError(f"{source}: a list of other files, not a video; give the video itself")
        if is_image_data(head) and is_animated(source):
            return Animation(source)
    return FileVideo(source)


class FileVideo(Video):
    """A file or stream, decoded by FFmpeg: rotated and mirrored by its display matrix, with square pixels."""

    def __init__(self, source: Source) -> None:
        import av

        self.source = source
        av.logging.set_level(None)
        is_url = isinstance(source, str) and source != STDIN
        try:
            self._container: InputContainer = av.open(  # type: ignore[assignment]
                sys.stdin.buffer if source == STDIN else source if is_url else f"file:{source}",
                metadata_errors="ignore",
                timeout=(OPEN_SECONDS, READ_SECONDS) if is_url else None,
                options={} if is_url or source == STDIN else {"protocol_whitelist": "file"},
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise DeepPoseError(f"{source}: {_reason(error, is_url)}") from None
        stream = moving_stream(self._container)
        if stream is None:
            has_sound = bool(self._container.streams.audio)
            self._container.close()
            raise DeepPoseError(f"{source}: holds no video{', only sound' if has_sound else ''}")
        self._stream = stream
        self._stream.thread_type = "AUTO"
        self._start = (self._container.start_time or 0) / 1_000_000
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        self.rate = rate if 0 < rate <= _BAD_RATES else DEFAULT_RATE
        if self._container.duration and not is_url:
            self.duration = self._container.duration / 1_000_000
        expected = None if self.duration is None else round(self.duration * self.rate)
        self._frames_in_header = stream.frames
        self.count = stream.frames or expected or None
        self._last = -1 / self.rate
        self._frames = self._decode()

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def read(self) -> Frame | None:
        return next(self._frames, None)

    def problem(self, frames: int, last: float) -> str:
        if 0 < frames < MIN_SHARE * self._frames_in_header:
            return f"ends after {frames} of {self._frames_in_header} frames"
        return super().problem(frames, last)

    def _decode(self) -> Iterator[Frame]:
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
                frames = packet.decode()
            except StopIteration:
                return
            except av.error.InvalidDataError:
                continue  # a damaged packet; FFmpeg finds the next
            except (av.FFmpegError, OSError):
                return
            for frame in frames:
                if frame.width * frame.height > MAX_PIXELS:
                    return
                at = self._last + 1 / self.rate if frame.time is None else frame.time - self._start
                self._last = at
                yield Frame(self._shown(frame), at)

    def _shown(self, frame: VideoFrame) -> Image:
        """Pixels as a player shows them."""
        width, height = frame.width, frame.height
        ratio = float(self._stream.sample_aspect_ratio or 1)
        if ratio != 1 and 1 / 16 < ratio < 16:  # pixels are stretched to squares, never shrunk
            width, height = round(width * max(ratio, 1.0)), round(height * max(1.0 / ratio, 1.0))
        image = np.asarray(frame.reformat(width, height, "rgb24").to_ndarray(), np.uint8)
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        return image if matrix is None else _turned(image, np.frombuffer(matrix, np.int32))


def _turned(image: Image, matrix: Any) -> Image:
    """The image under a display matrix: (3, 3), row by row, that maps row vectors; turns by quarters and mirrors."""
    a, b, c, d = (float(matrix[i]) for i in (0, 1, 3, 4))
    if abs(a) + abs(d) < abs(b) + abs(c):  # x becomes y
        image = image.transpose(1, 0, 2)
        a, d = c, b
    image = image[:, ::-1] if a < 0 else image
    image = image[::-1] if d < 0 else image
    return np.ascontiguousarray(image)


def _reason(error: Exception, is_url: bool) -> str:
    text = one_line(str(getattr(error, "strerror", None) or error))
    if is_url:
        return f"cannot be opened ({text})"
    return f"not a video that can be decoded ({text})" if text else "not a video that can be decoded"


class Animation(Video):
    """An animated GIF, WebP or PNG, or a TIFF with pages of one size, decoded by Pillow; transparency is white."""

    def __init__(self, source: Path) -> None:
        from PIL import Image as PilImage

        self.source = source
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._image = PilImage.open(source)
                self.count = int(getattr(self._image, "n_frames", 1))
            if self._image.width * self._image.height > MAX_PIXELS:
                raise DeepPoseError(f"{source}: more than {MAX_PIXELS:,} pixels; a smaller copy is valid")
        except (OSError, ValueError, SyntaxError, PilImage.DecompressionBombError):
            raise DeepPoseError(f"{source}: not an animation that can be decoded") from None
        self._next, self._time = 0, 0.0
        self._is_pages = self._image.format == "TIFF"
        self.rate = PAGE_RATE if self._is_pages else 1 / (self._milliseconds() / 1000)

    def __exit__(self, *_: object) -> None:
        self._image.close()

    def read(self) -> Frame | None:
        assert self.count is not None
        if self._next >= self.count:
            return None
        try:
            self._image.seek(self._next)
            image = from_pil(self._image.copy(), as_displayed=False)
        except (OSError, ValueError, SyntaxError, EOFError):
            return None
        at = self._time
        self._time += 1 / PAGE_RATE if self._is_pages else self._milliseconds() / 1000
        self._next += 1
        return Frame(image, at)

    def problem(self, frames: int, last: float) -> str:
        if frames and self.count is not None and frames < self.count:
            return f"ends after {frames} of {self.count} frames"
        return super().problem(frames, last)

    def _milliseconds(self) -> float:
        """Of the present frame. Browsers show frames of 10 ms and less for 100."""
        shown = float(self._image.info.get("duration", 0) or 0)
        return shown if math.isfinite(shown) and shown > 10 else 100.0


class Camera(Video):
    """A camera, by its number: until its reader stops."""

    is_camera = True

    def __init__(self, source: Source) -> None:
        import cv2

        self.source = source
        number = camera_number(source)
        assert number is not None
        self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            self._capture.release()
            raise DeepPoseError(f"{source}: no camera has this number")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = float(rate) if np.isfinite(rate) and 0 < rate <= _BAD_RATES else DEFAULT_RATE
        self._start: float | None = None

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def read(self) -> Frame | None:
        import cv2

        ok, frame = self._capture.read()
        if not ok or frame is None or frame.shape[0] * frame.shape[1] > MAX_PIXELS:
            return None
        now = time.monotonic()
        if self._start is None:
            self._start = now
        return Frame(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8), now - self._start)
