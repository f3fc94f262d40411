"""`deeppose export`, from a run folder to a file, and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from deeppose_cli.checkpoints.lightning import load_cascade
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.checkpoints.weights_file import load_weights, read_header
from deeppose_cli.cli.app import main
from deeppose_cli.config.schema import to_primitives
from deeppose_cli.core.skeleton import LSP14
from tests.helpers.run_configs import write_config
from tests.helpers.weights_files import random_values, tiny_metadata


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run `mine` of two stages."""
    monkeypatch.chdir(tmp_path)
    metadata = tiny_metadata()
    for number, (spec, values) in enumerate(zip(metadata.spec.stages, random_values(metadata), strict=True), start=1):
        folder = Path("lightning_logs", "mine", f"stage{number}")
        (folder / "checkpoints").mkdir(parents=True)
        images = 26 if number == 1 else None
        more = {"command": "deeppose train", "deeppose_version": "0.1.0", "num_train_images": images}
        write_config(folder, data="mini", box="torso", **more)
        scores = ["0.25", "0.75", "nan"][: 4 - number]
        rows = "".join(f"{epoch},{score}\n" for epoch, score in enumerate(scores, 1))
        (folder / "metrics.csv").write_text(f"epoch,val_pdj\n{rows}")
        kept = {"skeleton": LSP14.to_mapping(), "settings": to_primitives(spec.settings), "square_initial_box": True}
        if spec.displacement is not None:
            mean, std = ([list(pair) for pair in part] for part in (spec.displacement.mean, spec.displacement.std))
            kept |= {"sigma": 1.5, "displacement_mean": mean, "displacement_std": std}
        state = {f"regressor.{name}": value for name, value in values.items()}
        torch.save({"hyper_parameters": kept, "state_dict": state}, folder / "checkpoints" / "best.ckpt")


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_a_run_becomes_one_file_that_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--commit", "c0ffee"]) == 0
    file = Path("mine.safetensors")
    header = read_header(file)
    assert header.metadata.spec == tiny_metadata().spec
    assert header.metadata.initial_box == "torso"
    first, second = header.metadata.records
    assert (first.data, first.preset, first.command, first.deeppose_version) == (
        "mini",
        "tiny",
        "deeppose train",
        "0.1.0",
    )
    assert (first.epochs, first.num_train_images, first.validation_pdj, first.commit) == (3, 26, 0.75, "c0ffee")
    assert (second.epochs, second.num_train_images, second.validation_pdj) == (2, None, 0.75)
    said = capsys.readouterr().out
    for part in (
        f"mine.safetensors: {file.stat().st_size / 1e6:.2f} MB, 2 stage(s)",
        "skeleton lsp14, 14 joints: right_ankle",
        "initial box: torso, widened to a square",
        "stage 1: integral, input 32 px; trained on mini (26 images), 3 epochs; PDJ@0.2 on validation images 0.750",
        "stage 2: integral, input 32 px, σ 1.5, shared; trained on mini, 2 epochs",
        "(deeppose 0.1.0, commit c0ffee)",
    ):
        assert part in said
    cascades = (load_weights(file, device="cpu"), load_cascade(RunFolder(Path("lightning_logs/mine")), device="cpu"))
    for one, other in zip(*(cascade.stages for cascade in cascades), strict=True):
        ours, theirs = one.model.state_dict(), other.model.state_dict()
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], rtol=2**-11, atol=1e-6, msg=name)


def test_the_first_stages_alone_into_a_folder_that_is_made() -> None:
    assert main(["export", "--run", "mine", "--stage", "1", "--out", "made/one.safetensors"]) == 0
    assert read_header(Path("made/one.safetensors")).num_stages == 1


def test_a_file_is_not_overwritten_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("mine.safetensors")
    file.write_text("precious")
    assert main(["export"]) == 2
    assert "mine.safetensors: is there already; --overwrite replaces it" in one_line(capsys)
    assert file.read_text() == "precious"
    assert main(["export", "--overwrite"]) == 0
    assert read_header(file).num_stages == 2


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--format", "pickle"], 2, "'pickle'"),
        (["--stage", "3"], 2, "--stage 3: run mine has 2 trained stage(s); valid: 1 to 2"),
        (["--stage", "0"], 2, "--stage 0: "),
        (["--out", "weights.ckpt"], 2, "--out weights.ckpt: a name that ends in .safetensors is valid"),
        (["--out", "/proc/none/x.safetensors"], 1, "/proc/none/x.safetensors: cannot be written"),
        (["--run", "other"], 1, "--run other: no trained stage"),
        (["--commit", ""], 2, "--commit"),
    ],
)
def test_mistakes_are_one_line(flags: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", *flags]) == code
    assert words in one_line(capsys)
    assert not list(Path().glob("*.safetensors*"))


def test_a_damaged_checkpoint_leaves_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("lightning_logs/mine/stage2/checkpoints/best.ckpt").write_bytes(b"no")
    assert main(["export"]) == 1
    assert "stage2/checkpoints/best.ckpt: not a readable checkpoint" in one_line(capsys)
    assert not list(Path().glob("*safetensors*"))


# --- ONNX ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_becomes_an_onnx_file_that_predicts_alike(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx")
    assert main(["export", "--format", "onnx", "--stage", "1"]) == 0
    said = capsys.readouterr().out
    assert "mine.onnx: 0." in said
    assert "on 20 synthetic people, as mini is not in data" in said
    PilImage.fromarray(np.full((60, 40, 3), 90, np.uint8)).save("a.png")
    poses = []
    for flags in (["--weights", "mine.onnx"], ["--run", "mine", "--stage", "1"]):
        assert main(["predict", "a.png", "--json", *flags]) == 0
        poses.append(json.loads(capsys.readouterr().out)[0]["keypoints"][:2])
    np.testing.assert_allclose(poses[0], poses[1], atol=1.0)
    assert main(["export", "--weights", "mine.onnx"]) == 2
    assert "is an ONNX file already" in one_line(capsys)


def test_weights_become_a_file_of_fewer_stages(tmp_path: Path) -> None:
    assert main(["export"]) == 0
    assert main(["export", "--weights", "mine.safetensors", "--stage", "1", "--out", "one.safetensors"]) == 0
    one, both = read_header(Path("one.safetensors")), read_header(Path("mine.safetensors"))
    assert one.num_stages == 1
    assert one.metadata.records == both.metadata.records[:1]
    assert one.of_stage(1) == both.of_stage(1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["predict", "a.png", "--engine", "onnx", "--run", "mine"], "deeppose export --format onnx --run mine"),
        (["predict", "a.png", "--engine", "onnx", "--weights", "x.safetensors"], "--format onnx --weights x.safe"),
        (["predict", "a.png", "--engine", "torch", "--weights", "x.onnx"], "x.onnx is for --engine onnx"),
        (["export", "--weights", "x.safetensors", "--run", "mine"], "exclude each other"),
        (["export", "--format", "onnx", "--out", "x.safetensors"], "ends in .onnx"),
    ],
)
def test_the_wrong_file_for_an_engine(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.png").write_bytes(b"x")
    Path("x.safetensors").write_bytes(b"x")
    Path("x.onnx").write_bytes(b"x")
    assert main(arguments) == 2
    assert said in one_line(capsys)
