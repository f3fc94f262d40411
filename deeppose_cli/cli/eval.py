"""`deeppose eval`: scores of a run, of the mean pose, and of other people's predictions, by the same rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeppose_cli.cli.options import (
    SEED,
    DataOption,
    DataRootOption,
    JsonOption,
    RunOption,
    RunsRootOption,
    SeedOption,
)
from deeppose_cli.errors import DeepPoseError, UsageError
from deeppose_cli.presets import DATA_ROOT, PDJ_THRESHOLD, RUNS_ROOT

if TYPE_CHECKING:
    from rich.table import Table

    from deeppose_cli.datamodules.description import DataDescription
    from deeppose_cli.geometry import FloatArray
    from deeppose_cli.run_folder import RunFolder
    from deeppose_cli.samples import Annotations

MEAN_POSE = "mean pose"
MOST_COLUMNS = 5
"""Columns of the contact sheet beside the truth."""


class MetricName(StrEnum):
    PDJ = "pdj"
    PCP = "pcp"
    PCK = "pck"
    ALL = "all"


class SplitName(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Centric(StrEnum):
    PERSON = "person"
    OBSERVER = "observer"


class PcpRuleName(StrEnum):
    STRICT = "strict"
    MEAN = "mean"
    BUFFY = "buffy"


def evaluate(
    metric: Annotated[MetricName, typer.Option(help="Table to print; the files hold all.")] = MetricName.PDJ,
    split: Annotated[SplitName, typer.Option(help="Which images to score.")] = SplitName.TEST,
    stage: Annotated[str, typer.Option(metavar="all|N", help="A row for each stage, or for one.")] = "all",
    centric: Annotated[
        Centric,
        typer.Option(help="Whose left and right: observer relabels truth and predictions, each by its own torso."),
    ] = Centric.PERSON,
    pcp_rule: Annotated[PcpRuleName, typer.Option(help="When a limb counts as found.")] = PcpRuleName.STRICT,
    box: Annotated[
        str | None,
        typer.Option(metavar="BOX", help="First box: image, own, or x,y,w,h in px. Default: the data set's."),
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Score predictions from .npz (keypoints, N x K x 2 px) or COCO results .json. Once for each file; "
            "no network is run then, unless --run asks for one.",
        ),
    ] = None,
    run: RunOption = None,
    data: DataOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for scores.json, per-image.csv and the figures. Default: eval/<data>-<split> in the run's "
            "folder; where no run is scored, in predictions/ beside the runs.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures in memory at a time.")] = 32,
    data_root: DataRootOption = DATA_ROOT,
    runs_root: RunsRootOption = RUNS_ROOT,
    seed: SeedOption = SEED,
    json_: JsonOption = False,
) -> None:
    """Score the newest run, beside the mean pose of the training images, and draw the figures."""
    del seed  # nothing here is drawn at random; accepted so that one list of flags does for every verb
    from rich.console import Console

    from deeppose_cli import evaluator
    from deeppose_cli.boxes import readable_first_boxes
    from deeppose_cli.metrics import observer_centric

    stages = _parse_stage(stage)
    folder, known = _choose(run, runs_root, data, files_only=bool(predictions) and run is None)
    if folder is None and stages is not None:
        raise UsageError(f"--stage {stage}: with --predictions alone no stage is scored; add --run NAME")
    splits = known.read(data_root)
    test, train = splits.get(split.value), splits.get("train")
    if test is None or not len(test):
        there = ", ".join(name for name, part in splits.items() if len(part))
        raise UsageError(f"--split {split.value}: {known.name} has no images in it; valid: {there}")
    # LSPET's training pictures show more than the person: their own boxes, as in training.
    skeleton, spec = test.skeleton, box or ("own" if split.value == "train" else known.first_box)
    foreign = _read_foreign(predictions or [], test)
    target = out or runs_root / (folder.name if folder else "predictions") / "eval" / f"{known.name}-{split.value}"
    target.mkdir(parents=True, exist_ok=True)

    boxes = readable_first_boxes(test, spec)
    poses: dict[str, FloatArray] = {}
    unreadable = 0
    if train is not None and len(train):
        observed = centric is Centric.OBSERVER
        train_boxes = readable_first_boxes(train, "own")  # as in training, whatever --box says of the test
        poses[MEAN_POSE] = evaluator.mean_pose_predictions(train, train_boxes, boxes, observer_centric=observed)
    else:
        evaluator.report(f"no row '{MEAN_POSE}': {known.name} has no training images")
    if folder is not None:
        by_stage, unreadable = _predict(folder, stages, test, boxes, batch_size)
        poses |= by_stage
    poses |= foreign
    truth = test.keypoints
    if centric is Centric.OBSERVER:
        truth = observer_centric(truth, skeleton)
        poses = {name: observer_centric(pose, skeleton) for name, pose in poses.items()}

    alpha = evaluator.PCK_ALPHA.get(known.name, evaluator.OTHER_PCK_ALPHA)
    document = evaluator.document(
        known.name,
        split.value,
        len(test),
        [evaluator.scores(name, pose, truth, skeleton, pcp_rule.value, alpha) for name, pose in poses.items()],
        run=folder.name if folder else None,
        centric=centric.value,
        box=spec,
        unreadable=unreadable,
    )
    files = _write(target, document, test, poses, truth)

    console = Console(stderr=json_, highlight=False)
    for name in [MetricName.PDJ, MetricName.PCP, MetricName.PCK] if metric is MetricName.ALL else [metric]:
        console.print(_table(name, document))
        console.print()
    if unreadable:
        console.print(f"{unreadable} of {len(test)} pictures could not be read; their joints count as wrong")
    for file in files:
        console.print(str(file), markup=False, soft_wrap=True)
    if json_:
        print(_dumps(document))


def _parse_stage(stage: str) -> int | None:
    if stage == "all":
        return None
    if not (stage.isascii() and stage.isdigit() and int(stage) > 0):
        raise UsageError(f"--stage {stage}: valid: all, or a stage's number (1, 2, …)")
    return int(stage)


def _choose(
    run: str | None, runs_root: Path, data: str | None, *, files_only: bool
) -> tuple[RunFolder | None, DataDescription]:
    """The run whose network is scored, none where only files are; and the data set."""
    from deeppose_cli.datamodules.catalogue import description
    from deeppose_cli.run_folder import list_runs, resolve_run

    if not files_only:
        folder = resolve_run(runs_root, run)
        return folder, description(data or folder.data_name)
    if data is None:
        data = next((other.data_name for other in list_runs(runs_root) if other.stages), "demo")
    return None, description(data)


def _read_foreign(paths: Sequence[Path], test: Annotations) -> dict[str, FloatArray]:
    """Poses (N, K, 2) by the name of their file; by its path where two files share the name."""
    from deeppose_cli.foreign import read_predictions

    names = [path.name for path in paths]
    rows: dict[str, FloatArray] = {}
    for path in paths:
        name = path.name if names.count(path.name) == 1 else str(path)
        if name in rows:
            raise UsageError(f"--predictions {path}: given twice")
        rows[name] = read_predictions(path, test.names, len(test.skeleton))
    return rows


def _predict(
    folder: RunFolder, stage: int | None, test: Annotations, boxes: FloatArray, batch_size: int
) -> tuple[dict[str, FloatArray], int]:
    """Poses (N, K, 2) by stage, in the data set's joint order, and how many pictures could not be read."""
    from deeppose_cli import evaluator
    from deeppose_cli.checkpoints import load_cascade

    cascade = load_cascade(folder, stage)
    lacking = [joint for joint in test.skeleton.joints if joint not in cascade.skeleton.joints]
    if lacking:
        evaluator.report(f"run {folder.name} does not know {', '.join(lacking)}: counted as wrong")
    unreadable: list[DeepPoseError] = []

    def skip(error: DeepPoseError) -> None:
        evaluator.report_skipped(error)
        unreadable.append(error)

    with _bar(len(test)) as progress:
        poses = evaluator.predict_split(cascade, test, boxes, batch_size, progress, skip)
    if len(unreadable) == len(test):
        raise DeepPoseError(f"none of the {len(test)} pictures could be read; the first: {unreadable[0]}")
    poses = evaluator.to_skeleton(poses, cascade.skeleton, test.skeleton)
    return {f"stage {s}": pose for s, pose in enumerate(poses, start=1) if stage in (None, s)}, len(unreadable)


