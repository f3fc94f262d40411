"""Writing annotated videos: H.264 that browsers play, each frame at its own time, with the source's sound."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np

from deeppose_cli.core.errors import DeepPoseError, UsageError, one_line
from deeppose_cli.media.formats import VIDEO_OUTPUT_SUFFIX
from deeppose_cli.media.images import Image

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

CODEC = "libx264"
_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "20"},
    "libx265": {"preset": "fast", "crf": "22", "x265-params": "log-level=none"},
}
_BT709, _LIMITED = 1, 1
"""FFmpeg's numbers of the colors that players expect: without them they guess by the size."""
_TIME_BASE = Fraction(1, 90_000)
"""Ticks of a written file: exact for all usual rates."""
_OTHER_SOUND = "aac"
"""Codec of sound that an .mp4 cannot hold as it is."""


def check_codec(name: str) -> None:
    """Encode a frame into an .mp4 in memory. Raises UsageError where FFmpeg cannot."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format="mp4") as container:
            stream: Any = container.add_stream(name, 25, options=_OPTIONS.get(name, {}))
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    except (av.FFmpegError, ValueError, AttributeError):
        valid = "valid: an encoder of this FFmpeg, such as libx264, libx265 or libsvtav1"
        raise UsageError(f"--codec {name}: cannot write an .mp4; {valid}") from None


class VideoWriter:
    """Writer of an .mp4 file. A context manager: the file appears when it is complete; an error leaves no file."""

    def __init__(self, file: Path, rate: float, *, sound: Path | None = None, codec: str = CODEC) -> None:
        """`rate`: frames per second, on average. `sound`: a file whose first sound track is copied."""
        self.file, self.rate, self.codec = file, rate, codec
        self._temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp{VIDEO_OUTPUT_SUFFIX}")
        self._sound_source = sound
        self._sound: _Sound | None = None
        self._container: OutputContainer | None = None
        self._stream: Any = None
        self._last = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._container is not None:
                if kind is None:
                    self._finish()
                self._close()
                if kind is None:
                    os.replace(self._temporary, self.file)
        finally:
            self._temporary.unlink(missing_ok=True)

    def write(self, image: Image, at: float) -> None:
        """Append a frame, (H, W, 3) RGB, shown from `at` seconds on; it is scaled to the first one's size.

        Raises DeepPoseError if it cannot be written.
        """
        import av

        try:
            if self._container is None:
                self._open(*image.shape[1::-1])
            frame = av.VideoFrame.from_ndarray(_of_even_size(image, self._size), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            # Two frames never share a tick, which the container does not allow.
            frame.pts = self._last = max(round(at / _TIME_BASE), self._last + 1)
            frame.time_base = _TIME_BASE
            self._mux(self._stream.encode(frame))
            if self._sound is not None:
                self._mux(self._sound.until(at))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failed(error) from None

    def _open(self, width: int, height: int) -> None:
        import av

        self._size = (width + width % 2, height + height % 2)  # yuv420p has one color for 2 × 2 px
        options = {"movflags": "+faststart"}
        self._container = av.open(f"file:{self._temporary}", "w", format="mp4", options=options)
        rate = Fraction(self.rate).limit_denominator(1001)
        self._stream = self._container.add_stream(self.codec, rate or 1, options=_OPTIONS.get(self.codec, {}))
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        self._stream.time_base = self._stream.codec_context.time_base = _TIME_BASE
        if self._sound_source is not None:
            self._sound = _Sound.open(self._sound_source, self._container)

    def _mux(self, packets: Any) -> None:
        assert self._container is not None
        for packet in packets:
            self._container.mux(packet)

    def _finish(self) -> None:
        import av

        try:
            self._mux(self._stream.encode(None))
            if self._sound is not None:
                self._mux(self._sound.until(float(self._last * _TIME_BASE) + 1 / self.rate))
                self._mux(self._sound.rest())
        except (av.FFmpegError, OSError, ValueError) as error:
            self._close()
            raise self._failed(error) from None

    def _close(self) -> None:
        if self._sound is not None:
            self._sound.close()
        if self._container is not None:
            self._container.close()

    def _failed(self, error: Exception) -> DeepPoseError:
        reason = one_line(str(getattr(error, "strerror", None) or error))
        return DeepPoseError(f"{self.file}: the video cannot be written ({reason})")


def _of_even_size(image: Image, size: tuple[int, int]) -> Image:
    """The image with up to one more row and column; scaled if it is of another size, as after a change in a stream."""
    width, height = size
    if not (height - 1 <= image.shape[0] <= height and width - 1 <= image.shape[1] <= width):
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    missing = ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0))
    return np.ascontiguousarray(image if not any(map(any, missing)) else np.pad(image, missing, mode="edge"))


class _Sound:
    """The first sound track of a file, packet by packet; encoded again only where an .mp4 cannot hold it."""

    def __init__(self, source: InputContainer, track: AudioStream, out: OutputContainer) -> None:
        self._source = source
        self._start = Fraction(source.start_time or 0, 1_000_000)
        self._is_copied = track.codec_context.name in out.supported_codecs or track.codec.canonical_name in (
            out.supported_codecs
        )
        self._out: Any = out.add_stream_from_template(track) if self._is_copied else None
        if self._out is None:
            self._out = out.add_stream(_OTHER_SOUND, track.rate)
        self._packets = source.demux(track)
        self._next: Packet | None = None
        """Its pts is known."""
        self._read()

    @classmethod
    def open(cls, source: Path, out: OutputContainer) -> _Sound | None:
        """None where the file has no sound that can be kept."""
        import av

        try:
            container = av.open(f"file:{source}", metadata_errors="ignore", options={"protocol_whitelist": "file"})
        except (av.FFmpegError, OSError, ValueError):
            return None
        try:
            if container.streams.audio:
                return cls(container, container.streams.audio[0], out)
        except (av.FFmpegError, ValueError):
            pass
        container.close()
        return None

    def until(self, seconds: float) -> Iterator[Packet]:
        """The packets up to this time of the file."""
        while (packet := self._next) is not None:
            assert packet.pts is not None
            if packet.pts * packet.time_base - self._start > seconds:
                return
            shift = round(self._start / packet.time_base)
            if self._is_copied:
                packet.pts -= shift
                packet.dts = None if packet.dts is None else packet.dts - shift
                packet.stream = self._out
                yield packet
            else:
                for frame in packet.decode():
                    frame.pts = None if frame.pts is None else frame.pts - shift
                    yield from self._out.encode(frame)
            self._read()

    def rest(self) -> Iterator[Packet]:
        if not self._is_copied:
            yield from self._out.encode(None)

    def close(self) -> None:
        self._source.close()

    def _read(self) -> None:
        import av

        self._next = None
        try:
            for packet in self._packets:
                if packet.pts is not None and packet.size:
                    self._next = packet
                    return
        except (av.FFmpegError, OSError):
            return
