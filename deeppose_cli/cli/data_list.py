"""`deeppose data list`: which data sets are prepared, and the order of their joints and images."""

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
"""What an .npz file for `eval --predictions` holds; see evaluation/external_predictions.py."""
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
    """Show the data sets: which are prepared, how to get the others, and the order of their joints and images."""
    from deeppose_cli.data.datasets.registry import DATASETS, get_dataset

    if names and not as_json:
        raise UsageError("--names: goes with --json; type: deeppose data list NAME --json --names")
    chosen = list(DATASETS.values()) if name is None else [get_dataset(name, "NAME")]
    sets = [_facts(spec, data_root, names) for spec in chosen]
    if as_json:
        import json

        print(json.dumps(sets if name is None else sets[0], indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for facts in sets:
        _print(console, facts, full=name is not None)
    data = name or "NAME"
    console.print(f"FILE.npz for: deeppose eval --data {data} --predictions FILE.npz", style="bold", markup=False)
    _print_rows(console, PREDICTIONS)
    console.print("\nFILE.json for the same, in the form of COCO keypoint results", style="bold", markup=False)
    _print_rows(console, COCO_RESULTS)


def _facts(spec: DatasetSpec, data_root: Path, names: bool) -> dict[str, Any]:
    """All facts of a set, in JSON's own types. Nothing is drawn or downloaded."""
    from deeppose_cli.data.datasets.registry import is_prepared

    splits, problem = {}, None
    if is_prepared(spec.name, data_root):
        try:
            splits = spec.read(data_root)
        except DeepPoseError as error:
            problem = str(error)
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
        "image_order": spec.image_order,
        "initial_box": spec.initial_box,
        "sigma": spec.sigma,
        "preset": spec.preset,
        "evaluation_only": spec.evaluation_only,
        "how_to_get": spec.how_to_get,
        "downloads": [archive.url for archive in spec.archives],
    }
    if names:
        facts["images"] = {split: list(annotations.names) for split, annotations in splits.items()}
    return facts


def _print(console: Console, facts: dict[str, Any], full: bool) -> None:
    from rich.text import Text

    state = Text("not here")
    if facts["is_prepared"]:
        counts = ", ".join(f"{split} {count:,}" for split, count in facts["splits"].items() if count)
        state = Text(f"here: {counts}", style="green")
    elif facts["problem"]:
        state = Text("damaged", style="red")
    console.print(Text.assemble((facts["name"], "bold"), "  ", state), soft_wrap=True)
    use = "evaluation only" if facts["evaluation_only"] else f"preset {facts['preset']}"
    by_hand = f"deeppose data prepare {facts['name']}, which downloads it; or by hand: "
    get = f"{by_hand if facts['downloads'] else ''}{facts['how_to_get']}"
    joints = facts["joints"]
    lines = [f"\n{number:>2}  {joint}" for number, joint in enumerate(joints)]
    rows = (
        ("what", facts["title"]),
        ("problem", facts["problem"] or ""),
        ("get", "" if facts["is_prepared"] and not full else get),
        ("joints", f"{len(joints)}{''.join(lines)}" if full else f"{len(joints)}: {', '.join(joints)}"),
        ("images", facts["image_order"]),
        ("labels", facts["label_conventions"]),
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
