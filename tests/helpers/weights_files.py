"""Small weights files, whole and harmed."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from deeppose_cli.checkpoints.metadata import ModelMetadata, TrainingRecord
from deeppose_cli.checkpoints.weights_file import write_weights
from deeppose_cli.config.presets import TINY
from deeppose_cli.core.skeleton import LSP14, Skeleton
from deeppose_cli.models.displacement import Displacement
from deeppose_cli.models.regressor import build_stage
from deeppose_cli.models.spec import CascadeSpec, StageSpec

RECORD = TrainingRecord("mini", "tiny", "deeppose train", "0.1.0", "c0ffee", 3, 26, 0.5)


def tiny_metadata(
    skeleton: Skeleton = LSP14, stages: int = 2, per_joint: bool = False, view: str = "joint", **settings: Any
) -> ModelMetadata:
    """Metadata of a cascade of tiny networks."""
    sizes = {"input_size": 32, "head_channels": 4, **settings}
    count = len(skeleton)
    specs = [StageSpec(replace(TINY.initial, **sizes))]
    refinement = replace(TINY.refinement, per_joint=per_joint, view=view, **sizes)
    displacement = Displacement(((0.01, -0.02),) * count, ((0.3, 0.2),) * count)
    specs += [StageSpec(refinement, 1.5, displacement)] * (stages - 1)
    return ModelMetadata(CascadeSpec(skeleton, tuple(specs), True), "image", (RECORD,) * stages)


def random_values(metadata: ModelMetadata, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """Weights as after some training: no layer gives the same for every image, statistics are not 0 and 1."""
    torch.manual_seed(seed)
    made = []
    for spec in metadata.spec.stages:
        state = build_stage(spec, len(metadata.spec.skeleton)).state_dict()
        for name, value in state.items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif name.endswith(("running_mean", "heatmaps.1.weight", "last.weight", "head.7.weight")):
                value.normal_(0, 0.1)
        made.append(state)
    return made


def write(file: Path, metadata: ModelMetadata | None = None, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    metadata = metadata or tiny_metadata()
    values = random_values(metadata, seed)
    write_weights(file, metadata, values)
    return values


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and tensors of a .safetensors file."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: Any, rest: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def with_document(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with its document edited in place, or replaced by what `change` returns."""
    header, rest = parts(data)
    document = json.loads(header["__metadata__"]["deeppose"])
    new = change(document)
    document = document if new is None else new
    header["__metadata__"]["deeppose"] = document if isinstance(document, str) else json.dumps(document)
    return joined(header, rest)


def with_header(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with its header edited in place."""
    header, rest = parts(data)
    header = copy.deepcopy(header)
    change(header)
    return joined(header, rest)
