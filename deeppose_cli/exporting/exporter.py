"""`export()`: a trained cascade as one file that needs no run folder and runs no code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deeppose_cli.checkpoints.model_source import check_model_flags, check_stage, resolve_model, run_model
from deeppose_cli.checkpoints.run_folder import resolve_run
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT
from deeppose_cli.core.errors import UsageError

if TYPE_CHECKING:
    from deeppose_cli.checkpoints.metadata import ModelMetadata

FORMATS = SAFETENSORS, ONNX = ("safetensors", "onnx")


@dataclass(frozen=True)
class ExportedFile:
    """The file that an export has written."""

    path: Path
    metadata: ModelMetadata
    """What the file holds besides the weights."""
    parity: str = ""
    """ONNX only: how far its poses are from torch's."""


def export(
    *,
    run: str | None = None,
    weights: str | None = None,
    out: Path | str | None = None,
    format: str = SAFETENSORS,
    stages: int | None = None,
    commit: str | None = None,
    overwrite: bool = False,
    data_root: Path = DATA_ROOT,
    runs_root: Path = RUNS_ROOT,
) -> ExportedFile:
    """Write a cascade, in half precision, to one file.

    run, weights: the cascade, by the name of a run or as pretrained weights or a weights file; by default the newest
        run.
    out: by default the name of the run or the weights, in the current folder.
    format: `safetensors` or `onnx`. An ONNX file is compared with torch before it is kept: on validation images where
        its data set is prepared in `data_root`, else on synthetic people.
    stages: stages 1 to N only.
    commit: of the source code that trained the run, for the record.
    Raises UsageError for arguments that are not valid together, DeepPoseError for files that cannot be read or written.
    """
    check_model_flags(run, weights)
    if format not in FORMATS:
        raise UsageError(f"--format {format}: valid: {', '.join(FORMATS)}")
    model = run_model(resolve_run(runs_root, run)) if weights is None else resolve_model(runs_root, None, weights)
    check_stage(model, stages)
    file = Path(out or f"{model.name}.{format}")
    if file.suffix != f".{format}":
        raise UsageError(f"--out {file}: a name that ends in .{format} is valid")
    if file.exists() and not overwrite:
        raise UsageError(f"--out {file}: is there already; --overwrite replaces it")
    if commit is not None and not (commit.isprintable() and commit):
        raise UsageError("--commit: a commit's id is valid")
    if commit is not None and weights is not None:
        raise UsageError("--commit: not valid with --weights, whose commit is in the file")
    if model.onnx is not None:
        raise UsageError(f"--weights {weights}: is an ONNX file already; valid: a run, or a .{SAFETENSORS} file")

    from deeppose_cli.exporting.exportable import ExportableCascade

    if model.run is not None:
        cascade = ExportableCascade.from_run(model.run, stages, commit=commit)
    else:
        cascade = ExportableCascade.from_file(model.files[0], stages)
    if format == ONNX:
        return ExportedFile(file, cascade.metadata, cascade.save_onnx(file, data_root, overwrite=overwrite))
    cascade.save(file, overwrite=overwrite)
    return ExportedFile(file, cascade.metadata)
