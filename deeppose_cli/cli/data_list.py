"""`deeppose data list`: which data sets there are, which are here, and how their labels and others' predictions lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeppose_cli.cli.options import DataRootOption, JsonOption
from deeppose_cli.config.defaults import DATA_ROOT
from deeppose_cli.core.errors import DeepPoseError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from deeppose_cli.core.annotations import Annotations
    from deeppose_cli.data.datasets.spec import DatasetSpec

PREDICTIONS = (
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
"""What an .npz file for `eval --predictions` holds; see foreign.py."""
COCO_RESULTS = (
    ("list", 'a bare list of results: [{"image_id": 0, "keypoints": [x, y, v, x, y, v, ...], "score": 1}, ...]'),
    ("image_id", "n, the 0-based place in the split, or the example's name as a string; both as above"),
    ("keypoints", "3 K numbers; x, y in px and joints in the order, both as above"),
    ("v", "x = y = v = 0 means that nothing is predicted; otherwise v is ignored"),
    ("score", "of several results for one example the highest score wins; no score counts as 0"),
)
"""What a .json file holds."""


def list_sets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this set, in full.", show_default=False)
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="With --json: every example's name, in order.")] = False,
    as_json: JsonOption = False,
    data_root: DataRootOption = DATA_ROOT,
) -> None:
    """Show the data sets: which are here, how to get the others, and the order of their joints and images."""
    from deeppose_cli.data.datasets.registry import DATASETS, description

    if names and not as_json:
        raise UsageError("--names: goes with --json; type: deeppose data list NAME --json --names")
    chosen = list(DATASETS.values()) if name is None else [description(name, "NAME")]
    facts = [_facts(known, data_root, names) for known in chosen]
    if as_json:
        import json

        print(json.dumps(facts if name is None else facts[0], indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for each in facts:
        _print(console, each, full=name is not None)
    data = name or "NAME"
    console.print(f"FILE.npz for: deeppose eval --data {data} --predictions FILE.npz", style="bold", markup=False)
    _print_rows(console, PREDICTIONS)
    console.print("\nFILE.json for the same, in the form of COCO keypoint results", style="bold", markup=False)
    _print_rows(console, COCO_RESULTS)


def _facts(known: DatasetSpec, data_root: Path, names: bool) -> dict[str, Any]:
    """All that is known of a set, in JSON's own types."""
    from deeppose_cli.data.prepare.urls import ADDRESSES

    splits, problem = _read(known, data_root)
    facts = {
        "name": known.name,
        "title": known.title,
        "here": bool(splits),
        "folder": ", ".join(map(str, known.folders(data_root))),
        "problem": problem,
        "splits": {split: len(annotations) for split, annotations in splits.items()},
        "joints": list(known.skeleton.joints),
        # Of every set as it is read here, whatever its own files say: see samples.Annotations.
        "base": 0,
        "sides": "person",
        "files": known.conventions,
        "image_order": known.image_order,
        "initial_box": known.initial_box,
        "sigma": known.sigma,
        "preset": known.preset,
        "evaluation_only": known.evaluation_only,
        "how_to_get": known.how_to_get,
        "downloads": [archive.url for archive in ADDRESSES.get(known.name, ())],
    }
    if names:
        facts["images"] = {split: list(annotations.names) for split, annotations in splits.items()}
    return facts


def _read(known: DatasetSpec, data_root: Path) -> tuple[dict[str, Annotations], str | None]:
    """The splits where the set is here, and what is wrong with it. Nothing is drawn or downloaded."""
    from deeppose_cli.data.datasets.registry import is_here

    if not is_here(known.name, data_root):
        return {}, None
    try:
        return known.read(data_root), None
    except DeepPoseError as error:
        return {}, str(error)


def _print(console: Console, facts: dict[str, Any], full: bool) -> None:
    from rich.text import Text

    if facts["here"]:
        counts = ", ".join(f"{split} {count:,}" for split, count in facts["splits"].items() if count)
        state = Text(f"here: {counts}", style="green")
    elif facts["problem"]:
        state = Text("damaged", style="red")
    else:
        state = Text("not here")
    console.print(Text.assemble((facts["name"], "bold"), "  ", state), soft_wrap=True)
    use = "evaluation only" if facts["evaluation_only"] else f"preset {facts['preset']}"
    rows = (
        ("what", facts["title"]),
        ("problem", facts["problem"] or ""),
        ("get", "" if facts["here"] and not full else _how_to_get(facts)),
        ("joints", _joints(facts["joints"], full)),
        ("images", facts["image_order"]),
        ("files", facts["files"]),
        ("defaults", f"initial box: {facts['initial_box']}; σ {facts['sigma']:g}; {use}"),
    )
    _print_rows(console, rows)
    console.print()


def _print_rows(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for label, value in rows:
        if value:
            table.add_row(label, Text(value))
    console.print(Padding(table, (0, 0, 0, 2)))


def _how_to_get(facts: dict[str, Any]) -> str:
    if not facts["downloads"]:
        return str(facts["how_to_get"])
    return f"deeppose data prepare {facts['name']}, which downloads it; or by hand: {facts['how_to_get']}"


def _joints(joints: list[str], full: bool) -> str:
    if not full:
        return f"{len(joints)}: {', '.join(joints)}"
    return f"{len(joints)}\n" + "\n".join(f"{number:>2}  {joint}" for number, joint in enumerate(joints))
