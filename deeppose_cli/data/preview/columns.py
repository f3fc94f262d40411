"""Columns of a sheet of examples: the inputs of each stage's network, as training and prediction make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deeppose_cli.checkpoints import lightning
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.config.presets import preset_by_name
from deeppose_cli.config.schema import Augmentation, Preset, RefinementPreset, StagePreset, from_primitives
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.geometry import FloatArray, joint_boxes, normalise
from deeppose_cli.core.progress import report_skipped
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.loading.samplers import SampleKey
from deeppose_cli.data.loading.stage_datasets import InitialTrainDataset, InitialValDataset, RefinementTrainDataset
from deeppose_cli.data.preview import sheet
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.media.cropping import crop
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models.cascade import refinement_boxes
from deeppose_cli.models.displacement import Displacement
from deeppose_cli.visualization.drawing import joint_color

COPIES = 3
"""Augmented copies of each stage 1 input."""
JOINTS = 2
"""Joints whose crops are shown for each refinement stage."""
STRENGTHS, SHARES = ("color", "gamma"), ("gray", "blur", "noise", "jpeg", "erase")
"""Fields of `Augmentation` that change the colors of an image: by a strength, or a share of the images."""
_ATTEMPTS = 50

Column = tuple[str, Sequence[sheet.Cell]]
"""Title, and a cell for each example."""


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
class PreviewStage:
    """Everything that decides a stage's inputs, but for the seed."""

    number: int
    settings: StagePreset
    square: bool
    sigma: float
    displacement: Displacement | None = None
    """None: not measured yet; the crops of a refinement stage are then not displaced."""


def preset_stages(preset: Preset, spec: DatasetSpec, stage: int | None) -> list[PreviewStage]:
    """Stages 1 and 2, or one of them, as a preset trains them."""
    square, sigma = preset.square_initial_box, preset.refinement.sigma or spec.sigma
    stages = [PreviewStage(i, part, square, sigma) for i, part in ((1, preset.initial), (2, preset.refinement))]
    return stages if stage is None else [stages[stage - 1]]


def run_stages(run: RunFolder, spec: DatasetSpec, stage: int | None) -> list[PreviewStage]:
    """All stages of a run (at least two), or one of them; one that is not trained yet as it would be trained.

    Raises UsageError for a stage, or a data set, that does not fit the run.
    """
    config, trained = run.stage(1).read_config(), len(run.stages)
    skeleton = Skeleton.from_mapping(config.skeleton)
    if skeleton.joints != spec.skeleton.joints:
        raise UsageError(f"--run {run.name}: has skeleton '{skeleton.name}', {spec.name} '{spec.skeleton.name}'")
    if stage is not None and stage > trained + 1:
        raise UsageError(f"--stage {stage}: run {run.name} has {trained} trained stage(s); valid: 1 to {trained + 1}")
    square = config.square_initial_box
    stages = []
    for number in range(1, max(2, trained) + 1) if stage is None else [stage]:
        if number == 1:
            stages.append(PreviewStage(1, config.settings, square, spec.sigma))
        elif number > trained:
            settings = preset_by_name(config.preset or spec.preset).refinement
            stages.append(PreviewStage(number, settings, square, settings.sigma or spec.sigma))
        else:
            kept = lightning.read_checkpoint(run.stage(number).best)["hyper_parameters"]
            displacement = Displacement.from_pairs(kept["displacement_mean"], kept["displacement_std"])
            settings = from_primitives(RefinementPreset, kept["settings"])
            stages.append(PreviewStage(number, settings, square, kept["sigma"], displacement))
    return stages


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


def stage_columns(
    examples: Examples, stages: Sequence[PreviewStage], seed: int, run: RunFolder | None = None
) -> list[Column]:
    """The columns of all stages. A run's stages place the refinement crops; without a run the labels do."""
    poses = None
    if run is not None and stages[-1].number > 1:
        cascade = lightning.load_cascade(run, stages[-1].number - 1)
        poses = cascade.predict(examples.images, examples.boxes[examples.rows]).poses
    columns: list[Column] = []
    for stage in stages:
        if stage.number == 1:
            columns += initial_columns(examples, stage, seed)
        else:
            columns += refinement_columns(examples, stage, seed, None if poses is None else poses[stage.number - 2])
    return columns


