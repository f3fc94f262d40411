"""The network that finds people, as an ONNX file: MoveNet MultiPose's features with its heads for people's boxes.

python -m deeppose_cli.exporting.finder movenet_multipose.safetensors finder.onnx

The published values (Google, 2021) are taken as they are; the heads for keypoints are left out, as the cascade predicts
those. `detection/person_detector.py` runs the file.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.files import replacing

if TYPE_CHECKING:
    import onnx

OPSET = 13
OUTPUTS = {"center": 1, "box_scale": 2, "box_offset": 2}
"""Heads and their channels, at stride 4: logit of a person's centre; height and width of the box, and y and x of the
centre within the cell, in cells."""
_BLOCKS = 17
_HALVING = (1, 3, 6, 13)
_LEVELS = {2: 4, 5: 8, 9: 16}
"""Blocks whose outputs the feature pyramid takes, and their strides."""

Values = Mapping[str, NDArray[np.float16]]


def build_finder(values: Values) -> onnx.ModelProto:
    """Build the network: `image` (1, 3, H, W), RGB / 127.5 − 1, H and W multiples of 32 → OUTPUTS (1, C, H / 4, W / 4).

    Raises KeyError for a layer that the values lack.
    """
    from onnx import TensorProto, helper

    graph = _Graph(values)
    x = graph.conv("image", "conv1", stride=2, activation="Clip")
    levels = {}
    for number in range(_BLOCKS):
        name, before = f"blocks.{number}", x
        if number:
            x = graph.conv(x, f"{name}.expand", activation="Clip")
        x = graph.conv(x, f"{name}.depthwise", stride=2 if number in _HALVING else 1, activation="Clip")
        x = graph.conv(x, f"{name}.project")
        inputs = values[f"{name}.expand.weight" if number else f"{name}.depthwise.weight"].shape[1 if number else 0]
        if number not in _HALVING and inputs == len(values[f"{name}.project.weight"]):
            x = graph.node("Add", [before, x])
        if number in _LEVELS:
            levels[_LEVELS[number]] = x
    x = graph.conv(graph.conv(x, "conv_last", activation="Clip"), "fpn.lateral_32")
    for stride in (16, 8, 4):
        x = graph.node("Add", [graph.doubled(x), graph.conv(levels[stride], f"fpn.lateral_{stride}")])
        x = graph.conv(graph.conv(x, f"fpn.smooth_{stride}.depthwise"), f"fpn.smooth_{stride}.pointwise", "Relu")
    for head in OUTPUTS:
        hidden = graph.conv(graph.conv(x, f"{head}.depthwise"), f"{head}.pointwise", "Relu")
        graph.conv(hidden, f"{head}.last", output=head)
    sides = ["height", "width"]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *sides])
    outputs = [
        helper.make_tensor_value_info(head, TensorProto.FLOAT, [1, channels, *(f"{side}/4" for side in sides)])
        for head, channels in OUTPUTS.items()
    ]
    whole = helper.make_graph(graph.nodes, "finder", [image], outputs, graph.tensors)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


class _Graph:
    """Nodes and tensors of a graph that is being built; each method returns the name of its output."""

    def __init__(self, values: Values) -> None:
        from onnx import numpy_helper

        self.values = values
        self.nodes: list[Any] = []
        self.tensors = [
            numpy_helper.from_array(np.array(array, np.float32), name)
            for name, array in {"zero": 0, "six": 6, "scales": [1, 1, 2, 2], "roi": []}.items()
        ]

    def node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def conv(self, x: str, name: str, activation: str = "", *, stride: int = 1, output: str = "") -> str:
        """A convolution with TensorFlow's padding, and ReLU6 (`Clip`) or ReLU."""
        from onnx import numpy_helper

        inputs = [x]
        for kind in ("weight", "bias"):
            if (value := self.values.get(f"{name}.{kind}")) is not None:
                half = numpy_helper.from_array(np.ascontiguousarray(value, np.float16), f"{name}.{kind}.half")
                self.tensors.append(half)
                inputs.append(self.node("Cast", [half.name], f"{name}.{kind}", to=1))
        weight = self.values[f"{name}.weight"]
        side = weight.shape[-1]
        pads = [1, 1, 1, 1] if stride == 1 else [0, 0, 1, 1]
        groups = len(weight) if weight.shape[1] == 1 else 1
        shape = {"kernel_shape": [side, side], "strides": [stride, stride], "pads": pads if side > 1 else [0] * 4}
        x = self.node("Conv", inputs, output, group=groups, **shape)
        if activation == "Clip":
            return self.node("Clip", [x, "zero", "six"])
        return self.node(activation, [x]) if activation else x

    def doubled(self, x: str) -> str:
        """Twice as many rows and columns, bilinear."""
        return self.node("Resize", [x, "roi", "scales"], mode="linear", coordinate_transformation_mode="half_pixel")


def main() -> int:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    source, target = map(Path, sys.argv[1:])
    try:
        model = build_finder(load_file(source))
    except (KeyError, OSError, SafetensorError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else error
        print(f"{source}: no values of MoveNet MultiPose: {reason}", file=sys.stderr)
        return 1
    with replacing(target) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return 0


if __name__ == "__main__":
    sys.exit(main())
