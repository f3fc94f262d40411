"""`deeppose data boxes`: quality of the initial boxes of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeppose_cli.cli.options import DataRootOption, JsonOption
from deeppose_cli.config.defaults import BOX_SOURCES, DATA_ROOT

if TYPE_CHECKING:
    from rich.table import Table


def boxes(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Data set; `deeppose data list` shows them.")],
    box: Annotated[
        list[str] | None,
        typer.Option("--box", metavar="BOX", help=f"Source; repeatable. Default: all of {', '.join(BOX_SOURCES)}."),
    ] = None,
    json: JsonOption = False,
    data_root: DataRootOption = DATA_ROOT,
) -> None:
    """Measure how often each source of initial boxes finds the person, and how much of the person is inside.

    Where faces or torso boxes are known, the box around them that the training split teaches is printed as well.
    """
    from rich.console import Console

    from deeppose_cli.core.progress import progress_bar
    from deeppose_cli.evaluation.box_quality import measure_boxes

    with progress_bar() as progress:
        document = measure_boxes(name, box or (), data_root=data_root, progress=progress)
    if json:
        from json import dumps

        print(dumps(document, indent=2, allow_nan=False))
        return
    console = Console(highlight=False)
    for split, rows in document["splits"].items():
        console.print(_table(f"{name}, {split}: {rows[0]['people']:,} people", rows))
        console.print()
    for part, values in document["learned"].items():
        numbers = ", ".join(f"{key} {value:.3f}" for key, value in values.items())
        console.print(f"learned on the training split, in heights of the {part}: {numbers}")


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("initial box", vertical="bottom")
    heads = ("found", "everyone:\nall joints in", "found:\nall joints in", "joints\nin", "IoU with\njoints", "size")
    for head in heads:
        table.add_column(head, justify="right", vertical="bottom")
    for row in rows:
        shares = (row[key] for key in ("found", "all_inside", "all_inside_found", "joints_inside"))
        name = f"{row['source']} *" if row["source"] == "joints" else row["source"]
        numbers = ("–" if row[key] is None else f"{row[key]:.2f}" for key in ("overlap", "size"))
        table.add_row(name, *("–" if share is None else f"{share:.1%}" for share in shares), *numbers)
    table.caption = (
        "size: longer side, in those of the joints' box. Not found: the whole image. *: made from the labels"
    )
    table.caption_justify = "left"
    return table
