"""The weights in the box, and which model a command means."""

from __future__ import annotations

from pathlib import Path

import pytest

from deeppose_cli.checkpoints import pretrained
from deeppose_cli.checkpoints.model_source import RunModel, WeightsModel, resolve_model
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import SKELETONS, skeleton_by_name
from tests.helpers.weights_files import description, write


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty box."""
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "box")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "box"


def make_run(name: str = "mine") -> None:
    checkpoints = Path("lightning_logs", name, "stage1", "checkpoints")
    checkpoints.mkdir(parents=True)
    (checkpoints / "best.ckpt").touch()
    (checkpoints.parent / "config.yaml").write_text(
        "{data: flic, preset: tiny, settings: {}, skeleton: flic10, box: face}"
    )


RUNS = Path("lightning_logs")


def test_legs_decide_which_weights_fit() -> None:
    for name in SKELETONS:
        legs = "left_ankle" in skeleton_by_name(name).joints
        assert pretrained.fitting(name) == ("full-body" if legs else "upper-body")
    assert pretrained.fitting(None) == "full-body"


def test_an_empty_box_says_what_to_type(box: Path) -> None:
    with pytest.raises(DeepPoseError, match="type: deeppose train --stage 1; or give weights with --weights FILE"):
        resolve_model(RUNS, None, None)
    with pytest.raises(UsageError, match="--weights full-body: not in this installation; valid: a file"):
        resolve_model(RUNS, None, "full-body")
    with pytest.raises(UsageError, match=r"--weights x\.safetensors: no such file"):
        resolve_model(RUNS, None, "x.safetensors")


def test_the_box_stands_in_where_there_is_no_run(box: Path) -> None:
    write(box / "upper-body.safetensors", description(skeleton_by_name("flic10")))
    found = resolve_model(RUNS, None, None, "buffy10")
    assert isinstance(found, WeightsModel)
    assert (found.name, found.data_name, found.initial_box, found.num_stages) == ("upper-body", "mini", "image", 2)
    with pytest.raises(DeepPoseError, match="no full-body weights"):
        resolve_model(RUNS, None, None, "lsp14")
    with pytest.raises(UsageError, match="--weights full-body: not in this installation; valid: upper-body, a file"):
        resolve_model(RUNS, None, "full-body")
    with pytest.raises(DeepPoseError, match="--run mine"):
        resolve_model(RUNS, "mine", None)
    make_run()
    run = resolve_model(RUNS, None, None, "buffy10")
    assert isinstance(run, RunModel)
    assert (run.name, run.data_name, run.initial_box, run.num_stages) == ("mine", "flic", "face", 1)
    assert resolve_model(RUNS, None, "upper-body").kind == "weights"


def test_a_file_has_its_own_name(box: Path, tmp_path: Path) -> None:
    write(tmp_path / "ours.safetensors")
    found = resolve_model(RUNS, None, "ours.safetensors")
    assert (found.name, found.folder) == ("ours", "weights-ours")
    assert found.load(1).num_stages == 1


def test_a_run_and_weights_exclude_each_other(box: Path) -> None:
    with pytest.raises(UsageError, match="--run mine and --weights full-body exclude each other"):
        resolve_model(RUNS, "mine", "full-body")
