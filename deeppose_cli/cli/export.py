"""`deeppose export`: a trained cascade as one file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deeppose_cli.cli.options import DataRootOption, RunOption, RunsRootOption, WeightsOption
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT

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

    By default the newest run's. An ONNX file is compared with torch before it is kept: on validation images where its
    data set is prepared.
    """
    from rich.console import Console

    from deeppose_cli.exporting import exporter

    exported = exporter.export(
        run=run,
        weights=weights,
        out=out,
        format=format_.value,
        stages=stage,
        commit=commit,
        overwrite=overwrite,
        data_root=data_root,
        runs_root=runs_root,
    )
    count = len(exported.metadata.records)
    lines = [f"{exported.path}: {exported.path.stat().st_size / 1e6:.2f} MB, {count} stage(s)"]
    lines += _describe(exported.metadata)
    if exported.parity:
        lines.append(exported.parity)
    Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)


def _describe(metadata: ModelMetadata) -> list[str]:
    spec = metadata.spec
    square = ", widened to a square" if spec.square_initial_box else ""
    lines = [
        f"skeleton {spec.skeleton.name}, {len(spec.skeleton)} joints: {', '.join(spec.skeleton.joints)}",
        f"initial box: {metadata.initial_box}{square}",
    ]
    for number, (stage, record) in enumerate(zip(spec.stages, metadata.records, strict=True), start=1):
        s = stage.settings
        network = f"{s.network} {s.backbone}".strip()
        more = f", σ {stage.sigma:g}, {'per-joint' if stage.per_joint else 'shared'}" if number > 1 else ""
        score = "none recorded" if record.validation_pdj is None else f"{record.validation_pdj:.3f}"
        images = "" if record.num_train_images is None else f" ({record.num_train_images:,} images)"
        commit = "" if record.commit is None else f", commit {record.commit}"
        lines += [
            f"stage {number}: {network}, input {s.input_size} px{more}; trained on {record.data}{images}, "
            f"{record.epochs or 'unknown'} epochs; PDJ@0.2 on validation images {score}",
            f"stage {number} by: {record.command or 'unknown command'} "
            f"(deeppose {record.deeppose_version or 'unknown'}{commit})",
        ]
    return lines
