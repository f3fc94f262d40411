"""`deeppose data`: put a data set in place, check it, list the sets there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deeppose_cli.cli.data_boxes import boxes
from deeppose_cli.cli.data_list import list_sets
from deeppose_cli.cli.data_show import show
from deeppose_cli.cli.options import DataRootOption, JsonOption
from deeppose_cli.config.defaults import DATA_ROOT

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from deeppose_cli.data.datasets.check import DatasetReport

app = typer.Typer(help="Put data sets in place and check them.", rich_markup_mode=None)

app.command("list")(list_sets)
app.command("show")(show)
app.command("boxes")(boxes)

SHOWN = 10
"""Problems and notes printed for a person; --json has them all."""

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Data set; `deeppose data list` shows them.")]


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("prepare")
def prepare_set(
    name: NameArgument,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="Archive (zip, tar, tar.gz) or extracted folder. Once for each part of the set; all in one command. "
            "Without it the set is downloaded, where there is an address.",
        ),
    ] = None,
    data_root: DataRootOption = DATA_ROOT,
) -> None:
    """Put a data set in place: draw the demo set, unpack archives, or download them where there is an address.

    Everything is checked before anything is replaced.
    """
    from rich.console import Console

    from deeppose_cli.core.progress import progress_bar
    from deeppose_cli.data.datasets.registry import get_dataset, prepare

    with progress_bar() as progress:
        prepare(name, sources or [], data_root=data_root, progress=progress)
    spec = get_dataset(name)
    folders = " and ".join(map(str, spec.folders(data_root)))
    counts = ", ".join(f"{split} {len(rows):,}" for split, rows in spec.read(data_root).items())
    Console(soft_wrap=True, highlight=False).print(f"{name} is in {folders}: {counts}", markup=False)


@app.command("check")
def check_set(name: NameArgument, json: JsonOption = False, data_root: DataRootOption = DATA_ROOT) -> None:
    """Decode every image, count the labels, and those outside of the image and of the initial box.

    Exit code 1 where something is wrong.
    """
    from rich.console import Console

    from deeppose_cli.core.progress import progress_bar
    from deeppose_cli.data.datasets.check import check_dataset

    with progress_bar() as progress:
        report = check_dataset(name, data_root=data_root, progress=progress)
    if json:
        from json import dumps

        print(dumps(report, indent=2, allow_nan=False))
    else:
        console = Console(highlight=False)
        console.print(_table(report))
        _print_lines(console, "outside of the initial box", _outside_box(report))
        _print_lines(console, "notes", report["notes"])
        _print_lines(console, "problems", report["problems"])
        if not report["problems"]:
            console.print(f"{name} is whole: no problems", markup=False)
    if report["problems"]:
        raise typer.Exit(1)


def _table(report: DatasetReport) -> Table:
    from rich import box
    from rich.table import Table

    splits = {split: values for split, values in report["splits"].items() if values["images"]} or report["splits"]
    title = f"{report['name']}: people, labelled joints, and labels outside of the image"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("joint", no_wrap=True)
    for split, values in splits.items():
        table.add_column(f"{split}\n{values['images']:,}", justify="right", no_wrap=True)
        table.add_column("out-\nside", justify="right", no_wrap=True)
    for joint in next(iter(splits.values()))["joints"]:
        cells = []
        for values in splits.values():
            share = f"{values['joints'][joint]:.1%}" if values["images"] else "–"
            cells += [share, f"{values['out_of_image'][joint] or '–'}"]
        table.add_row(joint, *cells)
    return table


def _outside_box(report: DatasetReport) -> list[str]:
    found = {split: values["out_of_initial_box"] for split, values in report["splits"].items() if values["images"]}
    return [f"{split}: {x['labels']:,} labels ({x['share']:.1%}), box: {x['box']}" for split, x in found.items()]


def _print_lines(console: Console, kind: str, lines: list[str]) -> None:
    if not lines:
        return
    console.print(f"{kind}: {len(lines)}" if kind in ("notes", "problems") else kind, style="bold")
    for line in lines[:SHOWN]:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if len(lines) > SHOWN:
        console.print(f"  … and {len(lines) - SHOWN} more; --json has them all")
