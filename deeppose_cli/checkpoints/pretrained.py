"""The weights in the box: the files that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from deeppose_cli.checkpoints.weights_header import SUFFIX
from deeppose_cli.core.errors import UsageError

FOLDER = Path(__file__).parents[1] / "pretrained"
FULL_BODY, UPPER_BODY = NAMES = ("full-body", "upper-body")
_UPPER = ("flic10", "buffy10")
"""Skeletons without legs."""


def in_the_box(suffix: str = SUFFIX) -> dict[str, Path]:
    """Those that this installation has. `suffix`: of weights files, or of ONNX files."""
    files = {name: FOLDER / f"{name}{suffix}" for name in NAMES}
    return {name: file for name, file in files.items() if file.is_file()}


def fitting(skeleton: str | None) -> str:
    """The weights for a skeleton, and for images without one."""
    return UPPER_BODY if skeleton in _UPPER else FULL_BODY


def weights_path(said: str, flag: str = "--weights", suffix: str = SUFFIX) -> Path:
    """The file that the user means, by a name from the box or a path. Raises UsageError that names the flag."""
    box = in_the_box(suffix)
    if said in box:
        return box[said]
    there = ", ".join((*box, "a file"))
    if said in NAMES:
        raise UsageError(f"{flag} {said}: not in this installation; valid: {there}")
    if not Path(said).exists():
        raise UsageError(f"{flag} {said}: no such file; valid: {there}")
    return Path(said)
