"""`export()` in a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from deeppose_cli import export
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.checkpoints.weights_file import read_header
from deeppose_cli.core.errors import UsageError
from deeppose_cli.exporting.importer import import_cascade
from tests.helpers.weights_files import tiny_metadata, write


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A runs root with the run `ours` of two stages."""
    write(tmp_path / "ours.safetensors")
    import_cascade(tmp_path / "ours.safetensors", RunFolder(tmp_path / "runs" / "ours"))
    return tmp_path / "runs"


def test_a_run_and_a_weights_file_are_exported(runs: Path, tmp_path: Path) -> None:
    exported = export(run="ours", out=tmp_path / "run.safetensors", runs_root=runs)
    assert exported.path.read_bytes() == (tmp_path / "ours.safetensors").read_bytes()
    assert exported.metadata == tiny_metadata()
    first = export(weights=str(exported.path), stages=1, out=str(tmp_path / "one.safetensors"))
    assert read_header(first.path).num_stages == len(first.metadata.records) == 1


def test_arguments_that_are_not_valid_are_named(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "ours.safetensors"
    with pytest.raises(UsageError, match=r"--format pickle: valid: safetensors, onnx"):
        export(run="ours", runs_root=runs, format="pickle")
    with pytest.raises(UsageError, match=r"is there already; --overwrite replaces it"):
        export(run="ours", runs_root=runs, out=file)
    with pytest.raises(UsageError, match=r"exclude each other"):
        export(run="ours", weights=str(file), runs_root=runs)
    with pytest.raises(UsageError, match=r"--commit: not valid with --weights"):
        export(weights=str(file), commit="c0ffee", out=tmp_path / "x.safetensors")
