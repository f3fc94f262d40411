"""Score a trained model, the mean pose and external predictions by the same rules.

The modules that need NumPy are imported after the arguments are checked, so that a wrong argument is reported at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from deeppose_cli.config.defaults import (
    BOOTSTRAP_DRAWS,
    DATA_ROOT,
    EVALUATION_BATCH_SIZE,
    LEAST_BOOTSTRAP_DRAWS,
    RUNS_ROOT,
    SCORE_LOGGERS,
    Centric,
    Metric,
    PcpRule,
    Split,
)
from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.progress import Progress, loading_notice, report

if TYPE_CHECKING:
    from rich.console import Console

    from deeppose_cli.checkpoints.model_source import TrainedModel
    from deeppose_cli.core.annotations import Annotations
    from deeppose_cli.data.datasets.spec import DatasetSpec
    from deeppose_cli.detection.initial_boxes import InitialBoxes
    from deeppose_cli.evaluation.scores import ScoredPredictions


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of one split of a data set."""

    document: dict[str, Any]
    """What `scores.json` holds: fractions of 1; RMSE px."""
    files: tuple[Path, ...]
    """The files written; empty without `out`."""
    metrics: tuple[str, ...]
    """The metrics that `print_tables` prints."""
    initial_boxes: InitialBoxes | None
    """Where the model and the mean pose start; None where only files of predictions are scored."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The scores of each model stage and each file of predictions."""
        rows: list[dict[str, Any]] = self.document["rows"]
        return rows

    def to_json(self) -> str:
        """The text of `scores.json`."""
        from deeppose_cli.evaluation.report import to_json

        return to_json(self.document)

    def print_tables(self, console: Console | None = None) -> None:
        """Print a table for each metric, in percent."""
        from rich.console import Console

        from deeppose_cli.evaluation.report import print_tables

        console = console or Console(highlight=False)
        if self.initial_boxes is not None:
            console.print(self.initial_boxes.summary())
        print_tables(console, self.metrics, self.document)
        if unreadable := self.document["unreadable"]:
            images = self.document["images"]
            console.print(f"{unreadable} of {images} images could not be read; their joints count as wrong")


