"""TensorFlow.js models of MoveNet: written by hand here from known values, and read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from deeppose_cli.exporting import movenet
from tests.models.test_movenet import published

PREFIX = "StatefulPartitionedCall/center_net_mobile_net_v2fpn_feature_extractor/model_1"
LATERAL = {"32": "conv2d", "16": "conv2d_1", "8": "conv2d_2", "4": "conv2d_3"}
SMOOTH = {"16": "separable_conv2d", "8": "separable_conv2d_1", "4": "separable_conv2d_2"}
READ = {"weight": "Conv2D/ReadVariableOp", "bias": "BiasAdd/ReadVariableOp"}
FOLDED = {"weight": "weights", "bias": "bn_offset"}


def tensorflow_name(layer: str) -> str:
    """The name that the published graph has for a layer."""
    *path, kind = layer.split(".")
    if path[0] in ("conv1", "conv_last"):
        return f"{PREFIX}/model/{'Conv1' if path[0] == 'conv1' else 'Conv_1'}/Conv2D_{FOLDED[kind]}"
    if path[0] == "blocks":
        block = "expanded_conv" if path[1] == "0" else f"block_{path[1]}"
        return f"{PREFIX}/model/{block}_{path[2]}/{'depthwise' if path[2] == 'depthwise' else 'Conv2D'}_{FOLDED[kind]}"
    if path[0] == "fpn":
        name, _, stride = path[1].partition("_")
        if name == "lateral":
            return f"{PREFIX}/{LATERAL[stride]}/{READ[kind]}"
        end = "/ReadVariableOp" if path[2] == "depthwise" else f"_{FOLDED[kind]}"
        return f"{PREFIX}/{SMOOTH[stride]}/separable_conv2d{end}"
    head = f"StatefulPartitionedCall/{'kpt_' * (path[0] == 'heatmap')}{path[0]}_0"
    if path[1] == "last":
        return f"{head}/conv2d_5/{READ[kind]}"
    if kind == "bias":
        return f"{head}/separable_conv2d_4/BiasAdd/ReadVariableOp"
    return f"{head}/separable_conv2d_4/separable_conv2d/ReadVariableOp{'_1' * (path[1] == 'pointwise')}"


def write_model(folder: Path, layers: dict[str, NDArray[np.float16]]) -> Path:
    """The .json and .bin of a model with these layers, and with numbers of the graph's own between them."""
    weights, data = [], b""
    for layer, value in layers.items():
        kernel = value
        if value.ndim == 4:
            kernel = value.transpose((2, 3, 0, 1) if ".depthwise." in layer else (2, 3, 1, 0))
        half = {"dtype": "float32", "quantization": {"dtype": "float16", "original_dtype": "float32"}}
        weights += [
            {"name": "StatefulPartitionedCall/Reshape_3", "shape": [2], "dtype": "int32"},
            {"name": tensorflow_name(layer), "shape": list(kernel.shape), **half},
        ]
        data += np.array([7, 8], np.int32).tobytes() + np.ascontiguousarray(kernel).tobytes()
    (folder / "model.json").write_text(json.dumps({"weightsManifest": [{"paths": ["model.bin"], "weights": weights}]}))
    (folder / "model.bin").write_bytes(data)
    return folder / "model.json"


def run(monkeypatch: pytest.MonkeyPatch, source: Path, target: Path) -> int:
    monkeypatch.setattr("sys.argv", ["movenet", str(source), str(target)])
    return movenet.main()


@pytest.mark.parametrize("heads", [{"heatmap": 17}, {"center": 1, "box_scale": 2, "box_offset": 2}])
def test_the_values_are_those_of_the_model(
    heads: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = {name: value.numpy() for name, value in published(heads=heads).items()}
    # A single-pose model has a head for the person's centre too, a finder's one for keypoints.
    other = published(1, {"heatmap": 17} if "center" in heads else {"center": 1})
    more = {name: value.numpy() for name, value in other.items() if name not in layers}
    file = tmp_path / "out.safetensors"
    assert run(monkeypatch, write_model(tmp_path, {**layers, **more}), file) == 0
    found = load_file(file)
    assert found.keys() == layers.keys()
    assert all(np.array_equal(found[name], layers[name]) for name in layers)


def test_a_cut_off_model_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_model(tmp_path, {name: value.numpy() for name, value in published().items()})
    data = (tmp_path / "model.bin").read_bytes()
    for content in (data[:-5], None):
        if content is None:
            (tmp_path / "model.bin").unlink()
        else:
            (tmp_path / "model.bin").write_bytes(content)
        assert run(monkeypatch, source, tmp_path / "out.safetensors") == 1
        assert "model.json: not a TensorFlow.js model of MoveNet (" in capsys.readouterr().err
        assert not (tmp_path / "out.safetensors").exists()
