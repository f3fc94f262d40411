"""`deeppose data show`: a sheet of examples as the networks will see them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deeppose_cli.cli.options import SEED, DataRootOption, PresetOption, RunsRootOption, SeedOption
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deeppose_cli.checkpoints.run_folder import RunFolder
    from deeppose_cli.config.schema import RefinementPreset, StagePreset
    from deeppose_cli.core.annotations import Annotations
    from deeppose_cli.core.geometry import FloatArray
    from deeppose_cli.core.skeleton import Skeleton
    from deeppose_cli.data.datasets.spec import DatasetSpec
    from deeppose_cli.data.preview.sample_sheet import Cell
    from deeppose_cli.data.preview.sample_views import RefinementViews
    from deeppose_cli.media.images import Image
    from deeppose_cli.models.displacement import Displacement

SHEETS = "sheets"
"""Folder below the data root for sheets that --out does not place."""
COPIES = 3
"""Varied copies of each stage 1 input."""
JOINTS = 2
"""Joints of which each refinement stage's close-ups are shown."""


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Data set; `deeppose data list` shows them.")],
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="train, validation or test. Default: the first that has any."),
    ] = None,
    stage: Annotated[
        int | None,
        typer.Option("--stage", metavar="N", min=1, help="Only what stage N sees. Default: 1 and 2, or the run's."),
    ] = None,
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, max=40, help="Examples, drawn by --seed.")] = 6,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="NAME", help="By a run's settings, its stages deciding the close-ups."),
    ] = None,
    preset: PresetOption = None,
    box: Annotated[
        str | None, typer.Option("--box", metavar="BOX", help="Initial box, as in `eval`. Default: the data set's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.png", help="Default: in sheets/ below the data root.")
    ] = None,
    seed: SeedOption = SEED,
    data_root: DataRootOption = DATA_ROOT,
    runs_root: RunsRootOption = RUNS_ROOT,
) -> None:
    """Draw examples as the networks see them: initial box, network inputs, augmented copies, refinement boxes.

    Left and right have their own colours, so that swapped sides show. Without --run the refinement boxes lie around
    the labels; with it around what the run's stages say.
    """
    from deeppose_cli.data.datasets.registry import get_dataset
    from deeppose_cli.detection.initial_boxes import usual_source

    if out is not None and out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: must end in .png")
    known = get_dataset(name, "NAME")
    plan = _plan(known, stage, run, runs_root, preset)
    chosen_split, annotations = _split(known, data_root, split)
    spec = box or usual_source(plan.box or known.initial_box, chosen_split, known.evaluation_only)
    examples = _choose(annotations, spec, data_root / name, count, seed)
    target = out or data_root / SHEETS / f"{name}-{chosen_split}{f'-stage{stage}' if stage else ''}.png"
    title = f"{name}, {chosen_split}: {plan.source}, initial box {spec}, seed {seed}"
    _write(_figure(examples, plan, title, seed), target)
    print(target)


@dataclass(frozen=True, eq=False)
class _Examples:
    """What is shown."""

    annotations: Annotations
    """The whole split: what varies an example depends on its row."""
    boxes: FloatArray
    """(N, 4) initial boxes, NaN but for the chosen rows."""
    rows: list[int]
    images: list[Image]
    """Of the rows."""
    stand_ins: list[bool]
    """Of the rows: the source had no box, the whole image is taken."""


@dataclass(frozen=True)
class _Later:
    """A stage s ≥ 2."""

    number: int
    settings: RefinementPreset
    sigma: float
    displacement: Displacement | None


@dataclass(frozen=True)
class _Plan:
    """Which stages are shown, and by which settings."""

    source: str
    square: bool
    initial: StagePreset | None
    later: list[_Later]
    run: RunFolder | None
    box: str | None
    """The initial box that they are trained with; None: the data set's."""


