"""The content of a sheet of examples: which examples, by which settings, in which cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deeppose_cli.checkpoints import lightning
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.config.presets import preset_by_name
from deeppose_cli.config.schema import Preset, refinement_from_primitives
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.progress import report_skipped
from deeppose_cli.data.datasets.registry import trained_box
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.preview.sample_sheet import (
    EMPTY,
    Cell,
    initial_box_cell,
    initial_cell,
    joint_boxes_cell,
    refinement_cell,
    sample_sheet,
)
from deeppose_cli.data.preview.sample_views import (
    InitialSettings,
    RefinementSettings,
    RefinementViews,
    initial_views,
    refinement_views,
)
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models.displacement import Displacement

DPI = 200
COPIES = 3
"""Varied copies of each stage 1 input."""
JOINTS = 2
"""Joints whose crops are shown for each refinement stage."""


@dataclass(frozen=True, eq=False)
class Examples:
    """The chosen examples."""

    annotations: Annotations
    """The whole split: the random changes of an example depend on its row."""
    boxes: FloatArray
    """(N, 4) initial boxes, NaN but for the chosen rows."""
    rows: list[int]
    images: list[Image]
    """Of the rows."""
    found: list[bool]
    """Of the rows; False: the source had no box, the whole image is taken."""


@dataclass(frozen=True)
class SheetSettings:
    """The stages on the sheet, with their settings."""

    source: str
    initial: InitialSettings | None
    later: list[RefinementSettings]
    run: RunFolder | None = None
    box: str | None = None
    """The initial box that they are trained with; None: the data set's."""


def settings_of_preset(spec: DatasetSpec, stage: int | None, preset: Preset, seed: int) -> SheetSettings:
    """Stages 1 and 2, or one of them, as a preset trains them."""
    square, refinement = preset.square_initial_box, preset.refinement
    sigma = spec.sigma if refinement.sigma is None else refinement.sigma
    return SheetSettings(
        f"preset {preset.name}",
        InitialSettings(preset.initial, square, seed) if stage in (None, 1) else None,
        [RefinementSettings(refinement, square, seed, sigma)] if stage in (None, 2) else [],
        box=preset.box_on(spec.name),
    )


def settings_of_run(spec: DatasetSpec, stage: int | None, run: RunFolder, seed: int) -> SheetSettings:
    """All stages of a run, or one of them. Raises UsageError for a stage, or a data set, that does not fit the run."""
    config, trained = run.stage(1).read_config(), len(run.stages)
    if config.skeleton != spec.skeleton.name:
        raise UsageError(f"--run {run.name}: has skeleton '{config.skeleton}', {spec.name} '{spec.skeleton.name}'")
    if stage is not None and stage > trained + 1:
        raise UsageError(f"--stage {stage}: run {run.name} has {trained} trained stage(s); valid: 1 to {trained + 1}")
    numbers = range(2, max(2, trained) + 1) if stage is None else [stage] if stage > 1 else []
    square = config.square_initial_box
    initial = InitialSettings(config.settings, square, seed)
    return SheetSettings(
        f"run {run.name}",
        initial if stage in (None, 1) else None,
        [_refinement_of_run(run, number, spec, square, seed) for number in numbers],
        run,
        trained_box(run.data_name, run.initial_box, spec),
    )


def _refinement_of_run(run: RunFolder, number: int, spec: DatasetSpec, square: bool, seed: int) -> RefinementSettings:
    """The stage's own settings where it is trained, else those that it would be trained with."""
    stage = run.stage(number)
    if not stage.best.is_file():
        settings = preset_by_name(run.stage(1).read_config().preset or spec.preset).refinement
        sigma = spec.sigma if settings.sigma is None else settings.sigma
        return RefinementSettings(settings, square, seed, sigma, number=number)
    kept = lightning.read_checkpoint(stage.best)["hyper_parameters"]
    displacement = Displacement.from_pairs(kept["displacement_mean"], kept["displacement_std"])
    settings = refinement_from_primitives(kept["settings"])
    return RefinementSettings(settings, square, seed, kept["sigma"], displacement, number)


def choose_split(spec: DatasetSpec, data_root: Path, split: str | None) -> tuple[str, Annotations]:
    """A split with images, by default the first. Raises UsageError for a split without any."""
    splits = {name: part for name, part in spec.read(data_root).items() if len(part)}
    chosen = split or next(iter(splits), "")
    if chosen not in splits:
        raise UsageError(f"--split {chosen}: {spec.name} has no images in it; valid: {', '.join(splits)}")
    return chosen, splits[chosen]


