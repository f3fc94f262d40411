"""`deeppose runs`: list the runs, and show the settings of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeppose_cli.cli.groups import DefaultListGroup
from deeppose_cli.cli.options import JsonOption, RunsRootOption
from deeppose_cli.config.defaults import RUNS_ROOT
from deeppose_cli.core.errors import DeepPoseError

if TYPE_CHECKING:
    from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder

app = typer.Typer(cls=DefaultListGroup, help="List the runs; `runs show NAME` prints one's settings.")


@app.command("list")
def list_all(runs_root: RunsRootOption = RUNS_ROOT, as_json: JsonOption = False) -> None:
    """List the runs, newest first; also without `list`."""
    from deeppose_cli.checkpoints.run_folder import list_runs

    rows = [_run_row(run) for run in list_runs(runs_root)]
    if as_json:
        import json

        print(json.dumps(rows, indent=2))
        return
    if rows:
        _print_table(rows)
    else:
        print(f"no run in {runs_root}; type: deeppose train --stage 1")
    _print_pretrained()


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Run; `deeppose runs` lists them.")],
    runs_root: RunsRootOption = RUNS_ROOT,
) -> None:
    """Print the settings of a run, stage by stage, as YAML."""
    from deeppose_cli.checkpoints.run_folder import list_runs, run_folder

    stages = run_folder(runs_root, name).started
    if not stages:
        known = ", ".join(run.name for run in list_runs(runs_root)) or "none"
        raise DeepPoseError(f"{name}: no such run in {runs_root}; runs: {known}")
    for stage in stages:
        print(f"# {stage.config_file}\n{stage.config_file.read_text(encoding='utf-8')}", end="")


def _run_row(run: RunFolder) -> dict[str, Any]:
    from datetime import datetime

    changed = datetime.fromtimestamp(run.changed).astimezone().isoformat(timespec="minutes")
    return {"name": run.name, "changed": changed, "stages": [_stage_row(stage) for stage in run.started]}


def _stage_row(stage: StageFolder) -> dict[str, Any]:
    """A stage as numbers and strings; `problem` if a file of its cannot be read."""
    row: dict[str, Any] = {"stage": stage.number}
    try:
        config = stage.read_config()
        return row | {
            "data": config.data,
            "preset": config.preset,
            "epochs": stage.epochs,
            "max_epochs": config.max_epochs,
            "best_val_pdj": stage.best_pdj(),
            "trained": stage.best.is_file(),
        }
    except (DeepPoseError, OSError, KeyError, TypeError, ValueError) as error:
        return row | {"problem": str(error)}


def _print_pretrained() -> None:
    """A line for each weights file that comes with the package."""
    from deeppose_cli.checkpoints.pretrained import pretrained_files
    from deeppose_cli.checkpoints.weights_file import read_header

    for name, file in pretrained_files().items():
        try:
            header = read_header(file)
            line = f"{header.num_stages} stage(s), trained on {header.metadata.data_name}"
        except DeepPoseError as error:
            line = str(error)
        print(f"pretrained: --weights {name}: {line}")


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("run", "stage", "data", "preset", "epochs", "best val PDJ@0.2, %", "changed", box=None)
    for row in rows:
        for i, stage in enumerate(row["stages"]):
            name, changed = (row["name"], row["changed"][:16].replace("T", " ")) if i == 0 else ("", "")
            if "problem" in stage:
                table.add_row(name, str(stage["stage"]), Text(f"not readable: {stage['problem']}"), "", "", "", changed)
                continue
            best = stage["best_val_pdj"]
            table.add_row(
                Text(name),
                str(stage["stage"]),
                Text(stage["data"]),
                Text(stage["preset"] or ""),
                f"{stage['epochs']} of {stage['max_epochs']}",
                "none yet" if best is None else f"{100 * best:.1f}",
                changed,
            )
    Console(highlight=False, soft_wrap=True).print(table)