def _write(
    target: Path, document: Mapping[str, Any], test: Annotations, poses: Mapping[str, FloatArray], truth: FloatArray
) -> list[Path]:
    """Write all files of one evaluation; returns their paths."""
    from deeppose_cli import evaluator, plotting

    scores, table = target / "scores.json", target / "per-image.csv"
    scores.write_text(_dumps(document) + "\n", encoding="utf-8")
    evaluator.write_per_image(table, test.names, poses, truth, test.skeleton)
    files = [scores, table, *plotting.save_pdj(document, target)]
    columns = [name for name in poses if name.startswith("stage ")] or [name for name in poses if name != MEAN_POSE]
    columns = (columns or list(poses))[:MOST_COLUMNS]
    cells = _cells(columns, test, poses, truth) if columns else []
    if cells:
        sheet = plotting.contact_sheet(cells, ["truth", *columns], test.skeleton)
        files.append(plotting.save_contact_sheet(sheet, target / "poses.png"))
    return files


def _cells(
    columns: Sequence[str], test: Annotations, poses: Mapping[str, FloatArray], truth: FloatArray
) -> list[tuple[str, Any, list[FloatArray], list[str]]]:
    """The lines of the contact sheet: images chosen by the last column's scores."""
    from deeppose_cli import evaluator
    from deeppose_cli.crops import read_picture

    shares = {name: evaluator.per_image_pdj(poses[name], truth, test.skeleton) for name in columns}
    cells = []
    for word, images in evaluator.best_median_worst(poses[columns[-1]], truth, test.skeleton).items():
        for i in images:
            try:
                picture = read_picture(test.files[i])
            except DeepPoseError:
                continue  # reported where it was to be predicted; the sheet shows what can be shown
            captions = [test.names[i], *(f"PDJ {shares[name][i]:.0%}" for name in columns)]
            cells.append((word, picture, [truth[i], *(poses[name][i] for name in columns)], captions))
    return cells


