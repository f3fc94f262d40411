"""`deeppose data`: list the data sets, put them in place, check and show them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeppose_cli.cli import data_add
from deeppose_cli.cli.options import SEED, DataRootOption, JsonOption, PresetOption, SeedOption
from deeppose_cli.config.defaults import DATA_ROOT
from deeppose_cli.core.errors import DeepPoseError, UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from deeppose_cli.data.datasets.check import DatasetReport
    from deeppose_cli.data.datasets.spec import DatasetSpec

SHOWN = 10
"""Problems and notes printed for a person; --json has them all."""
NPZ_FORM = (
    ("array", "keypoints: numbers (N, K, 2); N examples of the split (test, unless --split says otherwise), K joints"),
    ("n", "the split's example n, from 0, in the order above; `deeppose data list NAME --json --names` lists them all"),
    ("k", "joint k, from 0, in the order above; left and right are the person's, not the viewer's"),
    (
        "x, y",
        "px of the image as it is stored, 0-based: (0, 0) is the centre of the top left pixel, x to the right, y "
        "down. From MATLAB's coordinates, which start at 1, take 1 off",
    ),
    ("none", "NaN where nothing is predicted: it counts as wrong"),
)
"""What an .npz file for `eval --predictions` holds; see evaluation/external_predictions.py."""
COCO_FORM = (
    ("list", 'a bare list of results: [{"image_id": 0, "keypoints": [x, y, v, x, y, v, ...], "score": 1}, ...]'),
    ("image_id", "n, the 0-based place in the split, or the example's name as a string; both as above"),
    ("keypoints", "3 K numbers; x, y in px and joints in the order, both as above"),
    ("v", "x = y = v = 0 means that nothing is predicted; otherwise v is ignored"),
    ("score", "of several results for one example the highest score wins; no score counts as 0"),
)
"""What a .json file holds."""

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Data set; `deeppose data list` shows them.")]

app = typer.Typer(help="Put data sets in place and check them.", rich_markup_mode=None)

app.command("add")(data_add.add)
app.command("remove")(data_add.remove)


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("list")
def list_sets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this set, in full.", show_default=False)
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="With --json: every example's name, in order.")] = False,
    as_json: JsonOption = False,
    data_root: DataRootOption = DATA_ROOT,
) -> None:
    """Show the data sets: which are prepared, how to get the others, and the order of their joints and images."""
    from deeppose_cli.data.datasets.registry import get_dataset, list_datasets

    if names and not as_json:
        raise UsageError("--names: goes with --json; type: deeppose data list NAME --json --names")
    chosen = list_datasets(data_root) if name is None else [name]
    sets = [_facts(get_dataset(each, data_root, "NAME"), data_root, names) for each in chosen]
    if as_json:
        print(json.dumps(sets if name is None else sets[0], indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for facts in sets:
        _print_set(console, facts, full=name is not None)
    command = f"deeppose eval --data {name or 'NAME'} --predictions FILE.npz"
    console.print(f"FILE.npz for: {command}", style="bold", markup=False)
    _print_rows(console, NPZ_FORM)
    console.print("\nFILE.json for the same, in the form of COCO keypoint results", style="bold", markup=False)
    _print_rows(console, COCO_FORM)


@app.command("show")
def show(
    name: NameArgument,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="train, validation or test. Default: the first with images."),
    ] = None,
    stage: Annotated[
        int | None,
        typer.Option("--stage", metavar="N", min=1, help="Only inputs of stage 1 or of stage 2."),
    ] = None,
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, max=40, help="Examples, drawn by --seed.")] = 6,
    preset: PresetOption = None,
    box: Annotated[
        str | None, typer.Option("--box", metavar="BOX", help="Initial box, as in `eval`. Default: the data set's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.png", help="Default: in sheets/ below the data root.")
    ] = None,
    seed: SeedOption = SEED,
    data_root: DataRootOption = DATA_ROOT,
) -> None:
    """Draw examples with the networks' inputs: initial box, inputs, augmented copies, refinement boxes.

    Left and right have their own colors, so that swapped sides are visible. Each change of colors that the preset has
    is also drawn alone. The refinement boxes are around the labels.
    """
    from deeppose_cli.data.preview.preview import preview

    print(
        preview(
            name,
            split=split,
            stage=stage,
            count=count,
            preset=preset,
            box=box,
            out=out,
            seed=seed,
            data_root=data_root,
        )
    )


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
    spec = get_dataset(name, data_root)
    folders = " and ".join(map(str, spec.folders(data_root)))
    counts = ", ".join(f"{split} {len(rows):,}" for split, rows in spec.read(data_root).items())
    Console(soft_wrap=True, highlight=False).print(f"{name} is in {folders}: {counts}", markup=False)


@app.command("check")
def check_set(name: NameArgument, as_json: JsonOption = False, data_root: DataRootOption = DATA_ROOT) -> None:
    """Decode every image, count the labels, and those outside of the image and of the initial box.

    Exit code 1 where something is wrong.
    """
    from rich.console import Console

    from deeppose_cli.core.progress import progress_bar
    from deeppose_cli.data.datasets.check import check_dataset

    with progress_bar() as progress:
        report = check_dataset(name, data_root=data_root, progress=progress)
    if as_json:
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        console = Console(highlight=False)
        console.print(_joint_table(report))
        outside = {s: values["out_of_initial_box"] for s, values in report["splits"].items() if values["images"]}
        lines = [f"{s}: {x['labels']:,} labels ({x['share']:.1%}), box: {x['box']}" for s, x in outside.items()]
        _print_lines(console, "outside of the initial box", lines)
        _print_lines(console, f"notes: {len(report['notes'])}", report["notes"])
        _print_lines(console, f"problems: {len(report['problems'])}", report["problems"])
        if not report["problems"]:
            console.print(f"{name} is whole: no problems", markup=False)
    if report["problems"]:
        raise typer.Exit(1)


def _joint_table(report: DatasetReport) -> Table:
    from rich import box
    from rich.table import Table

    splits = {split: values for split, values in report["splits"].items() if values["images"]}
    title = f"{report['name']}: people, labelled joints, and labels outside of the image"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("joint", no_wrap=True)
    for split, values in splits.items():
        table.add_column(f"{split}\n{values['images']:,}", justify="right", no_wrap=True)
        table.add_column("out-\nside", justify="right", no_wrap=True)
    for joint in next(iter(splits.values()))["joints"]:
        cells = []
        for values in splits.values():
            cells += [f"{values['joints'][joint]:.1%}", f"{values['out_of_image'][joint] or '–'}"]
        table.add_row(joint, *cells)
    return table


def _print_lines(console: Console, title: str, lines: list[str]) -> None:
    if not lines:
        return
    console.print(title, style="bold")
    for line in lines[:SHOWN]:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if len(lines) > SHOWN:
        console.print(f"  … and {len(lines) - SHOWN} more; --json has them all")


def _facts(spec: DatasetSpec, data_root: Path, names: bool) -> dict[str, Any]:
    """All facts of a set, in JSON's own types. Nothing is drawn or downloaded."""
    splits, problem = {}, None
    if spec.is_prepared(data_root):
        try:
            splits = spec.read(data_root)
        except DeepPoseError as error:
            problem = str(error)
    own = ("image_order", "initial_box", "sigma", "preset", "evaluation_only", "how_to_get")
    facts = {
        "name": spec.name,
        "title": spec.title,
        "is_prepared": bool(splits),
        "folder": ", ".join(map(str, spec.folders(data_root))),
        "problem": problem,
        "splits": {split: len(annotations) for split, annotations in splits.items()},
        "joints": list(spec.skeleton.joints),
        # Of every set as it is read here, whatever its own files hold: see core/annotations.py.
        "coordinate_base": 0,
        "sides": "person",
        "label_conventions": spec.conventions,
        **{fact: getattr(spec, fact) for fact in own},
        "downloads": [archive.url for archive in spec.archives],
    }
    if names:
        facts["images"] = {split: list(annotations.names) for split, annotations in splits.items()}
    return facts