def choose_examples(annotations: Annotations, source: str, folder: Path, count: int, seed: int) -> Examples:
    """`count` random examples. Raises DeepPoseError where no image can be read."""
    images: dict[int, Image] = {}
    for row in np.random.default_rng(seed).permutation(len(annotations)).tolist():
        if len(images) == count:
            break
        try:
            images[row] = read_image(annotations.files[row])
        except DeepPoseError as error:
            report_skipped(error)
    if not images:
        raise DeepPoseError(f"none of {len(annotations)} images can be read; type: deeppose data check {folder.name}")
    rows = sorted(images)
    found = initial_boxes(annotations.take(rows), source, folder)
    boxes = np.full((len(annotations), 4), np.nan)
    boxes[rows] = found.boxes
    return Examples(annotations, boxes, rows, [images[row] for row in rows], found.found.tolist())


def draw(examples: Examples, settings: SheetSettings, title: str, seed: int) -> Figure:
    """Draw the sheet: a line for each example, columns for each stage."""
    lines: list[tuple[str, list[Cell]]] = [(examples.annotations.names[row], []) for row in examples.rows]
    columns: list[str] = []
    blocks = [] if settings.initial is None else [_initial_block(examples, settings.initial)]
    poses = None
    if settings.run is not None and settings.later:
        cascade = lightning.load_cascade(settings.run, settings.later[-1].number - 1)
        poses = cascade.predict(examples.images, examples.boxes[examples.rows]).poses
    for later in settings.later:
        start = None if poses is None else poses[later.number - 2]
        blocks.append(_refinement_block(examples, later, start, np.random.default_rng([seed, later.number])))
    for titles, cells in blocks:
        columns += titles
        for (_, line), own in zip(lines, cells, strict=True):
            line += own
    return sample_sheet(lines, columns, title)


def _initial_block(examples: Examples, settings: InitialSettings) -> tuple[list[str], list[list[Cell]]]:
    """Titles of the columns, and the cells of each example, for stage 1."""
    annotations, skeleton = examples.annotations, examples.annotations.skeleton
    titles = ["labels, initial box", "stage 1 input", *(f"stage 1, epoch {i + 1}" for i in range(COPIES))]
    titles += [f"stage 1,\n{name} alone" for name in settings.photometric]
    lines = []
    views = initial_views(annotations, examples.boxes, examples.rows, settings, COPIES)
    for row, image, found, view in zip(examples.rows, examples.images, examples.found, views, strict=True):
        cells = [initial_box_cell(image, annotations.keypoints[row], view.box, skeleton, found)]
        cells.append(initial_cell(view.plain, skeleton, f"{len(view.plain.pixels)} px"))
        cells += [initial_cell(crop, skeleton, "augmented") for crop in view.varied]
        cells += [initial_cell(crop, None, settings.amount(name)) for name, crop in view.photometric.items()]
        lines.append(cells)
    return titles, lines


def _refinement_block(
    examples: Examples, settings: RefinementSettings, poses: FloatArray | None, rng: np.random.Generator
) -> tuple[list[str], list[list[Cell]]]:
    """The same for a stage s ≥ 2. Shape: poses (rows, K, 2) px of the stage before, if there is a run."""
    number, annotations = settings.number, examples.annotations
    around = "around labels" if poses is None else f"around stage {number - 1}"
    note = "" if settings.displacement else ",\nnot displaced yet"
    titles = [f"stage {number} boxes,\n{around}"]
    titles += [f"stage {number} input"] * JOINTS + [f"stage {number}, epoch 1{note}"] * JOINTS
    lines = []
    views = refinement_views(annotations, examples.boxes, examples.rows, settings, poses)
    for row, image, view in zip(examples.rows, examples.images, views, strict=True):
        labelled = np.flatnonzero(annotations.labelled[row])
        shown = rng.choice(labelled, min(JOINTS, len(labelled)), replace=False).tolist()
        lines.append(_refinement_cells(image, view, shown, annotations))
    return titles, lines


def _refinement_cells(
    image: Image, view: RefinementViews, shown: Sequence[int], annotations: Annotations
) -> list[Cell]:
    skeleton = annotations.skeleton
    cells = [joint_boxes_cell(image, view.pose, view.boxes, shown, skeleton)]
    for crops in (view.plain, view.varied):
        by_joint = {crop.joint: refinement_cell(crop, skeleton) for crop in crops if crop.joint in shown}
        cells += [by_joint.get(joint, EMPTY) for joint in shown]
        cells += [EMPTY] * (JOINTS - len(shown))
    return cells
