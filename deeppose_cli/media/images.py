"""Decoding of image files. A file that is not a whole image is refused by name."""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageCms, ImageOps, UnidentifiedImageError

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.media.formats import PNG, TIFF

Image = NDArray[np.uint8]
"""(H, W, 3), RGB."""

MAX_PIXELS = int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"])
"""Set in `deeppose_cli/__init__.py`; a larger image is refused before it is decoded."""
MAX_BYTES = 2**30
"""An image of so many pixels never has a larger file."""

DECODING_VERSION = 3
"""Raise it with every change that changes pixels: cached images of another version are decoded again."""
BACKGROUND = (255, 255, 255)
"""The color where an image is transparent, as in most programs."""

_JPEG, _SCAN, _END = b"\xff\xd8\xff", 0xDA, b"\xff\xd9"
_PNG_ALPHA, _HEAD = (4, 6), 4096
_ICC_MARKS, _ICC_HEAD = re.compile(rb"ICC_PROFILE\0|iCCP|ICCP"), 2**17
"""What comes before a color profile in JPEG, PNG and WebP; and how far into the file it is looked for."""
_SRGB_UTF16 = "sRGB".encode("utf-16-be")
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes of more than 8 bits, one channel each."""


def read_image(path: Path, *, as_displayed: bool = False) -> Image:
    """Decode a file to (H, W, 3) uint8 RGB: gray and CMYK become RGB, transparency white, more than 8 bits 8.

    `as_displayed` rotates the image by its camera's orientation tag and converts the colors of its profile to sRGB, as
    viewers do. The data sets' labels were made on the pixels as they are stored, so their images are read without.
    Raises DeepPoseError, one line that names the file, if it cannot be read whole: OpenCV alone would fill the rest of
    a truncated JPEG with gray, without an error.
    """
    data = _read(path)
    if data.startswith(_JPEG) and not _has_end(data):
        raise DeepPoseError(f"{path}: the JPEG is truncated ({len(data)} bytes, no end marker)")
    try:
        if _needs_pillow(data, as_displayed):
            image = _decode_by_pillow(data, as_displayed)
        else:
            image = _decode(data, as_displayed)
    except (cv2.error, _TooLargeError) as error:
        if isinstance(error, _TooLargeError) or "CV_IO_MAX_IMAGE_PIXELS" in str(error):
            raise DeepPoseError(f"{path}: more than {MAX_PIXELS:,} pixels; a smaller copy is valid") from None
        image = None
    if image is None:
        raise DeepPoseError(f"{path}: not an image that can be decoded (JPEG, PNG, HEIC, AVIF, WebP, TIFF, BMP are)")
    return image


def pixel_count(path: Path) -> int:
    """Number of pixels by the file's header; 0 if it is not an image: reading it raises the error."""
    try:
        if not path.is_file():  # opening a FIFO would wait
            return 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_with_pillow(path) as image:
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


class _TooLargeError(ValueError):
    """More pixels than MAX_PIXELS."""


def open_with_pillow(file: Path | BinaryIO) -> PilImage.Image:
    """Open a file with Pillow, HEIC too, whose library is loaded at the first file that needs it."""
    try:
        return PilImage.open(file)
    except UnidentifiedImageError:
        import pillow_heif

        pillow_heif.register_heif_opener()
        return PilImage.open(file)


def _decode(data: bytes, as_displayed: bool) -> Image | None:
    is_tiff = data.startswith(TIFF)  # OpenCV swaps only some rows of one with 16 bits
    flags = cv2.IMREAD_COLOR if is_tiff else cv2.IMREAD_COLOR_RGB
    flags |= cv2.IMREAD_ANYDEPTH | (0 if as_displayed else cv2.IMREAD_IGNORE_ORIENTATION)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return None if image is None else to_8_bits(np.ascontiguousarray(image[..., ::-1]) if is_tiff else image)


def to_8_bits(image: NDArray[Any]) -> Image:
    """Scale pixels to 0..255. Integers: by the fewest of 8, 10, 12, 14, 16 or 32 bits that hold the largest, as cameras
    with 12 bits leave the rest empty. Floats: 0..1, or where any is outside, from the least to the largest."""
    if image.dtype == np.uint8:
        return np.asarray(image)
    if np.issubdtype(image.dtype, np.floating):
        values = np.nan_to_num(image.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        low, high = float(values.min()), float(values.max())
        if low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        return np.asarray(np.rint((values - low) * (255 / (high - low))), np.uint8)
    whole = image.astype(np.int64).clip(0, None)
    bits = next(bits for bits in (8, 10, 12, 14, 16, 32) if int(whole.max()) < 2**bits)
    return np.asarray(whole >> (bits - 8), np.uint8)


def _needs_pillow(data: bytes, as_displayed: bool) -> bool:
    """Whether OpenCV would lose something: transparency, a color profile, HEIC, or an AVIF's orientation."""
    if data[4:8] == b"ftyp":
        return True
    if as_displayed and _ICC_MARKS.search(data, 0, _ICC_HEAD):
        return True
    if data.startswith(PNG):  # by its color type or a tRNS chunk; one of 16 bits Pillow would cut
        return data[25:26] != b"" and data[24] <= 8 and (data[25] in _PNG_ALPHA or b"tRNS" in data[:_HEAD])
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) > 24:  # by the flags of its two forms
        return {b"VP8X": bool(data[20] & 16), b"VP8L": bool(data[24] & 16)}.get(data[12:16], False)
    return data.startswith(TIFF)


def _decode_by_pillow(data: bytes, as_displayed: bool) -> Image | None:
    """None where neither Pillow nor OpenCV can decode it; OpenCV's where only it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's own limit of pixels, which is lower
            with open_with_pillow(io.BytesIO(data)) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise _TooLargeError
                needs_pillow = opened.has_transparency_data or _profile(opened)
                if not data.startswith(TIFF) or (needs_pillow and opened.mode not in _DEEP_MODES):
                    return from_pil(opened, as_displayed=as_displayed)
    except PilImage.DecompressionBombError:
        raise _TooLargeError from None
    except (OSError, ValueError, SyntaxError):
        pass
    return _decode(data, as_displayed)


def from_pil(image: PilImage.Image, *, as_displayed: bool) -> Image:
    """(H, W, 3) RGB of a PIL image, as `read_image` reads its file. Raises OSError where its file is damaged."""
    if as_displayed:
        image = ImageOps.exif_transpose(image)
    if image.mode in _DEEP_MODES:
        return np.repeat(to_8_bits(np.asarray(image))[..., None], 3, axis=2)
    if as_displayed:
        image = _to_srgb(image)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)
    white = PilImage.new("RGBA", image.size, (*BACKGROUND, 255))
    return np.asarray(PilImage.alpha_composite(white, image.convert("RGBA")).convert("RGB"), dtype=np.uint8)


def _profile(image: PilImage.Image) -> bytes:
    """Its color profile; none where that is sRGB, which needs no conversion."""
    profile: bytes = image.info.get("icc_profile") or b""
    return b"" if b"sRGB" in profile or _SRGB_UTF16 in profile else profile


def _to_srgb(image: PilImage.Image) -> PilImage.Image:
    profile = _profile(image)
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGBA" if image.mode == "RGBA" else "RGB",
        )
    except (ImageCms.PyCMSError, OSError):  # a damaged profile, or one of other channels
        return image
    return image if converted is None else converted


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
        with open_with_pillow(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError):
        raise DeepPoseError(f"{path}: not an image, or not readable") from None
