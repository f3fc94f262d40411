"""Image files, whole and broken, of every kind."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.media.images import MAX_BYTES, MAX_PIXELS, read_image


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def jpeg(image: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    PilImage.fromarray(image).save(out, "JPEG", **options)
    return out.getvalue()


def photo(height: int = 90, width: int = 120) -> np.ndarray:
    """Smooth colors, so that JPEG keeps them."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], -1).astype(np.uint8)


def exif_with_thumbnail(thumbnail: bytes) -> bytes:
    """An EXIF block whose second directory holds a whole JPEG."""
    first = struct.pack("<HI", 0, 14)  # no entries; the next directory is at 14
    second = struct.pack("<H", 2)
    second += struct.pack("<HHII", 0x0201, 4, 1, 44) + struct.pack("<HHII", 0x0202, 4, 1, len(thumbnail))
    body = b"II*\0" + struct.pack("<I", 8) + first + second + struct.pack("<I", 0)
    return b"Exif\0\0" + body.ljust(44, b"\0") + thumbnail


def assert_refused(path: Path) -> None:
    with pytest.raises(DeepPoseError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_channels_come_as_rgb_whatever_the_file_holds(tmp_path: Path) -> None:
    rgb = noise(7, 5)
    grey, deep = rgb[..., 0], rgb[..., 0].astype(np.uint16) * 257
    images = {
        "color.png": (PilImage.fromarray(rgb), rgb),
        "grey.png": (PilImage.fromarray(grey), np.dstack([grey] * 3)),
        "deep.png": (PilImage.fromarray(deep), np.dstack([grey] * 3)),
        "color.bmp": (PilImage.fromarray(rgb), rgb),
        "color.tif": (PilImage.fromarray(rgb), rgb),
    }
    for name, (stored, expected) in images.items():
        stored.save(tmp_path / name)
        found = read_image(tmp_path / name)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_a_jpeg_has_its_colors(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(photo(), quality=95, subsampling=0))
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - photo()).max() < 12


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.0001, 0.02, 0.3, 0.5, 0.7, 0.9, 0.98, 0.9999])
def test_a_truncated_jpeg_is_refused_wherever_it_was_cut(tmp_path: Path, share: float, progressive: bool) -> None:
    whole = jpeg(noise(90, 120), progressive=progressive)
    file = tmp_path / "cut.jpg"
    file.write_bytes(whole[: max(3, min(len(whole) - 1, int(share * len(whole))))])
    assert_refused(file)


def test_a_jpeg_cut_at_the_start_of_its_end_marker_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cut.jpg"
    file.write_bytes(jpeg(photo())[:-2])
    assert_refused(file)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_thumbnail_that_is_whole_does_not_hide_a_truncated_image(tmp_path: Path, share: float) -> None:
    image, thumbnail = noise(90, 120), jpeg(noise(16, 16))
    whole = jpeg(image, exif=exif_with_thumbnail(thumbnail))
    assert whole.count(b"\xff\xd9") >= 2
    file = tmp_path / "thumb.jpg"
    file.write_bytes(whole)
    assert read_image(file).shape == (90, 120, 3)
    start = whole.rfind(b"\xff\xda")
    for cut in (start + int(share * (len(whole) - start)), start + 2, start):
        file.write_bytes(whole[:cut])
        assert_refused(file)


def test_bytes_after_a_jpegs_end_do_no_harm(tmp_path: Path) -> None:
    for name, tail in (("text", b"appended by a camera"), ("second", jpeg(noise(8, 8))), ("zeros", bytes(5000))):
        file = tmp_path / f"{name}.jpg"
        file.write_bytes(jpeg(photo()) + tail)
        assert read_image(file).shape == photo().shape


def test_a_truncated_png_is_refused(tmp_path: Path) -> None:
    whole = cv2.imencode(".png", noise(60, 60))[1].tobytes()
    for share in (0.02, 0.5, 0.9):
        file = tmp_path / "cut.png"
        file.write_bytes(whole[: int(share * len(whole))])
        assert_refused(file)


def test_what_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("these are not the pixels you are looking for\n" * 20)
    (tmp_path / "folder.jpg").mkdir()
    for name in ("empty.jpg", "text.jpg", "folder.jpg", "missing.jpg"):
        assert_refused(tmp_path / name)


def test_the_cameras_orientation_is_followed_only_with_exif(tmp_path: Path) -> None:
    exif = PilImage.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to look at it
    file = tmp_path / "turned.jpg"
    file.write_bytes(jpeg(photo(), exif=exif, quality=95, subsampling=0))
    stored, turned = read_image(file), read_image(file, as_displayed=True)
    assert stored.shape == (90, 120, 3)
    np.testing.assert_array_equal(turned, np.rot90(stored, -1))


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tiff"])
def test_where_an_image_is_transparent_it_is_white(tmp_path: Path, name: str) -> None:
    rgba = np.dstack([noise(7, 5), np.zeros((7, 5), np.uint8)])
    rgba[2:, :, 3], rgba[4:, :, 3] = 128, 255
    PilImage.fromarray(rgba).save(tmp_path / name, lossless=True, exact=True)
    found = read_image(tmp_path / name)
    assert (found[:2] == 255).all()
    np.testing.assert_allclose(found[2:4], rgba[2:4, :, :3] * (128 / 255) + 255 * (127 / 255), atol=1.01)
    np.testing.assert_array_equal(found[4:], rgba[4:, :, :3])


def test_a_palettes_transparent_entry_is_white(tmp_path: Path) -> None:
    image = PilImage.new("P", (3, 2), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.png", transparency=0)
    found = read_image(tmp_path / "a.png")
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[1, 2].tolist() == [40, 50, 60]


def test_a_transparent_image_is_turned_like_any_other(tmp_path: Path) -> None:
    exif = PilImage.Exif()
    exif[0x0112] = 6
    rgba = np.dstack([noise(7, 5), np.full((7, 5), 255, np.uint8)])
    PilImage.fromarray(rgba).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), rgba[..., :3])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", as_displayed=True), np.rot90(rgba[..., :3], -1))


def test_pixels_of_four_inks_become_rgb(tmp_path: Path) -> None:
    PilImage.fromarray(photo()).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - photo()).mean() < 4


def blank_png(width: int, height: int) -> bytes:
    """All of it black, one bit a pixel: some bytes for any number of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(height * (1 + (width + 7) // 8)), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_file_that_claims_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    # In a process of its own: OpenCV reads its limit when it is first imported.
    file = tmp_path / "bomb.png"
    file.write_bytes(blank_png(20_000, 20_000))
    code = (
        "import sys, deeppose_cli.inference.image_predictor; from pathlib import Path\n"
        "from deeppose_cli.media.images import read_image\n"
        "try: read_image(Path(sys.argv[1]))\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{file}: more than {MAX_PIXELS:,} pixels; a smaller copy is valid\n"
    assert done.stderr == ""


@pytest.mark.timeout(10)
def test_what_would_keep_a_reader_waiting_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    with open(tmp_path / "huge.jpg", "wb") as file:
        file.truncate(MAX_BYTES + 1)
    for name in ("pipe.jpg", "loop.jpg", "huge.jpg"):
        assert_refused(tmp_path / name)
    with pytest.raises(DeepPoseError, match=r"^/dev/zero: not a regular file"):
        read_image(Path("/dev/zero"))
