"""Media files of many kinds, each with what a reader must find in it.

Every frame has one color in each corner, so that turned, mirrored and swapped channels show; `python -m
tests.helpers.media_files DIR` writes them all, to be opened by other programs.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image as PilImage
from PIL import ImageCms

WIDTH, HEIGHT = 128, 96
RED, GREEN, BLUE, WHITE = (230, 30, 30), (30, 200, 30), (30, 30, 230), (235, 235, 235)
UPRIGHT = (RED, GREEN, BLUE, WHITE)
"""Top left, top right, bottom left, bottom right."""
RATE, FRAMES = 10, 6
TIMES = tuple(i / RATE for i in range(FRAMES))
UNEVEN = (0.0, 0.1, 0.15, 0.6, 1.4, 1.44)


@dataclass(frozen=True)
class MediaFile:
    """A file, how it is made, and what it shows."""

    name: str
    make: Callable[[Path], None]
    times: Sequence[float] = TIMES
    """Of the frames; () for an image."""
    size: tuple[int, int] = (WIDTH, HEIGHT)
    corners: tuple[tuple[int, int, int], ...] = UPRIGHT
    refused: str = ""
    """Part of the error, for a file that must be refused."""
    problem: str = ""
    """Part of the message about a file that is read only to its damage."""
    tolerance: int = field(default=45)
    """Of a corner's color, as codecs change it."""


def image(gray: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """(H, W, 3): the corners' colors on a gray."""
    width, height = size
    pixels = np.full((height, width, 3), gray, np.uint8)
    dy, dx = height // 3, width // 3
    pixels[:dy, :dx], pixels[:dy, -dx:], pixels[-dy:, :dx], pixels[-dy:, -dx:] = UPRIGHT
    return pixels


def encode(
    path: Path,
    codec: str = "libx264",
    container: str = "mp4",
    *,
    times: Sequence[float] = TIMES,
    rate: Fraction | int = RATE,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    pixels: str = "yuv420p",
    matrix: Sequence[int] | None = None,
    aspect: Fraction | None = None,
    sound: str = "",
    cover: bool = False,
    images: bool = True,
    options: dict[str, str] | None = None,
) -> None:
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        picture: Any = out.add_stream("mjpeg", 1) if cover else None
        stream: Any = out.add_stream(codec, rate) if images else None
        track: Any = out.add_stream(sound, 48_000) if sound else None
        if stream is not None:
            stream.width, stream.height, stream.pix_fmt = *size, pixels
            if tuple(times) != tuple(i / rate for i in range(len(times))):
                stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            if matrix is not None:
                stream.set_display_matrix([*matrix[:2], 0, *matrix[2:], 0, 0, 0, 1 << 30])
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            if picture is not None:
                _add_cover(out, picture)
            for i, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(image(20 * i % 256, size), format="rgb24")
                base = stream.codec_context.time_base or Fraction(1) / rate
                frame.pts, frame.time_base = round(time / base), base
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        if track is not None:
            _add_sound(out, track, 0.6)


def _add_cover(out: Any, cover: Any) -> None:
    cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
    cover.time_base = Fraction(1, 1000)
    cover.disposition = av.stream.Disposition.attached_pic
    frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 9, np.uint8), format="rgb24")
    frame.pts, frame.time_base = 0, Fraction(1)
    out.mux(cover.encode(frame))
    out.mux(cover.encode(None))


