"""`deeppose data`: put a data set in place, look whether it is whole, see which there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeppose_cli.cli.data_boxes import boxes
from deeppose_cli.cli.data_list import list_sets
from deeppose_cli.cli.data_show import show
from deeppose_cli.cli.options import DataRootOption, JsonOption
from deeppose_cli.config.defaults import DATA_ROOT

if TYPE_CHECKING:
    from rich.table import Table

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


@app.command()
def prepare(
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

    Everything is checked before anything is replaced. A download that broke off goes on where it stopped.
    """
    from rich.console import Console

    from deeppose_cli.core.progress import progress_bar
    from deeppose_cli.data.datasets import registry
    from deeppose_cli.data.prepare.fetch import FOLDER

    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        with progress_bar() as progress:
            registry.prepare(name, sources or [], data_root, progress, lambda line: errors.print(line, markup=False))
    except KeyboardInterrupt:
        if any((data_root / FOLDER).glob("*.part")):
            errors.print(f"what has come is kept in {data_root / FOLDER}; the same command goes on from there")
        raise
    known = registry.description(name)
    splits = known.read(data_root)
    where = " and ".join(map(str, known.folders(data_root)))
    counts = ", ".join(f"{split} {len(annotations):,}" for split, annotations in splits.items())
    Console(soft_wrap=True, highlight=False).print(f"{name} is in {where}: {counts}", markup=False)


@app.command()
def check(name: NameArgument, json: JsonOption = False, data_root: DataRootOption = DATA_ROOT) -> None:
    """Decode every image and count the labels. Exit code 1 where something is wrong."""
    from rich.console import Console

    from deeppose_cli.core.progress import progress_bar
    from deeppose_cli.data.datasets import check, registry

    with progress_bar() as progress:
        report = check.check(registry.description(name, "NAME"), data_root, progress)
    if json:
        from json import dumps

        print(dumps(report, indent=2, allow_nan=False))
    else:
        console = Console(highlight=False)
        console.print(_table(report))
        for kind in ("notes", "problems"):
            _print_some(console, kind, report[kind])
        if not report["problems"]:
            console.print(f"{name} is whole: no problems", markup=False)
    if report["problems"]:
        raise typer.Exit(1)


def _table(report: dict[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    everything: dict[str, dict[str, Any]] = report["splits"]
    splits = {split: values for split, values in everything.items() if values["images"]} or everything
    title = f"{report['name']}: people, labelled joints, and labels outside the image"
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


def _print_some(console: Any, kind: str, lines: list[str]) -> None:
    if not lines:
        return
    console.print(f"{kind}: {len(lines)}", style="bold")
    for line in lines[:SHOWN]:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if len(lines) > SHOWN:
        console.print(f"  … and {len(lines) - SHOWN} more; --json has them all")
