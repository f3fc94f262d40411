"""The frame of a weights file: a `.safetensors` file whose header is checked before anything of its size is allocated.

8 bytes: length of the header, little-endian. The header: JSON, {"__metadata__": {"deeppose": document}, tensor's name:
{"dtype", "shape", "data_offsets"}, …}. Then the tensors' bytes, without holes. Needs no torch.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from deeppose_cli.checkpoints.metadata import ModelMetadata, from_text, parse_json
from deeppose_cli.core.errors import DeepPoseError, one_line

KEY = "deeppose"
"""Where in the header's metadata the document stands."""
SUFFIX = ".safetensors"
MAX_HEADER = 4 * 2**20
"""Bytes. A cascade of three per-joint stages, 14 resnet50 each, has a header of 1.3 MB."""
MAX_FILE = 4 * 2**30
"""Bytes. The paper's network three times, two of them per joint, has 2.2 GB in half precision."""
MAX_SAID = 300
"""Characters of a message metadata a damaged file."""
BYTES = {"F16": 2, "F32": 4}
"""Bytes of a number, by the types that a weights file may hold."""


@dataclass(frozen=True)
class WeightsHeader:
    """A weights file's header."""

    path: Path
    metadata: ModelMetadata
    shapes: Mapping[str, tuple[int, ...]]
    """Of every tensor."""
    size: int
    """Bytes of the whole file."""

    @property
    def num_stages(self) -> int:
        return len(self.metadata.records)

    def of_stage(self, number: int) -> dict[str, tuple[int, ...]]:
        """Shapes of a stage's tensors, by their names within the stage."""
        prefix = stage_prefix(number)
        return {name.removeprefix(prefix): s for name, s in self.shapes.items() if name.startswith(prefix)}


def stage_prefix(number: int) -> str:
    """What the names of a stage's tensors begin with."""
    return f"stage{number}."


def read_header(path: Path) -> WeightsHeader:
    """Raises DeepPoseError, one line, for a file that cannot be read, is no weights file, or is damaged."""
    with opened(path) as (_, header):
        return header


def is_weights_file(path: Path) -> bool:
    """Whether it is a `.safetensors` file that bears this toolkit's mark, in order or not."""
    try:
        with path.open("rb") as file:
            return KEY in _metadata(_header(file, os.fstat(file.fileno()).st_size)[0])
    except (OSError, ValueError):
        return False


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, WeightsHeader]]:
    """The file and its checked header, both from one handle: nobody can change the file's name in between."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever
            raise DeepPoseError(f"{path}: not a file")
        with path.open("rb") as file:
            yield file, _checked(path, file)
    except OSError as error:
        raise DeepPoseError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        said = one_line(error)[:MAX_SAID]  # it may hold text of the file
        raise DeepPoseError(f"{path}: not a weights file of deeppose, or damaged ({said})") from None


def _checked(path: Path, file: BinaryIO) -> WeightsHeader:
    size = os.fstat(file.fileno()).st_size
    header, length = _header(file, size)
    text = _metadata(header).get(KEY)
    if not isinstance(text, str):
        raise ValueError(f"its header has no '{KEY}'")
    shapes = _shapes(header, size - 8 - length)
    return WeightsHeader(path, from_text(text), shapes, size)


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    start, brace = file.read(8), file.read(1)
    file.seek(8)
    # Not by the first bytes alone: they are the length of the header, and so may be any.
    if start.startswith((b"PK", b"\x80")) and brace != b"{":
        raise ValueError("it looks like a checkpoint; deeppose export makes a weights file of a run")
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > size - 8:
        raise ValueError(f"it ends early, after {size} bytes")
    if length > MAX_HEADER or size > MAX_FILE:
        raise ValueError(f"header of {length} in a file of {size} bytes; valid: at most {MAX_HEADER} and {MAX_FILE}")
    header = parse_json(file.read(length).decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, length


def _metadata(header: Mapping[str, Any]) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    return metadata if isinstance(metadata, dict) else {}


def _shapes(header: Mapping[str, Any], available: int) -> dict[str, tuple[int, ...]]:
    """Raises ValueError unless the tensors load_stage_weights the bytes after the header exactly."""
    shapes, places = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if not isinstance(entry, dict):
            raise ValueError(f"tensor {name[:60]!a} has no entry")
        shape, offsets, dtype = entry.get("shape"), entry.get("data_offsets"), entry.get("dtype")
        if not _are_counts(shape) or not _are_counts(offsets) or len(shape) > 8 or len(offsets) != 2:
            raise ValueError(f"tensor {name[:60]!a} has no valid shape and place")
        if not isinstance(dtype, str) or dtype not in BYTES:
            raise ValueError(f"tensor {name[:60]!a} is not of type {' or '.join(BYTES)}")
        if offsets[1] - offsets[0] != math.prod(shape) * BYTES[dtype]:
            raise ValueError(f"tensor {name[:60]!a} has another size than its shape says")
        shapes[name] = tuple(shape)
        places.append(tuple(offsets))
    end = 0
    for begin, after in sorted(places):
        if begin != end:
            raise ValueError("its tensors overlap or leave holes")
        end = after
    if end != available:
        raise ValueError(f"{available} bytes of tensors where its header says {end}")
    return shapes


def _are_counts(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= MAX_FILE for value in values)