def _table(metric: MetricName, document: Mapping[str, Any]) -> Table:
    """One metric of all rows, in percent."""
    from rich import box
    from rich.table import Table

    rows = document["rows"]
    where = f"{document['data']} {document['split']}, {document['images']} images"
    where += ", observer-centric" if document["centric"] == Centric.OBSERVER else ""
    if metric is MetricName.PCP:
        title = f"PCP ({rows[0]['pcp']['rule']}), %: {where}"
        heads, last = list(rows[0]["pcp"]["limbs"]), {"arms, legs": "mean_arms_legs", "mean": "mean"}
    elif metric is MetricName.PCK:
        title = f"PCK at {rows[0]['pck']['alpha']} of the labelled box, %: {where}"
        heads, last = list(rows[0]["pck"]["joints"]), {"mean": "mean"}
    else:
        title = f"PDJ at {PDJ_THRESHOLD} of the torso, %: {where}"
        heads, last = list(rows[0]["pdj"]["joints"]), {"mean": "mean", "AUC": "auc"}
    # As narrow as can be: eleven columns and a file's name are to fit into 80 characters.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.title, table.title_justify = title, "left"
    table.add_column("", overflow="fold", min_width=9)
    for head in [*heads, *last]:
        table.add_column(head.replace("_", "\n").replace(" ", "\n"), justify="right", vertical="bottom", no_wrap=True)
    for row in rows:
        values = row[metric.value]
        kinds = values["limbs" if metric is MetricName.PCP else "joints"]
        cells = [*(kinds[head] for head in heads), *(values[key] for key in last.values())]
        table.add_row(row["name"], *map(_percent, cells))
    return table


def _percent(value: float | None) -> str:
    """At most four characters: a table of eleven columns has no room for the fifth of 100.0."""
    if value is None:
        return "–"
    return "100" if value >= 0.9995 else f"{100 * value:.1f}"


def _dumps(document: Mapping[str, Any]) -> str:
    """One row of scores a line, so that the document can be read and compared by eye."""
    import json

    facts = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items() if key != "rows"]
    rows = ",\n    ".join(json.dumps(row, allow_nan=False) for row in document["rows"])
    return "{\n" + ",\n".join([*facts, f'  "rows": [\n    {rows}\n  ]']) + "\n}"


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, gone at the end; nothing where stderr is a file."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("predicting", total=total)
        yield lambda done: bar.advance(task, done)
