"""Weights files: a whole cascade in one `.safetensors` file, written and read without Lightning and without pickle.

The header has this toolkit's metadata and is read before any tensor, without torch. safetensors checks the header
itself: its JSON, and that the tensors fill the rest of the file without holes.

Weights are stored in half precision, batch norm's running statistics in single precision. Measured on a stage of preset
modern (MobileNetV1, 2.0 M numbers, FLIC): with every tensor in half precision a coordinate moved by up to 0.0047 of the
crop's side; this way, with 0.8 % more bytes, by up to 0.0030. The statistics also span 1e-44 to 400, more than half
precision can hold.
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeppose_cli.checkpoints.metadata import ModelMetadata, from_json, to_json
from deeppose_cli.core.errors import DeepPoseError, one_line
from deeppose_cli.core.files import replacing
from deeppose_cli.models.spec import StageSpec

if TYPE_CHECKING:
    from torch import Tensor

    from deeppose_cli.models.cascade import Cascade
    from deeppose_cli.models.regressor import Regressor

KEY = "deeppose"
"""Key of the metadata in the header."""
MAX_MESSAGE = 300
"""Characters of a message about a damaged file."""
DTYPES = ("F16", "F32")
"""Types of tensors in a weights file."""
HALF_LOSS = 2**-11
"""Largest relative error of a tensor in half precision: that of rounding. A tensor with a larger error (numbers beyond
65504 or below 6e-8) is stored in single precision."""
_COUNTER = "num_batches_tracked"
"""Batch norm's count of training steps: no prediction depends on it, and it is not stored."""


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
        prefix = _prefix(number)
        return {name.removeprefix(prefix): s for name, s in self.shapes.items() if name.startswith(prefix)}


def _prefix(stage: int) -> str:
    """Prefix of the names of a stage's tensors."""
    return f"stage{stage}."


def read_header(path: Path) -> WeightsHeader:
    """Raises DeepPoseError, one line, for a file that cannot be read, is no weights file, or is damaged."""
    with _open(path) as (_, header):
        return header


def is_weights_file(path: Path) -> bool:
    """Whether it is a `.safetensors` file with this toolkit's metadata, valid or not."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return KEY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def load_weights(file: Path, stages: int | None = None, device: str | None = None) -> Cascade:
    """Load the cascade (its first `stages` stages) in evaluation mode. device: by default a GPU where there is one.

    Raises DeepPoseError, one line, for a file that is damaged or malicious: no code of it is run, and no network is
    built that is larger than the tensors in the file.
    """
    from deeppose_cli.models.regressor import build_cascade

    header, regressors = read_file_stages(file)
    if stages is not None and stages > len(regressors):
        raise DeepPoseError(f"{file}: has {len(regressors)} stage(s), not {stages}")
    spec = header.metadata.spec
    return build_cascade(replace(spec, stages=spec.stages[:stages]), regressors[:stages], device)


def read_file_stages(file: Path) -> tuple[WeightsHeader, list[Regressor]]:
    """Read the header, and the network of every stage. Raises DeepPoseError as `load_weights`."""
    from deeppose_cli.models.regressor import load_stage_weights

    with _open(file, "pt") as (tensors, header):
        spec, regressors = header.metadata.spec, []
        unused = set(header.shapes)
        for number, stage in enumerate(spec.stages, start=1):
            shapes = header.of_stage(number)
            regressors.append(_build(stage, len(spec.skeleton), shapes, number))
            unused -= {_prefix(number) + name for name in shapes}
        if unused:
            raise ValueError(f"tensor {min(unused)[:60]!a} belongs to no stage")
        for number, regressor in enumerate(regressors, start=1):
            state = {name: v for name, v in regressor.state_dict().items() if name.endswith(_COUNTER)}
            for name in header.of_stage(number):
                state[name] = value = tensors.get_tensor(_prefix(number) + name)
                if not value.isfinite().all() or (name.endswith("running_var") and bool((value < 0).any())):
                    raise ValueError(f"tensor {_prefix(number) + name!a} holds invalid numbers")
            load_stage_weights(regressor, state, str(file))
    return header, regressors


def write_weights(file: Path, metadata: ModelMetadata, values: Sequence[Mapping[str, Tensor]]) -> WeightsHeader:
    """Write the weights of stages, each a `Regressor.state_dict()`, and read the file back before it gets its name.

    Raises DeepPoseError where the file cannot be written, or a weight is not finite.
    """
    from safetensors.torch import save

    tensors = {
        _prefix(number) + name: as_stored(value, name, f"{file}: stage {number}")
        for number, state in enumerate(values, start=1)
        for name, value in state.items()
        if not name.endswith(_COUNTER)
    }
    with replacing(file) as temporary:
        temporary.write_bytes(save(tensors, {KEY: to_json(metadata)}))
        header, _ = read_file_stages(temporary)
    return replace(header, path=file)


def as_stored(value: Tensor, name: str, where: str) -> Tensor:
    """Convert to half precision, or single where the error would be large. Raises DeepPoseError if not finite."""
    value = value.detach().cpu().float().contiguous()
    if not value.isfinite().all():
        raise DeepPoseError(f"{where}: {name} is not finite; these weights cannot be used")
    if name.endswith(("running_mean", "running_var")):
        return value
    half = value.half()
    kept = half.isfinite().all() and (half.float() - value).norm() <= HALF_LOSS * value.norm()
    return half if kept else value


@contextmanager
def _open(path: Path, framework: str = "numpy") -> Iterator[tuple[Any, WeightsHeader]]:
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
        if isinstance(error, SafetensorError):
            with path.open("rb") as opened:
                start = opened.read(9)
            # Not by the first bytes alone: in a weights file they are the length of the header, and so may be any.
            if start.startswith((b"PK", b"\x80")) and start[8:] != b"{":
                reason = "perhaps a checkpoint; deeppose export makes a weights file of a run"
        raise DeepPoseError(f"{path}: not a weights file of deeppose, or damaged ({reason})") from None


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


def _build(spec: StageSpec, joints: int, shapes: Mapping[str, tuple[int, ...]], number: int) -> Regressor:
    """Build a stage with random weights. Raises ValueError, before anything of its size is allocated, where its tensors
    are not those of the file."""
    import torch

    from deeppose_cli.models.regressor import build_stage

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers without channels; refused below
        try:
            with torch.device("meta"):
                shell = build_stage(spec, joints)
        except (DeepPoseError, RuntimeError, ValueError, TypeError, ArithmeticError, LookupError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(f"stage {number}: no network has its settings: {reason[:150]}") from None
        own = {name: tuple(v.shape) for name, v in shell.state_dict().items() if not name.endswith(_COUNTER)}
        for problem, names in (("lacks", own.keys() - shapes.keys()), ("has an extra", shapes.keys() - own.keys())):
            if names:
                raise ValueError(f"stage {number} {problem} {min(names)[:60]!a}")
        for name, shape in own.items():
            if shape != shapes[name]:
                raise ValueError(f"stage {number}: {name} is {shapes[name]}, by its settings {shape}")
        return build_stage(spec, joints)
