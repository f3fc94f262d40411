"""Columns of a sheet of examples: the inputs of each stage's network, as training makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deeppose_cli.config.schema import Augmentation, RefinementPreset, StagePreset
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import FloatArray, joint_boxes, normalise
from deeppose_cli.core.progress import report_skipped
from deeppose_cli.data.loading.samplers import SampleKey
from deeppose_cli.data.loading.stage_datasets import (
    InitialTrainDataset,
    InitialValDataset,
    PersonTrainDataset,
    RefinementTrainDataset,
)
from deeppose_cli.data.preview import sheet
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.media.cropping import crop
from deeppose_cli.media.images import Image, read_image
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


def initial_columns(examples: Examples, settings: StagePreset, square: bool, seed: int) -> list[Column]:
    """Initial box, input, the copies of the first epochs with this seed, and each photometric change alone."""
    annotations, rows = examples.annotations, examples.rows
    skeleton, data = annotations.skeleton, (annotations, examples.boxes, square)
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


def person_columns(
    examples: Examples, settings: RefinementPreset, square: bool, sigma: float, seed: int
) -> list[Column]:
    """Inputs of a stage 2 that sees the whole person, placed by the labels, and those of the first epochs."""
    data = (examples.annotations, examples.boxes, square)
    skeleton = examples.annotations.skeleton
    still = Displacement.from_pairs(*np.zeros((2, len(skeleton), 2)))
    fixed = replace(settings, augmentation=Augmentation(flip=0.0))
    plain = PersonTrainDataset(*data, fixed, sigma, still, seed)
    training = PersonTrainDataset(*data, settings, sigma, still, seed)
    columns: list[Column] = []
    for title, caption, dataset, epoch in (
        ("stage 2 input", f"{settings.input_size} px", plain, settings.max_epochs - 1),
        *((f"stage 2, epoch {epoch + 1},\nnot displaced", "augmented", training, epoch) for epoch in range(COPIES)),
    ):
        cells = [dataset[SampleKey(epoch, row, 0)] for row in examples.rows]
        columns.append((title, [sheet.input_cell(x["image"], caption, skeleton, x["target"]) for x in cells]))
    return columns


def joint_columns(
    examples: Examples, settings: RefinementPreset, square: bool, sigma: float, seed: int
) -> list[Column]:
    """Boxes of stage 2 around the labels, and for JOINTS labelled joints the crop of its box, and that of epoch 1 with
    this seed, not displaced."""
    annotations, rng = examples.annotations, np.random.default_rng([seed, 2])
    skeleton, size, once = annotations.skeleton, settings.input_size, replace(settings, crops_per_visit=1)
    still = Displacement.from_pairs(*np.zeros((2, len(skeleton), 2)))
    training = RefinementTrainDataset(annotations, examples.boxes, square, once, sigma, still, seed)
    labels = annotations.keypoints[examples.rows]
    boxes = joint_boxes(labels, sigma * training.diameters[examples.rows][:, None])
    rows = []
    for row, image, pose, own in zip(examples.rows, examples.images, labels, boxes, strict=True):
        labelled = np.flatnonzero(annotations.labelled[row])
        shown = rng.choice(labelled, min(JOINTS, len(labelled)), replace=False).tolist()
        drawn = sorted(np.flatnonzero(~np.isnan(own).any(-1)).tolist(), key=lambda joint: joint in shown)
        styled = [(own[joint], joint_color(skeleton.joints[joint]), 3 if joint in shown else 0) for joint in drawn]
        caption = f"side {own[drawn[0], 2]:.0f} px" if drawn else "no labels"
        plain = [
            sheet.joint_cell(crop(image, own[joint], size), normalise(pose, own[joint]), joint, skeleton)
            for joint in shown
        ]
        example = training[SampleKey(0, row, 0)]
        at = {joint: place for place, joint in enumerate(example["joint_index"].tolist())}
        changed = [  # in a mirrored image the partner of an unlabelled joint has no label
            sheet.joint_cell(example["image"][at[joint]], example["target"][at[joint]], joint, skeleton)
            if joint in at
            else sheet.EMPTY
            for joint in shown
        ]
        missing = [sheet.EMPTY] * (JOINTS - len(shown))
        rows.append([sheet.image_cell(image, pose, styled, skeleton, caption), *plain, *missing, *changed, *missing])
    titles = ["stage 2 boxes,\naround labels"]
    titles += ["stage 2 input"] * JOINTS + ["stage 2, epoch 1,\nnot displaced"] * JOINTS
    return list(zip(titles, zip(*rows, strict=True), strict=True))
