"""Decoding of image files. A file that is not a whole image is refused by name."""

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
from PIL import ImageOps, UnidentifiedImageError

from deeppose_cli.core.errors import DeepPoseError

Image = NDArray[np.uint8]
"""(H, W, 3), RGB."""

MAX_PIXELS = int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"])
"""Set in `deeppose_cli/__init__.py`; a larger image is refused before it is decoded."""
MAX_BYTES = 2**30
"""An image of so many pixels never has a larger file."""

DECODING_VERSION = 2
"""Raise it with every change that changes pixels: cached images of another version are decoded again."""
BACKGROUND = (255, 255, 255)
"""The color where an image is transparent, as in most programs."""

_JPEG, _SCAN, _END = b"\xff\xd8\xff", 0xDA, b"\xff\xd9"
_PNG, _PNG_ALPHA, _HEAD = b"\x89PNG\r\n\x1a\n", (4, 6), 4096
_TIFF = (b"II*\0", b"MM\0*")


def read_image(path: Path, *, exif: bool = False) -> Image:
    """Decode a file to (H, W, 3) uint8 RGB: gray and CMYK become RGB, 16 bits 8, transparency white.

    `exif` rotates the image by its camera's orientation tag. The data sets' labels were made on the pixels as they are
    stored, so their images are read without. Raises DeepPoseError, one line that names the file, if it cannot be read
    whole: OpenCV alone would fill the rest of a truncated JPEG with gray, without an error.
    """
    data = _read(path)
    if data.startswith(_JPEG) and not _has_end(data):
        raise DeepPoseError(f"{path}: the JPEG is truncated ({len(data)} bytes, no end marker)")
    try:
        image = _on_background(data, exif) if _may_be_transparent(data) else _decode(data, exif)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE_PIXELS" in str(error):
            raise DeepPoseError(f"{path}: more than {MAX_PIXELS:,} pixels; a smaller copy is valid") from None
        image = None
    if image is None:
        raise DeepPoseError(f"{path}: not an image that can be decoded (JPEG, PNG, BMP, WebP, TIFF are)")
    return image


def pixel_count(path: Path) -> int:
    """Number of pixels by the file's header; 0 if it is not an image: reading it raises the error."""
    try:
        if not path.is_file():  # opening a FIFO would wait
            return 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PilImage.open(path) as image:
                return image.width * image.height
    except PilImage.DecompressionBombError:
        return MAX_PIXELS
    except Exception:  # a damaged header may raise anything
        return 0


def _read(path: Path) -> bytes:
    """The file's content. A FIFO or a device is refused: it would block its reader, or never end."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise DeepPoseError(f"{path}: is a folder; expected an image")
        if not stat.S_ISREG(status.st_mode):
            raise DeepPoseError(f"{path}: not a regular file; expected an image")
        if status.st_size > MAX_BYTES:
            raise DeepPoseError(f"{path}: {status.st_size:,} bytes are more than an image has; valid: {MAX_BYTES:,}")
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
    """PNG by its color type or a tRNS chunk, WebP by the flags of its extended and its lossless form, any TIFF."""
    if data.startswith(_PNG):
        return data[25:26] != b"" and (data[25] in _PNG_ALPHA or b"tRNS" in data[:_HEAD])
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) > 24:
        return {b"VP8X": bool(data[20] & 16), b"VP8L": bool(data[24] & 16)}.get(data[12:16], False)
    return data.startswith(_TIFF)


def _on_background(data: bytes, exif: bool) -> Image | None:
    """Compose the image with white. OpenCV alone would ignore the transparency."""
    plain = _decode(data, exif)  # it also refuses what is too large or cut off
    if plain is None:
        return None

    try:
        with PilImage.open(io.BytesIO(data)) as opened:
            return from_pil(opened, exif=exif) if opened.has_transparency_data else plain
    except (OSError, ValueError, SyntaxError, PilImage.DecompressionBombError):  # only OpenCV reads this kind or size
        return plain


def from_pil(image: PilImage.Image, *, exif: bool) -> Image:
    """(H, W, 3) RGB of a PIL image, as `read_image` reads its file. Raises OSError where its file is damaged."""
    if exif:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits
        gray = (np.asarray(image).clip(0, 2**16 - 1) >> 8).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)
    white = PilImage.new("RGBA", image.size, (*BACKGROUND, 255))
    return np.asarray(PilImage.alpha_composite(white, image.convert("RGBA")).convert("RGB"), dtype=np.uint8)


def _has_end(data: bytes) -> bool:
    """Whether an end marker follows the first scan of a JPEG.

    The segments before it are skipped: a thumbnail in one of them has an end marker of its own. Bytes after the end
    (phones append videos) do not matter.
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == _SCAN:
            return data.find(_END, at) >= 0  # inside a scan every 0xff is escaped
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) px from the file's header, without decoding. Raises DeepPoseError that names the file."""
    try:
        with PilImage.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError):
        raise DeepPoseError(f"{path}: not an image, or not readable") from None
