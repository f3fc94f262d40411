"""Image files → pixels, whatever a user may point at: what is no whole image is refused by name."""

from __future__ import annotations

import io
import os
import stat
import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from deeppose_cli.core.errors import DeepPoseError

Image = NDArray[np.uint8]
"""(H, W, 3), RGB."""

MAX_PIXELS = int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"])
"""Set in `deeppose_cli/__init__.py`; a larger image is refused before it is decoded."""
MAX_BYTES = 2**30
"""A larger file is none of an image of so many pixels."""

DECODING_VERSION = 2
"""Of the pixels that these functions make of a file; kept ones of another version are decoded anew."""
GROUND = (255, 255, 255)
"""What shows where an image is transparent, as in most programs."""

_JPEG, _SCAN, _END = b"\xff\xd8\xff", 0xDA, b"\xff\xd9"
_PNG, _PNG_ALPHA, _HEAD = b"\x89PNG\r\n\x1a\n", (4, 6), 4096
_TIFF = (b"II*\0", b"MM\0*")


def read_image(path: Path, *, exif: bool = False) -> Image:
    """Decode a file to (H, W, 3) uint8 RGB: grey becomes RGB, 16 bits 8, CMYK RGB, transparency white.

    `exif` turns the image as its camera asks. The data sets' labels were made on the pixels as they are stored, so
    their images are read without. Raises DeepPoseError, one line that names the file, when it cannot be read whole:
    OpenCV alone would fill the rest of a truncated JPEG with grey and say nothing.
    """
    data = _read(path)
    if data.startswith(_JPEG) and not _has_end(data):
        raise DeepPoseError(f"{path}: the JPEG is truncated ({len(data)} bytes, no end marker)")
    try:
        image = _on_ground(data, exif) if _may_be_transparent(data) else _decode(data, exif)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE_PIXELS" in str(error):
            raise DeepPoseError(f"{path}: more than {MAX_PIXELS:,} pixels; a smaller copy is valid") from None
        image = None
    if image is None:
        raise DeepPoseError(f"{path}: not an image that can be decoded (JPEG, PNG, BMP, WebP, TIFF are)")
    return image


def pixel_count(path: Path) -> int:
    """How many pixels a file's header promises; 0 where it is no image, of which reading it will tell."""
    from PIL import Image

    try:
        if not path.is_file():  # opening a FIFO would wait
            return 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PilImage.open(path) as image:
                return image.width * image.height
    except Image.DecompressionBombError:
        return MAX_PIXELS
    except Exception:  # whatever a damaged header makes its reader do
        return 0


def _read(path: Path) -> bytes:
    """A FIFO or a device would keep its reader waiting, or never end."""
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise DeepPoseError(f"{path}: is a folder; expected an image")
        if not stat.S_ISREG(about.st_mode):
            raise DeepPoseError(f"{path}: not a regular file; expected an image")
        if about.st_size > MAX_BYTES:
            raise DeepPoseError(f"{path}: {about.st_size:,} bytes are more than an image has; valid: {MAX_BYTES:,}")
        data = path.read_bytes()
    except OSError as error:
        raise DeepPoseError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not data:
        raise DeepPoseError(f"{path}: the file is empty; expected an image")
    return data


def _decode(data: bytes, exif: bool) -> Image | None:
    flags = cv2.IMREAD_COLOR_RGB | (0 if exif else cv2.IMREAD_IGNORE_ORIENTATION)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return None if image is None else np.asarray(image, dtype=np.uint8)


def _may_be_transparent(data: bytes) -> bool:
    """PNG by its colour type or a tRNS chunk, WebP by the flags of its extended and its lossless form, any TIFF."""
    if data.startswith(_PNG):
        return data[25:26] != b"" and (data[25] in _PNG_ALPHA or b"tRNS" in data[:_HEAD])
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) > 24:
        return {b"VP8X": bool(data[20] & 16), b"VP8L": bool(data[24] & 16)}.get(data[12:16], False)
    return data.startswith(_TIFF)


def _on_ground(data: bytes, exif: bool) -> Image | None:
    """Laid over white. OpenCV would show the colours that are hidden where nothing should be seen."""
    plain = _decode(data, exif)  # it also refuses what is too large or cut off
    if plain is None:
        return None

    from PIL import Image, ImageOps

    try:
        with PilImage.open(io.BytesIO(data)) as opened:
            if not opened.has_transparency_data:
                return plain
            image = (ImageOps.exif_transpose(opened) if exif else opened).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # a kind or size that only OpenCV takes
        return plain
    ground = PilImage.new("RGBA", image.size, (*GROUND, 255))
    return np.asarray(PilImage.alpha_composite(ground, image).convert("RGB"), dtype=np.uint8)


def _has_end(data: bytes) -> bool:
    """Whether an end marker follows the first scan of a JPEG. The segments before it are stepped over: a preview
    image in one of them has an end of its own. What follows the end (phones append videos) does not matter."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == _SCAN:
            return data.find(_END, at) >= 0  # inside a scan every 0xff is escaped
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) from the file's header; no pixel is decoded. Raises DeepPoseError that names the file."""
    try:
        with PilImage.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError):
        raise DeepPoseError(f"{path}: not an image, or not readable") from None
