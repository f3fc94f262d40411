"""The pretrained weights: files that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from deeppose_cli.checkpoints.weights_header import SUFFIX
from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.skeleton import skeleton_by_name

FOLDER = Path(__file__).parents[1] / "pretrained"
FULL_BODY, UPPER_BODY = NAMES = ("full-body", "upper-body")


def pretrained_files(suffix: str = SUFFIX) -> dict[str, Path]:
    """Those that this installation has, by name. `suffix`: that of weights files or of ONNX files."""
    files = {name: FOLDER / f"{name}{suffix}" for name in NAMES}
    return {name: file for name, file in files.items() if file.is_file()}


def weights_for(skeleton: str | None) -> str:
    """Name of the weights that fit a skeleton: those of the full body where it has legs, or where it is None."""
    has_legs = skeleton is None or "left_ankle" in skeleton_by_name(skeleton).joints
    return FULL_BODY if has_legs else UPPER_BODY


def weights_path(name: str, flag: str = "--weights", suffix: str = SUFFIX) -> Path:
    """The file that a user's NAME|FILE means. Raises UsageError that names the flag."""
    installed = pretrained_files(suffix)
    if name in installed:
        return installed[name]
    valid = ", ".join((*installed, "a file"))
    if name in NAMES:
        raise UsageError(f"{flag} {name}: not in this installation; valid: {valid}")
    if not Path(name).exists():
        raise UsageError(f"{flag} {name}: no such file; valid: {valid}")
    return Path(name)
