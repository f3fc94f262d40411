"""`deeppose export`: a trained cascade as one file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deeppose_cli.cli.options import DataRootOption, RunOption, RunsRootOption, WeightsOption
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT
from deeppose_cli.core.errors import UsageError

if TYPE_CHECKING:
    from deeppose_cli.checkpoints.metadata import ModelMetadata


class ExportFormat(StrEnum):
    SAFETENSORS = "safetensors"
    ONNX = "onnx"


def export(
    format_: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="safetensors: weights for predict, eval, import and --init-weights. onnx: the networks, for predict "
            "without torch and for other programs.",
        ),
    ] = ExportFormat.SAFETENSORS,
    run: RunOption = None,
    weights: WeightsOption = None,
    stage: Annotated[
        int | None, typer.Option("--stage", metavar="N", help="Stages 1 to N only. Default: all that are trained.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: the run's name, in this folder.")
    ] = None,
    commit: Annotated[
        str | None, typer.Option("--commit", metavar="ID", help="Commit of the code that trained it, for the record.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    runs_root: RunsRootOption = RUNS_ROOT,
    data_root: DataRootOption = DATA_ROOT,
) -> None:
    """Write a cascade, in half precision, to one file that needs no run folder and runs no code.

    The newest run's, or one that --run or --weights names. An ONNX file is compared with torch before it is kept: on
    validation images, where its data set is prepared.
    """
    from deeppose_cli.checkpoints.model_source import (
        check_model_flags,
        resolve_model,
        run_model,
    )
    from deeppose_cli.checkpoints.run_folder import resolve_run

    check_model_flags(run, weights)
    model = run_model(resolve_run(runs_root, run)) if weights is None else resolve_model(runs_root, None, weights)
    trained = model.num_stages
    if stage is not None and not 1 <= stage <= trained:
        raise UsageError(
            f"--stage {stage}: {model.kind} {model.name} has {trained} trained stage(s); valid: 1 to {trained}"
        )
    suffix = f".{format_.value}"
    file = out or Path(f"{model.name}{suffix}")
    if file.suffix != suffix:
        raise UsageError(f"--out {file}: a name that ends in {suffix} is valid")
    if file.exists() and not overwrite:
        raise UsageError(f"--out {file}: is there already; --overwrite replaces it")
    if commit is not None and not (commit.isprintable() and commit):
        raise UsageError("--commit: a commit's id is valid")
    if commit is not None and weights is not None:
        raise UsageError("--commit: weights files know theirs already")

    from rich.console import Console

    from deeppose_cli.exporting.exporter import ExportableCascade

    if model.run is not None:
        found = ExportableCascade.from_run(model.run, stage, commit=commit)
    elif model.onnx is None:
        found = ExportableCascade.from_file(model.files[0], stage)
    else:
        raise UsageError(
            f"--weights {weights}: is an ONNX file already; valid: a run, or a .{ExportFormat.SAFETENSORS} file"
        )
    console = Console(highlight=False, soft_wrap=True)
    if format_ is ExportFormat.ONNX:
        compared, where = found.save_onnx(file, data_root, overwrite=overwrite)
    else:
        found.save(file, overwrite=overwrite)
    console.print(f"{file}: {file.stat().st_size / 1e6:.2f} MB, {len(found.regressors)} stage(s)", markup=False)
    for line in _said(found.metadata):
        console.print(line, markup=False)
    if format_ is ExportFormat.ONNX:
        most = f"{compared.furthest:.4f} px"
        console.print(f"furthest from torch's answers: {most}, on {compared.images} {where}", markup=False)


def _said(metadata: ModelMetadata) -> list[str]:
    spec = metadata.spec
    square = ", widened to a square" if spec.square_initial_box else ""
    lines = [
        f"skeleton {spec.skeleton.name}, {len(spec.skeleton)} joints: {', '.join(spec.skeleton.joints)}",
        f"initial box: {metadata.initial_box}{square}",
    ]
    for number, (stage, record) in enumerate(zip(spec.stages, metadata.records, strict=True), start=1):
        s = stage.settings
        network = f"{s.network} {s.backbone}".strip()
        more = f", σ {stage.sigma:g}, {stage.kind}" if number > 1 else ""
        score = "none recorded" if record.validation_pdj is None else f"{record.validation_pdj:.3f}"
        images = "" if record.num_train_images is None else f" ({record.num_train_images:,} images)"
        lines += [
            f"stage {number}: {network}, input {s.input_size} px{more}; trained on {record.data}{images}, "
            f"{record.epochs or 'unknown'} epochs; PDJ@0.2 on validation images {score}",
            f"stage {number} by: {record.command or 'unknown command'} (deeppose {record.deeppose_version or 'unknown'}"
            f"{'' if record.commit is None else f', commit {record.commit}'})",
        ]
    return lines
