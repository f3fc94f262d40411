"""Cascades as ONNX files: they answer as torch does, come back as they were written, and are refused when harmed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deeppose_cli.checkpoints.metadata import ModelMetadata, to_json
from deeppose_cli.checkpoints.onnx_cascade import build_onnx_cascade, open_onnx
from deeppose_cli.checkpoints.onnx_cascade import peak_coordinates as numpy_peak_coordinates
from deeppose_cli.checkpoints.pretrained import NAMES
from deeppose_cli.checkpoints.weights_file import load_weights, read_header, write_weights
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import FLIC10, LSP14
from deeppose_cli.data.synthetic.generator import draw_person
from deeppose_cli.models.cascade import Cascade
from deeppose_cli.models.confidence import Calibration
from deeppose_cli.models.heads import peak_coordinates
from deeppose_cli.models.regressor import Regressor, build_cascade, build_stage, load_stage_weights
from tests.helpers.poses import ARM7
from tests.helpers.weights_files import random_values, tiny_metadata

onnx = pytest.importorskip("onnx")
from deeppose_cli.exporting import onnx as onnx_export  # noqa: E402

IMAGES = [draw_person(np.random.default_rng(seed)).image for seed in range(3)]
BOXES = np.array([[p.shape[1] / 2 - 3.5, p.shape[0] / 2, p.shape[1] * 0.9, p.shape[0] * 1.1] for p in IMAGES])


def networks(metadata: ModelMetadata, seed: int = 0) -> list[Regressor]:
    k = len(metadata.spec.skeleton)
    both = zip(metadata.spec.stages, random_values(metadata, seed), strict=True)
    return [load_stage_weights(build_stage(spec, k), values, "").eval() for spec, values in both]


def calibrated(metadata: ModelMetadata) -> ModelMetadata:
    stages = tuple(
        replace(stage, calibration=Calibration(0.7, 0.5, (1.5,) * len(metadata.spec.skeleton)))
        for stage in metadata.spec.stages
    )
    return replace(metadata, spec=replace(metadata.spec, stages=stages))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelMetadata, Cascade]:
    """A file of two stages, and torch's cascade."""
    metadata = calibrated(tiny_metadata())
    both = networks(metadata)
    file = tmp_path_factory.mktemp("onnx") / "two.onnx"
    onnx_export.write_onnx(file, metadata, both, IMAGES, BOXES)
    return file, metadata, build_cascade(metadata.spec, both, "cpu")


@pytest.mark.parametrize("flip_test", [False, True])
def test_a_skeleton_without_sides_or_limbs_travels_in_both_files(tmp_path: Path, flip_test: bool) -> None:
    metadata = tiny_metadata(ARM7)
    both = networks(metadata)
    file, weights = tmp_path / "arm.onnx", tmp_path / "arm.safetensors"
    onnx_export.write_onnx(file, metadata, both, IMAGES, BOXES)
    write_weights(weights, metadata, [regressor.state_dict() for regressor in both])
    session, found = open_onnx(file)
    assert found == metadata == read_header(weights).metadata
    ours = build_onnx_cascade(session, found).predict(IMAGES, BOXES, flip_test=flip_test)
    torchs = build_cascade(metadata.spec, both, "cpu").predict(IMAGES, BOXES, flip_test=flip_test)
    assert ours.poses.shape == (2, len(IMAGES), 7, 2)
    assert np.mean(np.abs(ours.poses - torchs.poses) < 0.05) > 0.9
    loaded = load_weights(weights, device="cpu").predict(IMAGES, BOXES, flip_test=flip_test)
    assert loaded.poses.shape == ours.poses.shape


# --- As torch says ------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.floats(0.5, 8))
@settings(max_examples=60, deadline=None)
def test_a_maps_peak_is_read_as_torch_reads_it(seed: int, side: int, sharp: float) -> None:
    logits = torch.randn(3, 4, side, side, generator=torch.Generator().manual_seed(seed)) * sharp
    smooth = torch.nn.functional.avg_pool2d(logits.flatten(2).softmax(-1).view_as(logits), 3, 1, 1).flatten(2)
    best, second = smooth.topk(2).values.unbind(-1)
    assume(bool((best - second > 1e-5).all()))  # of peaks that are equal, rounding chooses
    theirs = peak_coordinates(logits)
    coordinates, peak_mass = numpy_peak_coordinates(logits.flatten(2).softmax(-1).view_as(logits).numpy())
    np.testing.assert_allclose(coordinates, theirs.coordinates.numpy(), atol=1e-5)
    assert theirs.peak_mass is not None
    np.testing.assert_allclose(peak_mass, theirs.peak_mass.numpy(), atol=1e-5)


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize("stages", [1, 2])
def test_every_stage_answers_as_in_torch(made: Any, stages: int, flip_test: bool) -> None:
    file, metadata, theirs = made
    session, known = open_onnx(file)
    assert known == metadata
    ours = build_onnx_cascade(session, known, stages).predict(IMAGES, BOXES, flip_test=flip_test)
    expected = theirs.predict(IMAGES, BOXES, flip_test=flip_test)
    np.testing.assert_allclose(ours.poses, expected.poses[:stages], atol=0.01)
    np.testing.assert_allclose(ours.confidence, expected.confidence[:stages], atol=1e-3)
    assert not np.isnan(ours.confidence).any()


def test_any_number_of_images_at_once(made: Any) -> None:
    cascade = build_onnx_cascade(*open_onnx(made[0]))
    together = cascade.predict(IMAGES, BOXES).poses
    alone = [cascade.predict([image], box[None]).poses[:, 0] for image, box in zip(IMAGES, BOXES, strict=True)]
    np.testing.assert_allclose(together, np.stack(alone, axis=1), atol=0.01)
    assert cascade.predict([], np.zeros((0, 4))).poses.shape == (2, 0, 14, 2)


