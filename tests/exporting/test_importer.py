"""A run made of a weights file is as good as the one that the file was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deeppose_cli import export
from deeppose_cli.checkpoints.lightning import load_cascade
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.checkpoints.weights_file import load_weights
from deeppose_cli.cli.app import main
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.exporting.importer import import_cascade
from tests.helpers.weights_files import tiny_metadata, write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "ours.safetensors"
    write(file)
    return file


def test_export_gives_the_same_file_again(file: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "ours")
    import_cascade(file, run)
    export(run="ours", commit="another", out=tmp_path / "again.safetensors", runs_root=tmp_path / "runs")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_the_run_answers_as_the_file_does(file: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "ours")
    import_cascade(file, run, 1)
    image = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    box = np.array([[0.0, 0.0, 40.0, 50.0]])
    poses = load_cascade(run).predict([image], box).poses
    np.testing.assert_array_equal(poses, load_weights(file, 1).predict([image], box).poses)
    assert run.stage(1).best_pdj() == 0.5
    assert run.stage(1).epochs == 3


def test_what_is_there_stays_and_what_is_not_there_is_said(file: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "ours")
    with pytest.raises(UsageError, match=r"--stage 3: .* has 2 stage\(s\); valid: 1 to 2"):
        import_cascade(file, run, 3)
    assert not run.path.exists()
    import_cascade(file, run)
    with pytest.raises(DeepPoseError, match="holds a run already; --run NAME takes another"):
        import_cascade(file, run)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DeepPoseError, match="damaged"):
        import_cascade(file, RunFolder(tmp_path / "runs" / "other"))
    assert not (tmp_path / "runs" / "other").exists()


def test_from_a_file_to_a_cascade_with_another_stage(
    mini_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "ours.safetensors", tiny_metadata(stages=1))
    assert main(["import", "ours.safetensors"]) == 0
    assert "type: deeppose refine --stage 2 --run ours" in capsys.readouterr().out
    train = ["--run", "ours", "--data-root", str(mini_root), "--workers", "0", "--accelerator", "cpu"]
    assert main(["train", "--stage", "1", *train, "--resume"]) == 1
    assert "holds weights only" in capsys.readouterr().err
    small = ["--input-size", "32", "--head-channels", "4", "--max-epochs", "1", "--batch-size", "182"]
    assert main(["refine", "--stage", "2", *train, *small]) == 0, capsys.readouterr().err
    said = capsys.readouterr().err
    assert "warning" not in said.replace("warning: collapse", "")
    assert len(RunFolder(tmp_path / "lightning_logs" / "ours").stages) == 2
