"""Weights files: what is written is read back, and what was harmed is refused in one line, at no cost."""

from __future__ import annotations

import json
import os
import pickle
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deeppose_cli.checkpoints.weights_file import (
    as_stored,
    is_weights_file,
    load_weights,
    read_file_stages,
    read_header,
    write_weights,
)
from deeppose_cli.config.presets import PAPER, PRESETS
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import FLIC10, LSP14
from deeppose_cli.models.backbones import BACKBONES
from deeppose_cli.models.cascade import CascadeResult
from tests.helpers.weights_files import joined, parts, random_values, tiny_metadata, with_document, with_header, write

BOXES = np.array([[30.0, 25.0, 60.0, 50.0], [30.0, 25.0, 40.0, 50.0]])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("weights") / "whole.safetensors"
    write(file)
    return file.read_bytes()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "w.safetensors"


def refused(file: Path) -> str:
    with pytest.raises(DeepPoseError) as caught:
        load_weights(file, device="cpu")
    said = str(caught.value)
    assert "\n" not in said
    assert said.isprintable()
    assert str(file) in said
    assert len(said) < 400 + len(str(file))
    return said


def predicted(cascade: Any) -> CascadeResult:
    rng = np.random.default_rng(0)
    return cascade.predict([rng.integers(0, 256, (50, 60, 3), dtype=np.uint8) for _ in BOXES], BOXES)


# --- Round trip ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("skeleton", "per_joint"), [(LSP14, False), (FLIC10, True)], ids=["shared", "per-joint"])
def test_a_cascade_comes_back_with_its_predictions(file: Path, skeleton: Any, per_joint: bool) -> None:
    from deeppose_cli.models.regressor import build_cascade, build_stage, load_stage_weights

    metadata = tiny_metadata(skeleton, per_joint=per_joint)
    values = write(file, metadata)
    original = build_cascade(
        metadata.spec,
        [
            load_stage_weights(build_stage(p, len(skeleton)), v, "")
            for p, v in zip(metadata.spec.stages, values, strict=True)
        ],
        "cpu",
    )
    header, loaded = read_header(file), load_weights(file, device="cpu")
    assert header.metadata == metadata
    assert loaded.skeleton == skeleton
    assert not any(stage.model.training for stage in loaded.stages)
    ours, theirs = predicted(loaded), predicted(original)
    assert ours.poses.std() > 1
    np.testing.assert_allclose(ours.poses, theirs.poses, atol=0.1)  # px of crops of 60
    np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=0.2)
    assert load_weights(file, 1, device="cpu").num_stages == 1
    assert not list(file.parent.glob(".*"))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_can_be_kept(backbone: str, file: Path) -> None:
    metadata = tiny_metadata(stages=1, network="backbone", backbone=backbone)
    values = write(file, metadata)
    _, (loaded,) = read_file_stages(file)
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, values[0][name], rtol=1e-3, atol=1e-6, check_dtype=False)


@pytest.mark.parametrize("name", [name for name in PRESETS if name != PAPER.name])
def test_every_preset_can_be_kept(name: str, file: Path) -> None:
    from deeppose_cli.checkpoints.metadata import from_json, to_json
    from deeppose_cli.models.spec import StageSpec

    metadata = tiny_metadata()
    preset = PRESETS[name]
    second = metadata.spec.stages[1]
    specs = (StageSpec(preset.initial), StageSpec(preset.refinement, second.sigma, second.displacement))
    kept = type(metadata)(type(metadata.spec)(LSP14, specs, False), "face", metadata.records)
    assert from_json(to_json(kept)) == kept


def test_the_same_weights_make_the_same_file(whole: bytes, file: Path) -> None:
    write(file)
    assert file.read_bytes() == whole


def test_a_stage_too_many_is_refused(whole: bytes, file: Path) -> None:
    file.write_bytes(whole)
    with pytest.raises(DeepPoseError, match=r"has 2 stage\(s\), not 3"):
        load_weights(file, 3)