def _plan(known: DatasetSpec, stage: int | None, run: str | None, runs_root: Path, preset: str | None) -> _Plan:
    from deeppose_cli.config.presets import preset_by_name

    if run is not None:
        if preset is not None:
            raise UsageError(f"--preset {preset}: not with --run, which goes by the run's own settings")
        return _plan_of_run(known, stage, run, runs_root)
    if stage is not None and stage > 2:
        raise UsageError(f"--stage {stage}: valid: 1, 2; later ones start from what another stage says: add --run NAME")
    chosen = preset_by_name(preset or known.preset)
    sigma = chosen.refinement.sigma if chosen.refinement.sigma is not None else known.sigma
    return _Plan(
        f"preset {chosen.name}",
        chosen.square_initial_box,
        chosen.initial if stage in (None, 1) else None,
        [_Later(2, chosen.refinement, sigma, None)] if stage in (None, 2) else [],
        None,
        chosen.box_on(known.name),
    )


def _plan_of_run(known: DatasetSpec, stage: int | None, run: str, runs_root: Path) -> _Plan:
    from deeppose_cli.checkpoints.run_folder import resolve_run
    from deeppose_cli.data.datasets.registry import trained_box

    folder = resolve_run(runs_root, run)
    config = folder.stage(1).read_config()
    if config.skeleton != known.skeleton.name:
        raise UsageError(f"--run {run}: has skeleton '{config.skeleton}', {known.name} '{known.skeleton.name}'")
    trained = len(folder.stages)
    if stage is not None and stage > trained + 1:
        raise UsageError(f"--stage {stage}: run {run} has {trained} trained stage(s); valid: 1 to {trained + 1}")
    numbers = range(2, max(2, trained) + 1) if stage is None else [stage] if stage > 1 else []
    return _Plan(
        f"run {run}",
        config.square_initial_box,
        config.settings if stage in (None, 1) else None,
        [_later(folder, number, known) for number in numbers],
        folder,
        trained_box(folder.data_name, folder.initial_box, known),
    )


def _later(folder: RunFolder, number: int, known: DatasetSpec) -> _Later:
    """By the stage's own settings where it is trained, else by those that it would be trained with."""
    from deeppose_cli.checkpoints.lightning import read_checkpoint
    from deeppose_cli.config.presets import preset_by_name
    from deeppose_cli.config.schema import refinement_from_primitives
    from deeppose_cli.models.displacement import Displacement

    stage = folder.stage(number)
    if not stage.best.is_file():
        settings = preset_by_name(folder.stage(1).read_config().preset or known.preset).refinement
        return _Later(number, settings, known.sigma if settings.sigma is None else settings.sigma, None)
    kept = read_checkpoint(stage.best)["hyper_parameters"]
    mean, std = (tuple((float(x), float(y)) for x, y in kept[key]) for key in ("displacement_mean", "displacement_std"))
    return _Later(number, refinement_from_primitives(kept["settings"]), kept["sigma"], Displacement(mean, std))


def _split(known: DatasetSpec, data_root: Path, split: str | None) -> tuple[str, Annotations]:
    splits = {name: part for name, part in known.read(data_root).items() if len(part)}
    chosen = split or next(iter(splits), "")
    if chosen not in splits:
        raise UsageError(f"--split {chosen}: {known.name} has no images in it; valid: {', '.join(splits)}")
    return chosen, splits[chosen]


def _choose(annotations: Annotations, spec: str, folder: Path, count: int, seed: int) -> _Examples:
    """So many examples, by chance. What cannot be read is named on stderr, and passed over."""
    import numpy as np

    from deeppose_cli.detection.initial_boxes import initial_boxes
    from deeppose_cli.media.images import read_image

    images: dict[int, Image] = {}
    for row in np.random.default_rng(seed).permutation(len(annotations)).tolist():
        if len(images) == count:
            break
        try:
            images[row] = read_image(annotations.files[row])
        except DeepPoseError as error:
            print(f"skipped: {error}", file=sys.stderr)
    if not images:
        raise DeepPoseError(f"none of {len(annotations)} images can be read; type: deeppose data check {folder.name}")
    rows = sorted(images)
    found = initial_boxes(annotations.take(rows), spec, folder)
    boxes = np.full((len(annotations), 4), np.nan)
    boxes[rows] = found.boxes
    return _Examples(annotations, boxes, rows, [images[row] for row in rows], (~found.found).tolist())


