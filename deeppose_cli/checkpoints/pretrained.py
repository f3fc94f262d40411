"""The pretrained weights: files that come with the package, by name. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.skeleton import Skeleton

FOLDER = Path(__file__).parents[1] / "pretrained"
FULL_BODY, UPPER_BODY = NAMES = ("full-body", "upper-body")
SUFFIX, ONNX_SUFFIX = ".safetensors", ".onnx"
"""Of weights files and of ONNX files."""


def pretrained_files(suffix: str = SUFFIX) -> dict[str, Path]:
    """Those that this installation has, by name."""
    files = {name: FOLDER / f"{name}{suffix}" for name in NAMES}
    return {name: file for name, file in files.items() if file.is_file()}


def weights_for(skeleton: Skeleton | None) -> str:
    """Name of the weights that fit a skeleton: those of the full body where it has legs, or where it is None."""
    has_legs = skeleton is None or "left_ankle" in skeleton.joints
    return FULL_BODY if has_legs else UPPER_BODY


def weights_path(name: str, flag: str = "--weights", suffix: str = SUFFIX) -> Path:
    """The file that a user's NAME|FILE means. Raises UsageError that names the flag."""
    installed = pretrained_files(suffix)
    if name in installed:
        return installed[name]
    if name not in NAMES and Path(name).exists():
        return Path(name)
    problem = "not in this installation" if name in NAMES else "no such file"
    raise UsageError(f"{flag} {name}: {problem}; valid: {', '.join((*installed, 'a file'))}")
