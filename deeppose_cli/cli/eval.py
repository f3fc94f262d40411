"""`deeppose eval`: scores of a run or weights, of the mean pose, and of others' predictions, by the same rules."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deeppose_cli.cli.options import (
    SEED,
    DataOption,
    DataRootOption,
    FlipTestOption,
    JsonOption,
    RunOption,
    RunsRootOption,
    SeedOption,
    WeightsOption,
)
from deeppose_cli.config.defaults import BOOTSTRAP_DRAWS, BOX_SOURCES, DATA_ROOT, LEAST_BOOTSTRAP_DRAWS, RUNS_ROOT
from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.progress import report
from deeppose_cli.evaluation.report import check_target, write_files
from deeppose_cli.evaluation.rows import (
    as_observed,
    check_files,
    external_rows,
    mean_pose_row,
    mean_pose_source,
    report_windows,
    stage_rows,
)
from deeppose_cli.evaluation.tables import as_json, print_tables

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deeppose_cli.checkpoints.model_source import TrainedModel
    from deeppose_cli.core.annotations import Annotations
    from deeppose_cli.core.geometry import FloatArray
    from deeppose_cli.core.skeleton import Skeleton
    from deeppose_cli.data.datasets.spec import DatasetSpec
    from deeppose_cli.detection.initial_boxes import InitialBoxes
    from deeppose_cli.evaluation.scores import ScoredPredictions


PCP_RULE_HELP = (
    "When a limb counts as found. strict and mean go by the joints (Buffy's elbow: mean of the two marked ends), "
    "buffy from the sticks as they were marked."
)


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
    pcp_rule: Annotated[PcpRuleName, typer.Option(help=PCP_RULE_HELP)] = PcpRuleName.STRICT,
    box: Annotated[
        str | None,
        typer.Option(
            metavar="BOX",
            help=f"Initial box: {', '.join(BOX_SOURCES)}, or x,y,w,h in px. Default: the model's, or the data set's.",
        ),
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Score predictions from .npz (keypoints, N x K x 2 px) or COCO results .json (image_id: place in the "
            "split, or name); `deeppose data list NAME` tells both. Once for each file; no network is run then, unless "
            "--run or --weights asks for one.",
        ),
    ] = None,
    run: RunOption = None,
    weights: WeightsOption = None,
    data: DataOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for scores.json, per-image.csv and the figures. Default: eval/<data>-<split> in the run's "
            "folder; beside the runs, in weights-<name>/ for weights, in predictions/ for files alone.",
        ),
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Draws of images for the 95 % intervals of all scores, by --seed. 0: none."
        ),
    ] = BOOTSTRAP_DRAWS,
    flip_test: FlipTestOption = False,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Images in memory at a time.")] = 32,
    data_root: DataRootOption = DATA_ROOT,
    runs_root: RunsRootOption = RUNS_ROOT,
    seed: SeedOption = SEED,
    json_: JsonOption = False,
) -> None:
    """Score the newest run, beside the mean pose of the training images, and draw the figures.

    Where there is no run, the weights that come with deeppose are scored.
    """
    from rich.console import Console

    from deeppose_cli.evaluation import scores
    from deeppose_cli.evaluation.published_results import comparable_results

    stages = _parse_stage(stage)
    if 0 < bootstrap < LEAST_BOOTSTRAP_DRAWS:
        least = LEAST_BOOTSTRAP_DRAWS
        raise UsageError(f"--bootstrap {bootstrap}: too few to tell an interval; valid: 0 or at least {least}")
    if seed < 0:
        raise UsageError(f"--seed {seed}: valid: 0 or more")
    check_files(predictions or [])
    model, known = _choose(run, weights, runs_root, data, files_only=bool(predictions) and run is weights is None)
    if model is None and stages is not None:
        raise UsageError(f"--stage {stage}: with --predictions alone no stage is scored; add --run NAME")
    if model is not None and stages is not None and stages > model.num_stages:
        there = f"{model.kind} {model.name} has {model.num_stages} stage(s)"
        raise UsageError(f"--stage {stage}: {there}; valid: all, 1 to {model.num_stages}")
    if model is None and flip_test:
        raise UsageError("--flip-test: with --predictions alone no network is run; add --run NAME or --weights FILE")
    if centric is Centric.OBSERVER:
        _check_sides(known.skeleton, known.name)
    target = out or runs_root / (model.folder if model else "predictions") / "eval" / f"{known.name}-{split.value}"
    check_target(target)
    splits = known.read(data_root)
    test = _choose_split(splits, split.value, known.name)
    skeleton = test.skeleton
    foreign = external_rows(predictions or [], test, known.name)

    rows: list[ScoredPredictions] = []
    unreadable = 0
    source = mean_pose_source(known, splits, model, data_root)
    first = None
    if model is None and isinstance(source, str) and box is not None:
        raise UsageError(f"--box {box}: no row starts from an initial box ({source}); valid with --run or alone")
    if isinstance(source, str):
        report(source)
    if model is not None or not isinstance(source, str):
        first = _first_boxes(test, known, model, split.value, box, data_root)
    if first is not None and not isinstance(source, str):
        trained, train = source
        # Another set's people stand in their own initial boxes as the model was trained.
        own = first.source if model is None or trained == known.name else model.initial_box
        of_training = _training_boxes(train, trained, own, data_root)
        rows.append(mean_pose_row(train, of_training, test, first.boxes, observed=centric is Centric.OBSERVER))
    if first is not None and model is not None:
        by_stage, unreadable = stage_rows(model, stages, test, first.boxes, batch_size, flip_test=flip_test)
        rows += by_stage
    rows += foreign
    truth: FloatArray = test.keypoints
    if centric is Centric.OBSERVER:
        truth, rows = as_observed(truth, rows, skeleton)
    if pcp_rule is PcpRuleName.BUFFY:
        report_windows(rows, skeleton)

    alpha = scores.PCK_ALPHA.get(known.name, scores.OTHER_PCK_ALPHA)
    resampling = scores.Resampling(bootstrap, seed)
    published = comparable_results(
        known.name,
        split.value,
        len(test),
        centric=centric.value,
        usual_box=first is None or first.source == known.initial_box or (model is None and box is None),
        pcp_rule=pcp_rule.value,
    )
    document = scores.document(
        known.name,
        split.value,
        len(test),
        [scores.scores(row, truth, skeleton, pcp_rule.value, alpha, resampling, test.sticks) for row in rows],
        run=model.name if model is not None and model.kind == "run" else None,
        **({"weights": model.name} if model is not None and model.kind == "weights" else {}),
        centric=centric.value,
        **({} if first is None else {"box": first.source, "box_found": round(float(first.found.mean()), 6)}),
        unreadable=unreadable,
        **({"flip_test": True} if flip_test else {}),
        joints=list(skeleton.joints),
        published=[each.as_row() for each in published],
    )
    files = write_files(target, document, test, rows, truth)

    console = Console(stderr=json_, highlight=False)
    every = [MetricName.PDJ, MetricName.PCP, MetricName.PCK]
    if first is not None:
        console.print(first.said())
    print_tables(console, [name.value for name in (every if metric is MetricName.ALL else [metric])], document)
    if unreadable:
        console.print(f"{unreadable} of {len(test)} images could not be read; their joints count as wrong")
    for file in files:
        console.print(str(file), markup=False, soft_wrap=True)
    if json_:
        print(as_json(document))


def _parse_stage(stage: str) -> int | None:
    if stage == "all":
        return None
    if not (stage.isascii() and stage.isdigit() and int(stage) > 0):
        raise UsageError(f"--stage {stage}: valid: all, or a stage's number (1, 2, …)")
    return int(stage)


def _choose(
    run: str | None, weights: str | None, runs_root: Path, data: str | None, *, files_only: bool
) -> tuple[TrainedModel | None, DatasetSpec]:
    """The model that is scored, none where only files are; and the data set."""
    from deeppose_cli.checkpoints.model_source import resolve_model
    from deeppose_cli.checkpoints.run_folder import list_runs
    from deeppose_cli.data.datasets.registry import DATASETS, description

    if not files_only:
        asked = None if data is None else description(data)
        model = resolve_model(runs_root, run, weights, asked.skeleton.name if asked else None)
        if asked is None and model.data_name not in DATASETS:
            raise UsageError(
                f"--data: needed, as {model.kind} {model.name} was trained on '{model.data_name}'; valid: "
                f"{', '.join(DATASETS)}"
            )
        return model, asked or description(model.data_name)
    if data is None:
        data = next((other.data_name for other in list_runs(runs_root) if other.stages), None)
    if data is None:
        raise UsageError(
            f"--predictions: of which data set? There is no run in {runs_root} that says it; add --data NAME, valid: "
            f"{', '.join(DATASETS)}"
        )
    return None, description(data)


def _choose_split(splits: Mapping[str, Annotations], name: str, data: str) -> Annotations:
    """Raises UsageError, naming the splits that have images, for one that has none."""
    found = splits.get(name)
    if found is None or not len(found):
        there = ", ".join(other for other, part in splits.items() if len(part))
        raise UsageError(f"--split {name}: {data} has no images in it; valid: {there or 'none, the set is empty'}")
    return found


def _check_sides(skeleton: Skeleton, data: str) -> None:
    needed = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    lacking = [joint for joint in needed if joint not in skeleton.joints]
    if lacking:
        raise UsageError(f"--centric observer: {data} has no {lacking[0]} to tell sides by; valid: person")


def _first_boxes(
    test: Annotations, known: DatasetSpec, model: TrainedModel | None, split: str, box: str | None, data_root: Path
) -> InitialBoxes:
    """What --box says or stands for: as the model was trained, else as the data set's description says."""
    from deeppose_cli.core.progress import progress_bar
    from deeppose_cli.data.datasets.registry import trained_box
    from deeppose_cli.detection.initial_boxes import initial_boxes, usual_source

    if box is None:
        box = known.initial_box if model is None else trained_box(model.data_name, model.initial_box, known)
        box = usual_source(box, split, known.evaluation_only)
        if model is None and box in ("face", "person"):
            # Only the mean pose needs it: too little for a search through thousands of images.
            box = "image" if test.torsos is None else "torso"
    with progress_bar() as progress:
        return initial_boxes(test, box, data_root / known.name, progress)


def _training_boxes(train: Annotations, name: str, source: str, data_root: Path) -> NDArray[np.float64]:
    """b⁰ (N, 4) of training images as in training; of a box in px nothing follows for them."""
    from deeppose_cli.core.progress import progress_bar
    from deeppose_cli.detection.initial_boxes import initial_boxes, training_source

    with progress_bar() as progress:
        source = training_source(source if source in BOX_SOURCES else "image")
        return initial_boxes(train, source, data_root / name, progress).boxes
