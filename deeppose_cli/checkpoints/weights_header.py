"""Header of a weights file: a `.safetensors` file with this toolkit's metadata, read before any tensor. Needs no torch.

safetensors checks the header itself: its JSON, and that the tensors fill the rest of the file without holes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deeppose_cli.checkpoints.metadata import ModelMetadata, from_json
from deeppose_cli.core.errors import DeepPoseError, one_line

KEY = "deeppose"
"""Key of the metadata in the header."""
MAX_MESSAGE = 300
"""Characters of a message about a damaged file."""
DTYPES = ("F16", "F32")
"""Types of tensors in a weights file."""


@dataclass(frozen=True)
class WeightsHeader:
    """Header of a weights file."""

    path: Path
    metadata: ModelMetadata
    shapes: Mapping[str, tuple[int, ...]]
    """Of all tensors, by name."""

    @property
    def num_stages(self) -> int:
        return len(self.metadata.records)

    def of_stage(self, number: int) -> dict[str, tuple[int, ...]]:
        """Shapes of a stage's tensors, by their names within the stage."""
        prefix = stage_prefix(number)
        return {name.removeprefix(prefix): s for name, s in self.shapes.items() if name.startswith(prefix)}


def stage_prefix(number: int) -> str:
    """Prefix of the names of a stage's tensors."""
    return f"stage{number}."


def read_header(path: Path) -> WeightsHeader:
    """Raises DeepPoseError, one line, for a file that cannot be read, is no weights file, or is damaged."""
    with open_weights(path) as (_, header):
        return header


def is_weights_file(path: Path) -> bool:
    """Whether it is a `.safetensors` file with this toolkit's metadata, valid or not."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return KEY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


@contextmanager
def open_weights(path: Path, framework: str = "numpy") -> Iterator[tuple[Any, WeightsHeader]]:
    """Open a file and check its header; tensors are then read from the same open file.

    framework: of the tensors, `numpy` or `pt` (torch). A ValueError inside the block counts as damage of the file.
    Raises DeepPoseError as `read_header`.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever
            raise DeepPoseError(f"{path}: not a file")
        with safe_open(path, framework) as file:
            yield file, _check_header(path, file)
    except OSError as error:
        raise DeepPoseError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, SafetensorError) as error:
        reason = one_line(error)[:MAX_MESSAGE]  # it may hold text of the file
        if isinstance(error, SafetensorError) and _begins_as_checkpoint(path):
            reason = "perhaps a checkpoint; deeppose export makes a weights file of a run"
        raise DeepPoseError(f"{path}: not a weights file of deeppose, or damaged ({reason})") from None


def _begins_as_checkpoint(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    # Not by the first bytes alone: in a weights file they are the length of the header, and so may be any.
    return start.startswith((b"PK", b"\x80")) and start[8:] != b"{"


def _check_header(path: Path, file: Any) -> WeightsHeader:
    text = (file.metadata() or {}).get(KEY)
    if text is None:
        raise ValueError(f"its header has no '{KEY}'")
    shapes = {}
    for name in file.keys():  # noqa: SIM118  the file is no dictionary
        tensor = file.get_slice(name)
        if tensor.get_dtype() not in DTYPES:
            raise ValueError(f"tensor {name[:60]!a} is not of type {' or '.join(DTYPES)}")
        shapes[name] = tuple(tensor.get_shape())
    return WeightsHeader(path, from_json(text), shapes)