BACKBONE = {"network": "backbone", "backbone": "mobilenet_v1", "head_channels": 16}
SHAPES: dict[str, tuple[Any, ...]] = {
    "one-stage": (LSP14, 1, False, {}),
    "without-maps": (FLIC10, 2, False, {**BACKBONE, "head": "regression"}),
    "per-joint": (FLIC10, 2, True, {}),
    "person": (LSP14, 3, False, {"view": "person"}),
    "deeppose": (LSP14, 1, False, {"network": "deeppose", "input_size": 220}),
    "mobilenet": (LSP14, 1, False, BACKBONE),
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_other_networks_come_back_too(tmp_path: Path, shape: str) -> None:
    skeleton, stages, regressor, sizes = SHAPES[shape]
    metadata = tiny_metadata(skeleton, stages, regressor, **sizes)
    both = networks(metadata)
    file = tmp_path / "other.onnx"
    assert onnx_export.write_onnx(file, metadata, both, IMAGES, BOXES) <= 0.05
    session, known = open_onnx(file)
    assert known == metadata
    expected = build_cascade(metadata.spec, both, "cpu").predict(IMAGES, BOXES)
    np.testing.assert_allclose(
        build_onnx_cascade(session, known).predict(IMAGES, BOXES).poses, expected.poses, atol=0.05
    )


def test_the_box_holds_the_same_cascades_for_both_engines(box: Path) -> None:
    folder = Path(__file__).parents[2] / "deeppose_cli" / "pretrained"
    for name in NAMES:
        theirs = load_weights(folder / f"{name}.safetensors", device="cpu")
        session, known = open_onnx(folder / f"{name}.onnx")
        result = build_onnx_cascade(session, known).predict(IMAGES, BOXES)
        np.testing.assert_allclose(result.poses, theirs.predict(IMAGES, BOXES).poses, atol=0.1)


# --- What is not written ------------------------------------------------------------------------------------------


def test_a_file_that_differs_from_torch_is_not_kept(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tiny_metadata(stages=1)
    monkeypatch.setattr(onnx_export, "build_onnx_cascade", lambda *_: build_onnx_cascade(*open_onnx(made[0]), 1))
    with pytest.raises(DeepPoseError, match=r"differ from torch's by up to \d+\.\d+ px; not written"):
        onnx_export.write_onnx(tmp_path / "x.onnx", metadata, networks(metadata, seed=1), IMAGES, BOXES)
    assert list(tmp_path.iterdir()) == []


def test_no_folder_of_this_machine_is_in_the_file(made: Any) -> None:
    data = made[0].read_bytes()
    assert os.fsencode(Path(onnx.__file__).parent.parent) not in data
    assert b"site-packages" not in data


# --- What is not read ---------------------------------------------------------------------------------------------


def refused(file: Path) -> str:
    with pytest.raises(DeepPoseError) as caught:
        open_onnx(file)
    said = str(caught.value)
    assert said.isprintable()
    assert said.startswith(f"{file}: ")
    assert len(said) < 400 + len(str(file))
    return said


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_harmed_file_is_refused_or_has_the_same_form(
    made: Any, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = made[0].read_bytes()
    file = tmp_path_factory.mktemp("harmed") / "h.onnx"
    start = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        file.write_bytes(whole[:start])
    else:
        file.write_bytes(whole[:start] + data.draw(st.binary(min_size=1, max_size=20)) + whole[start + 5 :])
    said = ""
    try:
        said = open_onnx(file)[1].spec.skeleton.name
    except DeepPoseError as error:
        said = str(error)
    assert said == "lsp14" or (said.startswith(f"{file}: ") and said.isprintable())


def test_other_models_are_refused(made: Any, tmp_path: Path) -> None:
    file = tmp_path / "x.onnx"
    for change, said in (
        (lambda model: model.ClearField("metadata_props"), "no 'deeppose'"),
        (lambda model: setattr(model.metadata_props[0], "value", "{}"), "format is missing"),
        (
            lambda model: setattr(model.metadata_props[0], "value", to_json(tiny_metadata(stages=1))),
            "inputs or outputs",
        ),
    ):
        model = onnx.load(made[0])
        change(model)
        onnx.save(model, file)
        assert said in refused(file)
    file.write_bytes(b"%PDF-1.7")
    refused(file)
    assert "cannot be read" in refused(tmp_path / "none.onnx")


def test_weights_outside_of_the_file_are_not_read(made: Any, tmp_path: Path) -> None:
    """An ONNX file may name other files that hold its numbers; one from a stranger may name any."""
    model = onnx.load(made[0])
    (tmp_path / "secret").write_bytes(bytes(4 * 10**6))
    for tensor in [*model.graph.initializer] or model.graph.node[-1].attribute[0].g.initializer:
        size = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "secret"), ("offset", "0"), ("length", str(size))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    file = tmp_path / "x.onnx"
    file.write_bytes(model.SerializeToString())
    refused(file)


# --- Commands -----------------------------------------------------------------------------------------------------

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["lightning"] = sys.modules["onnx"] = None
from deeppose_cli.cli.app import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_images_are_looked_at_without_torch(made: Any, tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), IMAGES[0])
    command = [sys.executable, "-c", WITHOUT_TORCH, "predict", "a.png", "--weights", str(made[0]), "--json"]
    done = subprocess.run(
        [*command, "--engine", "onnx", "--box", "image"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert len(found["keypoints"]) == 3 * 14
    assert len(found["stages"]) == 2
    assert (tmp_path / "predictions" / "a_pose.jpg").is_file()