def evaluate(
    *,
    weights: str | Path | None = None,
    run: str | None = None,
    data: str | None = None,
    split: Split = "test",
    stage: int | None = None,
    metric: Metric = "all",
    pcp_rule: PcpRule = "strict",
    centric: Centric = "person",
    predictions_centric: Centric = "person",
    box: str | None = None,
    predictions: Sequence[str | Path] = (),
    flip_test: bool = False,
    bootstrap: int = BOOTSTRAP_DRAWS,
    seed: int = 0,
    batch_size: int = EVALUATION_BATCH_SIZE,
    html: bool = False,
    loggers: Sequence[str] = (),
    wandb_online: bool = False,
    out: str | Path | None = None,
    data_root: str | Path = DATA_ROOT,
    runs_root: str | Path = RUNS_ROOT,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a model's stages beside the mean pose of the training images, and files of predictions.

    Without `run` and `weights` the newest run is scored, or the pretrained weights where there is no run; with
    `predictions` alone no model is. Without `data` the data set is the model's own.

    Args:
        weights: Name of pretrained weights, or a file written by `export`.
        run: Name of a run below `runs_root`.
        data: Name of a data set below `data_root`.
        split: Which images are scored: "train", "validation" or "test".
        stage: Score this stage only; None: all stages.
        metric: Metric that `Evaluation.print_tables` prints; the document holds all of them.
        pcp_rule: When a limb counts as found by PCP; see `pcp.pcp_hits`.
        centric: "observer" changes left and right of the labels and of the predictions to an observer's.
        predictions_centric: "observer" where the files of predictions have an observer's left and right already.
        box: Source of the initial box, or "x,y,w,h" in px; None: as the model was trained, or the data set's.
        predictions: Files of external predictions; see `external_predictions`.
        flip_test: Average the poses of each image and of its mirror image.
        bootstrap: Draws of images for the 95 % intervals, by `seed`; 0: no intervals.
        batch_size: Images in memory at a time.
        html: Write `report.html` too: the tables, curves and images as one page.
        loggers: `tensorboard` and `wandb`: log the scores and figures there too, below the folder of files.
        wandb_online: Let wandb upload them.
        out: Folder for the files; None: nothing is written; "auto": the folder `eval/DATA-SPLIT` of the run.
        progress: Is called with (task, done, total) after each step.

    Raises:
        UsageError: For arguments that are not valid, or not together.
        DeepPoseError: For a file, run or data set that is missing or damaged.
    """
    _check_choices(split=(split, Split), metric=(metric, Metric), pcp_rule=(pcp_rule, PcpRule))
    _check_choices(centric=(centric, Centric), predictions_centric=(predictions_centric, Centric))
    _check_numbers(bootstrap, seed, stage)
    _check_loggers(loggers, out)
    observer = centric == "observer"
    if predictions_centric == "observer" and not observer:
        raise UsageError("--predictions-centric observer: valid with --centric observer only")
    if predictions_centric == "observer" and not predictions:
        raise UsageError("--predictions-centric observer: there are no predictions; add --predictions FILE")
    data_root, runs_root = Path(data_root), Path(runs_root)
    with loading_notice("libraries"):
        from deeppose_cli.checkpoints.model_source import check_stage, model_line
        from deeppose_cli.evaluation import external_predictions, metrics, oks, predict_split, scores
        from deeppose_cli.evaluation import report as output
        from deeppose_cli.evaluation.published_results import comparable_results
    prediction_files = [Path(file) for file in predictions]
    external_predictions.check_files(prediction_files)
    files_only = bool(predictions) and run is weights is None
    model, dataset = _resolve_model(run, weights, runs_root, data, data_root, files_only=files_only)
    skeleton = dataset.skeleton
    if model is not None:
        report(model_line(model, check_stage(model, stage)))
    elif stage is not None:
        raise UsageError(f"--stage {stage}: with --predictions alone no stage is scored; add --run NAME")
    elif flip_test:
        raise UsageError("--flip-test: with --predictions alone no network is run; add --run NAME or --weights FILE")
    lacking = {} if skeleton.limbs else {"pcp": "limbs"}
    lacking |= {"pckh": "head limb"} if metrics.head_limb(skeleton) is None else {}
    if metric in lacking:
        valid = ", ".join(name for name in get_args(Metric) if name not in lacking)
        raise UsageError(f"--metric {metric}: {dataset.name} has no {lacking[metric]}; valid: {valid}")
    if observer and (missing := [joint for joint in metrics.SIDE_JOINTS if joint not in skeleton.joints]):
        lacks = f"{dataset.name} has no {missing[0]}, which decides the sides"
        raise UsageError(f"--centric observer: {lacks}; valid: person")
    folder = None if out is None else Path(out)
    if out == "auto":
        folder = runs_root / (model.folder if model else "predictions") / "eval" / f"{dataset.name}-{split}"
    if folder is not None:
        output.check_target(folder)

    splits = dataset.read(data_root)
    test = splits[split]
    if not len(test):
        filled = ", ".join(name for name, part in splits.items() if len(part)) or "none, the set is empty"
        raise UsageError(f"--split {split}: {dataset.name} has no images in it; valid: {filled}")
    external = external_predictions.external_rows(prediction_files, test, dataset.name)
    training = predict_split.find_training_images(dataset, splits, model, data_root)
    rows: list[ScoredPredictions] = []
    initial, unreadable = None, 0
    if isinstance(training, str):
        if model is None and box is not None:
            raise UsageError(f"--box {box}: no row starts from an initial box ({training}); valid with --run or alone")
        report(training)
    if model is not None or not isinstance(training, str):
        initial = _initial_boxes(test, dataset, model, split, box, data_root, progress)
        if not isinstance(training, str):
            name, train = training
            # Images of another data set start from the boxes that the model was trained with.
            source = initial.source if model is None or name == dataset.name else model.initial_box
            boxes = predict_split.training_boxes(train, source, data_root / name, progress)
            rows.append(predict_split.mean_pose_row(train, boxes, test, initial.boxes, observer_centric=observer))
        if model is not None:
            stages, unreadable = predict_split.stage_rows(
                model, stage, test, initial.boxes, batch_size, progress, flip_test=flip_test
            )
            rows += stages
    truth = test.keypoints
    if observer:
        truth = metrics.observer_centric(truth, skeleton)
        for row in rows if predictions_centric == "observer" else [*rows, *external]:
            row.poses = metrics.observer_centric(row.poses, skeleton)
    rows += external
    if pcp_rule == "buffy":
        scores.report_unmatched(rows, skeleton)

    alpha = scores.PCK_ALPHA.get(dataset.name, scores.OTHER_PCK_ALPHA)
    usual_box = initial is None or initial.source == dataset.initial_box or (model is None and box is None)
    document: dict[str, Any] = {"data": dataset.name, "split": split, "images": len(test), "run": None}
    if model is not None:
        document[model.kind] = model.name
    document["centric"] = centric
    if predictions_centric == "observer":
        document["predictions_centric"] = "observer"
    if initial is not None:
        document |= {"box": initial.source, "box_found_rate": round(float(initial.found.mean()), 6)}
    document["unreadable"] = unreadable
    if flip_test:
        document["flip_test"] = True
    document["joints"] = list(skeleton.joints)
    if skeleton.scale_name != "the torso":
        document["unit"] = skeleton.scale_name
    document["published"] = comparable_results(
        dataset.name, split, len(test), centric=centric, usual_box=usual_box, pcp_rule=pcp_rule
    )
    document["rows"] = [
        scores.scores(row, truth, skeleton, pcp_rule, alpha, test.sticks, bootstrap, seed)
        | {"oks": oks.oks_scores(row, truth, test)}
        for row in rows
    ]
    files = [] if folder is None else output.write_files(folder, document, test, rows, truth, html=html)
    if loggers and folder is not None:
        from deeppose_cli.evaluation.score_loggers import log_scores

        log_scores(loggers, document, files, folder, online=wandb_online)
    return Evaluation(document, tuple(files), tuple(output.MEANS) if metric == "all" else (metric,), initial)


def _check_choices(**arguments: tuple[str, Any]) -> None:
    """Raises UsageError for a value that its Literal type does not have."""
    for name, (value, valid) in arguments.items():
        if value not in get_args(valid):
            raise UsageError(f"--{name.replace('_', '-')} {value}: unknown; valid: {', '.join(get_args(valid))}")


def _check_numbers(bootstrap: int, seed: int, stage: int | None) -> None:
    if bootstrap and bootstrap < LEAST_BOOTSTRAP_DRAWS:
        least = LEAST_BOOTSTRAP_DRAWS
        raise UsageError(f"--bootstrap {bootstrap}: too few draws for an interval; valid: 0 or at least {least}")
    if seed < 0:
        raise UsageError(f"--seed {seed}: valid: 0 or more")
    if stage is not None and stage < 1:
        raise UsageError(f"--stage {stage}: valid: all, or the number of a stage (1, 2, …)")


def _check_loggers(loggers: Sequence[str], out: str | Path | None) -> None:
    if wrong := [logger for logger in loggers if logger not in SCORE_LOGGERS]:
        raise UsageError(f"--logger {wrong[0]}: unknown; valid: {', '.join(SCORE_LOGGERS)}")
    if loggers and out is None:
        raise UsageError(f"--logger {loggers[0]}: needs a folder for its files; add out=")


def _resolve_model(
    run: str | None, weights: str | Path | None, runs_root: Path, data: str | None, data_root: Path, *, files_only: bool
) -> tuple[TrainedModel | None, DatasetSpec]:
    """The model to score, None where only files are scored, and the data set."""
    from deeppose_cli.checkpoints.model_source import resolve_model
    from deeppose_cli.checkpoints.run_folder import list_runs
    from deeppose_cli.data.datasets.registry import get_dataset, list_datasets

    dataset = None if data is None else get_dataset(data, data_root)
    model = None
    if files_only:
        name = next((found.data_name for found in list_runs(runs_root) if found.stages), None)
        reason = f"--predictions: no run in {runs_root} names a data set that is here; add --data NAME"
    else:
        model = resolve_model(runs_root, run, None if weights is None else str(weights))
        name = model.data_name
        reason = f"--data: needed, as {model.kind} {model.name} was trained on '{name}'"
    if dataset is None:
        names = list_datasets(data_root)
        if name is None or name not in names:
            raise UsageError(f"{reason}; valid: {', '.join(names)}")
        dataset = get_dataset(name, data_root)
    return model, dataset


def _initial_boxes(
    test: Annotations,
    dataset: DatasetSpec,
    model: TrainedModel | None,
    split: str,
    box: str | None,
    data_root: Path,
    progress: Progress | None,
) -> InitialBoxes:
    """The initial boxes of the split, from `box`; else as the model was trained; else as the data set is evaluated."""
    from deeppose_cli.data.datasets.registry import trained_box
    from deeppose_cli.detection.initial_boxes import initial_boxes, usual_source

    if box is None:
        box = dataset.initial_box
        if model is not None:
            box = trained_box(model.data_name, model.initial_box, dataset)
        box = usual_source(box, split, dataset.evaluation_only)
        if model is None and box in ("face", "person"):
            # Only the mean pose starts from it: not worth a detector's search through thousands of images.
            box = "image" if test.torsos is None else "torso"
    return initial_boxes(test, box, data_root / dataset.name, progress)