def _add_sound(out: Any, track: Any, seconds: float) -> None:
    wave = (8000 * np.sin(np.arange(int(48_000 * seconds)) * 0.05)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.stack([wave, wave], 1).reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate, frame.pts = 48_000, 0
    resampler = av.AudioResampler(track.format, "stereo", 48_000, frame_size=track.codec_context.frame_size or None)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        out.mux(track.encode(part))
    out.mux(track.encode(None))


def _cut(path: Path, share: float, **settings: Any) -> None:
    encode(path, **settings)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def _animation(path: Path, kind: str, milliseconds: int = 100, frames: int = FRAMES) -> None:
    images = [PilImage.fromarray(image(20 * i)) for i in range(frames)]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    more = {} if kind == "TIFF" else {"duration": milliseconds, "loop": 0}
    images[0].save(path, kind, save_all=True, append_images=images[1:], **more, **lossless)


def _heif(path: Path, kind: str, orientation: int = 1) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = PilImage.Exif()
    exif[0x0112] = orientation
    PilImage.fromarray(image()).save(path, kind, quality=95, exif=exif.tobytes())


def _oriented(path: Path, orientation: int) -> None:
    exif = PilImage.Exif()
    exif[0x0112] = orientation
    PilImage.fromarray(image()).save(path, "JPEG", quality=95, exif=exif)


def _array(path: Path, scale: float, dtype: Any) -> None:
    ok, data = cv2.imencode(path.suffix, (image()[..., ::-1].astype(np.float64) * scale).astype(dtype))
    assert ok
    path.write_bytes(data.tobytes())


def _swapped_profile(path: Path) -> None:
    """A JPEG whose profile swaps red and blue, pixels too: shown, it is as the others."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    for i in range(count):
        at = 132 + 12 * i
        name = bytes(profile[at : at + 4])
        profile[at : at + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(name, name)
    data = bytes(profile).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    PilImage.fromarray(image()[..., ::-1].copy()).save(
        path, "JPEG", quality=95, icc_profile=data.replace(b"sRGB", b"swap")
    )


def _thumbnail_page(path: Path) -> None:
    whole = PilImage.fromarray(image())
    whole.save(path, "TIFF", save_all=True, append_images=[whole.resize((32, 24))])


def _cmyk(path: Path) -> None:
    PilImage.fromarray(image()).convert("CMYK").save(path, "JPEG", quality=95)


def _text(path: Path, text: bytes) -> None:
    path.write_bytes(text)


def _matrices() -> list[MediaFile]:
    """The display matrices of phones held any way, and of front cameras, which mirror."""
    one = 65536
    kinds = {
        "90": ((0, one, -one, 0), (BLUE, RED, WHITE, GREEN)),
        "180": ((-one, 0, 0, -one), (WHITE, BLUE, GREEN, RED)),
        "270": ((0, -one, one, 0), (GREEN, WHITE, RED, BLUE)),
        "mirrored": ((-one, 0, 0, one), (GREEN, RED, WHITE, BLUE)),
        "upside-down-mirrored": ((one, 0, 0, -one), (BLUE, WHITE, RED, GREEN)),
        "transposed": ((0, one, one, 0), (RED, BLUE, GREEN, WHITE)),
        "transversed": ((0, -one, -one, 0), (WHITE, GREEN, BLUE, RED)),
    }
    return [
        MediaFile(
            f"turned-{name}.mp4",
            partial(encode, matrix=matrix),
            size=(WIDTH, HEIGHT) if matrix[0] else (HEIGHT, WIDTH),
            corners=corners,
        )
        for name, (matrix, corners) in kinds.items()
    ]


_IMAGE: dict[str, Any] = {"times": ()}
_NTSC = tuple(i * 1001 / 30000 for i in range(FRAMES))
_240 = tuple(i / 240 for i in range(9))
_25 = tuple(i / 25 for i in range(FRAMES))
VIDEOS = [
    MediaFile("h264.mp4", encode),
    MediaFile("h264.mov", partial(encode, container="mov")),
    MediaFile("h264.m4v", partial(encode, container="ipod")),
    MediaFile("h264.mkv", partial(encode, container="matroska")),
    MediaFile("h264.3gp", partial(encode, container="3gp")),
    MediaFile("h264.ts", partial(encode, container="mpegts")),
    MediaFile("h264.mts", partial(encode, container="mpegts", options={"mpegts_m2ts_mode": "1"})),
    MediaFile("h264.flv", partial(encode, container="flv")),
    MediaFile("hevc.mp4", partial(encode, codec="libx265", options={"x265-params": "log-level=none"})),
    MediaFile("av1.mp4", partial(encode, codec="libsvtav1")),
    MediaFile("vp8.webm", partial(encode, codec="libvpx", container="webm")),
    MediaFile("vp9.webm", partial(encode, codec="libvpx-vp9", container="webm")),
    MediaFile("mpeg4.avi", partial(encode, codec="mpeg4", container="avi")),
    MediaFile("motion-jpeg.avi", partial(encode, codec="mjpeg", container="avi", pixels="yuvj420p")),
    MediaFile("flash.flv", partial(encode, codec="flv", container="flv")),
    MediaFile("windows.wmv", partial(encode, codec="wmv2", container="asf")),
    MediaFile("mpeg1.mpg", partial(encode, codec="mpeg1video", container="mpeg", rate=25, times=_25), times=_25),
    MediaFile("mpeg2.vob", partial(encode, codec="mpeg2video", container="vob", rate=25, times=_25), times=_25),
    MediaFile("lossless.mkv", partial(encode, codec="ffv1", container="matroska")),
    MediaFile("raw.y4m", partial(encode, codec="rawvideo", container="yuv4mpegpipe")),
    MediaFile("gray.mkv", partial(encode, codec="ffv1", container="matroska", pixels="gray"), corners=((),) * 4),
    MediaFile("ten-bits.mkv", partial(encode, codec="ffv1", container="matroska", pixels="yuv420p10le")),
    MediaFile("uneven.mp4", partial(encode, times=UNEVEN), times=UNEVEN),
    MediaFile("uneven.mkv", partial(encode, container="matroska", times=UNEVEN), times=UNEVEN),
    MediaFile(
        "slow.mp4", partial(encode, rate=Fraction(1, 2), times=(0, 2, 4)), times=(0, 2, 4)
    ),  # one frame every two seconds
    MediaFile("fast.mp4", partial(encode, rate=240, times=_240), times=_240),
    MediaFile("ntsc.mp4", partial(encode, rate=Fraction(30000, 1001), times=_NTSC), times=_NTSC),
    MediaFile("wide-pixels.mp4", partial(encode, aspect=Fraction(2)), size=(2 * WIDTH, HEIGHT)),
    MediaFile("high-pixels.mp4", partial(encode, aspect=Fraction(1, 2)), size=(WIDTH, 2 * HEIGHT)),
    *_matrices(),
    MediaFile("late-start.ts", partial(encode, container="mpegts", options={"output_ts_offset": "9"})),
    MediaFile("cover.mp4", partial(encode, cover=True)),
    MediaFile("sound.mp4", partial(encode, sound="aac")),
    MediaFile("sound.mov", partial(encode, container="mov", sound="pcm_s16le")),
    MediaFile("sound.webm", partial(encode, codec="libvpx", container="webm", sound="libopus")),
    MediaFile("no-suffix", partial(encode, container="matroska")),
    MediaFile("named-as-image.jpg", encode),
    MediaFile("truncated.avi", partial(_cut, share=0.5, codec="mjpeg", container="avi", pixels="yuvj420p",
                                       times=[i / 10 for i in range(30)]),
              times=(), problem="ends after"),
    MediaFile("animated.gif", partial(_animation, kind="GIF")),
    MediaFile("animated.webp", partial(_animation, kind="WEBP")),
    MediaFile("animated.png", partial(_animation, kind="PNG")),
    MediaFile("pages.tif", partial(_animation, kind="TIFF"), times=tuple(range(FRAMES))),
    MediaFile("only-sound.mp4", partial(encode, images=False, sound="aac"), refused="holds no video, only sound"),
    MediaFile("text.mp4", partial(_text, text=b"no video"), refused="not a video"),
    MediaFile("empty.mp4", partial(_text, text=b""), refused="not a video"),
    MediaFile("list.m3u8.mp4", partial(_text, text=b"#EXTM3U\nh264.mp4\n"), refused="a list of other files"),
    MediaFile("cut.mp4", partial(_cut, share=0.5), refused="not a video"),
]  # fmt: skip
IMAGES = [
    MediaFile("still.gif", partial(_animation, kind="GIF", frames=1), **_IMAGE),
    MediaFile("thumbnail.tif", _thumbnail_page, **_IMAGE),
    MediaFile("phone.heic", partial(_heif, kind="HEIF"), **_IMAGE),
    MediaFile("phone-turned.heic", partial(_heif, kind="HEIF", orientation=6), size=(HEIGHT, WIDTH),
              corners=(BLUE, RED, WHITE, GREEN), **_IMAGE),
    MediaFile("still.avif", partial(_heif, kind="AVIF"), **_IMAGE),
    MediaFile("turned.avif", partial(_heif, kind="AVIF", orientation=3), corners=(WHITE, BLUE, GREEN, RED), **_IMAGE),
    MediaFile("turned.jpg", partial(_oriented, orientation=8), size=(HEIGHT, WIDTH),
              corners=(GREEN, WHITE, RED, BLUE), **_IMAGE),
    MediaFile("mirrored.jpg", partial(_oriented, orientation=2), corners=(GREEN, RED, WHITE, BLUE), **_IMAGE),
    MediaFile("float.tif", partial(_array, scale=1 / 255, dtype=np.float32), **_IMAGE),
    MediaFile("16-bits.png", partial(_array, scale=257, dtype=np.uint16), **_IMAGE),
    MediaFile("12-bits.png", partial(_array, scale=16, dtype=np.uint16), **_IMAGE),
    MediaFile("12-bits.tif", partial(_array, scale=16, dtype=np.uint16), **_IMAGE),
    MediaFile("profile.jpg", _swapped_profile, **_IMAGE),
    MediaFile("print.jpg", _cmyk, **_IMAGE),
    MediaFile("still.jp2", partial(_array, scale=1, dtype=np.uint8), **_IMAGE),
]  # fmt: skip


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for each in [*VIDEOS, *IMAGES]:
        each.make(folder / each.name)
