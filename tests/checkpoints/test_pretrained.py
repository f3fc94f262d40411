"""The pretrained weights, and which model a command uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deeppose_cli.checkpoints import pretrained
from deeppose_cli.checkpoints.model_source import (
    DefaultModel,
    check_stage,
    model_line,
    resolve_model,
)
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import FLIC10
from tests.helpers.run_configs import write_config
from tests.helpers.weights_files import tiny_metadata, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the pretrained weights, which has none."""
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "pretrained")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "pretrained"


def make_run(name: str = "mine", data: str = "flic", epochs: int = 2, stages: int = 1, age: int = 0) -> None:
    """A run of which every stage has done so many of 2 epochs. `age`: of its files, seconds."""
    for stage in range(1, stages + 1):
        checkpoints = Path("lightning_logs", name, f"stage{stage}", "checkpoints")
        checkpoints.mkdir(parents=True)
        (checkpoints / "best.ckpt").touch()
        config = write_config(checkpoints.parent, data=data, max_epochs=2, skeleton=FLIC10.to_mapping(), box="face")
        rows = "".join(f"{epoch}\n" for epoch in range(1, epochs + 1))
        (checkpoints.parent / "metrics.csv").write_text("epoch\n" + rows)
        for file in (checkpoints / "best.ckpt", config):
            os.utime(file, (10**9 - age, 10**9 - age))


RUNS = Path("lightning_logs")


def chosen(default: DefaultModel) -> str:
    return resolve_model(RUNS, default=default).name


def test_an_installation_without_weights_names_the_command_to_type(folder: Path) -> None:
    with pytest.raises(DeepPoseError, match="--weights FILE, or type: deeppose train --stage 1"):
        resolve_model(RUNS)
    with pytest.raises(UsageError, match="--weights people: not in this installation; valid: a file"):
        resolve_model(RUNS, None, "people")
    with pytest.raises(UsageError, match=r"--weights x\.safetensors: no such file"):
        resolve_model(RUNS, None, "x.safetensors")


def test_the_pretrained_weights_are_used_where_there_is_no_run(folder: Path) -> None:
    write(folder / "people-fast.safetensors", tiny_metadata(FLIC10))
    with pytest.raises(DeepPoseError, match="no people weights"):
        resolve_model(RUNS)
    with pytest.raises(UsageError, match="--weights people: not in this installation; valid: people-fast, a file"):
        resolve_model(RUNS, None, "people")
    write(folder / "people.safetensors", tiny_metadata(FLIC10))
    found = resolve_model(RUNS)
    assert found.kind == "weights"
    assert (found.name, found.data_name, found.initial_box, found.num_stages) == ("people", "mini", "image", 2)
    with pytest.raises(DeepPoseError, match="--run mine"):
        resolve_model(RUNS, "mine", None)
    make_run()
    run = resolve_model(RUNS)
    assert run.kind == "run"
    assert (run.name, run.data_name, run.initial_box, run.num_stages) == ("mine", "flic", "face", 1)
    assert resolve_model(RUNS, None, "people-fast").kind == "weights"


def test_predict_prefers_onnx_runtime_where_it_is_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "people.safetensors")
    assert resolve_model(RUNS, prefer_onnx=True).files[0].suffix == ".safetensors"  # there is no other file
    (folder / "people.onnx").write_bytes(b"no network")
    with pytest.raises(DeepPoseError, match=r"people.onnx: not an ONNX file"):
        resolve_model(RUNS, prefer_onnx=True)
    assert resolve_model(RUNS).files[0].suffix == ".safetensors"
    assert resolve_model(RUNS, engine="torch", prefer_onnx=True).files[0].suffix == ".safetensors"
    monkeypatch.setattr("deeppose_cli.checkpoints.model_source.find_spec", lambda name: None)
    assert resolve_model(RUNS, prefer_onnx=True).files[0].suffix == ".safetensors"


def test_only_a_finished_run_on_real_images_replaces_the_pretrained_weights_in_predict(folder: Path) -> None:
    write(folder / "people.safetensors")
    make_run("real", stages=2, age=100)
    assert chosen(DefaultModel.FINISHED_RUN) == "real"
    make_run("synthetic", "demo", age=50)
    make_run("half-way", epochs=1, age=10)
    make_run("damaged")
    Path("lightning_logs/damaged/stage1/config.yaml").write_text("settings: 3")
    assert chosen(DefaultModel.FINISHED_RUN) == "real"
    assert chosen(DefaultModel.PRETRAINED) == "people"
    Path("lightning_logs/real/stage2/metrics.csv").unlink()
    assert chosen(DefaultModel.FINISHED_RUN) == "people"
    assert resolve_model(RUNS, "synthetic", default=DefaultModel.FINISHED_RUN).name == "synthetic"


def test_the_newest_run_is_used_in_evaluation_finished_or_not(folder: Path) -> None:
    make_run("real", age=100)
    make_run("half-way", "demo", epochs=1)
    assert chosen(DefaultModel.NEWEST_RUN) == "half-way"


def test_the_first_line_names_the_model_and_the_flag_for_another(folder: Path) -> None:
    make_run("mine", stages=2)
    write(folder / "people.safetensors", tiny_metadata(stages=1))
    write(Path("ours.safetensors"))
    lines = {
        (None, "people"): "model: pretrained weights people (1 stage); a run: --run NAME",
        (None, "ours.safetensors"): "model: weights ours.safetensors (2 stages); a run: --run NAME",
        ("mine", None): "model: run mine in lightning_logs (2 stages); pretrained weights: --weights NAME",
    }
    for names, line in lines.items():
        assert model_line(resolve_model(RUNS, *names)) == line
    assert "(1 of 2 stages)" in model_line(resolve_model(RUNS, "mine"), 1)


def test_a_stage_that_the_model_lacks_is_a_usage_error(folder: Path) -> None:
    make_run("mine", stages=2)
    model = resolve_model(RUNS, "mine")
    assert [check_stage(model, stage) for stage in (None, 1, 2)] == [2, 1, 2]
    for stage in (0, 3):
        with pytest.raises(UsageError, match=f"--stage {stage}: run mine has 2 trained .* valid: 1 to 2"):
            check_stage(model, stage)


def test_a_file_has_its_own_name(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "ours.safetensors")
    found = resolve_model(RUNS, None, "ours.safetensors")
    assert (found.name, found.folder) == ("ours", "weights-ours")
    assert found.load(1).num_stages == 1


def test_a_run_and_weights_exclude_each_other(folder: Path) -> None:
    with pytest.raises(UsageError, match="--run mine and --weights people exclude each other"):
        resolve_model(RUNS, "mine", "people")
