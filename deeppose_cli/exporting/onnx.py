"""A whole cascade as one ONNX model, compared with torch before it gets its name.

`checkpoints/onnx_cascade.py` describes its inputs and outputs.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from deeppose_cli.checkpoints.metadata import ModelMetadata, to_json
from deeppose_cli.checkpoints.onnx_cascade import build_onnx_cascade, open_onnx
from deeppose_cli.checkpoints.weights_file import KEY
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import replacing
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.media.images import Image
from deeppose_cli.models.regressor import Regressor, build_cascade

if TYPE_CHECKING:
    import onnx

OPSET = 18
INSTALL = "pip install 'deeppose-cli[onnx]'"
MAX_DISTANCE, MIN_SHARE = 0.05, 0.995
"""px between a joint and torch's, and the share of joints that must be within it: where two cells of a heatmap are
equal but for the last bit, the peak may be the other one (one of 1,000 joints on FLIC, .213 px)."""
_PIXELS, _JOINTS, _STAGE = "images", "joint_index", "stage"
_OUTPUTS: dict[str, list[str | int | None]] = {
    "keypoints": ["crops", "joints", 2],
    "peak_mass": ["crops", "joints"],
    "heatmaps": ["crops", "joints", "row", "column"],
}
"""Name → shape."""
_LEAST_HALVED = 1000
"""Numbers of a tensor that is stored in half precision: smaller ones save nothing."""


def write_onnx(
    file: Path, metadata: ModelMetadata, regressors: Sequence[Regressor], images: Sequence[Image], boxes: FloatArray
) -> float:
    """Write a cascade, read it back, and compare its poses with torch's on N images with initial boxes (N, 4).

    Returns the largest distance between both over all joints and stages, px.
    Raises DeepPoseError, and leaves no file, where more than a few joints differ by more than MAX_DISTANCE px, where
    the file cannot be written, or where the packages for it are not installed.
    """
    model = _model(metadata, [regressor.cpu().eval() for regressor in regressors])
    with replacing(file) as temporary:
        temporary.write_bytes(model.SerializeToString())
        exported = build_onnx_cascade(*open_onnx(temporary)).predict(images, boxes)
        expected = build_cascade(metadata.spec, regressors, "cpu").predict(images, boxes)
        distances = np.abs(exported.poses - expected.poses).max(-1)
        largest = float(distances.max(initial=0.0))
        if len(images) and not (distances <= MAX_DISTANCE).mean() >= MIN_SHARE:
            raise DeepPoseError(f"{file}: poses differ from torch's by up to {largest:.3f} px; not written")
    return largest


class _StageGraph(nn.Module):
    """One graph from a stage's uint8 crops to the outputs of `checkpoints/onnx_cascade.py`."""

    def __init__(self, regressor: Regressor) -> None:
        super().__init__()
        self.regressor = regressor

    def forward(self, pixels: Tensor, joints: Tensor | None = None) -> tuple[Tensor, ...]:
        outputs = self.regressor.outputs(pixels)
        if joints is not None:
            rest = outputs.shape[2:]
            outputs = outputs.gather(1, joints.view(-1, 1, *(1,) * len(rest)).expand(-1, 1, *rest))
        result = self.regressor.decode(outputs)
        return (result.coordinates,) if result.peak_mass is None else (result.coordinates, result.peak_mass, outputs)


def _model(metadata: ModelMetadata, regressors: Sequence[Regressor]) -> onnx.ModelProto:
    try:
        import onnx
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError:
        raise DeepPoseError(f"--format onnx: needs more packages; to install them, type: {INSTALL}") from None
    models = [
        _stage_model(_StageGraph(regressor), stage.settings.input_size, around_joint=stage.view == "joint")
        for regressor, stage in zip(regressors, metadata.spec.stages, strict=True)
    ]
    model = models[0] if len(models) == 1 else _one_of(models)
    _halve(model.graph)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, to_json(metadata)
    model.producer_name, model.producer_version = "deeppose", ""
    onnx.checker.check_model(model)
    return model


def _stage_model(network: nn.Module, side: int, *, around_joint: bool) -> onnx.ModelProto:
    """Export one stage. `around_joint`: its crops show one joint each."""
    example: tuple[Tensor, ...] = (torch.zeros(3, side, side, 3, dtype=torch.uint8),)
    count = torch.export.Dim("crops")
    shapes: list[Any] = [{0: count}]
    if around_joint:
        example, shapes = (*example, torch.zeros(3, dtype=torch.int64)), [*shapes, {0: count}]
    with torch.no_grad(), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        outputs = list(_OUTPUTS)[: len(network.eval()(*example))]
        # Not optimized here: a fused batch norm would not fit half precision. ONNX Runtime fuses it when it reads the
        # file.
        program = torch.onnx.export(
            network,
            example,
            dynamo=True,
            opset_version=OPSET,
            optimize=False,
            verbose=False,
            input_names=[_PIXELS, _JOINTS][: len(example)],
            output_names=outputs,
            dynamic_shapes=shapes,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    for holder in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del holder.metadata_props[:]  # source lines with the folders of this machine
        holder.ClearField("doc_string")
    return model


def _one_of(models: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """One model for all stages: its input `stage` says which of them runs."""
    from onnx import TensorProto, helper

    names = [name for name in _OUTPUTS if all(name in {output.name for output in m.graph.output} for m in models)]
    branches = [_branch(model, names, number) for number, model in enumerate(models, start=1)]
    chosen = branches.pop()
    for number in range(len(branches), 0, -1):
        outputs = names if number == 1 else [f"{name}_from_{number}" for name in names]
        one = helper.make_tensor(f"number_{number}", TensorProto.INT64, [], [number])
        nodes = [
            helper.make_node("Equal", [_STAGE, one.name], [f"is_{number}"]),
            helper.make_node("If", [f"is_{number}"], outputs, then_branch=branches[number - 1], else_branch=chosen),
        ]
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, _OUTPUTS[known])
            for name, known in zip(outputs, names, strict=True)
        ]
        chosen = helper.make_graph(nodes, f"from_stage_{number}", [], values, [one])
    chosen.input.extend(
        [
            helper.make_tensor_value_info(_PIXELS, TensorProto.UINT8, ["crops", "side", "side", 3]),
            helper.make_tensor_value_info(_JOINTS, TensorProto.INT64, ["crops"]),
            helper.make_tensor_value_info(_STAGE, TensorProto.INT64, []),
        ]
    )
    return helper.make_model(chosen, opset_imports=models[0].opset_import, ir_version=models[0].ir_version)


def _branch(model: onnx.ModelProto, names: Sequence[str], number: int) -> onnx.GraphProto:
    """A stage's graph for use inside another: with the inputs of that one, and a prefix before its own names."""
    from onnx import compose

    graph = compose.add_prefix(model, f"stage{number}/", rename_inputs=False).graph
    wanted = [output for output in graph.output if output.name.split("/")[-1] in names]
    del graph.input[:], graph.output[:]
    graph.output.extend(wanted)
    return graph


def _halve(graph: onnx.GraphProto) -> None:
    """Store in half precision every tensor that loses nothing by it, as those of a weights file."""
    from onnx import AttributeProto, TensorProto, helper, numpy_helper

    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _LEAST_HALVED:
            continue
        value = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if np.array_equal(half.astype(np.float32), value):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for place, cast in enumerate(casts):
        graph.node.insert(place, cast)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                _halve(attribute.g)
