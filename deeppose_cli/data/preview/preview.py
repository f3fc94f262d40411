"""A sheet of examples of a data set: initial boxes, network inputs, augmented copies, refinement crops."""

from __future__ import annotations

from pathlib import Path

from deeppose_cli.config.defaults import DATA_ROOT
from deeppose_cli.config.presets import preset_by_name
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.files import replacing
from deeppose_cli.core.progress import loading_notice
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.detection.initial_boxes import usual_source

DPI = 200
SHEETS = "sheets"
"""Folder below the data root for sheets without a place of their own."""


def preview(
    name: str,
    *,
    split: str | None = None,
    stage: int | None = None,
    count: int = 6,
    preset: str | None = None,
    box: str | None = None,
    out: Path | None = None,
    seed: int = 0,
    data_root: Path = DATA_ROOT,
) -> Path:
    """Draw a sheet of `count` random examples as a PNG file, and return its path.

    By the settings of a preset, with refinement crops around the labels. `split`: default the first that has images.
    `stage`: that stage's inputs only, 1 or 2. `box`: source of the initial box, default the data set's. Images that
    cannot be read are reported on stderr and left out. Raises UsageError, and DeepPoseError where no image can be read
    or the file cannot be written.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: must end in .png")
    spec = get_dataset(name, data_root, "NAME")
    if stage not in (None, 1, 2):
        raise UsageError(f"--stage {stage}: valid: 1, 2")
    settings = preset_by_name(preset or spec.preset)
    with loading_notice("libraries"):
        from deeppose_cli.data.preview import columns, sheet

    splits = {key: part for key, part in spec.read(data_root).items() if len(part)}
    chosen = split or next(iter(splits), "")
    if chosen not in splits:
        raise UsageError(f"--split {chosen}: {name} has no images in it; valid: {', '.join(splits)}")
    source = box or usual_source(settings.box_on(name) or spec.initial_box, chosen, spec.evaluation_only)
    examples = columns.choose_examples(splits[chosen], source, data_root / name, count, seed)
    title = f"{name}, {chosen}: preset {settings.name}, initial box {source}, seed {seed}"
    labels = [splits[chosen].names[row] for row in examples.rows]
    square, sigma, drawn = settings.square_initial_box, settings.refinement.sigma_on(spec.sigma), []
    if stage != 2:
        drawn += columns.initial_columns(examples, settings.initial, square, seed)
    if stage != 1:
        draw = columns.person_columns if settings.refinement.view == "person" else columns.joint_columns
        drawn += draw(examples, settings.refinement, square, sigma, seed)
    figure = sheet.draw_sheet(labels, drawn, title)
    target = out or data_root / SHEETS / f"{name}-{chosen}{f'-stage{stage}' if stage else ''}.png"
    try:
        with replacing(target) as temporary:
            figure.savefig(temporary, dpi=DPI, format="png")
    except DeepPoseError as error:
        raise DeepPoseError(f"--out {error}") from None
    return target
