"""`deeppose export`: a trained cascade as one file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deeppose_cli.cli.options import RunOption, RunsRootOption
from deeppose_cli.errors import UsageError
from deeppose_cli.presets import RUNS_ROOT

if TYPE_CHECKING:
    from deeppose_cli.weights_file import WeightsHeader


class ExportFormat(StrEnum):
    SAFETENSORS = "safetensors"


def export(
    format_: Annotated[
        ExportFormat, typer.Option("--format", help="safetensors: weights that predict, eval and --start take.")
    ] = ExportFormat.SAFETENSORS,
    run: RunOption = None,
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
) -> None:
    """Write the newest run's stages, in half precision, to one file that needs no run folder and runs no code."""
    from deeppose_cli.run_folder import resolve_run
    from deeppose_cli.weights_file import SUFFIX

    folder = resolve_run(runs_root, run)
    trained = len(folder.stages)
    if stage is not None and not 1 <= stage <= trained:
        raise UsageError(f"--stage {stage}: run {folder.name} has {trained} trained stage(s); valid: 1 to {trained}")
    file = out or Path(f"{folder.name}{SUFFIX}")
    if file.suffix != SUFFIX:
        raise UsageError(f"--out {file}: a name that ends in {SUFFIX} is valid")
    if file.exists() and not overwrite:
        raise UsageError(f"--out {file}: is there already; --overwrite replaces it")
    if commit is not None and not (commit.isprintable() and commit):
        raise UsageError("--commit: a commit's id is valid")

    from rich.console import Console

    from deeppose_cli.export import save_cascade

    header = save_cascade(folder, file, stage, commit=commit, overwrite=overwrite)
    console = Console(highlight=False, soft_wrap=True)
    for line in _said(header):
        console.print(line, markup=False)


def _said(header: WeightsHeader) -> list[str]:
    about = header.description
    plan = about.plan
    square = ", widened to a square" if plan.square_first_box else ""
    lines = [
        f"{header.path}: {header.size / 1e6:.2f} MB, {header.num_stages} stage(s)",
        f"skeleton {plan.skeleton.name}, {len(plan.skeleton)} joints: {', '.join(plan.skeleton.joints)}",
        f"first box: {about.first_box}{square}",
    ]
    for number, (stage, record) in enumerate(zip(plan.stages, about.records, strict=True), start=1):
        s = stage.settings
        network = f"{s.network} {s.backbone}".strip()
        more = f", σ {stage.sigma:g}, {stage.kind}" if number > 1 else ""
        score = "none recorded" if record.validation_pdj is None else f"{record.validation_pdj:.3f}"
        pictures = "" if record.pictures is None else f" ({record.pictures:,} pictures)"
        lines += [
            f"stage {number}: {network}, input {s.input_size} px{more}; trained on {record.data}{pictures}, "
            f"{record.epochs or 'unknown'} epochs; PDJ@0.2 on validation pictures {score}",
            f"stage {number} by: {record.command or 'unknown command'} (deeppose {record.deeppose or 'unknown'}"
            f"{'' if record.commit is None else f', commit {record.commit}'})",
        ]
    return lines
