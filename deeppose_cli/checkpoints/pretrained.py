"""The pretrained weights: files that come with the package, by name. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from deeppose_cli.core.errors import UsageError

FOLDER = Path(__file__).parents[1] / "pretrained"
DEFAULT, _ = NAMES = ("people", "people-fast")
SUFFIX, ONNX_SUFFIX = ".safetensors", ".onnx"
"""Of weights files and of ONNX files."""


def pretrained_files(suffix: str = SUFFIX) -> dict[str, Path]:
    """Those that this installation has, by name."""
    files = {name: FOLDER / f"{name}{suffix}" for name in NAMES}
    return {name: file for name, file in files.items() if file.is_file()}


def weights_path(name: str, flag: str = "--weights", suffix: str = SUFFIX) -> Path:
    """The file that a user's NAME|FILE means. Raises UsageError that names the flag."""
    installed = pretrained_files(suffix)
    if name in installed:
        return installed[name]
    if name not in NAMES and Path(name).exists():
        return Path(name)
    problem = "not in this installation" if name in NAMES else "no such file"
    raise UsageError(f"{flag} {name}: {problem}; valid: {', '.join((*installed, 'a file'))}")
