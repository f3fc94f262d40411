"""Weights files: a whole cascade in one `.safetensors` file, written and read without Lightning and without pickle.

What is stored in which precision was measured on a stage of preset modern (MobileNetV1, 2.0 M numbers, FLIC): with
every tensor halved an answer moved by up to 0.0047 of the crop's side; with batch norm's running statistics left whole,
0.8 % more bytes, by up to 0.0030. The statistics also span 1e-44 to 400, which half precision does not.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from deeppose_cli.checkpoints.metadata import ModelMetadata, to_text
from deeppose_cli.checkpoints.weights_header import KEY, WeightsHeader, opened, stage_prefix
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import replacing
from deeppose_cli.models.build import build_cascade, build_stage, load_stage_weights
from deeppose_cli.models.cascade import Cascade
from deeppose_cli.models.regressor import Regressor
from deeppose_cli.models.spec import StageSpec

HALF_LOSS = 2**-11
"""Share of its length that a tensor may lose by halving: what rounding takes from a number within half's range. A
tensor that loses more (numbers beyond 65504 or below 6e-8) stays whole."""
_COUNTER = "num_batches_tracked"
"""Of batch norm; counts training steps, no answer depends on it. Not stored."""


def write_weights(
    file: Path, metadata: ModelMetadata, values: Sequence[Mapping[str, Tensor]], *, overwrite: bool = False
) -> WeightsHeader:
    """Writes stages' weights, as `Regressor.state_dict()` names them, and reads the file back before it gets its name.

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
        temporary.write_bytes(save(tensors, {KEY: to_text(metadata)}))
        try:
            header, _ = read_file_stages(temporary)
        except DeepPoseError as error:
            raise DeepPoseError(str(error).replace(str(temporary), str(file))) from None
    return WeightsHeader(file, header.metadata, header.shapes, header.size)


def as_stored(value: Tensor, name: str, where: str) -> Tensor:
    """In half precision, or whole where that would lose something: see above. Raises DeepPoseError if not finite."""
    value = value.detach().cpu().float().contiguous()
    if not value.isfinite().all():
        raise DeepPoseError(f"{where}: {name} is not finite; these weights are good for nothing")
    if name.endswith(("running_mean", "running_var")):
        return value
    half = value.half()
    kept = half.isfinite().all() and (half.float() - value).norm() <= HALF_LOSS * value.norm()
    return half if kept else value


def load_weights(file: Path, stages: int | None = None, device: str | None = None) -> Cascade:
    """The cascade (its first `stages` stages) in evaluation mode. `device`: a GPU where there is one.

    Raises DeepPoseError, one line, for a file that is damaged or was made to do harm: no code of it is run, and no
    network is built that is larger than the tensors that are there for it.
    """
    header, regressors = read_file_stages(file)
    if stages is not None and stages > len(regressors):
        raise DeepPoseError(f"{file}: has {len(regressors)} stage(s), not {stages}")
    spec = header.metadata.spec
    chosen = type(spec)(spec.skeleton, spec.stages[:stages], spec.square_initial_box)
    return build_cascade(chosen, regressors[:stages], device)


def read_file_stages(file: Path) -> tuple[WeightsHeader, list[Regressor]]:
    """The header, and the network of every stage. Raises DeepPoseError as `load_weights` does."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    with opened(file) as (handle, header):
        spec, regressors = header.metadata.spec, []
        foreign = set(header.shapes)
        for number, stage in enumerate(spec.stages, start=1):
            shapes = header.of_stage(number)
            regressors.append(_build(stage, len(spec.skeleton), shapes, number))
            foreign -= {stage_prefix(number) + name for name in shapes}
        if foreign:
            raise ValueError(f"tensor {min(foreign)[:60]!a} belongs to no stage")
        handle.seek(0)
        data = handle.read(header.size)
        try:
            tensors = load(data)
        except SafetensorError as error:
            raise ValueError(str(error)[:120]) from None
        for name, value in tensors.items():
            if not value.isfinite().all() or (name.endswith("running_var") and bool((value < 0).any())):
                raise ValueError(f"tensor {name[:60]!a} holds numbers that cannot be")
        for number, regressor in enumerate(regressors, start=1):
            prefix = stage_prefix(number)
            own = {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
            counters = {name: value for name, value in regressor.state_dict().items() if name.endswith(_COUNTER)}
            load_stage_weights(regressor, {**own, **counters}, str(file))
    return header, regressors


def _build(spec: StageSpec, joints: int, shapes: Mapping[str, tuple[int, ...]], number: int) -> Regressor:
    """A network with random weights. Raises ValueError, before anything of its size is allocated, where the tensors
    are not its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers without channels; refused below
        try:
            with torch.device("meta"):
                shell = build_stage(spec, joints)
        except (DeepPoseError, RuntimeError, ValueError, TypeError, ArithmeticError, LookupError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(f"stage {number}: its settings name no network: {reason[:150]}") from None
        own = {name: tuple(v.shape) for name, v in shell.state_dict().items() if not name.endswith(_COUNTER)}
        for problem, names in (("lacks", own.keys() - shapes.keys()), ("has a needless", shapes.keys() - own.keys())):
            if names:
                raise ValueError(f"stage {number} {problem} {min(names)[:60]!a}")
        for name, shape in own.items():
            if shape != shapes[name]:
                raise ValueError(f"stage {number}: {name} is {shapes[name]}, its settings say {shape}")
        return build_stage(spec, joints)