def _print_set(console: Console, facts: dict[str, Any], full: bool) -> None:
    from rich.text import Text

    state = Text("damaged", style="red") if facts["problem"] else Text("not here")
    if facts["is_prepared"]:
        counts = ", ".join(f"{split} {count:,}" for split, count in facts["splits"].items() if count)
        state = Text(f"here: {counts}", style="green")
    console.print(Text.assemble((facts["name"], "bold"), "  ", state), soft_wrap=True)
    use = "evaluation only" if facts["evaluation_only"] else f"preset {facts['preset']}"
    download = f"deeppose data prepare {facts['name']}, which downloads it; or by hand: " if facts["downloads"] else ""
    joints = facts["joints"]
    numbered = "".join(f"\n{number:>2}  {joint}" for number, joint in enumerate(joints))
    rows = (
        ("what", facts["title"]),
        ("problem", facts["problem"] or ""),
        ("get", "" if facts["is_prepared"] and not full else download + facts["how_to_get"]),
        ("joints", f"{len(joints)}{numbered}" if full else f"{len(joints)}: {', '.join(joints)}"),
        ("images", facts["image_order"]),
        ("labels", facts["label_conventions"]),
        ("defaults", f"initial box: {facts['initial_box']}; σ {facts['sigma']:g}; {use}"),
    )
    _print_rows(console, [(label, value) for label, value in rows if value])
    console.print()


def _print_rows(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(label, Text(value))
    console.print(table)
