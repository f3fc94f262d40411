"""Weights files: a whole cascade in one `.safetensors` file, written and read without Lightning and without pickle.

Weights are stored in half precision, batch norm's running statistics in single precision. Measured on a stage of preset
modern (MobileNetV1, 2.0 M numbers, FLIC): with every tensor in half precision a coordinate moved by up to 0.0047 of the
crop's side; this way, with 0.8 % more bytes, by up to 0.0030. The statistics also span 1e-44 to 400, more than half
precision can hold.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from deeppose_cli.checkpoints.metadata import ModelMetadata, to_json
from deeppose_cli.checkpoints.weights_header import KEY, WeightsHeader, open_weights, stage_prefix
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import replacing
from deeppose_cli.models.cascade import Cascade
from deeppose_cli.models.regressor import Regressor, build_cascade, build_stage, load_stage_weights
from deeppose_cli.models.spec import StageSpec

HALF_LOSS = 2**-11
"""Largest relative error of a tensor in half precision: that of rounding. A tensor with a larger error (numbers beyond
65504 or below 6e-8) is stored in single precision."""
_COUNTER = "num_batches_tracked"
"""Batch norm's count of training steps: no prediction depends on it, and it is not stored."""


def write_weights(
    file: Path, metadata: ModelMetadata, values: Sequence[Mapping[str, Tensor]], *, overwrite: bool = False
) -> WeightsHeader:
    """Write the weights of stages, each a `Regressor.state_dict()`, and read the file back before it gets its name.

    Raises DeepPoseError where the file is there already, cannot be written, or a weight is not finite.
    """
    from safetensors.torch import save

    if file.exists() and not overwrite:
        raise DeepPoseError(f"{file}: is there already; --overwrite replaces it, --out writes to another")
    tensors = {
        stage_prefix(number) + name: as_stored(value, name, f"{file}: stage {number}")
        for number, state in enumerate(values, start=1)
        for name, value in state.items()
        if not name.endswith(_COUNTER)
    }
    with replacing(file) as temporary:
        temporary.write_bytes(save(tensors, {KEY: to_json(metadata)}))
        try:
            header, _ = read_file_stages(temporary)
        except DeepPoseError as error:
            raise DeepPoseError(str(error).replace(str(temporary), str(file))) from None
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


def load_weights(file: Path, stages: int | None = None, device: str | None = None) -> Cascade:
    """Load the cascade (its first `stages` stages) in evaluation mode. device: by default a GPU where there is one.

    Raises DeepPoseError, one line, for a file that is damaged or malicious: no code of it is run, and no network is
    built that is larger than the tensors in the file.
    """
    header, regressors = read_file_stages(file)
    if stages is not None and stages > len(regressors):
        raise DeepPoseError(f"{file}: has {len(regressors)} stage(s), not {stages}")
    spec = header.metadata.spec
    return build_cascade(replace(spec, stages=spec.stages[:stages]), regressors[:stages], device)


def read_file_stages(file: Path) -> tuple[WeightsHeader, list[Regressor]]:
    """Read the header, and the network of every stage. Raises DeepPoseError as `load_weights`."""
    with open_weights(file, "pt") as (tensors, header):
        spec, regressors = header.metadata.spec, []
        unused = set(header.shapes)
        for number, stage in enumerate(spec.stages, start=1):
            shapes = header.of_stage(number)
            regressors.append(_build(stage, len(spec.skeleton), shapes, number))
            unused -= {stage_prefix(number) + name for name in shapes}
        if unused:
            raise ValueError(f"tensor {min(unused)[:60]!a} belongs to no stage")
        for number, regressor in enumerate(regressors, start=1):
            state = {name: v for name, v in regressor.state_dict().items() if name.endswith(_COUNTER)}
            for name in header.of_stage(number):
                state[name] = value = tensors.get_tensor(stage_prefix(number) + name)
                if not value.isfinite().all() or (name.endswith("running_var") and bool((value < 0).any())):
                    raise ValueError(f"tensor {stage_prefix(number) + name!a} holds invalid numbers")
            load_stage_weights(regressor, state, str(file))
    return header, regressors


def _build(spec: StageSpec, joints: int, shapes: Mapping[str, tuple[int, ...]], number: int) -> Regressor:
    """Build a stage with random weights. Raises ValueError, before anything of its size is allocated, where its tensors
    are not those of the file."""
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
