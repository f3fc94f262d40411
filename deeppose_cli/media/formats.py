"""What an input is, an image or a video: by its content, not by its name.

Imports neither NumPy nor a decoder until a file's first bytes leave it open.
"""

from __future__ import annotations

import os
import stat
import warnings
from pathlib import Path
from typing import Any

IMAGE_SUFFIXES = (
    *(".avif", ".bmp", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"),
)
VIDEO_SUFFIXES = (
    *(".3gp", ".apng", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
"""Files that are taken from a folder. A file that is named may have any suffix."""
OTHER_MEDIA_SUFFIXES = (".arw", ".cr2", ".cr3", ".dng", ".jxl", ".nef", ".raf")
"""Images that are not read here."""
IMAGE_OUTPUT_SUFFIX, VIDEO_OUTPUT_SUFFIX = ".jpg", ".mp4"
STDIN = "-"

Source = Path | str
"""A file or a camera's number as a path; a URL, or `-` for a video on standard input, as a string."""

_HEAD = 4096
PNG, _GIF, TIFF = b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a"), (b"II*\0", b"MM\0*")
_STILL = (b"\xff\xd8\xff", b"BM", b"\0\0\0\x0cjP  ")
"""JPEG, BMP, JPEG 2000: never animated."""
_IMAGE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")
"""Of HEIC and AVIF, in the container that MP4 has too."""
_VIDEO = (
    b"\x1aE\xdf\xa3",
    b"OggS",
    b"FLV\x01",
    b"\0\0\x01\xba",
    b"\0\0\x01\xb3",
    b"0&\xb2u\x8ef\xcf\x11",
    b"YUV4MPEG2 ",
)
"""Matroska and WebM, Ogg, Flash, MPEG program and elementary streams, Windows Media, raw frames."""
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
"""What MP4 and QuickTime files may begin with, after four bytes of size."""
_TS_PACKETS = (188, 192, 204)
"""Bytes of an MPEG transport packet, whose first byte is a G."""


def camera_number(source: Source) -> int | None:
    """The camera's number, if the input is a number and not a file."""
    text = str(source)
    is_number = text.isascii() and text.isdigit() and len(text) < 4
    return int(text) if is_number and not os.path.exists(source) else None


def is_video(source: Source) -> bool:
    """Whether an input is a video: a stream, a camera, or a file that is one by its content, animations and stacks of
    pages too. A file that cannot be read is one by its suffix."""
    if isinstance(source, str) or camera_number(source) is not None:
        return True
    head = _head(source)
    if not head:
        return source.suffix.lower() in VIDEO_SUFFIXES
    if is_image_data(head):
        return may_be_animated(head) and is_animated(source)
    return is_video_data(head) or (source.suffix.lower() in VIDEO_SUFFIXES) or (b"\0" in head and _ffmpeg_knows(source))


def is_image_data(head: bytes) -> bool:
    """Whether these are the first bytes of an image, animated or not."""
    return (
        head.startswith((*_STILL, PNG, *_GIF, *TIFF))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _IMAGE_BRANDS)
    )


def is_video_data(head: bytes) -> bool:
    """Whether these are the first bytes of a common video format."""
    if head.startswith(_VIDEO) or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return True
    if head[4:8] in _BOXES:
        return not is_image_data(head)
    return any(head[at::size][:3] == b"GGG" for size in _TS_PACKETS for at in (0, 4))


def may_be_animated(head: bytes) -> bool:
    """Whether an image of these first bytes may hold several frames or pages."""
    if head.startswith(PNG):
        return b"acTL" in head
    if head[:4] == b"RIFF":
        return head[12:16] == b"VP8X" and bool(head[20] & 2)
    return head.startswith((*_GIF, *TIFF))


def is_animated(file: Path) -> bool:
    """Whether an image file holds several frames, or pages of one size, which a TIFF's thumbnail has not."""
    from PIL import Image as PilImage

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PilImage.open(file) as image:
                if getattr(image, "n_frames", 1) < 2:
                    return False
                size = image.size
                image.seek(1)
                return image.size == size
    except Exception:  # a damaged header may raise anything; reading the file raises the error
        return False


def _head(file: Path) -> bytes:
    """The first bytes; none of a FIFO or a device, which would block or never end."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return b""
        with file.open("rb") as data:
            return data.read(_HEAD)
    except (OSError, ValueError):
        return b""


def _ffmpeg_knows(file: Path) -> bool:
    """Whether FFmpeg finds moving images in a file of unknown kind."""
    import av

    try:
        with av.open(f"file:{file}", metadata_errors="ignore", options={"protocol_whitelist": "file"}) as container:
            return moving_stream(container) is not None
    except (av.FFmpegError, OSError, ValueError):
        return False


def moving_stream(container: Any) -> Any:
    """The first stream of images of an open PyAV container that is no cover; None where there is none."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    return None