def initial_columns(examples: Examples, stage: PreviewStage, seed: int) -> list[Column]:
    """Initial box, input, the copies of the first epochs with this seed, and each photometric change alone."""
    annotations, rows, settings = examples.annotations, examples.rows, stage.settings
    skeleton, data = annotations.skeleton, (annotations, examples.boxes, stage.square)
    training, validation = InitialTrainDataset(*data, settings, seed), InitialValDataset(*data, settings)
    whole = []
    for row, image, found in zip(rows, examples.images, examples.found, strict=True):
        caption = f"{image.shape[1]} × {image.shape[0]} px{'' if found else ', no box found'}"
        boxes = [(validation.initial_boxes[row], sheet.INITIAL_BOX_COLOR, 3)]
        whole.append(sheet.image_cell(image, annotations.keypoints[row], boxes, skeleton, caption))
    plain = {row: validation[row] for row in rows}
    inputs = [sheet.input_cell(x["image"], f"{settings.input_size} px", skeleton, x["target"]) for x in plain.values()]
    columns: list[Column] = [("labels, initial box", whole), ("stage 1 input", inputs)]
    for epoch in range(COPIES):
        copies = [training[SampleKey(epoch, row, 0)] for row in rows]
        cells = [sheet.input_cell(x["image"], "augmented", skeleton, x["target"]) for x in copies]
        columns.append((f"stage 1, epoch {epoch + 1}", cells))
    for name in (*STRENGTHS, *SHARES):
        if amount := getattr(settings.augmentation, name):
            caption = f"strength {amount:g}" if name in STRENGTHS else f"in {amount:.0%} of images"
            change = Augmentation(flip=0.0, **{name: amount if name in STRENGTHS else 1.0})
            dataset = InitialTrainDataset(*data, replace(settings, augmentation=change), seed)
            changed = [_first_changed(dataset, row, plain[row]["image"]) for row in rows]
            columns.append((f"stage 1,\n{name} alone", [sheet.input_cell(pixels, caption) for pixels in changed]))
    return columns


def _first_changed(dataset: InitialTrainDataset, row: int, plain: Image) -> Image:
    """The input of the first epoch that differs from the plain one: some changes leave out some epochs."""
    inputs = (dataset[SampleKey(epoch, row, 0)]["image"] for epoch in range(_ATTEMPTS))
    return next((pixels for pixels in inputs if not np.array_equal(pixels, plain)), plain)


def refinement_columns(examples: Examples, stage: PreviewStage, seed: int, poses: FloatArray | None) -> list[Column]:
    """Boxes of a stage s ≥ 2, and for JOINTS labelled joints the crop of its box, and that of epoch 1 with this seed.

    Shape: poses (rows, K, 2) px of the previous stage, the middles of the boxes; None: the labels are.
    """
    number, settings, sigma, annotations = stage.number, stage.settings, stage.sigma, examples.annotations
    assert isinstance(settings, RefinementPreset)
    skeleton, rng = annotations.skeleton, np.random.default_rng([seed, number])
    displacement = stage.displacement or Displacement.from_pairs(*np.zeros((2, len(skeleton), 2)))
    once = replace(settings, crops_per_visit=1)
    training = RefinementTrainDataset(annotations, examples.boxes, stage.square, once, sigma, displacement, seed)
    labels = annotations.keypoints[examples.rows]
    middles = labels if poses is None else poses
    if poses is None:
        boxes = joint_boxes(labels, sigma * training.diameters[examples.rows][:, None])
    else:
        boxes = refinement_boxes(poses, training.initial_boxes[examples.rows], skeleton, sigma)
    rows = []
    for i, (row, image) in enumerate(zip(examples.rows, examples.images, strict=True)):
        labelled = np.flatnonzero(annotations.labelled[row])
        shown = rng.choice(labelled, min(JOINTS, len(labelled)), replace=False).tolist()
        drawn = [joint for joint in range(len(skeleton)) if not np.isnan(boxes[i, joint]).any()]
        drawn.sort(key=lambda joint: joint in shown)
        styled = [(boxes[i, j], joint_color(skeleton.joints[j]), 3 if j in shown else 0) for j in drawn]
        caption = f"side {boxes[i, drawn[0], 2]:.0f} px" if drawn else "no labels"
        cells = [sheet.image_cell(image, middles[i], styled, skeleton, caption)]
        missing = [sheet.EMPTY] * (JOINTS - len(shown))
        for joint in shown:
            box = boxes[i, joint]
            cells.append(
                sheet.joint_cell(crop(image, box, settings.input_size), normalise(labels[i], box), joint, skeleton)
            )
        example = training[SampleKey(0, row, 0)]
        joints = example["joint_index"].tolist()
        cells += missing
        for joint in shown:
            if joint in joints:
                at = joints.index(joint)
                cells.append(sheet.joint_cell(example["image"][at], example["target"][at], joint, skeleton))
            else:  # in a mirrored image the partner of an unlabelled joint has no label
                cells.append(sheet.EMPTY)
        rows.append(cells + missing)
    around = "labels" if poses is None else f"stage {number - 1}"
    note = "" if stage.displacement else ",\nnot displaced yet"
    titles = [f"stage {number} boxes,\naround {around}"]
    titles += [f"stage {number} input"] * JOINTS + [f"stage {number}, epoch 1{note}"] * JOINTS
    return list(zip(titles, zip(*rows, strict=True), strict=True))