def test_precision_is_kept_where_half_would_lose() -> None:
    value = torch.randn(8, 4, 3, 3)
    assert as_stored(value, "conv.weight", "").dtype == torch.float16
    assert as_stored(value, "bn.running_mean", "").dtype == torch.float32
    for factor in (1e6, 1e-9):  # infinite, or mostly 0
        stored = as_stored(value * factor, "conv.weight", "")
        assert stored.dtype == torch.float32
        assert torch.equal(stored, value * factor)
    dead = value.clone()
    dead[0] = 1e-12  # one filter that does nothing is no reason
    assert as_stored(dead, "conv.weight", "").dtype == torch.float16
    assert as_stored(torch.zeros(3), "conv.bias", "").dtype == torch.float16


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_written(file: Path, bad: float) -> None:
    metadata = tiny_metadata()
    values = random_values(metadata)
    values[1]["networks.0.heatmaps.1.bias"][3] = bad
    with pytest.raises(DeepPoseError, match=r"stage 2: networks.0.heatmaps.1.bias is not finite"):
        write_weights(file, metadata, values)
    assert not list(file.parent.iterdir())


def test_no_lightning_is_imported(whole: bytes, file: Path) -> None:
    file.write_bytes(whole)
    script = f"""if True:
        import sys
        from pathlib import Path
        from deeppose_cli.checkpoints.weights_file import read_header
        assert read_header(Path({str(file)!r})).num_stages == 2
        print("torch" in sys.modules)
        from deeppose_cli.checkpoints.weights_file import load_weights
        load_weights(Path({str(file)!r}))
        print(sorted({{"lightning", "torchvision"}} & sys.modules.keys()))
    """
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n[]\n"


# --- Hostile files ------------------------------------------------------------------------------------------------


def stage(document: dict[str, Any], number: int = 1) -> dict[str, Any]:
    return document["stages"][number - 1]


