"""What an input is, by its name: an image file, a video file or a camera's number."""

from __future__ import annotations

from pathlib import Path

IMAGE_SUFFIXES = (".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"),
    *(".webm", ".wmv"),
)
OTHER_MEDIA_SUFFIXES = (
    ".apng",
    ".avif",
    ".cr2",
    ".cr3",
    ".dng",
    ".gif",
    ".heic",
    ".heif",
    ".jp2",
    ".jxl",
    ".nef",
    ".arw",
)
"""Images and animations that are not read here."""
IMAGE_OUTPUT_SUFFIX, VIDEO_OUTPUT_SUFFIX = ".jpg", ".mp4"


def camera_number(source: Path) -> int | None:
    """The camera's number, if the input is a number and not a file."""
    text = str(source)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 and not source.exists() else None


def is_video(source: Path) -> bool:
    return source.suffix.lower() in VIDEO_SUFFIXES or camera_number(source) is not None