def _figure(examples: _Examples, plan: _Plan, title: str, seed: int) -> Figure:
    import numpy as np

    from deeppose_cli.data.preview.sample_sheet import first_box_cell, initial_cell, sample_sheet
    from deeppose_cli.data.preview.sample_views import (
        InitialSettings,
        RefinementSettings,
        initial_views,
        refinement_views,
    )

    annotations, boxes, rows, images = examples.annotations, examples.boxes, examples.rows, examples.images
    skeleton = annotations.skeleton
    lines: list[tuple[str, list[Cell]]] = [(annotations.names[row], []) for row in rows]
    columns: list[str] = []
    if plan.initial is not None:
        columns += ["labels, initial box", "stage 1 input", *[f"stage 1, epoch {i + 1}" for i in range(COPIES)]]
        views = initial_views(annotations, boxes, rows, InitialSettings(plan.initial, plan.square, seed), COPIES)
        for i, (view, (_, cells)) in enumerate(zip(views, lines, strict=True)):
            labels, stand_in = annotations.keypoints[rows[i]], examples.stand_ins[i]
            cells.append(first_box_cell(images[i], labels, view.box, skeleton, stand_in))
            cells.append(initial_cell(view.plain, skeleton, f"{len(view.plain.pixels)} px"))
            cells += [initial_cell(crop, skeleton, "augmented") for crop in view.varied]
    poses = _predicted(plan, images, boxes[rows])
    for later in plan.later:
        around = f"around stage {later.number - 1}" if poses is not None else "around labels"
        note = "" if later.displacement else ",\nnot displaced yet"
        columns += [f"stage {later.number} boxes,\n{around}"]
        columns += [f"stage {later.number} input"] * JOINTS + [f"stage {later.number}, epoch 1{note}"] * JOINTS
        settings = RefinementSettings(later.settings, plan.square, seed, later.sigma, later.displacement)
        start = None if poses is None else poses[later.number - 2]
        rng = np.random.default_rng([seed, later.number])
        refined = refinement_views(annotations, boxes, rows, settings, start)
        for row, image, each, (_, cells) in zip(rows, images, refined, lines, strict=True):
            labelled = np.flatnonzero(annotations.labelled[row])
            shown = rng.choice(labelled, min(JOINTS, len(labelled)), replace=False).tolist()
            cells += _refinement_cells(image, each, shown, skeleton)
    return sample_sheet(lines, columns, title)


def _refinement_cells(image: Image, view: RefinementViews, shown: list[int], skeleton: Skeleton) -> list[Cell]:
    from deeppose_cli.data.preview.sample_sheet import EMPTY, joint_boxes_cell, refinement_cell

    cells = [joint_boxes_cell(image, view.pose, view.boxes, shown, skeleton)]
    for crops in (view.plain, view.varied):
        by_joint = {crop.joint: refinement_cell(crop, skeleton) for crop in crops if crop.joint in shown}
        cells += [by_joint.get(joint, EMPTY) for joint in shown] + [EMPTY] * (JOINTS - len(shown))
    return cells


def _predicted(plan: _Plan, images: list[Image], boxes: FloatArray) -> FloatArray | None:
    """(stages, rows, K, 2) px from the run, as many stages as the sheet needs; None without a run."""
    from deeppose_cli.checkpoints.lightning import load_cascade

    if plan.run is None or not plan.later:
        return None
    return load_cascade(plan.run, plan.later[-1].number - 1).predict(images, boxes).poses


def _write(figure: Figure, target: Path) -> None:
    """Whole or not at all. The same sheet gives the same bytes."""
    from deeppose_cli.data.preview.sample_sheet import DPI

    try:
        with replacing(target) as temporary:
            figure.savefig(temporary, dpi=DPI, format="png")
    except DeepPoseError as error:
        raise DeepPoseError(f"--out {error}") from None