def set_(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: stage(document)["settings"].update(values)


def second(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: stage(document, 2).update(values)


DOCUMENTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no json": (lambda d: "{", "not a weights file"),
    "a list": (lambda d: "[1]", "the document is a list"),
    "deep": (lambda d: "[" * 100_000, "nested too deep"),
    "nan": (lambda d: json.dumps(d).replace("1.5", "NaN"), "sigma is nan"),
    "format": (lambda d: d.update(format=1), "format 1; this version of deeppose reads 2"),
    "format text": (lambda d: d.update(format="1"), "format is '1'"),
    "format true": (lambda d: d.update(format=True), "format is True"),
    "no skeleton": (lambda d: d.pop("skeleton") and None, "skeleton is missing"),
    "skeleton's name alone": (lambda d: d.update(skeleton="coco17"), "skeleton is 'coco17'"),
    "skeleton without a name": (lambda d: d["skeleton"].pop("name") and None, "skeleton's name is None"),
    "skeleton without joints": (lambda d: d["skeleton"].pop("keypoints") and None, "skeleton: keypoints: None"),
    "other skeleton": (lambda d: d.update(skeleton=FLIC10.to_mapping()), "displacement's mean has 14 pairs; valid: 10"),
    "joints no text": (lambda d: d["skeleton"].update(keypoints=[[]] * 14), "skeleton: keypoints: []"),
    "joint twice": (lambda d: d["skeleton"]["keypoints"].append("neck"), "skeleton: keypoints: 'neck' is there twice"),
    "limb of no joint": (lambda d: d["skeleton"].update(limbs={"arm": [["neck", "wing"]]}), "limbs: 'wing' is no"),
    "huge sigma": (lambda d: d["skeleton"].update(sigmas={"neck": 10**400}), "neck is a huge number"),
    "initial box": (lambda d: d.update(initial_box="moon"), "initial_box 'moon'; valid: image"),
    "square": (lambda d: d.update(square_initial_box=1), "square_initial_box is 1"),
    "no stages": (lambda d: d.update(stages=[]), "0 stages; valid: 1 to 16"),
    "many stages": (lambda d: d.update(stages=d["stages"] * 9), "18 stages; valid: 1 to 16"),
    "fewer stages": (lambda d: d["stages"].pop() and None, "belongs to no stage"),
    "a stage more": (lambda d: d["stages"].append(d["stages"][1]), "stage 3"),
    "stage no object": (lambda d: d.update(stages=[3]), "stage 1: it is 3"),
    "no settings": (lambda d: stage(d).pop("settings") and None, "stage 1: settings is missing"),
    "input size": (set_(input_size=10**9), "input_size 1000000000; valid: 0 to 1024"),
    "input size beyond numbers": (set_(input_size=10**400), "input_size is a huge number"),
    "input size text": (set_(input_size="32"), "input_size is '32'"),
    "input size none": (set_(input_size=None), "input_size is None"),
    "input size true": (set_(input_size=True), "input_size is True"),
    "input size fraction": (set_(input_size=32.5), "input_size is 32.5"),
    "input size odd": (set_(input_size=33), "multiples of 32"),
    "input size 0": (set_(input_size=0), "multiples of 32"),
    "head_channels": (set_(head_channels=10**9), "head_channels 1000000000; valid: 0 to 4096"),
    "head_channels within bounds": (set_(head_channels=4096), "by its settings"),
    "head_channels 0": (set_(head_channels=0), "stage 1"),
    "head_channels negative": (set_(head_channels=-1), "head_channels -1; valid: 0 to 4096"),
    "another width": (set_(head_channels=3), "by its settings"),
    "network": (set_(network="vgg"), "network 'vgg' is unknown"),
    "another network": (set_(network="deeppose"), "stage 1: no network has its settings"),
    "the paper's network": (set_(network="deeppose", input_size=220), "stage 1 lacks"),
    "backbone": (set_(network="backbone", backbone="../x"), "unknown; valid: mobilenet_v1"),
    "dropout": (set_(dropout=7), "dropout 7; valid: 0 to 1"),
    "rate": (set_(learning_rate=10**15), "learning_rate is 1000000000000000"),
    "augmentation": (set_(augmentation=[]), "augmentation is a list"),
    "augmentation's value": (set_(augmentation={"flip": "x"}), "flip is 'x'"),
    "unknown field": (set_(colour_of_the_sky=1), "unknown 'colour_of_the_sky' in settings"),
    "unknown field with an escape": (set_(**{"\x1b[2J" * 500: 1}), "in settings"),
    "skeleton with an escape": (lambda d: d.update(skeleton="\x1b[2J" * 500), "skeleton is '\\x1b[2J"),
    "initial box with an escape": (lambda d: d.update(initial_box="\x1b[2J" * 500), "initial_box is '\\x1b[2J"),
    "a head for backbones": (set_(head="regression"), "--head regression: needs a backbone"),
    "sigma": (second(sigma=0), "stage 2: sigma 0; valid: 1e-06 to 100"),
    "sigma huge": (second(sigma=10**400), "sigma is a huge number"),
    "sigma missing": (lambda d: stage(d, 2).pop("sigma") and None, "sigma is missing"),
    "displacement": (second(displacement={"mean": [[0, 0]], "std": [[1, 1]]}), "mean has 1 pairs; valid: 14"),
    "displacement text": (second(displacement={"mean": ["ab"] * 14, "std": ["ab"] * 14}), "mean is 'ab'"),
    "displacement negative": (
        second(displacement={"mean": [[0, 0]] * 14, "std": [[-1, 1]] * 14}),
        "displacement's std -1; valid: 0 to 100",
    ),
    "displacement none": (second(displacement=None), "displacement is None"),
    "per_joint": (lambda d: stage(d, 2)["settings"].update(per_joint="both"), "per_joint is 'both'"),
    "another per_joint": (lambda d: stage(d, 2)["settings"].update(per_joint=True), "stage 2"),
    "record": (lambda d: stage(d)["training"].update(data=7), "data is 7"),
    "record's escape": (lambda d: stage(d)["training"].update(command="\x1b[2J"), "command is '\\x1b[2J'"),
    "record's key": (lambda d: stage(d)["training"].update(self="x"), "unknown 'self' in training"),
    "record without data": (lambda d: stage(d)["training"].pop("data") and None, "data is missing"),
    "epochs": (lambda d: stage(d)["training"].update(epochs=-(10**400)), "epochs is a huge number"),
}


@pytest.mark.parametrize("harm", DOCUMENTS)
def test_an_edited_document_is_refused_by_name(harm: str, whole: bytes, file: Path) -> None:
    change, words = DOCUMENTS[harm]
    file.write_bytes(with_document(whole, change))
    assert words in refused(file)


def rename(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    return lambda header: header.update({new: header.pop(old)})


BIAS = "stage1.networks.0.heatmaps.1.bias"
HEADERS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no metadata": (lambda h: h.pop("__metadata__"), "has no 'deeppose'"),
    "metadata no object": (lambda h: h.update(__metadata__=[]), "invalid type: sequence"),
    "document no text": (lambda h: h["__metadata__"].update(deeppose={}), "invalid type: map"),
    "a tensor renamed": (
        rename(BIAS, "stage1.networks.0.heatmaps.1.bios"),
        "stage 1 lacks 'networks.0.heatmaps.1.bias'",
    ),
    "a tensor of no stage": (rename(BIAS, "stage9.x"), "stage 1 lacks"),
    "an extra tensor": (
        lambda h: h.update(extra={"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}),
        "tensor 'extra' belongs to no stage",
    ),
    "an extra tensor of a stage": (
        lambda h: h.update({"stage2.x": {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}}),
        "stage 2 has an extra 'x'",
    ),
    "shape": (lambda h: h[BIAS].update(shape=[2, 7]), "heatmaps.1.bias is (2, 7), by its settings (14,)"),
    "huge shape": (lambda h: h[BIAS].update(shape=[10**9, 10**9]), "invalid shape, data type, or offset"),
    "shape beyond numbers": (lambda h: h[BIAS].update(shape=[10**400]), "number out of range"),
    "negative shape": (lambda h: h[BIAS].update(shape=[-14]), "invalid value: integer `-14`"),
    "shape text": (lambda h: h[BIAS].update(shape="14"), "invalid type: string"),
    "no shape": (lambda h: h[BIAS].pop("shape"), "missing field `shape`"),
    "type": (lambda h: h[BIAS].update(dtype="I16"), "is not of type F16 or F32"),
    "type a list": (lambda h: h[BIAS].update(dtype=["F16"]), "invalid JSON in header"),
    "entry": (lambda h: h.update({BIAS: 3}), "invalid type: integer `3`"),
    "offsets": (lambda h: h[BIAS].update(data_offsets=[0, 28]), "invalid offset"),
    "a hole": (lambda h: h.pop(BIAS), "invalid offset"),
}


@pytest.mark.parametrize("harm", HEADERS)
def test_an_edited_header_is_refused_by_name(harm: str, whole: bytes, file: Path) -> None:
    change, words = HEADERS[harm]
    file.write_bytes(with_header(whole, change))
    assert words in refused(file)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("start", [b"\x80", b"PK"])
def test_a_header_whose_length_looks_like_the_start_of_a_checkpoint_is_read(file: Path, start: bytes) -> None:
    write(file)
    header, rest = parts(file.read_bytes())
    text = json.dumps(header).encode()
    places = 256 ** len(start)
    length = -(-len(text) // places) * places + int.from_bytes(start, "little")
    file.write_bytes(joined(text.ljust(length), rest))
    assert file.read_bytes().startswith(start)
    assert read_header(file).num_stages == 2


def test_a_pickle_in_disguise_is_not_run(file: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    file.write_bytes(pickle.dumps(Trap(sprung)))
    assert "perhaps a checkpoint; deeppose export makes" in refused(file)
    for new in (True, False):
        torch.save({"state_dict": Trap(sprung)}, file, _use_new_zipfile_serialization=new)
        assert "perhaps a checkpoint" in refused(file)
    assert not sprung.exists()


def test_what_is_no_file_of_weights_is_said(file: Path, tmp_path: Path, whole: bytes) -> None:
    assert "No such file" in refused(file)
    file.write_bytes(b"")
    assert "header too small" in refused(file)
    file.write_bytes(b"\x00" * 8)
    refused(file)
    file.write_bytes(struct.pack("<Q", 2**63) + whole[8:])
    assert "header too large" in refused(file)
    file.write_bytes(joined(b"\xff\xfe", b""))
    refused(file)
    for text in (b"[]", b"7", b"null", b"", b"[" * 100_000, b'{"a":' * 50_000):
        file.write_bytes(joined(text, b""))
        refused(file)
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    assert "not a file" in refused(folder)
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    assert "not a file" in refused(pipe)
    from safetensors.torch import save_file

    save_file({"conv1.conv.weight": torch.zeros(3)}, file)
    assert "has no 'deeppose'" in refused(file)
    assert not is_weights_file(file)
    file.write_bytes(whole)
    assert is_weights_file(file)
    file.write_bytes(whole + b"\0")
    assert "file not fully covered" in refused(file)


def test_a_file_that_may_not_be_read_is_said(file: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_bytes(whole)

    def no(self: Path, *_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", no)
    assert "cannot be read (Permission denied)" in refused(file)


def test_a_header_too_long_is_not_read(file: Path) -> None:
    with file.open("wb") as out:
        out.write(struct.pack("<Q", 2**30))
        out.truncate(2**30 + 100)  # nothing but a hole
    assert "header too large" in refused(file)


@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_numbers_that_are_none_are_refused(bad: str, whole: bytes, file: Path) -> None:
    header, rest = parts(whole)
    begin, end = header[BIAS]["data_offsets"]
    values = np.frombuffer(rest[begin:end], "<f2").copy()
    values[3] = float(bad)
    file.write_bytes(joined(header, rest[:begin] + values.tobytes() + rest[end:]))
    assert f"tensor '{BIAS}' holds invalid numbers" in refused(file)
    name = next(name for name in header if name.endswith("running_var"))
    begin, end = header[name]["data_offsets"]
    file.write_bytes(joined(header, rest[:begin] + struct.pack("<f", -1.0) + rest[begin + 4 :]))
    assert f"tensor '{name}' holds invalid numbers" in refused(file)


def test_settings_cannot_ask_for_more_memory_than_the_file_has(whole: bytes, file: Path) -> None:
    """Width 4096 would be 7 GB of weights. What is handed to the system's memory is measured, not only what is said."""
    file.write_bytes(with_document(whole, set_(head_channels=4096)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "by its settings" in refused(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


# --- Any harm at all ----------------------------------------------------------------------------------------------


def loads_or_is_refused(data: bytes, file: Path) -> bool:
    file.write_bytes(data)
    try:
        cascade = load_weights(file, device="cpu")
    except DeepPoseError:
        return "\n" in refused(file)
    assert all(value.isfinite().all() for stage in cascade.stages for value in stage.model.state_dict().values())
    return True


EASY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@EASY
@given(st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(whole: bytes, file: Path, share: float) -> None:
    assert not loads_or_is_refused(whole[: int(share * len(whole))], file)


def test_a_file_truncated_at_the_seams_is_refused(whole: bytes, file: Path) -> None:
    (length,) = struct.unpack("<Q", whole[:8])
    for end in (1, 7, 8, 9, 7 + length, 8 + length, 9 + length, len(whole) - 1):
        assert not loads_or_is_refused(whole[:end], file)


@settings(EASY, max_examples=150)
@given(data=st.data())
def test_any_changed_byte_gives_a_good_load_or_one_line(whole: bytes, file: Path, data: st.DataObject) -> None:
    (length,) = struct.unpack("<Q", whole[:8])
    harmed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        # Most of the file is numbers, most of the danger is in the header.
        end = data.draw(st.sampled_from([8, 8 + length, len(whole)]))
        harmed[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    loads_or_is_refused(bytes(harmed), file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything within a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, part in inner for found in places(part, (*path, key)))]


@settings(EASY, max_examples=60)
@given(data=st.data())
def test_any_changed_value_in_the_document_gives_a_good_load_or_one_line(
    whole: bytes, file: Path, data: st.DataObject
) -> None:
    def change(document: dict[str, Any]) -> None:
        *way, last = data.draw(st.sampled_from([path for path in places(document) if path]))
        for key in way:
            document = document[key]
        document[last] = data.draw(JSON | st.sampled_from([10**9, 10**400, -1, 0, 64, "backbone", "resnet18"]))

    loads_or_is_refused(with_document(whole, change), file)
